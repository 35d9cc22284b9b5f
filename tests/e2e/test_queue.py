"""What happens at a deployment whose replicas are full, as the whole server does it."""

import json
import threading

import httpx
import pytest

from conftest import until

HEADERS = {"Authorization": "Bearer viewer-token"}


@pytest.fixture
def full(make_server):
    """A server with one replica that takes one request, and a stream that is it."""

    def start(*flags):
        server = make_server(*flags).start()
        gateway_id = server.create_gateway()["spec"]["id"]
        deployment = server.create_deployment(gateway_id, autoscaling={"min": 1, "max": 1, "concurrency": 1})
        server.wait_ready("deployments", deployment["spec"]["id"])
        until(lambda: len(server.engines()) == 1, "an engine")
        inference = httpx.Client(base_url=f"{server.url}/gateways/{gateway_id}", headers=HEADERS, timeout=30)
        until(lambda: inference.post("/v1/completions", json=short()).status_code == 200, "an answer")
        return server, inference

    return start


def short():
    return {"model": "meta/llama", "prompt": "Hi", "max_tokens": 1}


def long():
    return {"model": "meta/llama", "prompt": "Hi", "max_tokens": 100_000, "stream": True}


def queued(server):
    lines = httpx.get(f"{server.url}/metrics", headers={"Authorization": "Bearer admin-token"}).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("staithe_gateway_queued_requests{"))


def test_a_request_waits_until_the_one_before_it_is_over(full):
    server, inference = full()
    answers = []
    with inference.stream("POST", "/v1/completions", json=long()) as stream:
        assert stream.status_code == 200
        next(stream.iter_lines())
        waiting = threading.Thread(target=lambda: answers.append(inference.post("/v1/completions", json=short())))
        waiting.start()
        until(lambda: queued(server) == 1, "a request in the queue")
        assert not answers
    waiting.join(timeout=20)
    assert [answer.status_code for answer in answers] == [200]
    assert queued(server) == 0


def test_R17_without_a_queue_the_answer_is_429_and_when_to_come_again(full):
    _, inference = full("--queue-length", "0")
    with inference.stream("POST", "/v1/completions", json=long()) as stream:
        assert stream.status_code == 200
        next(stream.iter_lines())
        answer = inference.post("/v1/completions", json=short())
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["error"]["code"] == "queue_full"


def test_H12_an_answer_names_the_model_as_its_client_did(full):
    _, inference = full()
    assert inference.post("/v1/completions", json=short()).json()["model"] == "meta/llama"
    with inference.stream("POST", "/v1/completions", json={**long(), "max_tokens": 5}) as stream:
        events = [line[6:] for line in stream.iter_lines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    assert {json.loads(event)["model"] for event in events[:-1]} == {"meta/llama"}
