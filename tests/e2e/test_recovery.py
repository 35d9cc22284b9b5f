"""kill -9 while an engine streams and claims are being written: what was acknowledged is there, the engine is the same, nothing is left."""

import os
import random
import threading
import time

import httpx

from conftest import API, chat_body, raw_request, until

ROUNDS = int(os.environ.get("STAITHE_ROUNDS", "50"))


class ClaimWriter:
    """Creates claims until the server is gone, and remembers which creates were acknowledged."""

    def __init__(self, server, start_at):
        self.server, self.number, self.acknowledged = server, start_at, []
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        with self.server.client() as api:
            while True:
                body = {"name": f"claim-{self.number}", "resources": {"instanceId": "gb200-4x", "instanceCount": 1,
                        "zones": ["US-WEST-04A"], "capacityType": "CAPACITY_TYPE_MANAGED"}}
                self.number += 1
                try:
                    answer = api.post("/capacityclaims", json=body)
                except httpx.HTTPError:
                    return
                assert answer.status_code == 200, answer.text
                self.acknowledged.append(answer.json()["capacityClaim"]["spec"]["id"])


def stream_forever(server, gateway_id):
    connection = raw_request(server.port, "POST", f"/gateways/{gateway_id}/v1/chat/completions",
                             [("Authorization", "Bearer admin-token"), ("Content-Type", "application/json")],
                             chat_body(max_tokens=8000))
    assert b"200" in connection.recv(64)
    return connection


def answers(server, gateway_id):
    try:
        answer = httpx.post(f"{server.url}/gateways/{gateway_id}/v1/chat/completions", timeout=5,
                            headers={"Authorization": "Bearer admin-token"},
                            json={"model": "meta/llama", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2})
    except httpx.HTTPError:
        return False
    return answer.status_code == 200


def test_kill_9_loses_nothing_and_restarts_no_engine(make_server):
    rng = random.Random(20261125)
    server = make_server().start()
    gateway_id = server.create_gateway()["spec"]["id"]
    deployment_id = server.create_deployment(gateway_id)["spec"]["id"]
    server.wait_ready("deployments", deployment_id)
    (engine_pid, _, _), = server.engines()
    acknowledged, number, slowest = set(), 0, 0.0
    for _ in range(ROUNDS):
        stream = stream_forever(server, gateway_id)
        writer = ClaimWriter(server, number)
        wanted = rng.randrange(1, 12)
        until(lambda: len(writer.acknowledged) >= wanted or not writer.thread.is_alive(), "some claims", pause=0.001)
        server.kill()
        writer.thread.join()
        stream.close()
        acknowledged.update(writer.acknowledged)
        number = writer.number

        server.start()
        until(lambda: answers(server, gateway_id), "an answer after the restart", seconds=10, pause=0.005)
        slowest = max(slowest, time.monotonic() - server.started)
        assert [pid for pid, _, _ in server.engines()] == [engine_pid]
        with server.client() as api:
            present = {claim["spec"]["id"] for claim in api.get("/capacityclaims").json()["capacityClaims"]}
        assert acknowledged <= present, f"lost {acknowledged - present}"
    print(f"{ROUNDS} rounds, {len(acknowledged)} acknowledged claims, serving again within {slowest:.2f} s at worst")
    assert slowest < 2.0
    server.delete("deployments", deployment_id)
    assert server.engines() == []
    server.stop()


def test_endpoints_follow_the_server_to_another_port(make_server):
    server = make_server().start()
    gateway_id = server.create_gateway()["spec"]["id"]
    server.wait_ready("gateways", gateway_id)
    server.stop()
    server.start()
    assert server.get("gateways", gateway_id)["status"]["endpoints"] == [f"{server.url}/gateways/{gateway_id}"]
    server.stop()
