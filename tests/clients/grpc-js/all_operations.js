// All eighteen operations with gRPC's own JavaScript client, which reads the .proto files when it starts.
//   node all_operations.js HOST:PORT identity|gzip PROTO_DIRECTORY [CERTIFICATE_AUTHORITY]
import fs from "node:fs";
import path from "node:path";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";
import { Refused, runAll, serviceOf } from "../operations.mjs";

const [, , address, compression, protos, authority] = process.argv;
const callTimeoutMs = 20_000;

const load = (...files) => grpc.loadPackageDefinition(protoLoader.loadSync(files, { enums: String, includeDirs: [protos] }));
const services = load(...["capacity_claim", "deployment", "gateway"].map((name) => `coreweave/inference/v1alpha1/${name}.proto`))
  .coreweave.inference.v1alpha1;
const decodeStatus = protoLoader.loadSync(["google/rpc/status.proto"], { includeDirs: [protos] })["google.rpc.Status"].deserialize;

const credentials = authority ? grpc.credentials.createSsl(fs.readFileSync(path.resolve(authority)))
  : grpc.credentials.createInsecure();
const options = { "grpc.default_compression_algorithm":
  compression === "gzip" ? grpc.compressionAlgorithms.gzip : grpc.compressionAlgorithms.identity };

function refused(error) {
  if (error.code === undefined) throw error;
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  const details = (bytes && decodeStatus(bytes).details) ?? [];
  return new Refused(grpc.status[error.code], error.details,
    details.map(({ type_url: url, value }) => ({ type: url.replace(/^.*\//, ""), value })));
}

const timestamp = (text) => ({ seconds: Math.floor(Date.parse(text) / 1000), nanos: 0 });

function connect(token) {
  const clients = {};
  const metadata = new grpc.Metadata();
  if (token) metadata.set("authorization", `Bearer ${token}`);
  return (method, request) => new Promise((resolve, reject) => {
    const name = serviceOf(method);
    clients[name] ??= new services[name](address, credentials, options);
    const message = request.updatedAfter ? { ...request, updatedAfter: timestamp(request.updatedAfter) } : request;
    clients[name][method](message, metadata, { deadline: Date.now() + callTimeoutMs }, (error, answer) => {
      if (error) reject(refused(error));
      else resolve(answer);
    });
  });
}

await runAll(connect);
console.log(`grpc-js ${compression}: all operations`);
process.exit(0); // channels would keep the process for a while
