"""Random lifecycles under a poller that checks every answer: never a step that clients do not expect."""

import random
import threading

from conftest import until

LIFECYCLES = 200
WORKERS = 4


class Lifecycle:
    """One resource from create to gone, with updates in between."""

    def __init__(self, server, gateway_id, number, seed):
        self.rng = random.Random(seed)
        self.server, self.gateway_id, self.number = server, gateway_id, number
        self.kind = self.rng.choice(["capacityclaims", "gateways", "deployments"])
        self.last_updated = ""
        self.created = None
        self.has_been_ready = False

    def spec(self):
        rng = self.rng
        if self.kind == "capacityclaims":
            return {"name": f"c{self.number}", "resources": {
                "instanceId": "gb200-4x", "instanceCount": rng.randrange(1, 4), "capacityType": "CAPACITY_TYPE_MANAGED",
                "zones": rng.sample(["US-WEST-04A", "US-EAST-01A", "US-EAST-02A", "US-EAST-04A"], 2)}}
        if self.kind == "gateways":
            routing = rng.choice([{"bodyBasedRouting": {"apiType": "API_TYPE_OPENAI"}}, {"pathBasedRouting": {}},
                                  {"headerBasedRouting": {"headerName": "X-Model-Name"}}])
            return {"name": f"g{self.number}", "coreWeaveAuth": {}, **routing}
        return {"name": f"d{self.number}", "gatewayIds": [self.gateway_id],
                "runtime": {"engine": "vllm", "version": rng.choice(["0.8.5", "0.22.0+crwv.2"])},
                "resources": {"instanceType": "gb200-4x", "gpuCount": 1},
                "model": {"name": f"model-{self.number}", "bucket": "models", "path": rng.choice(["a", "b"])},
                "autoscaling": {"min": rng.randrange(1, 3), "max": 4}, "traffic": {"weight": rng.randrange(0, 100)},
                "disabled": rng.random() < 0.2}

    def check(self, resource, allowed):
        status = resource["status"]
        assert status["status"] in allowed, f"{self.kind} {status} where only {allowed} may be seen"
        assert status["updatedAt"] >= self.last_updated or len(status["updatedAt"]) != len(self.last_updated)
        self.last_updated = status["updatedAt"]
        self.created = self.created or status["createdAt"]
        assert status["createdAt"] == self.created
        assert all(c["message"] and c["reason"] for c in status["conditions"])
        if status["status"] == "STATUS_READY":
            ready = next(c for c in status["conditions"] if c["type"] == "Ready")
            assert ready["status"] == "True" and status.get("pendingInstances", 0) == 0

    def follow(self, api, allowed):
        """Polls until READY; every answer on the way must be one of `allowed`."""
        def step():
            resource = next(iter(api.get(f"/{self.kind}/{self.id}").json().values()))
            self.check(resource, allowed | {"STATUS_READY"})
            return resource["status"]["status"] == "STATUS_READY"
        until(step, f"READY of {self.kind} {self.id}", seconds=60, pause=0.002)

    def run(self):
        with self.server.client() as api:
            answer = api.post(f"/{self.kind}", json=self.spec())
            assert answer.status_code == 200, answer.text
            resource = next(iter(answer.json().values()))
            self.id = resource["spec"]["id"]
            self.check(resource, {"STATUS_CREATING", "STATUS_READY"})
            waits = self.rng.random() < 0.8
            if waits:
                self.follow(api, {"STATUS_CREATING"})
                self.has_been_ready = True
            for _ in range(self.rng.randrange(0, 3)):
                answer = api.patch(f"/{self.kind}/{self.id}", json={"id": self.id, **self.spec()})
                assert answer.status_code == 200, answer.text
                during = {"STATUS_CREATING", "STATUS_UPDATING"}
                self.check(next(iter(answer.json().values())), during | {"STATUS_READY"})
                if self.rng.random() < 0.8:
                    self.follow(api, during)
            answer = api.delete(f"/{self.kind}/{self.id}")
            assert answer.status_code == 200, answer.text
            self.check(next(iter(answer.json().values())), {"STATUS_DELETING"})

            def is_gone():
                seen = api.get(f"/{self.kind}/{self.id}")
                if seen.status_code == 404:
                    return True
                self.check(next(iter(seen.json().values())), {"STATUS_DELETING"})
                return False
            until(is_gone, f"the end of {self.kind} {self.id}", seconds=60, pause=0.002)


def test_200_random_lifecycles_show_only_legal_steps(server):
    gateway_id = server.create_gateway(name="shared")["spec"]["id"]
    numbers = iter(range(LIFECYCLES))
    lock = threading.Lock()
    problems = []

    def work():
        while not problems:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            try:
                Lifecycle(server, gateway_id, number, seed=1000 + number).run()
            except BaseException as problem:
                problems.append((number, problem))

    workers = [threading.Thread(target=work) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not problems, f"lifecycle {problems[0][0]}: {problems[0][1]!r}"
    until(lambda: server.engines() == [], "an end of all engines")
