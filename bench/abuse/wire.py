"""The bytes that the attackers and the normal client send: just enough of HTTP/2 (RFC 9113) and HPACK (RFC 7541)."""

import ssl

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
ERRORS = {0: "NO_ERROR", 1: "PROTOCOL_ERROR", 2: "INTERNAL_ERROR", 3: "FLOW_CONTROL_ERROR", 5: "STREAM_CLOSED",
          6: "FRAME_SIZE_ERROR", 7: "REFUSED_STREAM", 9: "COMPRESSION_ERROR", 11: "ENHANCE_YOUR_CALM"}


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def number(value, prefix_bits):
    """RFC 7541 section 5.1."""
    most = (1 << prefix_bits) - 1
    if value < most:
        return bytes((value,))
    out = bytearray((most,))
    value -= most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(name, value):
    """A literal that joins no table (section 6.2.2), so that a head can be sent again as it is."""
    return b"\0" + number(len(name), 7) + name + number(len(value), 7) + value


def head(method, path, *more):
    fields = [(b":method", method), (b":scheme", b"http"), (b":authority", b"abuse.test"), (b":path", path), *more]
    return b"".join(field(name, value) for name, value in fields)


class Frames:
    """Cuts what is received into frames."""

    def __init__(self):
        self.bytes = bytearray()

    def feed(self, data):
        self.bytes += data
        while len(self.bytes) >= 9:
            size = int.from_bytes(self.bytes[:3], "big")
            if len(self.bytes) < 9 + size:
                return
            kind, flags, stream = self.bytes[3], self.bytes[4], int.from_bytes(self.bytes[5:9], "big")
            payload = bytes(self.bytes[9:9 + size])
            del self.bytes[:9 + size]
            yield kind, flags, stream, payload


def client_hello():
    """What a TLS client says first."""
    context = ssl.create_default_context()
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="abuse.test")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()
