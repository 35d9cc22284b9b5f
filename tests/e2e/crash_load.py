"""The load under which a server is killed, and the ledger of what it acknowledged."""

import http.client
import json
import random
import threading

from conftest import API

KINDS = ("capacityclaims", "gateways", "deployments")
RESOURCES_PER_CLIENT = 4  # and kind


class Gone(Exception):
    """The server went before it had answered."""


class Api:
    """One connection that speaks JSON. A new one costs next to nothing, which an httpx client does not."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def call(self, method, path, body=None):
        try:
            self.connection.request(method, API + path, body=json.dumps(body) if body is not None else None,
                                    headers={"Authorization": "Bearer admin-token", "Content-Type": "application/json"})
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Gone from error
        return answer.status, json.loads(text)

    def list(self, kind):
        """Every resource of that kind by name."""
        status, answer = self.call("GET", f"/{kind}")
        assert status == 200, answer
        (resources,) = answer.values()
        return {resource["spec"]["name"]: resource for resource in resources}


def body_of(kind, name, value, gateway_id):
    """A resource that needs no engine and carries `value` in a field of its own."""
    if kind == "capacityclaims":
        return {"name": name, "resources": {"instanceId": "gb200-4x", "instanceCount": 1 + value % 3, "zones": ["US-WEST-04A"],
                                            "capacityType": "CAPACITY_TYPE_MANAGED"}}
    if kind == "gateways":
        return {"name": name, "coreWeaveAuth": {}, "headerBasedRouting": {"headerName": f"x-model-{value}"}}
    return {"name": name, "gatewayIds": [gateway_id], "runtime": {"engine": "vllm", "version": "0.8.5"},
            "resources": {"instanceType": "gb200-4x", "gpuCount": 1},
            "model": {"name": "meta/llama", "bucket": "models", "path": f"path-{value}"},
            "autoscaling": {"min": 1, "max": 1}, "traffic": {}, "disabled": True}


def field_of(kind, resource):
    """What body_of() made of `value`."""
    spec = resource["spec"]
    if kind == "capacityclaims":
        return spec["resources"]["instanceCount"]
    return spec["headerBasedRouting"]["headerName"] if kind == "gateways" else spec["model"]["path"]


def expected(kind, value):
    return field_of(kind, {"spec": body_of(kind, "", value, "")})


class Ledger:
    """What was acknowledged of one kind, by one client, over all rounds: names are never used twice."""

    def __init__(self, kind):
        self.kind = kind
        self.present = {}  # name: [id, value]
        self.removed = set()
        self.doubt = None  # (call, name, value) that the kill left without an answer

    def check(self, listed):
        """Holds what the server has after a restart against what it had said, and settles what was in doubt."""
        call, doubtful, value = self.doubt or (None, None, None)
        self.doubt = None
        for name, (_, acknowledged) in list(self.present.items()):
            found = listed.get(name)
            if name == doubtful and call == "DELETE":
                if found is None or found["status"]["status"] == "STATUS_DELETING":
                    del self.present[name]
                    self.removed.add(name)
                    continue
            assert found is not None, f"{self.kind} {name} was acknowledged and is not there"
            assert found["status"]["status"] != "STATUS_DELETING", f"{self.kind} {name} is being deleted, and nobody asked"
            field = field_of(self.kind, found)
            if name == doubtful and field == expected(self.kind, value):
                self.present[name][1] = value
            else:
                assert field == expected(self.kind, acknowledged), f"{self.kind} {name} has {field} instead of {acknowledged}"
        for name in self.removed:
            found = listed.get(name)
            assert found is None or found["status"]["status"] == "STATUS_DELETING", f"{self.kind} {name} has come back"
        if call == "POST" and doubtful in listed:
            self.present[doubtful] = [listed[doubtful]["spec"]["id"], value]


class Client:
    """Creates, updates and deletes one thing after the other until the server is gone."""

    def __init__(self, number, gateway_id):
        self.number, self.gateway_id = number, gateway_id
        self.random = random.Random(number)
        self.ledgers = [Ledger(kind) for kind in KINDS]
        self.created = self.acknowledged = 0
        self.failure = None

    def start(self, port):
        self.failure = None
        self.thread = threading.Thread(target=self.run, args=(Api(port),))
        self.thread.start()

    def run(self, api):
        try:
            while True:
                self.step(api, self.random.choice(self.ledgers))
        except Gone:
            pass
        except BaseException as failure:  # whoever joins raises it
            self.failure = failure

    def join(self):
        self.thread.join()
        if self.failure:
            raise self.failure

    def step(self, api, ledger):
        kind, value = ledger.kind, self.random.randrange(1_000_000)
        if len(ledger.present) < RESOURCES_PER_CLIENT and self.random.random() < 0.6 or not ledger.present:
            self.created += 1
            name = f"{kind[0]}-{self.number}-{self.created}"
            ledger.doubt = ("POST", name, value)
            answer = self.ask(api, "POST", f"/{kind}", body_of(kind, name, value, self.gateway_id))
            ledger.present[name] = [next(iter(answer.values()))["spec"]["id"], value]
        else:
            name = self.random.choice(sorted(ledger.present))
            resource_id, _ = ledger.present[name]
            if self.random.random() < 0.5:
                ledger.doubt = ("PATCH", name, value)
                self.ask(api, "PATCH", f"/{kind}/{resource_id}", body_of(kind, name, value, self.gateway_id))
                ledger.present[name][1] = value
            else:
                ledger.doubt = ("DELETE", name, value)
                self.ask(api, "DELETE", f"/{kind}/{resource_id}")
                del ledger.present[name]
                ledger.removed.add(name)
        ledger.doubt = None
        self.acknowledged += 1

    def ask(self, api, method, path, body=None):
        status, answer = api.call(method, path, body)
        assert status == 200, f"{method} {path}: {status} {answer}"
        return answer
