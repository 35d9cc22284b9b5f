"""Makes many of the bodies that the document allows into ones that the services accept: of what excludes each other, one."""

import zlib

import schemathesis

GATEWAY = "0b0b0b0b-0000-4000-8000-000000000001"  # of tools/schemathesis.sh
AUTHS = ("coreWeaveAuth", "weightsAndBiasesAuth")
ROUTINGS = {"bodyBasedRouting": {"apiType": "API_TYPE_OPENAI"}, "headerBasedRouting": {"headerName": "X-Model-Name"}, "pathBasedRouting": {}}


def keep_one(body, names, number):
    for name in names:
        body.pop(name, None)
    return list(names)[number % len(names)]


def mend_gateway(body, number):
    body[keep_one(body, AUTHS, number)] = {}
    routing = keep_one(body, ROUTINGS, number)
    body[routing] = dict(ROUTINGS[routing])
    body.pop("endpointConfiguration", None)


def mend_deployment(body):
    for name in ("engineConfig", "engineEnv"):
        body["runtime"].pop(name, None)
    body["gatewayIds"] = [GATEWAY]
    scaling = body["autoscaling"]
    scaling["min"] = max(1, scaling["min"])
    scaling["max"] = max(scaling["min"], scaling["max"])


@schemathesis.hook
def before_call(context, case, kwargs):
    # An empty id asks for one of ours, and then Schemathesis would look for what it made under the empty one.
    if case.method.upper() == "POST" and isinstance(case.body, dict) and case.body.get("id") == "":
        del case.body["id"]
    # What is meant to be wrong stays so, and of the others every fourth stays as it was drawn.
    is_meant_well = case.meta is not None and case.meta.generation.mode.is_positive
    number = zlib.crc32(repr(case.body).encode())
    if not is_meant_well or not isinstance(case.body, dict) or number % 4 == 0:
        return
    if case.method.upper() == "PATCH":
        case.body["id"] = case.path_parameters["id"]
    if "zones" in case.body.get("resources", {}):
        case.body["resources"]["zones"] = sorted(set(map(str.upper, case.body["resources"]["zones"])))
    if "/gateways" in case.path:
        mend_gateway(case.body, number // 4)
    if "/deployments" in case.path:
        mend_deployment(case.body)
