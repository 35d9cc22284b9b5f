"""Machines as an administrator sees them, over REST, Connect, gRPC-Web and the command line; and what explains and plans."""

import json
import os
import struct
import subprocess
import time

import httpx
import pytest

from conftest import BINARY, until

ADMIN = {"Authorization": "Bearer admin-token"}
CLAIM = {"name": "mine", "resources": {"instanceId": "rtx-2x", "instanceCount": 1, "zones": ["US-LAB-01A"],
                                       "capacityType": "CAPACITY_TYPE_MANAGED"}}


def nodes_of(server, token="admin-token", **query):
    answer = httpx.get(server.url + "/staithe/v1/nodes", headers={"Authorization": f"Bearer {token}"}, params=query, timeout=20)
    assert answer.status_code == 200, answer.text
    return {node["id"]: node for node in answer.json()["nodes"]}


def run(server, *arguments, token="admin-token", stdin=None, code=0):
    done = subprocess.run([BINARY, *arguments], input=stdin, capture_output=True, text=True, timeout=60,
                          env={**os.environ, "STAITHE_SERVER": server.url, "STAITHE_TOKEN": token})
    assert done.returncode == code, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
    return done.stderr if code else done.stdout


@pytest.fixture
def fleet(make_server, tmp_path):
    """A server with two declared nodes of four GPUs in one zone, simulated engines, and quick drains."""
    config = tmp_path / "staithe.toml"
    config.write_text('[[nodes]]\nzone = "US-WEST-04A"\ninstance_type = "gb200-4x"\ngpus = 4\ncount = 2\n')
    running = make_server("--config", str(config), "--replica-drain-timeout", "3000").start()
    yield running
    if running.process.poll() is None:
        running.stop()


def test_a_machine_is_joined_claimed_drained_and_removed_by_hand(fleet):
    joined = run(fleet, "node", "join", "Lab-1", "--zone", "us-lab-01a", "--instance-type", "RTX-2x", "--gpu-count", "2")
    assert joined.splitlines()[1].split()[:5] == ["lab-1", "READY", "US-LAB-01A", "rtx-2x", "2/2"], joined
    run(fleet, "claim", "create", "-f", "-", stdin=json.dumps(CLAIM))
    assert "READY" in run(fleet, "claim", "wait", "mine")
    heading, *rows = run(fleet, "node", "list").splitlines()
    assert heading.split()[:3] == ["NODE", "STATE", "ZONE"] and len(rows) == 3
    row = next(row for row in rows if row.startswith("lab-1 "))
    assert row[heading.index("CLAIM"):].split()[0] == "mine" and row.split()[-1] == "joined"

    said = run(fleet, "node", "remove", "lab-1", code=1)
    assert said.startswith("FAILED_PRECONDITION") and "holds this node" in said
    assert "DRAINED" in run(fleet, "node", "drain", "lab-1", "--wait")
    assert "READY" in run(fleet, "node", "resume", "lab-1")
    assert "READY" in run(fleet, "claim", "wait", "mine")
    assert run(fleet, "node", "remove", "lab-1", "--force") == "lab-1 is removed.\n"
    assert run(fleet, "node", "get", "lab-1", code=1) == "NOT_FOUND: node lab-1 not found\n"
    said = run(fleet, "node", "remove", "us-west-04a-gb200-4x-1", "--force", code=1)
    assert said.startswith("FAILED_PRECONDITION") and "drain it" in said


def test_what_joined_is_there_after_a_restart_and_still_drained(make_server):
    server = make_server().start()
    run(server, "node", "join", "lab-1", "--zone", "US-LAB-01A", "--instance-type", "rtx-2x", "--gpu-count", "2")
    run(server, "node", "drain", "lab-1")
    server.kill()
    server.start()
    assert nodes_of(server)["lab-1"]["state"] == "NODE_STATE_DRAINED"
    run(server, "node", "resume", "lab-1")
    run(server, "claim", "create", "-f", "-", stdin=json.dumps(CLAIM))
    assert "READY" in run(server, "claim", "wait", "mine")
    server.stop()


def test_every_protocol_lists_the_same_nodes(fleet):
    rest = nodes_of(fleet)
    assert sorted(rest) == ["us-west-04a-gb200-4x-1", "us-west-04a-gb200-4x-2"]
    assert {node["source"] for node in rest.values()} == {"NODE_SOURCE_DECLARED"}
    path = fleet.url + "/staithe.v1.NodeService/ListNodes"
    connect = httpx.post(path, headers={**ADMIN, "Content-Type": "application/json"}, content="{}", timeout=20)
    assert [node["id"] for node in connect.json()["nodes"]] == sorted(rest)
    web = httpx.post(path, headers={**ADMIN, "Content-Type": "application/grpc-web+json"}, timeout=20,
                     content=struct.pack(">BI", 0, 2) + b"{}")
    size = struct.unpack(">I", web.content[1:5])[0]
    assert [node["id"] for node in json.loads(web.content[5:5 + size])["nodes"]] == sorted(rest)
    described = httpx.get(fleet.url + "/staithe/openapi.json", timeout=20).json()
    assert "/staithe/v1/nodes/{id}/drain" in described["paths"]


def test_a_stream_survives_the_draining_of_its_node(fleet):
    gateway = fleet.create_gateway()
    deployment = fleet.create_deployment(
        gateway["spec"]["id"], runtime={"engine": "vllm", "version": "0.8.5"}, autoscaling={"min": 1, "max": 1})
    fleet.wait_ready("deployments", deployment["spec"]["id"])
    (home,) = [node["id"] for node in nodes_of(fleet).values() if node["replicaCount"]]
    other = next(node for node in nodes_of(fleet) if node != home)
    body = {"model": "meta/llama", "messages": [{"role": "user", "content": "Hello"}], "stream": True, "max_tokens": 100}
    with httpx.stream("POST", gateway["status"]["endpoints"][0] + "/v1/chat/completions", headers=ADMIN, json=body,
                      timeout=20) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("data: ")
        assert "DRAINING" in run(fleet, "node", "drain", home)
        assert [line for line in lines if line][-1] == "data: [DONE]"
    until(lambda: nodes_of(fleet)[home]["state"] == "NODE_STATE_DRAINED", "the drained node")
    assert nodes_of(fleet)[other]["replicaCount"] == 1
    assert fleet.get("deployments", deployment["spec"]["id"])["status"]["status"] == "STATUS_READY"
    assert "Runs replicas of llama." in run(fleet, "node", "get", other)


def test_customer_machines_are_their_owners_alone(fleet):
    run(fleet, "node", "join", "own", "--zone", "US-WEST-04A", "--instance-type", "gb200-4x", "--gpu-count", "4",
        "--organization", "cw1a2b")
    assert "own" not in nodes_of(fleet, token="other-token") and "own" in nodes_of(fleet, token="viewer-token")
    assert run(fleet, "node", "drain", "own", token="other-token", code=1).startswith("NOT_FOUND")
    assert run(fleet, "node", "drain", "own", token="viewer-token", code=1).startswith("PERMISSION_DENIED")
    run(fleet, "claim", "create", "--name", "ours", "--instance-type", "gb200-4x", "--zone", "US-WEST-04A",
        "--capacity-type", "CAPACITY_TYPE_CUSTOMER")
    assert "READY" in run(fleet, "claim", "wait", "ours")


@pytest.mark.parametrize("arguments, hint", [
    (["node", "join", "x", "--zone", "mars", "--instance-type", "t"], "zone must be a valid zone"),
    (["node", "join", "x", "--zone", "US-LAB-01A", "--instance-type", "gb200-4x", "--gpu-count", "3"], "gpuCount must be 4"),
    (["node", "join", "x", "--zone", "US-LAB-01A", "--instance-type", "t", "--gpu-count", "0"], "gpuCount must be between"),
    (["node", "join", "a b", "--zone", "US-LAB-01A", "--instance-type", "t"], "id must be"),
    (["node", "get", "../../healthz"], "id must be"),
])
def test_a_refusal_names_the_field_and_the_remedy(fleet, arguments, hint):
    said = run(fleet, *arguments, code=1)
    assert said.startswith("INVALID_ARGUMENT") and hint in said, said


def test_bad_usage_of_nodes_and_plans_is_code_2(fleet):
    for arguments, hint in ((["node"], "subcommand"), (["node", "explode", "x"], "explode"), (["node", "join", "x"], "--zone"),
                            (["plan"], "--file"), (["plan", "-f", "/nowhere"], "/nowhere")):
        said = run(fleet, *arguments, code=2)
        assert hint in said and len(said.splitlines()) == 1, said
    said = run(fleet, "plan", "-f", "-", stdin='{"name": "x"}', code=2)
    assert "neither a claim nor a deployment" in said
    for wrong in ('{"id": 5, "name": ["x"], "model": 7}', '{"id": "../../../healthz", "name": "x", "model": {}}'):
        assert run(fleet, "plan", "-f", "-", stdin=wrong, code=1).startswith("INVALID_ARGUMENT")


def test_500_virtual_nodes_are_one_line_and_quick_to_list(make_server, tmp_path):
    config = tmp_path / "staithe.toml"
    config.write_text('[[nodes]]\nzone = "US-WEST-04A"\ninstance_type = "gb200-4x"\ngpus = 4\ncount = 500\n')
    server = make_server("--config", str(config)).start()
    until(lambda: len(nodes_of(server)) == 500, "500 nodes", seconds=10)
    body = {**CLAIM, "resources": {**CLAIM["resources"], "instanceId": "gb200-4x", "zones": ["US-WEST-04A"], "instanceCount": 400}}
    run(server, "claim", "create", "-f", "-", stdin=json.dumps(body))
    assert "READY" in run(server, "claim", "wait", "mine")
    started = time.monotonic()
    claimed = sum(node["isClaimed"] for node in nodes_of(server).values())
    elapsed = time.monotonic() - started
    assert claimed == 400
    assert elapsed < 2, f"a list of 500 nodes took {elapsed:.2f} s"
    assert len(run(server, "node", "list", "--zone", "us-west-04a").splitlines()) == 501
    server.stop()


def test_a_plan_is_refused_as_the_change_would_be(fleet, tmp_path):
    gateway = fleet.create_gateway()["spec"]["id"]
    body = {"name": "llama", "gatewayIds": [gateway], "runtime": {"engine": "vllm", "version": "0.8.5"},
            "resources": {"instanceType": "gb200-4x", "gpuCount": 3}, "model": {"name": "meta/llama", "bucket": "b", "path": "p"},
            "autoscaling": {"min": 1, "max": 1}, "traffic": {}}
    file = tmp_path / "deployment.json"
    file.write_text(json.dumps(body))
    planned = run(fleet, "plan", "-f", str(file), code=1)
    assert planned == run(fleet, "deployment", "create", "-f", str(file), code=1)
    assert planned.startswith("INVALID_ARGUMENT") and "gpuCount" in planned
    assert run(fleet, "deployment", "list").splitlines()[1:] == []
