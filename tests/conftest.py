"""One server of ours per test that asks for one: a free port, a fresh data directory, a drained end, nothing left behind."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import httpx
import pytest

BINARY = os.environ.get("STAITHE_BINARY", str(pathlib.Path(__file__).resolve().parents[1] / "build" / "staithe"))
API = "/v1alpha1/inference"


def until(condition, what, seconds=20.0, pause=0.01):
    """Polls until the condition gives something true, and returns it."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(pause)


def engines_of(data):
    """(pid, replica id, port) of the engine processes that belong to a data directory."""
    found = []
    state = str(pathlib.Path(data).resolve())
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        values = dict(item.split("=", 1) for item in environment if "=" in item)
        replica = values.get("STAITHE_REPLICA")
        if replica and (pathlib.Path(state) / "engines" / replica).exists() and "--port" in words:
            found.append((int(entry.name), replica, int(words[words.index("--port") + 1])))
    return found


class Server:
    """`staithe serve`, started and stopped as often as a test likes on one data directory."""

    def __init__(self, data, *flags, emulate=True):
        self.data = pathlib.Path(data)
        self.flags = [*(["--emulate"] if emulate else []), *flags]
        self.process = None
        self.log = bytearray()
        self.readers = []

    def start(self):
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [BINARY, "serve", "--listen", "127.0.0.1:0", "--data", str(self.data),
             "--bootstrap-token", "admin-token=cw1a2b:admin", "--bootstrap-token", "viewer-token=cw1a2b:viewer",
             "--bootstrap-token", "other-token=cw9f9f:admin", *self.flags],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        reader = threading.Thread(target=self._read_log, args=(self.process.stderr,), daemon=True)
        reader.start()
        self.readers.append(reader)
        # One line for each scheme that is served, http first.
        schemes = [*(["http"] if "--no-cleartext" not in self.flags else []),
                   *(["https"] if "--tls-cert" in self.flags else [])]
        self.urls = {}
        for scheme in schemes:
            line = self.process.stdout.readline().decode()
            assert line.startswith(f"ready {scheme}://"), f"no ready line but {line!r}: {self.log.decode(errors='replace')}"
            self.urls[scheme] = line.split()[1]
        self.url = self.urls[schemes[0]]
        self.port = int(self.url.rsplit(":", 1)[1])
        return self

    def _read_log(self, pipe):
        for line in pipe:
            self.log += line

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(40)
        assert code == 0, f"exit code {code}: {self.log[-2000:].decode(errors='replace')}"

    def kill(self):
        self.process.kill()
        self.process.wait()

    def client(self, token="admin-token", **options):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url + API, headers=headers, timeout=20, **options)

    def create_gateway(self, **changes):
        body = {"name": "edge", "coreWeaveAuth": {}, "bodyBasedRouting": {"apiType": "API_TYPE_OPENAI"}, **changes}
        with self.client() as api:
            answer = api.post("/gateways", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["gateway"]

    def create_deployment(self, gateway_id, **changes):
        body = {"name": "llama", "gatewayIds": [gateway_id], "runtime": {"engine": "vllm", "version": "0.8.5"},
                "resources": {"instanceType": "gb200-4x", "gpuCount": 1},
                "model": {"name": "meta/llama", "bucket": "models", "path": "llama"},
                "autoscaling": {"min": 1, "max": 1}, "traffic": {}, **changes}
        with self.client() as api:
            answer = api.post("/deployments", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["deployment"]

    def get(self, kind, resource_id):
        with self.client() as api:
            answer = api.get(f"/{kind}/{resource_id}")
        if answer.status_code == 404:
            return None
        assert answer.status_code == 200, answer.text
        return next(iter(answer.json().values()))

    def wait_ready(self, kind, resource_id, seconds=20.0):
        def is_ready():
            resource = self.get(kind, resource_id)
            assert resource["status"]["status"] not in ("STATUS_ERROR", "STATUS_FAILED"), resource
            return resource if resource["status"]["status"] == "STATUS_READY" else None
        return until(is_ready, f"READY of {kind} {resource_id}", seconds)

    def delete(self, kind, resource_id, seconds=20.0):
        with self.client() as api:
            answer = api.delete(f"/{kind}/{resource_id}")
        assert answer.status_code in (200, 404), answer.text
        until(lambda: self.get(kind, resource_id) is None, f"the end of {kind} {resource_id}", seconds)

    def engines(self):
        return engines_of(self.data)


@pytest.fixture
def make_server(tmp_path):
    servers = []

    def make(*flags, emulate=True, name="data"):
        server = Server(tmp_path / name, *flags, emulate=emulate)
        servers.append(server)
        return server

    yield make
    for server in servers:
        if server.process and server.process.poll() is None:
            server.kill()
        for pid, _, _ in server.engines():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def server(make_server):
    running = make_server().start()
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """(certificate, key) of localhost and 127.0.0.1; the certificate is its own authority."""
    folder = tmp_path_factory.mktemp("certificate")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def secure_server(make_server, certificate):
    """A server that speaks TLS as well: `secure_url` is its https, `authority` the file that makes a client trust it."""
    running = make_server("--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1])).start()
    running.secure_url = running.urls["https"]
    running.secure_port = int(running.secure_url.rsplit(":", 1)[1])
    running.authority = certificate[0]
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture
def served(server):
    """A server with one gateway and one ready deployment of `meta/llama`."""
    gateway = server.create_gateway()
    deployment = server.create_deployment(gateway["spec"]["id"])
    server.wait_ready("deployments", deployment["spec"]["id"])
    server.endpoint = gateway["status"]["endpoints"][0]
    server.gateway_id, server.deployment_id = gateway["spec"]["id"], deployment["spec"]["id"]
    return server


def raw_request(port, method, path, headers=(), body=b""):
    """A request written by hand on a socket of its own, which is returned open."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Length: {len(body)}",
             *(f"{name}: {value}" for name, value in headers)]
    connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    return connection


def chat_body(**changes):
    return json.dumps({"model": "meta/llama", "messages": [{"role": "user", "content": "Hello"}], "stream": True,
                       "max_tokens": 4000, **changes}).encode()
