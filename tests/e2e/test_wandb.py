"""Gateways that take Weights & Biases keys, with a server in W&B's place that knows some."""

import base64
import http.server
import json
import threading

import httpx
import pytest

from conftest import chat_body, until

ALICES, BOBS, MADE_UP = "a" * 40, "b" * 40, "c" * 40


class Wandb(http.server.ThreadingHTTPServer):
    """Answers the viewer query of W&B's GraphQL endpoint."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Asked)
        self.owners = {ALICES: "acme", BOBS: "bobs-team"}
        self.asked = []
        self.is_broken = False
        self.url = f"http://127.0.0.1:{self.server_port}/graphql"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Asked(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        user, key = base64.b64decode(self.headers["Authorization"].split(" ")[1]).decode().split(":", 1)
        assert (self.path, user) == ("/graphql", "api") and "viewer" in body["query"]
        self.server.asked.append(key)
        owner = self.server.owners.get(key)
        answer = json.dumps({"data": {"viewer": owner and {"id": "1", "username": "someone", "entity": owner}}}).encode()
        self.send_response(500 if self.server.is_broken else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def wandb():
    with Wandb() as running:
        yield running
        running.shutdown()


def served_with(make_server, *flags):
    server = make_server("--usage-interval", "100", *flags).start()
    gateway = server.create_gateway(coreWeaveAuth=None, weightsAndBiasesAuth={})
    server.gateway_id = gateway["spec"]["id"]
    server.wait_ready("deployments", server.create_deployment(server.gateway_id)["spec"]["id"])
    return server


def chat(server, key):
    return httpx.post(f"{server.url}/gateways/{server.gateway_id}/v1/chat/completions", timeout=20,
                      headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
                      content=chat_body(stream=False, max_tokens=2))


def usage_by_token(server):
    answer = httpx.get(server.url + "/staithe/v1/usage?groupBy=USAGE_GROUPING_TOKEN", headers={"Authorization": "Bearer admin-token"}, timeout=20)
    return {row["tokenId"]: int(row["requests"]) for row in answer.json()["usage"]}


def test_whoever_has_a_key_is_served_and_pays(make_server, wandb):
    server = served_with(make_server, "--wandb-endpoint", wandb.url, "--access-log")
    assert [chat(server, key).status_code for key in (ALICES, ALICES, BOBS)] == [200, 200, 200]
    assert sorted(wandb.asked) == [ALICES, BOBS], "each key is asked about once"
    until(lambda: usage_by_token(server) == {"wandb:acme": 2, "wandb:bobs-team": 1}, "what they used")

    refused = chat(server, MADE_UP)
    assert refused.status_code == 401 and "Weights & Biases" in refused.json()["error"]["message"]
    assert chat(server, "admin-token").status_code == 401, "such a gateway takes no tokens of ours"
    # No key is told to anybody.
    metrics = httpx.get(server.url + "/metrics", timeout=20).text
    server.stop()
    for key in (ALICES, BOBS, MADE_UP):
        assert key not in metrics and key.encode() not in server.log


def test_a_limit_of_an_owner_holds_for_its_keys(make_server, wandb):
    server = served_with(make_server, "--wandb-endpoint", wandb.url)
    set_ = httpx.post(server.url + "/staithe/v1/limits", headers={"Authorization": "Bearer admin-token"}, timeout=20,
                      json={"tokenId": "wandb:acme", "models": ["other"]})
    assert set_.status_code == 200, set_.text
    until(lambda: chat(server, ALICES).status_code == 403, "the limit")
    assert chat(server, BOBS).status_code == 200
    server.stop()


def test_while_nobody_can_be_asked_known_keys_go_on_and_others_are_to_come_back(make_server, wandb):
    server = served_with(make_server, "--wandb-endpoint", wandb.url)
    assert chat(server, ALICES).status_code == 200
    wandb.is_broken = True
    assert chat(server, ALICES).status_code == 200
    refused = chat(server, BOBS)
    assert refused.status_code == 503 and int(refused.headers["retry-after"]) > 0, refused.text
    wandb.is_broken = False
    until(lambda: chat(server, BOBS).status_code == 200, "an answer once it can be asked again", seconds=10)
    server.stop()
    assert server.log.count(b"Weights & Biases does not say") == 1


def test_without_an_endpoint_such_a_gateway_takes_no_key_and_says_why(make_server):
    server = served_with(make_server)
    refused = chat(server, ALICES)
    assert refused.status_code == 401 and "not set up to verify" in refused.json()["error"]["message"]
    server.stop()


@pytest.mark.parametrize("flags", [("--wandb-endpoint", "api.wandb.ai"), ("--wandb-endpoint", "https://api.wandb.ai/graphql", "--wandb-timeout", "1")])
def test_wrong_settings_end_the_start(make_server, flags):
    server = make_server(*flags)
    with pytest.raises(AssertionError):
        server.start()
    assert server.process.wait(20) == 2
