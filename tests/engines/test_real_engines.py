"""Changes under load with llama-server itself: `./dev real`. Needs STAITHE_LLAMA_SERVER and STAITHE_BUCKETS."""

import collections
import json
import os
import pathlib
import shutil
import threading
import time

import httpx
import pytest

from conftest import until

LLAMA_SERVER = os.environ.get("STAITHE_LLAMA_SERVER")
BUCKETS = os.environ.get("STAITHE_BUCKETS")
MODEL = "smollm2-135m-instruct"
CLIENTS = 20

pytestmark = pytest.mark.skipif(not (LLAMA_SERVER and BUCKETS), reason="./dev real says where llama-server is")

NODES = """
[[nodes]]
zone = "US-LOCAL-01A"
instance_type = "cpu-2x"
gpus = 2
count = 4
"""


@pytest.fixture(scope="module")
def buckets(tmp_path_factory):
    """A bucket with two models: the one that was fetched, and the same weights under another name of their own."""
    root = tmp_path_factory.mktemp("weights")
    source = pathlib.Path(BUCKETS) / "models" / MODEL / f"{MODEL}.gguf"
    first = root / "models" / "first"
    second = root / "models" / "second"
    first.mkdir(parents=True)
    second.mkdir(parents=True)
    shutil.copyfile(source, first / "model.gguf")
    shutil.copyfile(source, second / "model.gguf")
    # The value of the key general.name, a GGUF string: type 8, a length of 64 bits, then the letters.
    with open(second / "model.gguf", "r+b") as file:
        head = file.read(1 << 20)
        key = head.index(b"general.name") + len(b"general.name")
        assert head[key:key + 4] == (8).to_bytes(4, "little")
        length = int.from_bytes(head[key + 4:key + 12], "little")
        file.seek(key + 12)
        file.write(b"another-model-of-ours"[:length].ljust(length, b"."))
    return root


@pytest.fixture
def server(make_server, buckets, tmp_path):
    config = tmp_path / "staithe.toml"
    config.write_text(NODES)
    search_path = f"{pathlib.Path(LLAMA_SERVER).parent}:{os.environ['PATH']}"
    running = make_server("--config", str(config), "--weights-root", str(buckets), "--engine-search-path", search_path,
                          "--replica-drain-timeout", "120000", emulate=False).start()
    yield running
    running.kill()


def answers(port):
    """Whether an engine's model answers."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


class Clients:
    """Streams one after the other on each of several connections; every one has to be whole."""

    def __init__(self, endpoint):
        self.url = f"{endpoint}/v1/chat/completions"
        self.stopping = threading.Event()
        self.whole = 0
        self.tokens = 0
        self.faults = []
        self.mutex = threading.Lock()
        self.threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def _run(self, number):
        body = {"model": MODEL, "stream": True, "max_tokens": 24, "temperature": 0.8, "seed": number,
                "messages": [{"role": "user", "content": f"Tell me about harbour number {number}."}]}
        headers = {"Authorization": "Bearer admin-token"}
        with httpx.Client(headers=headers, timeout=180) as client:
            while not self.stopping.is_set():
                try:
                    fault, tokens = self._stream(client, body)
                except httpx.HTTPError as error:
                    fault, tokens = repr(error), 0
                with self.mutex:
                    if fault:
                        self.faults.append(fault)
                    else:
                        self.whole += 1
                        self.tokens += tokens

    def _stream(self, client, body):
        with client.stream("POST", self.url, json=body) as answer:
            if answer.status_code != 200:
                answer.read()
                return f"{answer.status_code}: {answer.text[:300]}", 0
            tokens, reason = 0, None
            for line in answer.iter_lines():
                if not line.startswith("data: "):
                    continue
                if line == "data: [DONE]":
                    return (None if reason else "no finish_reason before [DONE]"), tokens
                event = json.loads(line[6:])
                if "error" in event:
                    return f"broke off: {event['error']}", tokens
                for choice in event["choices"]:
                    tokens += 1 if choice["delta"].get("content") else 0
                    reason = choice.get("finish_reason") or reason
            return "ended without [DONE]", tokens

    def finish(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(180)


class Watch:
    """Looks all the time at how many models answer, at their own ports, and at what the API says of it."""

    def __init__(self, server, deployment_id, least):
        self.server, self.deployment_id, self.least = server, deployment_id, least
        self.stopping = threading.Event()
        self.looks, self.fewest, self.faults = 0, 99, []
        self.statuses = collections.Counter()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stopping.is_set():
            ready = sum(answers(port) for _, _, port in self.server.engines())
            self.fewest = min(self.fewest, ready)
            resource = self.server.get("deployments", self.deployment_id)
            status = resource["status"]["status"]
            self.statuses[status] += 1
            if status not in ("STATUS_READY", "STATUS_UPDATING"):
                self.faults.append(resource)
            for condition in resource["status"]["conditions"]:
                if condition["type"] == "ReplicasReady" and condition["status"] != "True":
                    self.faults.append(condition)
            self.looks += 1
            time.sleep(0.05)

    def finish(self):
        self.stopping.set()
        self.thread.join(60)
        assert not self.faults, self.faults[:3]
        assert self.looks > 20
        assert self.fewest >= self.least, f"only {self.fewest} ready at one moment"


@pytest.fixture
def deployment(server):
    gateway = server.create_gateway()
    server.endpoint = gateway["status"]["endpoints"][0]
    created = server.create_deployment(
        gateway["spec"]["id"], name="real", runtime={"engine": "llama.cpp", "version": "1.0.0", "engineConfig": {"ctx-size": "4096"}},
        resources={"instanceType": "cpu-2x", "gpuCount": 1}, model={"name": MODEL, "bucket": "models", "path": "first"},
        autoscaling={"min": 2, "max": 2, "concurrency": 8})
    return server.wait_ready("deployments", created["spec"]["id"], seconds=120)


def update(server, deployment, **changes):
    deployment["spec"].update(changes)
    body = {key: value for key, value in deployment["spec"].items() if key not in ("gateways", "organizationId")}
    with server.client() as api:
        answer = api.patch(f"/deployments/{deployment['spec']['id']}", json=body)
    assert answer.status_code == 200, answer.text


def commands(server):
    return [pathlib.Path(f"/proc/{pid}/cmdline").read_text() for pid, _, _ in server.engines()]


def test_a_roll_out_to_another_model_and_a_scale_down_cut_no_stream(server, deployment):
    deployment_id = deployment["spec"]["id"]
    clients = Clients(server.endpoint)
    try:
        until(lambda: clients.whole >= CLIENTS, "the first streams", seconds=180)

        watch = Watch(server, deployment_id, least=2)
        update(server, deployment, model={"name": MODEL, "bucket": "models", "path": "second"})
        until(lambda: server.get("deployments", deployment_id)["status"]["status"] == "STATUS_READY"
              and all("/second/" in command for command in commands(server)), "the roll-out", seconds=300)
        assert len(server.engines()) == 2
        before = clients.whole
        until(lambda: clients.whole >= before + CLIENTS, "streams of the new model", seconds=180)
        watch.finish()
        print(f"roll-out: {clients.whole} whole streams, at least {watch.fewest} models ready in {watch.looks} looks, {dict(watch.statuses)}")

        watch = Watch(server, deployment_id, least=1)
        update(server, deployment, autoscaling={"min": 1, "max": 1, "concurrency": 8})
        until(lambda: len(server.engines()) == 1, "the scale-down", seconds=300)
        before = clients.whole
        until(lambda: clients.whole >= before + CLIENTS, "streams of the last replica", seconds=180)
        watch.finish()
        print(f"scale-down: {clients.whole} whole streams, at least {watch.fewest} models ready in {watch.looks} looks, {dict(watch.statuses)}")
    finally:
        clients.finish()
    assert clients.faults == []
    print(f"{clients.whole} streams, {clients.tokens} tokens, none cut, none refused")
