"""Spans of requests reach a collector that takes OTLP over HTTP."""

import http.server
import json
import threading

import httpx
import pytest

from conftest import until

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CALLER_ID = "b7ad6b7169203331"


class Collector:
    def __init__(self):
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.requests.append((self.path, self.headers["Content-Type"], json.loads(body)))
                self.send_response(collector.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.requests = []
        self.status = 200
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def spans(self):
        return [span for _, _, body in self.requests for resource in body["resourceSpans"]
                for scope in resource["scopeSpans"] for span in scope["spans"]]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def collector():
    running = Collector()
    yield running
    running.close()


def chat(server, gateway_id, model="meta/llama"):
    return httpx.post(f"{server.url}/gateways/{gateway_id}/v1/chat/completions", timeout=10,
                      headers={"Authorization": "Bearer viewer-token", "traceparent": f"00-{TRACE_ID}-{CALLER_ID}-01"},
                      json={"model": model, "max_tokens": 3, "messages": [{"role": "user", "content": "a secret prompt"}]})


def test_M06_the_collector_gets_the_span_of_a_request(make_server, collector):
    server = make_server("--otlp-endpoint", collector.url).start()
    gateway_id = server.create_gateway()["spec"]["id"]
    deployment_id = server.create_deployment(gateway_id)["spec"]["id"]
    server.wait_ready("deployments", deployment_id)
    answer = chat(server, gateway_id)
    assert answer.status_code == 200, answer.text
    until(lambda: collector.spans(), "a span at the collector", seconds=10)
    path, content_type, body = collector.requests[0]
    assert (path, content_type) == ("/v1/traces", "application/json")
    [span] = collector.spans()
    attributes = {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}
    assert span["traceId"] == TRACE_ID and span["parentSpanId"] == CALLER_ID and len(span["spanId"]) == 16
    assert span["name"] == "chat meta/llama" and span["kind"] == 2
    assert int(span["startTimeUnixNano"]) < int(span["endTimeUnixNano"])
    assert attributes["gen_ai.operation.name"] == "chat"
    assert attributes["gen_ai.request.model"] == "meta/llama"
    assert attributes["gen_ai.usage.output_tokens"] == str(answer.json()["usage"]["completion_tokens"])
    assert attributes["http.response.status_code"] == "200"
    assert attributes["staithe.deployment.id"] == deployment_id
    text = json.dumps(body)
    assert "viewer-token" not in text and "secret prompt" not in text


def test_spans_wait_for_a_collector_that_is_busy_and_are_sent_at_the_end(make_server, collector):
    server = make_server("--otlp-endpoint", collector.url).start()
    gateway_id = server.create_gateway()["spec"]["id"]
    collector.status = 503
    assert chat(server, gateway_id, "nobody").status_code == 404
    until(lambda: collector.requests, "a first try", seconds=10)
    collector.status = 200
    collector.requests.clear()
    server.stop()
    [span] = collector.spans()
    assert span["name"] == "POST" or span["name"].startswith("chat")


def metric(server, name):
    text = httpx.get(f"{server.url}/metrics", headers={"Authorization": "Bearer viewer-token"}, timeout=5).text
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + " "))


def test_spans_that_a_collector_refuses_for_good_are_dropped_and_not_called_exported(make_server, collector):
    server = make_server("--otlp-endpoint", collector.url).start()
    gateway_id = server.create_gateway()["spec"]["id"]
    collector.status = 400
    assert chat(server, gateway_id, "nobody").status_code == 404
    until(lambda: metric(server, "staithe_spans_dropped_total") == 1, "a dropped span", seconds=10)
    assert metric(server, "staithe_spans_exported_total") == 0
    assert len(collector.requests) == 1
