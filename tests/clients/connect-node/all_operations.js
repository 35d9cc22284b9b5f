// All eighteen operations with a generated client, over one protocol, HTTP version and codec.
//   node all_operations.js URL connect|grpc|grpcweb 1.1|2 json|binary identity|gzip GENERATED_DIRECTORY
import path from "node:path";
import { pathToFileURL } from "node:url";
import { fromJson, toJson } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { compressionGzip, createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { Refused, runAll, serviceOf } from "../operations.mjs";

const [, , baseUrl, protocol, httpVersion, codec, compression, generated] = process.argv;
const callTimeoutMs = 20_000;

const services = {};
for (const name of ["capacity_claim", "deployment", "gateway"]) {
  const file = path.join(generated, "coreweave/inference/v1alpha1", `${name}_pb.js`);
  Object.assign(services, await import(pathToFileURL(file)));
}

const createTransport = { connect: createConnectTransport, grpc: createGrpcTransport, grpcweb: createGrpcWebTransport }[protocol];
const authorize = (token) => (next) => (request) => {
  if (token) request.header.set("Authorization", `Bearer ${token}`);
  return next(request);
};

function refused(error) {
  if (!(error instanceof ConnectError)) throw error;
  const code = Code[error.code].replace(/(?<!^)[A-Z]/g, "_$&").toUpperCase();
  return new Refused(code, error.rawMessage, error.details);
}

function connect(token) {
  const transport = createTransport({
    baseUrl, httpVersion, useBinaryFormat: codec === "binary", interceptors: [authorize(token)], compressMinBytes: 0,
    sendCompression: compression === "gzip" ? compressionGzip : undefined, defaultTimeoutMs: callTimeoutMs,
  });
  return async (method, request) => {
    const service = services[serviceOf(method)];
    const { localName, input, output } = service.methods.find(({ name }) => name === method);
    try {
      return toJson(output, await createClient(service, transport)[localName](fromJson(input, request)));
    } catch (error) {
      throw refused(error);
    }
  };
}

await runAll(connect);
console.log(`${protocol} ${codec} ${compression} HTTP/${httpVersion}: all operations`);
process.exit(0); // HTTP/2 sessions would keep the process for a while
