"""One server follows another on the same data directory and port: no stream is cut, no connection refused, no engine restarted."""

import json
import selectors
import signal
import socket
import subprocess
import threading
import time

import httpx
import pytest

from conftest import BINARY, Server, chat_body, raw_request, until

AUTH = ("Authorization", "Bearer admin-token")
JSON = ("Content-Type", "application/json")
STREAMS = 200
TOKENS = 200  # about two seconds of the simulated engine


def events_of(answer):
    """The texts of a whole chunked answer's deltas, and how it ended."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body += rest[:length]
        assert rest[length:length + 2] == b"\r\n", "a chunk is cut"
        rest = rest[length + 2:]
    return [line[len(b"data: "):] for line in body.split(b"\n") if line.startswith(b"data: ")], length == 0


def text_of(event):
    return json.loads(event)["choices"][0]["delta"].get("content")


class Streams:
    """Streams that are read side by side on a thread of their own."""

    def __init__(self, server, path, count):
        self.answers = {}
        self.selector = selectors.DefaultSelector()
        for _ in range(count):
            connection = raw_request(server.port, "POST", path, [AUTH, JSON], chat_body(max_tokens=TOKENS))
            connection.setblocking(False)
            self.answers[connection] = b""
            self.selector.register(connection, selectors.EVENT_READ)
        self.open = count
        self.begun = 0
        self.ended_at = {}
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        while self.open:
            for key, _ in self.selector.select(1):
                connection = key.fileobj
                try:
                    data = connection.recv(65536)
                except ConnectionResetError:
                    data = b""
                self.begun += bool(data) and not self.answers[connection]
                self.answers[connection] += data
                if not data or self.answers[connection].endswith(b"0\r\n\r\n"):
                    self.selector.unregister(connection)
                    connection.close()
                    self.open -= 1
                    self.ended_at[connection] = time.monotonic()

    def texts(self):
        self.thread.join(60)
        assert not self.open, f"{self.open} streams are still open"
        return [events_of(answer) for answer in self.answers.values()]


class Caller:
    """Makes a new connection for one request after the other, and keeps what came of each."""

    def __init__(self, port, path):
        self.port, self.path = port, path
        self.outcomes = []
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._call)
        self.thread.start()

    def _call(self):
        while not self.is_over.is_set():
            try:
                connection = raw_request(self.port, "POST", self.path, [AUTH, JSON, ("Connection", "close")],
                                         chat_body(max_tokens=1, stream=False))
                answer = b""
                while data := connection.recv(65536):
                    answer += data
                connection.close()
                self.outcomes.append(answer.split(b"\r\n", 1)[0].decode())
            except OSError as problem:
                self.outcomes.append(repr(problem))

    def stop(self):
        self.is_over.set()
        self.thread.join(30)
        return self.outcomes


def start_next(former, *flags, emulate=True):
    """Starts a server that waits for the other. Its `ready` line is left to the test."""
    following = Server(former.data, *flags, emulate=emulate)
    following.process = subprocess.Popen(
        [BINARY, "serve", *(["--emulate"] if emulate else []), "--listen", f"127.0.0.1:{former.port}", "--data", str(former.data),
         "--bootstrap-token", "admin-token=cw1a2b:admin", *flags],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    threading.Thread(target=following._read_log, args=(following.process.stderr,), daemon=True).start()
    following.port, following.url = former.port, former.url
    return following


@pytest.fixture
def following(served):
    started = []

    def start(*flags):
        started.append(start_next(served, *flags))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.kill()


def is_waiting(server):
    return b"waiting until the server" in server.log


@pytest.mark.parametrize("order", ["the next one waits", "the next one comes later"])
def test_a_server_takes_over_with_200_streams_open(served, following, order):
    path = f"/gateways/{served.gateway_id}/v1/chat/completions"
    engines = {pid for pid, _, _ in served.engines()}
    with httpx.Client(timeout=20) as client:
        whole = client.post(served.url + path, headers=dict([AUTH, JSON]), content=chat_body(max_tokens=TOKENS))
    expected = [line[len("data: "):] for line in whole.text.splitlines() if line.startswith("data: ")]
    streams = Streams(served, path, STREAMS)
    until(lambda: streams.begun == STREAMS, "the beginning of every stream")

    caller = None
    if order == "the next one waits":
        follower = following("--takeover-timeout", "60000")
        until(lambda: is_waiting(follower), "standing in line")
        caller = Caller(served.port, path)
        until(lambda: len(caller.outcomes) >= 20, "requests before the change")
    told_at = time.monotonic()
    served.process.send_signal(signal.SIGTERM)
    if order == "the next one comes later":
        follower = following()
    assert follower.process.stdout.readline().startswith(b"ready ")
    ready_at = time.monotonic()
    print(f"{order}: served again after {(ready_at - told_at) * 1000:.0f} ms with {streams.open} streams open at the former")
    assert streams.open > STREAMS * 0.9, "the change came too late to show anything"

    # The next one does everything, at once, while the former still streams.
    created = follower.create_gateway(name="second")
    follower.wait_ready("gateways", created["spec"]["id"])
    if caller:
        seen = len(caller.outcomes)
        until(lambda: len(caller.outcomes) >= seen + 20, "requests after the change")
        outcomes = caller.stop()
        assert set(outcomes) == {"HTTP/1.1 200 OK"}, {o: outcomes.count(o) for o in set(outcomes)}

    for events, is_whole in streams.texts():
        assert is_whole and events[-1] == b"[DONE]"
        assert [text_of(event) for event in events[:-1]] == [text_of(event) for event in expected[:-1]]
    assert served.process.wait(20) == 0
    assert {pid for pid, _, _ in follower.engines()} == engines, "engines outlive the change"
    answer = httpx.post(follower.url + path, headers=dict([AUTH, JSON]), content=chat_body(max_tokens=1), timeout=20)
    assert answer.status_code == 200
    follower.stop()


def test_a_server_that_nobody_makes_way_for_says_who_is_there(served, following):
    follower = following("--takeover-timeout", "300")
    assert follower.process.wait(10) == 1
    until(lambda: f"process {served.process.pid}".encode() in follower.log, "who has the data directory")
    assert b"in use by another Staithe" in follower.log

    assert following("--takeover-timeout", "0").process.wait(10) == 1
    assert httpx.get(served.url + "/readyz").status_code == 200


def test_one_alone_can_wait(served, following):
    first = following("--takeover-timeout", "60000")
    until(lambda: is_waiting(first), "standing in line")
    second = following("--takeover-timeout", "60000")
    assert second.process.wait(10) == 1
    until(lambda: b"in use by another Staithe" in second.log, "the refusal")

    first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(10) == 1, "it is told to stop while it waits"
    assert httpx.get(served.url + "/readyz").status_code == 200


def test_a_follower_that_dies_leaves_the_former_to_drain(served, following):
    follower = following("--takeover-timeout", "60000")
    until(lambda: is_waiting(follower), "standing in line")
    follower.kill()
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(10) == 0
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", served.port), timeout=1)


def test_a_follower_that_is_told_to_stop_before_it_serves_stops(make_server, tmp_path):
    config = tmp_path / "staithe.toml"
    config.write_text('[[nodes]]\nzone = "US-LAB-01A"\ninstance_type = "gb200-4x"\ngpus = 4\n')
    former = make_server("--config", str(config), emulate=False).start()
    loading = {"engine": "simulated", "version": "1.0.0", "engineConfig": {"load-delay-ms": "60000"}}
    former.create_deployment(former.create_gateway()["spec"]["id"], runtime=loading)
    until(former.engines, "an engine that loads, for which the follower waits a while")
    follower = start_next(former, "--config", str(config), "--takeover-timeout", "60000", emulate=False)
    try:
        until(lambda: is_waiting(follower), "standing in line")
        former.process.send_signal(signal.SIGTERM)
        lock = former.data / "staithe.db.lock"
        until(lambda: lock.read_text().strip() == str(follower.process.pid), "taking over")
        follower.process.send_signal(signal.SIGTERM)
        assert follower.process.wait(10) == 0
        assert former.process.wait(10) == 0
    finally:
        if follower.process.poll() is None:
            follower.kill()
