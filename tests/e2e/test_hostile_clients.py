"""Clients that mean harm: what two readers could take for different requests reaches no engine, and strangers cost little."""

import socket

import httpx
import pytest

from conftest import API, chat_body, until

BODY = chat_body(stream=False, max_tokens=1)
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


def answered_count(engine_port):
    """Requests the engine has answered, and has still to answer."""
    total = 0.0
    for line in httpx.get(f"http://127.0.0.1:{engine_port}/metrics", timeout=5).text.splitlines():
        if line.startswith(("vllm:request_success_total", "vllm:num_requests_running", "vllm:num_requests_waiting")):
            total += float(line.rsplit(" ", 1)[1])
    return total


def exchange(port, data):
    """All that the server answers until it closes or has nothing more to say for a while."""
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(data)
        received = b""
        try:
            while piece := connection.recv(65536):
                received += piece
        except (TimeoutError, ConnectionResetError):
            pass
        return received


def test_a_request_with_two_readings_never_reaches_an_engine(served):
    (_, _, engine_port), = served.engines()
    start = (f"POST /gateways/{served.gateway_id}/v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
             "Authorization: Bearer admin-token\r\nContent-Type: application/json\r\n").encode()
    length = b"Content-Length: %d\r\n" % len(BODY)
    # The request that would be smuggled: a whole one, if the one before ended where its other reading says.
    hidden = start + length + b"\r\n" + BODY
    chunked = b"Transfer-Encoding: chunked\r\n"

    plain = exchange(served.port, start + length + b"Connection: close\r\n\r\n" + BODY)
    assert plain.startswith(b"HTTP/1.1 200 "), plain
    until(lambda: answered_count(engine_port) == 1, "the count of an ordinary request")
    for framing, body in [
            (length + chunked, CHUNKED), (chunked + length, CHUNKED), (b"Content-Length: 0\r\n" + chunked, CHUNKED),
            (b"Content-Length: 0\r\n" + length, BODY), (length + length, BODY), (b"Content-Length: 0, %d\r\n" % len(BODY), BODY),
            (b"Content-Length: +%d\r\n" % len(BODY), BODY), (b"Content-Length : %d\r\n" % len(BODY), BODY),
            (b"X: y\n" + length, BODY), (b"X: y\r\n " + length, BODY), (b"X: y\r" + length, BODY), (b"X: \0\r\n" + length, BODY),
            (b"Transfer-Encoding: xchunked\r\n", CHUNKED), (b"Transfer-Encoding: chunked, identity\r\n", CHUNKED),
            (b"Transfer-Encoding: \x0bchunked\r\n", CHUNKED), (b"Transfer-Encoding : chunked\r\n", CHUNKED),
            (chunked + chunked, CHUNKED), (b"Host: other\r\n" + length, BODY)]:
        answer = exchange(served.port, start + framing + b"\r\n" + body + hidden)
        assert answer[9:12] in (b"400", b"501"), (framing, answer)
        assert answer.count(b"HTTP/1.1 ") == 1 and b"Connection: close" in answer, (framing, answer)
    # A body that is malformed behind its first chunk has reached the engine in part, but never as a request.
    for body in (b"5\r\nhello!\r\n0\r\n\r\n", b"5\nhello\r\n0\r\n\r\n", b"fffffffffffffffff\r\n", b"0\r\nX : y\r\n\r\n"):
        answer = exchange(served.port, start + chunked + b"\r\n" + body + hidden)
        assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1 ") == 1, (body, answer)
    assert answered_count(engine_port) == 1


def test_trailers_of_a_request_do_not_reach_an_engine_as_another(served):
    (_, _, engine_port), = served.engines()
    start = (f"POST /gateways/{served.gateway_id}/v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
             "Authorization: Bearer admin-token\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n").encode()
    trailers = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer other-token\r\n"
    request = start + b"\r\n" + CHUNKED[:-2] + trailers + b"\r\n"
    answer = exchange(served.port, request + request)
    assert answer.count(b"HTTP/1.1 200 ") == 2, answer
    until(lambda: answered_count(engine_port) == 2, "two requests at the engine")


@pytest.mark.parametrize("size, status", [(60_000, 401), (70_000, 431)])
def test_an_oversized_token_is_refused(server, size, status):
    with httpx.Client(base_url=server.url) as client:
        for path in (API + "/gateways", "/coreweave.inference.v1alpha1.GatewayService/ListGateways"):
            answer = client.get(path, headers={"Authorization": "Bearer " + "a" * size})
            assert answer.status_code == status and len(answer.content) < 1000, (path, answer.status_code, answer.text[:200])
    with server.client() as api:
        assert api.get("/gateways").status_code == 200


def test_the_body_of_a_stranger_is_not_waited_for(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as stranger:
        stranger.sendall(f"POST {API}/capacityclaims HTTP/1.1\r\nHost: h\r\nContent-Length: 4000000\r\n\r\n{{".encode())
        assert stranger.recv(65536).startswith(b"HTTP/1.1 401 ")
