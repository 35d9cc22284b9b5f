// All eighteen operations with a generated Connect client, over HTTP/1.1, in the codec named by the second argument.
//   node all_operations.js http://HOST:PORT json|binary GENERATED_DIRECTORY
import assert from "node:assert/strict";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";

const [, , baseUrl, codec, generated] = process.argv;
const load = (name) => import(pathToFileURL(path.join(generated, "coreweave/inference/v1alpha1", `${name}_pb.js`)));
const { CapacityClaimService, CapacityType } = await load("capacity_claim");
const { DeploymentService } = await load("deployment");
const { GatewayService } = await load("gateway");
const { Status } = await load("status");

const connect = (token) => {
  const transport = createConnectTransport({
    baseUrl, httpVersion: "1.1", useBinaryFormat: codec === "binary",
    interceptors: [(next) => (request) => { request.header.set("Authorization", `Bearer ${token}`); return next(request); }],
  });
  return {
    claims: createClient(CapacityClaimService, transport),
    gateways: createClient(GatewayService, transport),
    deployments: createClient(DeploymentService, transport),
  };
};

const api = connect("admin-token");
const suffix = codec;
let calls = 0;
const call = async (promise) => { calls += 1; return promise; };

async function until(look, isDone, what) {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const seen = await look();
    if (isDone(seen)) return seen;
    assert.ok(Date.now() < deadline, `${what} took too long`);
  }
}
const gone = (get) => until(
  () => get().then(() => false, (error) => { assert.equal(ConnectError.from(error).code, Code.NotFound); return true; }),
  (isGone) => isGone, "a delete");

// Claims.
const offered = await call(api.claims.getCapacityClaimParameters({}));
const zone = "US-WEST-04A";
assert.ok(offered.zoneInstanceTypes[zone].instanceIds.includes("gb200-4x"));
const resources = { instanceId: "gb200-4x", instanceCount: 1, zones: [zone], capacityType: CapacityType.MANAGED };
const claim = (await call(api.claims.createCapacityClaim({ name: `claim-${suffix}`, resources }))).capacityClaim;
assert.equal(claim.status.status, Status.CREATING);
assert.equal(claim.spec.resources.capacityType, CapacityType.MANAGED);
const claimId = claim.spec.id;
await until(() => call(api.claims.getCapacityClaim({ id: claimId })), (r) => r.capacityClaim.status.status === Status.READY, "the claim");
const grown = (await call(api.claims.updateCapacityClaim({ id: claimId, resources: { ...resources, instanceCount: 2 } }))).capacityClaim;
assert.equal(grown.spec.resources.instanceCount, 2);
assert.ok((await call(api.claims.listCapacityClaims({}))).capacityClaims.some((c) => c.spec.id === claimId));

// Gateways.
assert.ok((await call(api.gateways.getGatewayParameters({}))).zones.includes(zone));
const wanted = { name: `gateway-${suffix}`, zones: [zone], auth: { case: "coreWeaveAuth", value: {} },
  routing: { case: "bodyBasedRouting", value: { apiType: 1 } } };
const gateway = (await call(api.gateways.createGateway(wanted))).gateway;
assert.equal(gateway.status.endpoints.length, 1);
const gatewayId = gateway.spec.id;
const changed = (await call(api.gateways.updateGateway({ ...wanted, id: gatewayId,
  routing: { case: "headerBasedRouting", value: { headerName: "X-Model-Name" } } }))).gateway;
assert.equal(changed.spec.routing.case, "headerBasedRouting");
await until(() => call(api.gateways.getGateway({ id: gatewayId })), (r) => r.gateway.status.status === Status.READY, "the gateway");
assert.ok((await call(api.gateways.listGateways({}))).items.some((g) => g.spec.id === gatewayId));

// Deployments.
const parameters = await call(api.deployments.getDeploymentParameters({ gatewayIds: [gatewayId] }));
assert.ok(parameters.runtimeParameters.runtimeVersions.vllm.versions.includes("0.8.5"));
const spec = { name: `deployment-${suffix}`, gatewayIds: [gatewayId], runtime: { engine: "vllm", version: "0.8.5",
  engineEnv: { VLLM_LOGGING_LEVEL: "INFO" } }, resources: { instanceType: "gb200-4x", gpuCount: 1 },
  model: { name: "meta/llama", bucket: "models", path: "llama" }, autoscaling: { min: 1, max: 2 }, traffic: {} };
const deployment = (await call(api.deployments.createDeployment(spec))).deployment;
assert.equal(deployment.spec.runtime.engineEnv.VLLM_LOGGING_LEVEL, "INFO");
const deploymentId = deployment.spec.id;
await until(() => call(api.deployments.getDeployment({ id: deploymentId })), (r) => r.deployment.status.status === Status.READY, "the deployment");
assert.equal((await call(api.deployments.updateDeployment({ ...spec, id: deploymentId, traffic: { weight: 50 } }))).deployment.spec.traffic.weight, 50);
assert.equal((await call(api.deployments.listDeployments({ parentGatewayId: gatewayId }))).items.length, 1);

// Errors arrive as themselves, with their details.
const refusal = await api.gateways.deleteGateway({ id: gatewayId }).then(() => assert.fail("deleted in use"), (e) => ConnectError.from(e));
assert.equal(refusal.code, Code.FailedPrecondition);
assert.ok(refusal.details.some((d) => d.type === "google.rpc.PreconditionFailure"));
const invalid = await api.claims.createCapacityClaim({}).then(() => assert.fail("created"), (e) => ConnectError.from(e));
assert.equal(invalid.code, Code.InvalidArgument);
assert.equal(invalid.rawMessage, "name is required");
const stranger = await connect("nobody").gateways.listGateways({}).then(() => assert.fail("let in"), (e) => ConnectError.from(e));
assert.equal(stranger.code, Code.Unauthenticated);
const viewer = await connect("viewer-token").gateways.deleteGateway({ id: gatewayId }).then(() => assert.fail("let in"), (e) => ConnectError.from(e));
assert.equal(viewer.code, Code.PermissionDenied);

// And everything goes.
assert.equal((await call(api.deployments.deleteDeployment({ id: deploymentId }))).deployment.status.status, Status.DELETING);
assert.equal((await call(api.gateways.deleteGateway({ id: gatewayId }))).gateway.status.status, Status.DELETING);
assert.equal((await call(api.claims.deleteCapacityClaim({ id: claimId }))).capacityClaim.status.status, Status.DELETING);
await gone(() => api.deployments.getDeployment({ id: deploymentId }));
await gone(() => api.gateways.getGateway({ id: gatewayId }));
await gone(() => api.claims.getCapacityClaim({ id: claimId }));
console.log(`${codec}: all operations, ${calls} calls`);
