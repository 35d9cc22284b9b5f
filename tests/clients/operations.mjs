// The eighteen operations and the refusals of the API, as every JavaScript client runs them.
//
// A client is a function connect(token) that gives a function call(method, request). Requests and answers are plain
// objects in proto3 JSON; a refusal is thrown as Refused. How they travel is the client's business.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

const zone = "US-WEST-04A";
const unknownId = "0a0a0a0a-0000-4000-8000-00000000dead";
const oddText = "naïve → 100% “β”";
const waitMs = 30_000;
const operationCount = 18;

// The service that has the method.
export const serviceOf = (method) => `${/CapacityClaim|Deployment|Gateway/.exec(method)[0]}Service`;

export class Refused extends Error {
  // code: the canonical name, NOT_FOUND. details: [{type: "google.rpc.ResourceInfo", value: its bytes}].
  constructor(code, message, details) {
    super(message);
    Object.assign(this, { code, details });
  }

  hasDetail(name, ...texts) {
    const found = this.details.filter((detail) => detail.type === `google.rpc.${name}`);
    assert.equal(found.length, 1, `${this.code} ${this.message} has ${found.length} details ${name}`);
    // The strings of a message stand in its bytes as they are.
    for (const text of texts) assert.ok(Buffer.from(found[0].value).includes(text), `${name} does not say ${text}`);
  }
}

const claimRequest = (changes) => ({ name: "claim", resources: { instanceId: "gb200-4x", instanceCount: 1,
  capacityType: "CAPACITY_TYPE_MANAGED", zones: [zone] }, ...changes });
const gatewayRequest = (changes) => ({ name: "gateway", zones: [zone], coreWeaveAuth: {}, ...changes });
const bodyRouting = { bodyBasedRouting: { apiType: "API_TYPE_OPENAI" } };
const deploymentRequest = (gatewayId, changes) => ({ name: "deployment", gatewayIds: [gatewayId],
  runtime: { engine: "vllm", version: "0.8.5", engineEnv: { VLLM_LOGGING_LEVEL: "INFO" } },
  resources: { instanceType: "gb200-4x", gpuCount: 1 }, model: { name: "meta/llama", bucket: "models", path: "llama" },
  autoscaling: { min: 1, max: 2 }, traffic: {}, ...changes });

async function until(what, look) {
  for (const deadline = Date.now() + waitMs; ; await sleep(10)) {
    const seen = await look();
    if (seen) return seen;
    assert.ok(Date.now() < deadline, `${what} took longer than ${waitMs} ms`);
  }
}

async function refusal(code, call, method, request) {
  const outcome = await call(method, request).then((answer) => ({ answer }), (error) => ({ error }));
  assert.ok(outcome.error, `${method} was answered with ${JSON.stringify(outcome.answer)}`);
  if (!(outcome.error instanceof Refused)) throw outcome.error;
  assert.equal(outcome.error.code, code, outcome.error.message);
  return outcome.error;
}

// Against a server on which nothing was made yet.
export async function runAll(connect) {
  const succeeded = new Set();
  const callAdmin = connect("admin-token");
  const call = async (method, request) => {
    const answer = await callAdmin(method, request);
    succeeded.add(method);
    return answer;
  };
  const claimId = await makeClaim(call);
  const gatewayId = await makeGateway(call);
  const deploymentId = await makeDeployment(call, gatewayId);
  await checkRefusals(connect, gatewayId, deploymentId);
  await remove(call, "Deployment", deploymentId);
  await remove(call, "Gateway", gatewayId);
  await remove(call, "CapacityClaim", claimId);
  assert.equal(succeeded.size, operationCount, `only ${[...succeeded].sort()} succeeded`);
}

const only = (answer) => Object.values(answer)[0];
const ids = (resources) => (resources ?? []).map((resource) => resource.spec.id);

const waitReady = (call, noun, id) => until(`READY of the ${noun}`, async () => {
  const resource = only(await call(`Get${noun}`, { id }));
  return resource.status.status === "STATUS_READY" && resource;
});

async function remove(call, noun, id) {
  assert.equal(only(await call(`Delete${noun}`, { id })).status.status, "STATUS_DELETING");
  await until(`the end of the ${noun}`, () => call(`Get${noun}`, { id }).then(() => false, (error) => {
    assert.equal(error.code, "NOT_FOUND", error.message);
    return true;
  }));
}

async function makeClaim(call) {
  const offered = await call("GetCapacityClaimParameters", {});
  assert.ok(offered.zoneInstanceTypes[zone].instanceIds.includes("gb200-4x"));
  const claim = (await call("CreateCapacityClaim", claimRequest())).capacityClaim;
  assert.equal(claim.status.status, "STATUS_CREATING");
  assert.equal(claim.status.pendingInstances, 1);
  assert.deepEqual(claim.spec.resources, claimRequest().resources);
  const { id } = claim.spec;
  assert.equal((await waitReady(call, "CapacityClaim", id)).status.allocatedInstances, 1);
  const resources = { ...claimRequest().resources, instanceCount: 2 };
  assert.equal((await call("UpdateCapacityClaim", { id, resources })).capacityClaim.spec.resources.instanceCount, 2);
  const listed = async (updatedAfter) => ids((await call("ListCapacityClaims", { updatedAfter })).capacityClaims);
  assert.deepEqual(await listed("2020-01-01T00:00:00Z"), [id]);
  assert.deepEqual(await listed("2222-01-01T00:00:00Z"), []);
  return id;
}

async function makeGateway(call) {
  assert.ok((await call("GetGatewayParameters", {})).zones.includes(zone));
  const gateway = (await call("CreateGateway", gatewayRequest(bodyRouting))).gateway;
  assert.deepEqual(gateway.spec.coreWeaveAuth, {});
  assert.deepEqual(gateway.spec.bodyBasedRouting, bodyRouting.bodyBasedRouting);
  assert.equal(gateway.status.endpoints.length, 1);
  const { id } = gateway.spec;
  const headerBasedRouting = { headerName: "X-Model-Name" };
  const { spec } = (await call("UpdateGateway", { id, ...gatewayRequest({ headerBasedRouting }) })).gateway;
  assert.deepEqual(spec.headerBasedRouting, headerBasedRouting);
  assert.equal(spec.bodyBasedRouting, undefined);
  await waitReady(call, "Gateway", id);
  assert.deepEqual(ids((await call("ListGateways", {})).items), [id]);
  return id;
}

async function makeDeployment(call, gatewayId) {
  const offered = await call("GetDeploymentParameters", { gatewayIds: [gatewayId] });
  assert.deepEqual(offered.gatewayIds, [gatewayId]);
  assert.ok(offered.runtimeParameters.runtimeVersions.vllm.versions.includes("0.8.5"));
  const { deployment } = await call("CreateDeployment", deploymentRequest(gatewayId));
  assert.deepEqual(deployment.spec.runtime.engineEnv, { VLLM_LOGGING_LEVEL: "INFO" });
  const { id } = deployment.spec;
  await waitReady(call, "Deployment", id);
  const changed = await call("UpdateDeployment", { id, ...deploymentRequest(gatewayId, { traffic: { weight: 50 } }) });
  assert.equal(changed.deployment.spec.traffic.weight, 50);
  assert.deepEqual(ids((await call("ListDeployments", { parentGatewayId: gatewayId })).items), [id]);
  return id;
}

async function checkRefusals(connect, gatewayId, deploymentId) {
  const admin = connect("admin-token");
  const viewer = connect("viewer-token");
  for (const [noun, kind] of [["CapacityClaim", "capacity claim"], ["Gateway", "gateway"], ["Deployment", "deployment"]]) {
    const missing = await refusal("NOT_FOUND", admin, `Get${noun}`, { id: unknownId });
    assert.equal(missing.message, `${kind} ${unknownId} not found`);
    missing.hasDetail("ResourceInfo", kind, unknownId);
  }
  const invalid = await refusal("INVALID_ARGUMENT", admin, "CreateCapacityClaim", {});
  assert.equal(invalid.message, "name is required");
  invalid.hasDetail("BadRequest", "name is required", "resources is required");
  const odd = await refusal("INVALID_ARGUMENT", admin, "CreateCapacityClaim",
    claimRequest({ name: "odd", resources: { ...claimRequest().resources, instanceId: oddText } }));
  assert.ok(odd.message.includes(oddText), odd.message);
  odd.hasDetail("BadRequest", oddText);

  const taken = await refusal("ALREADY_EXISTS", admin, "CreateGateway", gatewayRequest(bodyRouting));
  assert.equal(taken.message, 'a gateway named "gateway" already exists');
  taken.hasDetail("ResourceInfo", gatewayId);
  const inUse = await refusal("FAILED_PRECONDITION", admin, "DeleteGateway", { id: gatewayId });
  inUse.hasDetail("PreconditionFailure", "GATEWAY_IN_USE", deploymentId);

  assert.deepEqual(ids((await viewer("ListGateways", {})).items), [gatewayId]);
  for (const [method, request] of [["CreateCapacityClaim", claimRequest()], ["DeleteGateway", { id: gatewayId }]]) {
    const { message } = await refusal("PERMISSION_DENIED", viewer, method, request);
    assert.equal(message, "the Inference Admin role is required");
  }
  for (const token of ["nobody", undefined]) {
    const { message } = await refusal("UNAUTHENTICATED", connect(token), "ListGateways", {});
    assert.equal(message, "missing or invalid API access token");
  }
}
