"""Which of several engines takes a request, as the whole server chooses it."""

import httpx

from conftest import until

HEADERS = {"Authorization": "Bearer viewer-token", "staithe-routing": "explain"}


def routing_of(inference, prompt, **headers):
    answer = inference.post("/v1/completions", headers=headers, json={"model": "meta/llama", "max_tokens": 1, "prompt": prompt})
    assert answer.status_code == 200, answer.text
    return dict(part.split("=", 1) for part in answer.headers["staithe-routing"].split("; "))


def test_prompts_and_sessions_find_their_engine_again_and_engines_tell_their_state(make_server):
    server = make_server().start()
    gateway_id = server.create_gateway()["spec"]["id"]
    deployment = server.create_deployment(gateway_id, autoscaling={"min": 3, "max": 3})
    server.wait_ready("deployments", deployment["spec"]["id"])
    until(lambda: len(server.engines()) == 3, "three engines")
    with httpx.Client(base_url=f"{server.url}/gateways/{gateway_id}", headers=HEADERS, timeout=20) as inference:
        shared = "You are a helpful assistant. " * 400
        first = routing_of(inference, shared + "0")
        for number in range(1, 8):
            again = routing_of(inference, shared + str(number))
            assert (again["replica"], again["reason"]) == (first["replica"], "prefix"), again
            assert int(again["cached_bytes"]) > 8000

        session = routing_of(inference, "Hi", **{"x-session-id": "s1"})["replica"]
        assert {routing_of(inference, f"Hi {number}", **{"x-session-id": "s1"})["replica"] for number in range(8)} == {session}

        # Engines are asked while there is work to balance.
        with inference.stream("POST", "/v1/completions", json={"model": "meta/llama", "prompt": "Hi", "stream": True,
                                                               "max_tokens": 4_000}) as stream:
            assert stream.status_code == 200
            until(lambda: routing_of(inference, "Hi")["engine_metrics"] == "fresh", "a reading of the engines")
