"""The eighteen operations and the refusals of the API, as every Python-driven client runs them.

A client is a function `connect(token)` that gives a function `call(method, request)`. Requests and answers are dicts in
proto3 JSON; a refusal is raised as `Refused`. How they travel is the client's business.
"""

import datetime

from conftest import until

ZONE = "US-WEST-04A"
UNKNOWN_ID = "0a0a0a0a-0000-4000-8000-00000000dead"
ODD_TEXT = "naïve → 100% “β”"
SERVICES = {"CapacityClaim": "CapacityClaimService", "Deployment": "DeploymentService", "Gateway": "GatewayService"}
METHODS = [verb + noun for noun in ("CapacityClaim", "Deployment", "Gateway") for verb in ("Get", "Create", "Update", "Delete")]
METHODS += [verb for noun in ("CapacityClaim", "Deployment", "Gateway") for verb in (f"List{noun}s", f"Get{noun}Parameters")]
PACKAGE = "coreweave.inference.v1alpha1"


class Refused(Exception):
    """`code` is the canonical name, NOT_FOUND. `details` are messages in proto3 JSON, each with its "@type"."""

    def __init__(self, code, message, details):
        super().__init__(f"{code}: {message} {details}")
        self.code, self.message, self.details = code, message, details

    def detail(self, name):
        found = [detail for detail in self.details if detail["@type"] == f"type.googleapis.com/google.rpc.{name}"]
        assert len(found) == 1, f"{self} has {len(found)} details {name}"
        return found[0]


def service_of(method):
    return next(service for noun, service in SERVICES.items() if noun in method)


def claim_request(**changes):
    return {"name": "claim", "resources": {"instanceId": "gb200-4x", "instanceCount": 1, "zones": [ZONE],
                                           "capacityType": "CAPACITY_TYPE_MANAGED"}, **changes}


def gateway_request(**changes):
    return {"name": "gateway", "zones": [ZONE], "coreWeaveAuth": {}, "bodyBasedRouting": {"apiType": "API_TYPE_OPENAI"}, **changes}


def deployment_request(gateway_id, **changes):
    return {"name": "deployment", "gatewayIds": [gateway_id],
            "runtime": {"engine": "vllm", "version": "0.8.5", "engineEnv": {"VLLM_LOGGING_LEVEL": "INFO"}},
            "resources": {"instanceType": "gb200-4x", "gpuCount": 1},
            "model": {"name": "meta/llama", "bucket": "models", "path": "llama"},
            "autoscaling": {"min": 1, "max": 2}, "traffic": {}, **changes}


def refusal(code, call, method, request):
    try:
        answer = call(method, request)
    except Refused as refused:
        assert refused.code == code, refused
        return refused
    raise AssertionError(f"{method} {request} was answered with {answer}")


def run_all(connect):
    """Runs everything against a server on which nothing was made yet."""
    succeeded = set()
    call_admin = connect("admin-token")

    def call(method, request):
        answer = call_admin(method, request)
        succeeded.add(method)
        return answer

    claim_id = make_claim(call)
    gateway_id = make_gateway(call)
    deployment_id = make_deployment(call, gateway_id)
    check_refusals(connect, gateway_id, deployment_id)
    for noun, resource_id in (("Deployment", deployment_id), ("Gateway", gateway_id), ("CapacityClaim", claim_id)):
        delete(call, noun, resource_id)
    assert succeeded == set(METHODS), f"these never succeeded: {set(METHODS) - succeeded}"


def wait_ready(call, noun, resource_id):
    def ready():
        resource, = call(f"Get{noun}", {"id": resource_id}).values()
        return resource if resource["status"]["status"] == "STATUS_READY" else None
    return until(ready, f"READY of the {noun}")


def delete(call, noun, resource_id):
    deleted, = call(f"Delete{noun}", {"id": resource_id}).values()
    assert deleted["status"]["status"] == "STATUS_DELETING"

    def is_gone():
        try:
            call(f"Get{noun}", {"id": resource_id})
        except Refused as refused:
            assert refused.code == "NOT_FOUND", refused
            return True
        return False
    until(is_gone, f"the end of the {noun}")


def make_claim(call):
    offered = call("GetCapacityClaimParameters", {})
    assert "gb200-4x" in offered["zoneInstanceTypes"][ZONE]["instanceIds"]
    assert call("ListCapacityClaims", {}).get("capacityClaims", []) == []
    claim = call("CreateCapacityClaim", claim_request())["capacityClaim"]
    assert claim["spec"]["name"] == "claim" and claim["spec"]["organizationId"] == "cw1a2b"
    assert claim["spec"]["resources"] == claim_request()["resources"]
    assert claim["status"]["status"] == "STATUS_CREATING" and claim["status"]["pendingInstances"] == 1
    claim_id = claim["spec"]["id"]
    ready = wait_ready(call, "CapacityClaim", claim_id)
    assert ready["status"]["allocatedInstances"] == 1
    assert ready["status"]["conditions"][0]["type"] == "Ready" and ready["status"]["conditions"][0]["reason"] == "AsExpected"

    resources = {**claim_request()["resources"], "instanceCount": 2}
    grown = call("UpdateCapacityClaim", {"id": claim_id, "resources": resources})["capacityClaim"]
    assert grown["spec"]["resources"]["instanceCount"] == 2
    created = datetime.datetime.fromisoformat(claim["status"]["createdAt"])
    for after, ids in ((created - datetime.timedelta(seconds=1), [claim_id]), (created + datetime.timedelta(hours=1), [])):
        listed = call("ListCapacityClaims", {"updatedAfter": after.isoformat().replace("+00:00", "Z")}).get("capacityClaims", [])
        assert [item["spec"]["id"] for item in listed] == ids
    return claim_id


def make_gateway(call):
    assert ZONE in call("GetGatewayParameters", {})["zones"]
    gateway = call("CreateGateway", gateway_request())["gateway"]
    assert gateway["spec"]["coreWeaveAuth"] == {} and gateway["spec"]["bodyBasedRouting"] == {"apiType": "API_TYPE_OPENAI"}
    assert len(gateway["status"]["endpoints"]) == 1
    gateway_id = gateway["spec"]["id"]
    changed = {"id": gateway_id, **gateway_request(headerBasedRouting={"headerName": "X-Model-Name"})}
    del changed["bodyBasedRouting"]
    spec = call("UpdateGateway", changed)["gateway"]["spec"]
    assert spec["headerBasedRouting"] == {"headerName": "X-Model-Name"} and "bodyBasedRouting" not in spec
    wait_ready(call, "Gateway", gateway_id)
    assert [item["spec"]["id"] for item in call("ListGateways", {})["items"]] == [gateway_id]
    return gateway_id


def make_deployment(call, gateway_id):
    offered = call("GetDeploymentParameters", {"gatewayIds": [gateway_id]})
    assert offered["gatewayIds"] == [gateway_id]
    assert "0.8.5" in offered["runtimeParameters"]["runtimeVersions"]["vllm"]["versions"]
    deployment = call("CreateDeployment", deployment_request(gateway_id))["deployment"]
    assert deployment["spec"]["runtime"]["engineEnv"] == {"VLLM_LOGGING_LEVEL": "INFO"}
    deployment_id = deployment["spec"]["id"]
    wait_ready(call, "Deployment", deployment_id)
    changed = call("UpdateDeployment", {"id": deployment_id, **deployment_request(gateway_id, traffic={"weight": 50})})
    assert changed["deployment"]["spec"]["traffic"]["weight"] == 50
    listed = call("ListDeployments", {"parentGatewayId": gateway_id})["items"]
    assert [item["spec"]["id"] for item in listed] == [deployment_id]
    assert call("ListDeployments", {"parentGatewayId": UNKNOWN_ID}).get("items", []) == []
    return deployment_id


def check_refusals(connect, gateway_id, deployment_id):
    """Errors arrive as themselves: code, message and details."""
    admin, viewer = connect("admin-token"), connect("viewer-token")
    for noun, kind in (("CapacityClaim", "capacity claim"), ("Gateway", "gateway"), ("Deployment", "deployment")):
        missing = refusal("NOT_FOUND", admin, f"Get{noun}", {"id": UNKNOWN_ID})
        assert missing.message == f"{kind} {UNKNOWN_ID} not found"
        info = missing.detail("ResourceInfo")
        assert info["resourceType"] == kind and info["resourceName"] == UNKNOWN_ID and info["description"]

    invalid = refusal("INVALID_ARGUMENT", admin, "CreateCapacityClaim", {})
    assert invalid.message == "name is required"
    violations = invalid.detail("BadRequest")["fieldViolations"]
    assert [violation["field"] for violation in violations] == ["name", "resources"]
    # Text beyond ASCII comes back unharmed, however the protocol has to write it.
    resources = {**claim_request()["resources"], "instanceId": ODD_TEXT}
    odd = refusal("INVALID_ARGUMENT", admin, "CreateCapacityClaim", claim_request(name="odd", resources=resources))
    assert ODD_TEXT in odd.message and ODD_TEXT in odd.detail("BadRequest")["fieldViolations"][0]["description"]

    taken = refusal("ALREADY_EXISTS", admin, "CreateGateway", gateway_request())
    assert taken.message == 'a gateway named "gateway" already exists'
    assert taken.detail("ResourceInfo")["resourceName"] == gateway_id
    in_use = refusal("FAILED_PRECONDITION", admin, "DeleteGateway", {"id": gateway_id})
    violation, = in_use.detail("PreconditionFailure")["violations"]
    assert violation["type"] == "GATEWAY_IN_USE" and violation["subject"] == deployment_id

    assert [item["spec"]["id"] for item in viewer("ListGateways", {})["items"]] == [gateway_id]
    for method, request in (("CreateCapacityClaim", claim_request()), ("DeleteGateway", {"id": gateway_id})):
        assert refusal("PERMISSION_DENIED", viewer, method, request).message == "the Inference Admin role is required"
    for token in ("nobody", None):
        stranger = refusal("UNAUTHENTICATED", connect(token), "ListGateways", {})
        assert stranger.message == "missing or invalid API access token"
