"""The command line as a person uses it: `staithe claim|gateway|deployment|token`, its output, its exit codes."""

import json
import os
import subprocess

import pytest

from conftest import BINARY, until


@pytest.fixture
def staithe(server):
    def run(*arguments, token="admin-token", stdin=None, code=0):
        done = subprocess.run([BINARY, *arguments], input=stdin, capture_output=True, text=True, timeout=60,
                              env={**os.environ, "STAITHE_SERVER": server.url, "STAITHE_TOKEN": token})
        assert done.returncode == code, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
        return done.stderr if code else done.stdout
    return run


def test_the_whole_demo_by_hand(staithe, server):
    staithe("claim", "create", "--name", "mine", "--instance-type", "gb200-4x", "--zone", "US-WEST-04A", "--count", "2")
    staithe("gateway", "create", "--name", "edge")
    assert "READY" in staithe("claim", "wait", "mine") and "READY" in staithe("gateway", "wait", "edge")
    staithe("deployment", "create", "--name", "llama", "--gateway", "edge", "--engine", "vllm", "--instance-type", "gb200-4x",
            "--model-name", "meta/llama", "--bucket", "models", "--path", "llama")
    assert "READY" in staithe("deployment", "wait", "llama")

    heading, row = staithe("deployment", "list").splitlines()
    assert heading.split()[:3] == ["NAME", "STATUS", "MODEL"] and row.split()[:3] == ["llama", "READY", "meta/llama"]
    # The columns stand below their headings.
    assert row.index("meta/llama") == heading.index("MODEL")
    assert staithe("claim", "list").splitlines()[1].split()[:4] == ["mine", "READY", "gb200-4x", "2/2"]

    assert "gateway" in staithe("gateway", "delete", "edge", code=1), "a gateway in use is not deleted"
    for kind, name in (("deployment", "llama"), ("gateway", "edge"), ("claim", "mine")):
        assert "DELETING" in staithe(kind, "delete", name)
        staithe(kind, "wait", name, "--for", "deleted", code=1 if server.get(*path_of(staithe, kind, name)) is None else 0)
        assert staithe(kind, "list").splitlines()[1:] == []


def path_of(staithe, kind, name):
    items = json.loads(staithe(kind, "list", "-o", "json"))
    collection = {"claim": "capacityclaims", "gateway": "gateways", "deployment": "deployments"}[kind]
    return collection, next((i["spec"]["id"] for i in items if i["spec"]["name"] == name), "00000000-0000-4000-8000-000000000000")


def test_json_is_what_the_api_said(staithe, server):
    staithe("gateway", "create", "--name", "edge")
    staithe("gateway", "wait", "edge")
    (shown,) = json.loads(staithe("gateway", "list", "-o", "json"))
    assert shown == server.get("gateways", shown["spec"]["id"])
    assert json.loads(staithe("gateway", "get", "EDGE", "-o", "json")) == shown
    assert json.loads(staithe("gateway", "get", shown["spec"]["id"], "-o", "json")) == shown


def test_a_file_is_sent_as_it_is(staithe, tmp_path):
    body = {"name": "piped", "coreWeaveAuth": {}, "headerBasedRouting": {"headerName": "X-Which"}}
    staithe("gateway", "create", "-f", "-", stdin=json.dumps(body))
    file = tmp_path / "gateway.json"
    file.write_text(json.dumps({**body, "headerBasedRouting": {"headerName": "X-Other"}}))
    staithe("gateway", "update", "piped", "-f", str(file))
    shown = json.loads(staithe("gateway", "get", "piped", "-o", "json"))
    assert shown["spec"]["headerBasedRouting"]["headerName"] == "X-Other"


def test_a_refusal_names_its_code_and_fields(staithe):
    said = staithe("claim", "create", "--name", "Not A Name", "--instance-type", "gb200-4x", "--zone", "US-WEST-04A", code=1)
    assert said.startswith("INVALID_ARGUMENT") and "name" in said
    said = staithe("claim", "list", token="nobody", code=1)
    assert said.startswith("UNAUTHENTICATED") and "nobody" not in said
    assert staithe("gateway", "create", "--name", "edge", token="viewer-token", code=1).startswith("PERMISSION_DENIED")
    assert staithe("gateway", "get", "absent", code=1) == 'NOT_FOUND: there is no gateway named "absent"\n'


@pytest.mark.parametrize("arguments, hint", [
    (["gateway"], "subcommand"),
    (["gateway", "frobnicate"], "frobnicate"),
    (["gateway", "create"], "--name"),
    (["gateway", "create", "--name", "x", "--routing", "sideways"], "routing"),
    (["gateway", "update", "x"], "-f FILE"),
    (["gateway", "create", "-f", "/nowhere/at/all.json"], "/nowhere/at/all.json"),
    (["deployment", "create", "--name", "x", "--engine-config", "novalue"], "KEY=VALUE"),
    (["claim", "list", "--server", "ftp://host"], "http://HOST:PORT"),
    (["claim", "list", "-o", "yaml"], "table"),
    (["frobnicate"], "frobnicate"),
])
def test_bad_usage_is_code_2_and_says_what_to_change(staithe, arguments, hint):
    said = staithe(*arguments, code=2)
    assert hint in said and len(said.splitlines()) == 1, said


def test_an_unreachable_server_is_code_1(staithe):
    said = staithe("gateway", "list", "--server", "http://127.0.0.1:1", code=1)
    assert said.startswith("UNAVAILABLE") and "127.0.0.1 port 1" in said


def test_wait_runs_out_of_time_with_code_3(staithe):
    staithe("claim", "create", "--name", "vast", "--instance-type", "gb200-4x", "--zone", "US-WEST-04A", "--count", "500")
    said = staithe("claim", "wait", "vast", "--timeout", "1", code=3)
    assert said.splitlines()[-1] == "vast is not ready after 1 s"
    assert "US-WEST-04A" in said, "it says what it waits for"


def test_tokens_are_made_shown_and_revoked_beside_a_running_server(staithe, server):
    data = ["--data", str(server.data)]
    made = json.loads(staithe("token", "create", *data, "--name", "ci", "--org", "cw1a2b", "--role", "viewer", "-o", "json"))
    secret = made["token"]

    def lists_claims():
        with server.client(secret) as api:
            return api.get("/capacityclaims").status_code
    until(lambda: lists_claims() == 200, "the new token's acceptance", seconds=5)
    listed = staithe("token", "list", *data)
    assert "ci" in listed and secret not in listed
    staithe("token", "revoke", *data, made["id"])
    until(lambda: lists_claims() == 401, "the revoked token's refusal", seconds=5)
    assert secret not in server.log.decode()


@pytest.mark.parametrize("command", ["serve", "claim", "gateway create", "deployment explain", "node join", "limit set", "usage", "token create"])
def test_help_says_how_the_command_is_called(command):
    done = subprocess.run([BINARY, *command.split(), "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and f"Usage: staithe {command} [OPTIONS]" in done.stdout
