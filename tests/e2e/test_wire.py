"""What of the wire only a whole server shows: CORS from the configuration, and the end of streams when it drains."""

import json
import signal
import struct
import subprocess
import time

import httpx
import pytest

from conftest import API, BINARY

CONSOLE = "https://console.example.com"
SERVICE = "/coreweave.inference.v1alpha1.GatewayService"
HEALTH = "/grpc.health.v1.Health"
TOKEN = {"Authorization": "Bearer viewer-token"}


def preflight(server, path, origin):
    return httpx.options(server.url + path, timeout=5, headers={
        "Origin": origin, "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-grpc-web"})


def enveloped(message, flags=0):
    return struct.pack(">BI", flags, len(message)) + message


class Watch:
    """An open health Watch, in Connect's streaming protocol with JSON."""

    def __init__(self, server, service=""):
        self.client = httpx.Client(timeout=20)
        request = self.client.build_request(
            "POST", server.url + HEALTH + "/Watch", headers={"Content-Type": "application/connect+json"},
            content=enveloped(json.dumps({"service": service}).encode()))
        self.answer = self.client.send(request, stream=True)
        assert self.answer.status_code == 200
        self.pieces = self.answer.iter_raw()
        self.bytes = b""

    def next(self):
        """(flags, message), or None once the stream has ended."""
        while len(self.bytes) < 5 or len(self.bytes) < 5 + struct.unpack(">I", self.bytes[1:5])[0]:
            try:
                self.bytes += next(self.pieces)
            except StopIteration:
                assert self.bytes == b""
                return None
        flags, size = struct.unpack(">BI", self.bytes[:5])
        message, self.bytes = self.bytes[5:5 + size], self.bytes[5 + size:]
        return flags, json.loads(message)


def test_pages_of_the_configured_origins_may_call_the_api(make_server):
    server = make_server("--cors-origin", CONSOLE, "--cors-origin", "http://localhost:5173").start()
    for origin in (CONSOLE, "http://localhost:5173"):
        for path in (f"{API}/gateways", f"{SERVICE}/ListGateways"):
            asked = preflight(server, path, origin)
            assert asked.status_code == 204
            assert asked.headers["Access-Control-Allow-Origin"] == origin
            assert "POST" in asked.headers["Access-Control-Allow-Methods"]
            assert {"authorization", "content-type", "x-grpc-web"} <= set(
                asked.headers["Access-Control-Allow-Headers"].split(", "))
        got = httpx.get(f"{server.url}{API}/gateways", headers={**TOKEN, "Origin": origin}, timeout=5)
        assert got.status_code == 200
        assert got.headers["Access-Control-Allow-Origin"] == origin
        refused = httpx.get(f"{server.url}{API}/gateways", headers={"Origin": origin}, timeout=5)
        assert refused.status_code == 401
        assert refused.headers["Access-Control-Allow-Origin"] == origin, "a page is to see why"

    # A call of gRPC-Web as a page makes it; a Trailers-Only answer is readable only if its fields are exposed.
    web = {"Origin": CONSOLE, "Content-Type": "application/grpc-web+proto", "X-Grpc-Web": "1"}
    called = httpx.post(f"{server.url}{SERVICE}/ListGateways", headers={**TOKEN, **web}, content=enveloped(b""), timeout=5)
    assert called.content.endswith(b"grpc-status: 0\r\n")
    assert called.headers["Access-Control-Allow-Origin"] == CONSOLE
    stranger = httpx.post(f"{server.url}{SERVICE}/ListGateways", headers=web, content=enveloped(b""), timeout=5)
    assert stranger.headers["grpc-status"] == "16"
    assert "grpc-status" in stranger.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("flags", [[], ["--cors-origin", CONSOLE]], ids=["without_origins", "with_another"])
def test_pages_of_other_origins_are_let_read_nothing(make_server, flags):
    server = make_server(*flags).start()
    asked = preflight(server, f"{API}/gateways", "https://evil.example.com")
    got = httpx.get(f"{server.url}{API}/gateways", headers={**TOKEN, "Origin": "https://evil.example.com"}, timeout=5)
    for answer in (asked, got):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_a_star_lets_every_page_in(make_server):
    server = make_server("--cors-origin", "*").start()
    asked = preflight(server, f"{API}/gateways", "https://any.example.com")
    assert asked.headers["Access-Control-Allow-Origin"] in ("*", "https://any.example.com")


@pytest.mark.parametrize("origin", ["console.example.com", "https://console.example.com/", "https://a.example.com,https://b.example.com"])
def test_an_origin_that_no_browser_would_send_is_refused_at_the_start(tmp_path, origin):
    done = subprocess.run([BINARY, "serve", "--emulate", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0",
                           "--cors-origin", origin], capture_output=True, text=True, timeout=20)
    assert done.returncode != 0
    assert "--cors-origin" in done.stderr and origin in done.stderr


def test_open_health_watches_do_not_hold_a_server_that_drains(make_server):
    server = make_server().start()
    watches = [Watch(server), Watch(server, "coreweave.inference.v1alpha1.GatewayService"), Watch(server, "unknown.Service")]
    assert [watch.next() for watch in watches] == [
        (0, {"status": "SERVING"}), (0, {"status": "SERVING"}), (0, {"status": "SERVICE_UNKNOWN"})]

    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0
    assert time.monotonic() - begun < 5, "the drain waited for its watchers"

    for watch in watches[:2]:
        assert watch.next() == (0, {"status": "NOT_SERVING"})
    for watch in watches:
        flags, end = watch.next()
        assert flags == 2 and end["error"]["code"] == "unavailable"
        assert watch.next() is None
