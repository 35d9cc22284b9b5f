"""What happens at a deployment whose replicas are full, as the whole server does it."""

import json
import threading

import httpx
import pytest

from conftest import raw_request, until

BODY = {"model": "meta/llama", "prompt": "Hi", "max_tokens": 5}


class FullDeployment:
    """One replica that takes one request at a time."""

    def __init__(self, server):
        self.server = server
        gateway_id = server.create_gateway()["spec"]["id"]
        deployment = server.create_deployment(gateway_id, autoscaling={"min": 1, "max": 1, "concurrency": 1})
        server.wait_ready("deployments", deployment["spec"]["id"])
        self.path = f"/gateways/{gateway_id}/v1/completions"
        until(lambda: self.ask().status_code == 200, "an answer")

    def ask(self, **more):
        return httpx.post(self.server.url + self.path, headers={"Authorization": "Bearer viewer-token"}, json={**BODY, **more},
                          timeout=30)

    def gauge(self, name):
        lines = httpx.get(f"{self.server.url}/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{"))

    def occupy(self):
        """A request that is at the replica until its connection is closed."""
        headers = [("Authorization", "Bearer viewer-token"), ("Content-Type", "application/json"), ("x-simulate-fault", "hang")]
        connection = raw_request(self.server.port, "POST", self.path, headers, json.dumps(BODY).encode())
        until(lambda: self.gauge("staithe_gateway_in_flight_requests") == 1, "the request at the replica")
        return connection


@pytest.fixture
def deploy(make_server):
    return lambda *flags: FullDeployment(make_server(*flags).start())


def test_a_request_waits_until_the_one_before_it_is_over(deploy):
    full = deploy()
    first = full.occupy()
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(full.ask()))
    waiting.start()
    until(lambda: full.gauge("staithe_gateway_queued_requests") == 1, "a request in the queue")
    assert not answers
    first.close()
    waiting.join(timeout=20)
    assert [answer.status_code for answer in answers] == [200]
    assert full.gauge("staithe_gateway_queued_requests") == 0


def test_R17_without_a_queue_the_answer_is_429_and_when_to_come_again(deploy):
    full = deploy("--queue-length", "0")
    first = full.occupy()
    answer = full.ask()
    first.close()
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["error"]["code"] == "queue_full"


def test_H12_an_answer_names_the_model_as_its_client_did(deploy):
    full = deploy()
    assert full.ask().json()["model"] == "meta/llama"
    events = [line[6:] for line in full.ask(stream=True).text.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    assert {json.loads(event)["model"] for event in events[:-1]} == {"meta/llama"}
