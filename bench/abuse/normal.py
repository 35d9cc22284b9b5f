"""The normal client: reads one claim at a steady rate over HTTP/1.1, over HTTP/2, and now and then over a new connection."""

import socket
import ssl
import threading
import time

import wire

TIMEOUT_S = 5


def open_socket(target, protocol):
    connection = socket.create_connection(("127.0.0.1", target["port"]), timeout=TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not target["tls"]:
        return connection
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    return context.wrap_socket(connection, server_hostname="localhost")


class Http1:
    protocol = "http/1.1"

    def __init__(self, target):
        self.socket = open_socket(target, self.protocol)
        self.request = (f"GET {target['path']} HTTP/1.1\r\nHost: abuse.test\r\nAuthorization: Bearer {target['token']}\r\n\r\n").encode()

    def call(self):
        self.socket.sendall(self.request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self.read()
        answer, _, body = received.partition(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise OSError(answer.splitlines()[0])
        length = next(int(line.split(b":")[1]) for line in answer.splitlines() if line.lower().startswith(b"content-length:"))
        while len(body) < length:
            body += self.read()

    def read(self):
        data = self.socket.recv(65536)
        if not data:
            raise OSError("the server closed the connection")
        return data

    def close(self):
        self.socket.close()


class Http2(Http1):
    protocol = "h2"
    INDEXED_STATUS_200 = 0x88  # RFC 7541 appendix A

    def __init__(self, target):
        self.socket = open_socket(target, self.protocol)
        self.head = wire.head(b"GET", target["path"].encode(), (b"authorization", b"Bearer " + target["token"].encode()))
        self.frames = wire.Frames()
        self.stream = -1
        self.socket.sendall(wire.PREFACE + wire.frame(wire.SETTINGS, 0, 0))

    def call(self):
        self.stream += 2
        self.socket.sendall(wire.frame(wire.HEADERS, wire.END_STREAM | wire.END_HEADERS, self.stream, self.head))
        while True:
            is_ended = False
            for kind, flags, stream, payload in self.frames.feed(self.read()):
                if kind in (wire.GOAWAY, wire.RST_STREAM):
                    raise OSError(f"frame {kind}: {payload!r}")
                if kind == wire.SETTINGS and not flags & wire.ACK:
                    self.socket.sendall(wire.frame(wire.SETTINGS, wire.ACK, 0))
                if kind == wire.HEADERS and payload[0] != self.INDEXED_STATUS_200:
                    raise OSError("an answer that is not 200")
                if kind == wire.DATA and payload:
                    self.socket.sendall(wire.frame(wire.WINDOW_UPDATE, 0, 0, len(payload).to_bytes(4, "big")))
                is_ended |= stream == self.stream and kind in (wire.DATA, wire.HEADERS) and flags & wire.END_STREAM
            if is_ended:
                return


class Caller(threading.Thread):
    """Calls at its rate. A call that has to wait for the one before is timed from when it was due."""

    def __init__(self, target, make, rate, is_kept, stop):
        super().__init__(daemon=True)
        self.target, self.make, self.pause, self.is_kept, self.stop = target, make, 1 / rate, is_kept, stop
        self.latencies, self.errors = [], []

    def run(self):
        connection = None
        due = time.monotonic()
        while not self.stop.is_set():
            time.sleep(max(0, due - time.monotonic()))
            try:
                connection = connection or self.make(self.target)
                connection.call()
                self.latencies.append(time.monotonic() - due)
                if self.is_kept:
                    due += self.pause
                    continue
            except (OSError, ssl.SSLError) as problem:
                self.errors.append(str(problem))
            if connection:
                connection.close()
            connection = None
            due += self.pause


def run(target, rate, stop, report):
    """The main function of the normal client's process."""
    callers = [Caller(target, Http1, rate / 2, True, stop), Caller(target, Http2, rate / 2, True, stop),
               Caller(target, Http1, 5, False, stop)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    report.put({name: {"latencies": caller.latencies, "errors": caller.errors}
                for name, caller in zip(("HTTP/1.1", "HTTP/2", "new connection"), callers)})
