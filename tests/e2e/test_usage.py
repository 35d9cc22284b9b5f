"""Who used how many tokens of what: counted at the gateway, kept in the database, told by the API and the command line."""

import json
import os
import subprocess

import httpx
import pytest

from conftest import BINARY, chat_body, raw_request, until

OFTEN = ("--usage-interval", "100")
NEVER = ("--usage-interval", "3600000")


def usage_of(server, *by, token="admin-token", **query):
    answer = httpx.get(server.url + "/staithe/v1/usage", headers={"Authorization": f"Bearer {token}"}, timeout=20,
                       params={"groupBy": [f"USAGE_GROUPING_{word.upper()}" for word in by], **query})
    assert answer.status_code == 200, answer.text
    return [{name: int(value) if value.isdigit() and name not in ("model",) else value for name, value in row.items()}
            for row in answer.json()["usage"]]


def served_with(make_server, *flags):
    """A server with one gateway and one ready deployment of meta/llama."""
    server = make_server(*flags).start()
    gateway = server.create_gateway()
    server.gateway_id = gateway["spec"]["id"]
    server.deployment_id = server.create_deployment(server.gateway_id)["spec"]["id"]
    server.wait_ready("deployments", server.deployment_id)
    return server


def chat(server, token="viewer-token", **changes):
    return httpx.post(f"{server.url}/gateways/{server.gateway_id}/v1/chat/completions", timeout=20,
                      headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
                      content=chat_body(**{"stream": False, "max_tokens": 5, **changes}))


def test_usage_is_what_the_engines_reported_by_token_model_and_deployment(make_server):
    server = served_with(make_server, *OFTEN)
    used = [chat(server).json()["usage"] for _ in range(3)]
    used_by_admin = chat(server, token="admin-token").json()["usage"]
    rows = until(lambda: len(rows := usage_of(server, "token", "model", "deployment")) == 2 and
                 sum(row["requests"] for row in rows) == 4 and rows, "four counted requests")
    admin, viewer = rows
    assert (admin["tokenId"], viewer["tokenId"]) == ("bootstrap-cw1a2b-admin", "bootstrap-cw1a2b-viewer")
    assert {(row["model"], row["deploymentId"]) for row in rows} == {("meta/llama", server.deployment_id)}
    assert viewer["promptTokens"] == sum(one["prompt_tokens"] for one in used)
    assert viewer["completionTokens"] == sum(one["completion_tokens"] for one in used) == 15
    assert admin["completionTokens"] == used_by_admin["completion_tokens"]
    assert viewer["estimated"] == viewer["aborted"] == viewer["failed"] == 0
    assert usage_of(server, token="other-token") == []
    server.stop()


def test_a_stream_is_counted_exactly_and_its_client_sees_no_usage_that_it_did_not_ask_for(make_server):
    server = served_with(make_server, *OFTEN)
    answer = chat(server, stream=True, max_tokens=7)
    chunks = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    assert all(chunk["choices"] and not chunk.get("usage") for chunk in chunks)
    (row,) = until(lambda: usage_of(server), "the counted stream")
    assert (row["requests"], row["completionTokens"], row["estimated"]) == (1, 7, 0)
    server.stop()


@pytest.mark.parametrize("end", ["drained", "killed"])
def test_usage_is_there_after_a_restart(make_server, end):
    server = served_with(make_server, *(NEVER if end == "drained" else OFTEN))
    chat(server)
    if end == "killed":
        until(lambda: usage_of(server), "the written usage")
    server.stop() if end == "drained" else server.kill()
    server.start()
    (row,) = usage_of(server)
    assert (row["requests"], row["completionTokens"]) == (1, 5)
    chat_again = until(lambda: (answer := chat(server)).status_code == 200 and answer, "an answer after the restart")
    assert chat_again.json()["usage"]["completion_tokens"] == 5
    server.stop()


def test_C07_a_stream_that_its_client_left_is_counted_with_the_tokens_seen(make_server):
    server = served_with(make_server, *OFTEN)
    connection = raw_request(server.port, "POST", f"/gateways/{server.gateway_id}/v1/chat/completions",
                             [("Authorization", "Bearer viewer-token"), ("Content-Type", "application/json")], chat_body())
    seen = b""
    while seen.count(b"data: ") < 40:
        seen += connection.recv(4096)
    connection.close()
    (row,) = until(lambda: usage_of(server, "token"), "the counted stream")
    assert (row["requests"], row["aborted"], row["failed"]) == (1, 1, 0)
    # Nobody told the tokens any more, so they were counted by what passed and are said to be.
    assert row["estimated"] == 1
    assert seen.count(b"data: ") - 2 <= row["completionTokens"] < 4000
    assert row["promptTokens"] > 0
    server.stop()


def test_nothing_is_counted_where_accounting_is_off(make_server):
    server = served_with(make_server, "--no-usage")
    assert chat(server).status_code == 200
    server.stop()
    server.start()
    assert usage_of(server) == []
    server.stop()


def run(server, *arguments, token="admin-token", code=0):
    done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "STAITHE_SERVER": server.url, "STAITHE_TOKEN": token})
    assert done.returncode == code, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
    return done.stderr if code else done.stdout


def test_the_command_line_tells_usage(make_server):
    server = served_with(make_server, *OFTEN)
    chat(server)
    chat(server, token="admin-token")
    until(lambda: sum(row["requests"] for row in usage_of(server)) == 2, "two counted requests")
    assert run(server, "usage").splitlines()[1].split()[:4] == ["2", "0", "0", "0"]
    heading, *rows = run(server, "usage", "--by", "day,token,deployment", "--since", "24h", "--model", "meta/llama").splitlines()
    assert heading.split()[:4] == ["DAY", "TOKEN", "DEPLOYMENT", "REQUESTS"]
    assert [row.split()[1:4] for row in rows] == [["bootstrap-cw1a2b-admin", "llama", "1"], ["bootstrap-cw1a2b-viewer", "llama", "1"]]
    told = json.loads(run(server, "usage", "--by", "hour", "--output", "json"))
    assert told and sum(int(row["requests"]) for row in told) == 2 and told[0]["periodStart"].endswith(":00:00Z")
    assert len(run(server, "usage", "--deployment", "llama", "--token-id", "bootstrap-cw1a2b-viewer", "--by", "token").splitlines()) == 2
    assert run(server, "usage", "--until", "2020-01-01").splitlines()[1:] == []
    assert run(server, "usage", "--organization", "cw9f9f", code=1).startswith("PERMISSION_DENIED")
    for arguments, hint in ((["--by", "planet"], "planet"), (["--by", "hour,day"], "not both"), (["--since", "9999999d"], "too long ago")):
        said = run(server, "usage", *arguments, code=2)
        assert hint in said and len(said.splitlines()) == 1, said
    assert run(server, "usage", "--since", "yesterday", code=1).startswith("INVALID_ARGUMENT")
    server.stop()


def test_every_protocol_tells_the_same_usage_and_the_operator_sees_everybodys(make_server):
    server = served_with(make_server, *OFTEN, "--operator-organization", "cw9f9f")
    chat(server)
    rest = until(lambda: usage_of(server, "organization"), "the counted request")
    connect = httpx.post(server.url + "/staithe.v1.UsageService/ListUsage", timeout=20, json={"groupBy": ["USAGE_GROUPING_ORGANIZATION"]},
                         headers={"Authorization": "Bearer viewer-token"})
    assert [row["organizationId"] for row in connect.json()["usage"]] == [row["organizationId"] for row in rest] == ["cw1a2b"]
    assert usage_of(server, "organization", token="other-token") == rest
    described = httpx.get(server.url + "/staithe/openapi.json", timeout=20).json()
    assert "/staithe/v1/usage" in described["paths"]
    server.stop()
