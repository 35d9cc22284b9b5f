"""Makes many of the bodies that the document allows into ones that the services accept: of what excludes each other, one."""

import zlib

import schemathesis

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
    body["gatewayIds"] = sorted(set(body["gatewayIds"]))
    scaling = body["autoscaling"]
    scaling["max"] = max(scaling["min"], scaling["max"])


@schemathesis.hook
def before_call(context, case, kwargs):
    # What is meant to be wrong stays so, and so does every fourth of the others.
    is_meant_well = case.meta is not None and case.meta.generation.mode.is_positive
    number = zlib.crc32(repr(case.body).encode())
    if not is_meant_well or not isinstance(case.body, dict) or number % 4 == 0:
        return
    if case.method.upper() == "PATCH":
        case.body.pop("id", None)  # the path has it
    if "zones" in case.body.get("resources", {}):
        case.body["resources"]["zones"] = sorted(set(map(str.upper, case.body["resources"]["zones"])))
    if "/gateways" in case.path:
        mend_gateway(case.body, number // 4)
    if "/deployments" in case.path:
        mend_deployment(case.body)
