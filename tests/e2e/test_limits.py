"""How much somebody may use: set over the API, the command line and the configuration, kept by the gateway."""

import concurrent.futures
import json
import os
import subprocess

import httpx
import pytest

from conftest import BINARY, chat_body, raw_request, until

VIEWER = "bootstrap-cw1a2b-viewer"


def run(server, *arguments, token="admin-token", code=0):
    done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "STAITHE_SERVER": server.url, "STAITHE_TOKEN": token})
    assert done.returncode == code, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
    return done.stderr if code else done.stdout


def limit(server, **rule):
    """Sets a limit of the viewer's token, and waits until the gateways go by it."""
    answer = httpx.post(server.url + "/staithe/v1/limits", headers={"Authorization": "Bearer admin-token"}, timeout=20,
                        json={"tokenId": VIEWER, **rule})
    assert answer.status_code == 200, answer.text
    # What was written before it is in force, too.
    httpx.post(server.url + "/staithe/v1/limits", headers={"Authorization": "Bearer admin-token"}, timeout=20,
               json={"tokenId": "bootstrap-cw1a2b-admin", "models": ["none/at-all"]})
    until(lambda: chat(server, token="admin-token").status_code == 403, "the limit at the gateway")


def chat(server, token="viewer-token", **changes):
    return httpx.post(f"{server.url}/gateways/{server.gateway_id}/v1/chat/completions", timeout=20,
                      headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
                      content=chat_body(**{"stream": False, "max_tokens": 1, **changes}))


def open_stream(server):
    """A connection with a stream under way, or the answer that refused it."""
    connection = raw_request(server.port, "POST", f"/gateways/{server.gateway_id}/v1/chat/completions",
                             [("Authorization", "Bearer viewer-token"), ("Content-Type", "application/json")], chat_body())
    seen = b""
    while b"\r\n\r\n" not in seen:
        seen += connection.recv(4096)
    return connection, int(seen.split(b" ", 2)[1])


@pytest.mark.parametrize("rule, named", [({"requestsPerMinute": 2}, "2 requests per minute"),
                                         ({"tokensPerMinute": 5}, "5 tokens per minute")])
def test_beyond_a_limit_is_429_which_names_it_and_says_when_to_come_back(served, rule, named):
    limit(served, **rule)
    answers = [chat(served) for _ in range(3)]
    assert answers[0].status_code == 200, answers[0].text
    refused = answers[-1]
    assert refused.status_code == 429, refused.text
    assert named in refused.json()["error"]["message"]
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(refused.headers["retry-after"]) <= 3600


def test_A05_no_more_than_the_limit_is_in_flight_and_who_is_refused_holds_no_slot(served):
    limit(served, parallelRequests=4)

    def accepted():
        """100 clients at once, none of which is done before all were answered; how many were let in."""
        with concurrent.futures.ThreadPoolExecutor(100) as clients:
            streams = list(clients.map(lambda _: open_stream(served), range(100)))
        assert {status for _, status in streams} <= {200, 429}
        for connection, _ in streams:
            connection.close()
        count = sum(status == 200 for _, status in streams)
        assert count <= 4
        return count

    assert accepted() == 4
    for _ in range(3):
        until(lambda: accepted() == 4, "all slots again", seconds=5)


def test_C05_an_aborted_stream_frees_its_slot_each_time(served):
    limit(served, parallelRequests=1)
    for _ in range(100):
        connection, status = until(lambda: (opened := open_stream(served))[1] == 200 and opened, "the freed slot", seconds=2)
        assert status == 200
        connection.close()
    until(lambda: chat(served).status_code == 200, "the freed slot", seconds=2)


def test_A06_a_token_limited_to_one_model_calls_no_other_and_no_admin_path(served):
    other = served.create_deployment(served.gateway_id, name="other", model={"name": "other", "bucket": "b", "path": "p"})
    served.wait_ready("deployments", other["spec"]["id"])
    limit(served, models=["meta/llama"])
    assert chat(served).status_code == 200
    refused = chat(served, model="other")
    assert refused.status_code == 403, refused.text
    assert "`other`" in refused.json()["error"]["message"]
    with served.client("viewer-token") as api:
        assert api.delete(f"/deployments/{served.deployment_id}").status_code == 403
    lifted = httpx.delete(f"{served.url}/staithe/v1/limits/cw1a2b:{VIEWER}", headers={"Authorization": "Bearer viewer-token"}, timeout=20)
    assert lifted.status_code == 403, "whoever is limited does not lift the limit"


def test_the_configuration_limits_everybody_for_whom_nothing_else_is_set(make_server, tmp_path):
    config = tmp_path / "staithe.toml"
    config.write_text("[limits.each_token]\nrequests_per_minute = 1\n\n[limits.each_organization]\nparallel_requests = 100\n")
    server = make_server("--config", str(config)).start()
    server.gateway_id = server.create_gateway()["spec"]["id"]
    server.wait_ready("deployments", server.create_deployment(server.gateway_id)["spec"]["id"])
    assert [chat(server).status_code for _ in range(2)] == [200, 429]
    run(server, "limit", "set", "--token-id", VIEWER, "--requests-per-minute", "100000")
    until(lambda: chat(server).status_code == 200, "the limit that was set instead")
    run(server, "limit", "delete", f"cw1a2b:{VIEWER}")
    until(lambda: chat(server).status_code == 429, "the default again")
    server.stop()
    # What was set is kept.
    server.start()
    run(server, "limit", "set", "--organization", "cw1a2b", "--parallel-requests", "7")
    server.kill()
    server.start()
    assert json.loads(run(server, "limit", "get", "cw1a2b", "-o", "json"))["parallelRequests"] == 7
    server.stop()


@pytest.mark.parametrize("text, hint", [
    ("[limits]\neverybody = 1\n", "everybody"), ("[limits.each_token]\nrequests = 1\n", "requests_per_minute"),
    ("[limits.each_token]\nparallel_requests = -1\n", "limits.each_token.parallel_requests"), ("limits = 5\n", "[limits]")])
def test_a_wrong_limit_in_the_configuration_ends_the_start(tmp_path, text, hint):
    config = tmp_path / "staithe.toml"
    config.write_text(text)
    done = subprocess.run([BINARY, "serve", "--config", str(config)], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and hint in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_limits_by_hand(server):
    shown = run(server, "limit", "set", "--token-id", VIEWER, "--parallel-requests", "4", "--model", "a", "--model", "b")
    assert shown.splitlines()[1].split() == [f"cw1a2b:{VIEWER}", "-", "-", "4", "a,", "b"]
    run(server, "limit", "set", "--tokens-per-minute", "5000")
    heading, *rows = run(server, "limit", "list").splitlines()
    assert heading.split()[:2] == ["LIMIT", "REQUESTS/MIN"] and [row.split()[0] for row in rows] == ["cw1a2b", f"cw1a2b:{VIEWER}"]
    assert run(server, "limit", "list", token="other-token").splitlines()[1:] == []
    assert run(server, "limit", "delete", "cw1a2b") == "cw1a2b is no longer limited by itself.\n"
    assert run(server, "limit", "get", "cw1a2b", code=1) == "NOT_FOUND: limit cw1a2b not found\n"
    assert run(server, "limit", "set", token="viewer-token", code=1).startswith("PERMISSION_DENIED")
    assert run(server, "limit", "set", "--organization", "cw9f9f", code=1).startswith("PERMISSION_DENIED")
    assert "tokenId" in run(server, "limit", "set", "--token-id", "a b", code=1)
    for arguments, hint in ((["limit"], "subcommand"), (["limit", "explode"], "explode"), (["limit", "get"], "id")):
        said = run(server, *arguments, code=2)
        assert hint in said and len(said.splitlines()) == 1, said
