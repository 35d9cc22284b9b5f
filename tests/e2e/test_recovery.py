"""kill -9 under load: what was acknowledged is there, what runs goes on running, and nothing is left over."""

import os
import random
import threading
import time

from conftest import chat_body, raw_request, until
from crash_load import Api, Client, Gone, KINDS

ROUNDS = int(os.environ.get("STAITHE_ROUNDS", "30"))
CLIENTS = 4
ROUNDS_BETWEEN_RESTS = 10  # after so many, everything has to come to rest before the next kill


def stream_forever(server, gateway_id):
    connection = raw_request(server.port, "POST", f"/gateways/{gateway_id}/v1/chat/completions",
                             [("Authorization", "Bearer admin-token"), ("Content-Type", "application/json")],
                             chat_body(max_tokens=8000))
    assert b"200" in connection.recv(64)
    return connection


def answers(server, gateway_id):
    body = chat_body(stream=False, max_tokens=2)
    try:
        with raw_request(server.port, "POST", f"/gateways/{gateway_id}/v1/chat/completions",
                         [("Authorization", "Bearer admin-token"), ("Content-Type", "application/json")], body) as connection:
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


class Scaler:
    """Starts and stops engines of a deployment of its own, so that kills come in the midst of that too."""

    def __init__(self, server, gateway_id):
        self.gateway_id = gateway_id
        self.id = server.create_deployment(gateway_id, name="breathes", model=self.model())["spec"]["id"]
        server.wait_ready("deployments", self.id)

    def model(self):
        return {"name": "meta/breathes", "bucket": "models", "path": "llama"}

    def start(self, port):
        self.thread = threading.Thread(target=self.run, args=(Api(port),))
        self.thread.start()

    def run(self, api):
        count = 0
        try:
            while True:
                count = count % 3 + 1
                status, answer = api.call(
                    "PATCH", f"/deployments/{self.id}",
                    {"name": "breathes", "gatewayIds": [self.gateway_id], "runtime": {"engine": "vllm", "version": "0.8.5"},
                     "resources": {"instanceType": "gb200-4x", "gpuCount": 1}, "model": self.model(),
                     "autoscaling": {"min": count, "max": count}, "traffic": {}})
                assert status == 200, answer
                time.sleep(0.02)
        except Gone:
            pass

    def rest(self, server):
        """Waits until what runs is what was asked for last, and nothing else: no orphan, no engine that went missing."""
        def is_settled():
            deployment = server.get("deployments", self.id)
            wanted = deployment["spec"]["autoscaling"]["min"]
            engines = server.engines()
            replicas = {replica for _, replica, _ in engines}
            return deployment["status"]["status"] == "STATUS_READY" and len(engines) == len(replicas) == wanted + 1
        until(is_settled, "rest", seconds=20)


def test_kill_9_loses_nothing_and_restarts_no_engine(make_server):
    rng = random.Random(20261125)
    server = make_server("--log-level", "warning").start()
    gateway_id = server.create_gateway()["spec"]["id"]
    deployment_id = server.create_deployment(gateway_id)["spec"]["id"]
    server.wait_ready("deployments", deployment_id)
    (steady_pid, steady_replica, _), = server.engines()
    clients = [Client(number, gateway_id) for number in range(CLIENTS)]
    scaler = Scaler(server, gateway_id)
    slowest, begun = 0.0, time.monotonic()
    for number in range(ROUNDS):
        stream = stream_forever(server, gateway_id)
        acknowledged = sum(client.acknowledged for client in clients)
        wanted = acknowledged + rng.randrange(1, 60)
        for worker in [*clients, scaler]:
            worker.start(server.port)
        until(lambda: sum(client.acknowledged for client in clients) >= wanted or any(client.failure for client in clients),
              f"{wanted - acknowledged} acknowledged calls", pause=0.001)
        server.kill()
        for worker in [*clients, scaler]:
            (worker.join if isinstance(worker, Client) else worker.thread.join)()
        stream.close()

        server.start()
        until(lambda: answers(server, gateway_id), "an answer after the restart", seconds=10, pause=0.002)
        slowest = max(slowest, time.monotonic() - server.started)
        api = Api(server.port)
        for index, kind in enumerate(KINDS):
            listed = api.list(kind)
            for client in clients:
                client.ledgers[index].check(listed)
        assert (steady_pid, steady_replica) in [(pid, replica) for pid, replica, _ in server.engines()]
        if number % ROUNDS_BETWEEN_RESTS == ROUNDS_BETWEEN_RESTS - 1:
            scaler.rest(server)
    scaler.rest(server)
    print(f"\n{ROUNDS} rounds of kill -9: {sum(client.acknowledged for client in clients)} acknowledged calls, none lost; "
          f"serving again within {slowest:.2f} s at worst; {(time.monotonic() - begun) / ROUNDS:.2f} s a round")
    assert slowest < 2.0
    for each in (deployment_id, scaler.id):
        server.delete("deployments", each)
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
