"""Why, and what if: explanations and plans of a whole server, by REST and by the command line."""

import json

import httpx
import pytest

from test_nodes import ADMIN, fleet, nodes_of, run  # noqa: F401  (a fixture)


@pytest.fixture
def body(fleet):  # noqa: F811
    """What creates a deployment of one replica with one GPU behind the fleet's gateway."""
    gateway = fleet.create_gateway()["spec"]["id"]
    return {"name": "llama", "gatewayIds": [gateway], "runtime": {"engine": "vllm", "version": "0.8.5"},
            "resources": {"instanceType": "gb200-4x", "gpuCount": 1}, "model": {"name": "meta/llama", "bucket": "b", "path": "p"},
            "autoscaling": {"min": 1, "max": 1}, "traffic": {}}


def planned(server, kind, **change):
    answer = httpx.post(f"{server.url}/staithe/v1/plans/{kind}", headers=ADMIN, json=change, timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.json()["plan"]


def test_a_ready_deployment_says_what_it_has_and_where(fleet, body):  # noqa: F811
    run(fleet, "deployment", "create", "-f", "-", stdin=json.dumps(body))
    run(fleet, "deployment", "wait", "llama")
    said = run(fleet, "deployment", "explain", "LLAMA")
    assert said.startswith("llama is READY."), said
    assert "1 replica wanted, between 1 and 1" in said
    (home,) = [node["id"] for node in nodes_of(fleet).values() if node["replicaCount"]]
    row = next(line for line in said.splitlines() if " ready " in line)
    assert home in row and "on demand" in row and "current" in row

    shown = json.loads(run(fleet, "deployment", "explain", "llama", "-o", "json", token="viewer-token"))
    (replica,) = shown["replicas"]
    assert (replica["phase"], replica["nodeIds"], replica["isCurrent"]) == ("REPLICA_PHASE_READY", [home], True)
    assert shown["unplaced"] == 0 and shown["rollOut"] == "ROLL_OUT_NONE" and shown["shortages"] == []
    assert run(fleet, "deployment", "explain", "llama", token="other-token", code=1).startswith("NOT_FOUND")


def test_a_deployment_without_room_says_what_is_missing_in_each_zone(fleet, body):  # noqa: F811
    body["autoscaling"] = {"min": 3, "max": 3}
    body["resources"]["gpuCount"] = 4
    run(fleet, "deployment", "create", "-f", "-", stdin=json.dumps(body))
    run(fleet, "deployment", "wait", "llama", "--timeout", "2", code=3)
    said = run(fleet, "deployment", "explain", "llama")
    assert "1 replica has no place" in said and "NEEDED" in said and "US-WEST-04A" in said


def test_a_plan_of_something_new_says_where_it_would_go_and_does_nothing(fleet, body, tmp_path):  # noqa: F811
    file = tmp_path / "deployment.json"
    file.write_text(json.dumps(body))
    said = run(fleet, "plan", "-f", str(file), token="viewer-token")
    assert said.startswith("Plan for creating deployment llama: "), said
    assert "us-west-04a-gb200-4x-" in said and said.endswith("Nothing was changed.\n")
    assert run(fleet, "deployment", "list").splitlines()[1:] == []
    assert not any(node["replicaCount"] for node in nodes_of(fleet).values())

    body["autoscaling"] = {"min": 9, "max": 9}
    plan = planned(fleet, "deployment", create=body)
    assert plan["pending"] == 1 and plan["pendingReason"] and plan["shortages"][0]["zone"] == "US-WEST-04A"
    assert [each["change"] for each in plan["replicas"] if each["nodeIds"]] == ["PLANNED_CHANGE_CREATE"] * 8


def test_a_plan_of_a_change_says_whether_what_runs_is_restarted(fleet, body):  # noqa: F811
    run(fleet, "deployment", "create", "-f", "-", stdin=json.dumps(body))
    run(fleet, "deployment", "wait", "llama")
    present = json.loads(run(fleet, "deployment", "get", "llama", "-o", "json"))
    spec = present["spec"]
    # What `get` printed is a request as well.
    assert "Nothing would change." in run(fleet, "plan", "-f", "-", stdin=json.dumps(present))
    assert planned(fleet, "deployment", update=spec)["isWithoutEffect"]

    more = planned(fleet, "deployment", update={**spec, "autoscaling": {"min": 2, "max": 2}})
    assert not more["restartsReplicas"]
    assert sorted(each["change"] for each in more["replicas"]) == ["PLANNED_CHANGE_CREATE", "PLANNED_CHANGE_KEEP"]

    other = planned(fleet, "deployment", update={**spec, "model": {**spec["model"], "path": "other"}})
    assert other["restartsReplicas"]
    assert "PLANNED_CHANGE_REPLACE" in [each["change"] for each in other["replicas"]]

    off = planned(fleet, "deployment", update={**spec, "disabled": True})
    assert off["restartsReplicas"] and [each["change"] for each in off["replicas"]] == ["PLANNED_CHANGE_DRAIN"]
    after = fleet.get("deployments", spec["id"])
    assert after == present, "nothing was changed"


def test_a_plan_of_a_claim_names_the_nodes_it_would_take(fleet):  # noqa: F811
    claim = {"name": "team", "resources": {"instanceId": "gb200-4x", "instanceCount": 3, "zones": ["US-WEST-04A"],
                                           "capacityType": "CAPACITY_TYPE_MANAGED"}}
    plan = planned(fleet, "capacityclaim", create=claim)
    assert sorted(plan["zones"][0]["taken"]) == ["us-west-04a-gb200-4x-1", "us-west-04a-gb200-4x-2"]
    assert plan["pending"] == 1 and plan["shortages"][0]["missing"] == 1
    said = run(fleet, "plan", "-f", "-", stdin=json.dumps(claim))
    assert said.startswith("Plan for creating claim team: ") and "1 would wait" in said
    with fleet.client() as api:
        assert api.get("/capacityclaims").json()["capacityClaims"] == []

    claim["resources"]["instanceCount"] = 2
    run(fleet, "claim", "create", "-f", "-", stdin=json.dumps(claim))
    run(fleet, "claim", "wait", "team")
    held = json.loads(run(fleet, "claim", "get", "team", "-o", "json"))["spec"]
    held["resources"]["instanceCount"] = 1
    shrunk = planned(fleet, "capacityclaim", update={"id": held["id"], "resources": held["resources"]})
    assert len(shrunk["zones"][0]["kept"]) == 1 and len(shrunk["zones"][0]["released"]) == 1
