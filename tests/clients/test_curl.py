"""curl, as someone types it: REST over both HTTP versions, plain and compressed."""

import gzip
import json
import subprocess
import urllib.parse

import operations
from conftest import API
from operations import Refused

STATUSES = {"INVALID_ARGUMENT": (3, 400), "NOT_FOUND": (5, 404), "ALREADY_EXISTS": (6, 409), "PERMISSION_DENIED": (7, 403),
            "FAILED_PRECONDITION": (9, 400), "UNAUTHENTICATED": (16, 401)}
VERBS = {"Get": "GET", "List": "GET", "Create": "POST", "Update": "PATCH", "Delete": "DELETE"}
COLLECTIONS = {"CapacityClaimService": "capacityclaims", "DeploymentService": "deployments", "GatewayService": "gateways"}


def target(method, request):
    """The verb and the path of a call. What the path and the query take is gone from the request."""
    verb = next(verb for word, verb in VERBS.items() if method.startswith(word))
    path = f"{API}/{COLLECTIONS[operations.service_of(method)]}"
    if method.endswith("Parameters"):
        path += "/parameters"
    elif "id" in request:
        path += "/" + request.pop("id")
    if verb == "GET" and request:
        path += "?" + urllib.parse.urlencode(request, doseq=True)
    return verb, path


def connector(base_url, flags, http_version, encodings):
    """`encodings` collects the Content-Encodings of the answers. With --compressed, what is sent is compressed as well."""
    def connect(token):
        def call(method, request):
            verb, path = target(method, request := dict(request))
            command = ["curl", "--silent", "--show-error", "--max-time", "20", *flags, "--request", verb, base_url + path,
                       "--write-out", "%{stderr}%{http_version} %{response_code} %{header_json}"]
            if token:
                command += ["--header", f"Authorization: Bearer {token}"]
            body = None
            if verb in ("POST", "PATCH"):
                body = json.dumps(request).encode()
                command += ["--header", "Content-Type: application/json", "--data-binary", "@-"]
                if "--compressed" in flags:
                    body = gzip.compress(body)
                    command += ["--header", "Content-Encoding: gzip"]
            result = subprocess.run(command, input=body, capture_output=True, timeout=30)
            assert result.returncode == 0, result.stderr
            version, status, headers = result.stderr.decode().split(" ", 2)
            headers = json.loads(headers)
            assert version == http_version
            assert headers["content-type"] == ["application/json"] and headers["cache-control"] == ["no-store"]
            assert headers["x-request-id"][0]
            encodings.update(headers.get("content-encoding", []))
            answer = json.loads(result.stdout)
            if status == "200":
                return answer
            code = next((name for name, (number, _) in STATUSES.items() if number == answer["code"]), answer["code"])
            assert STATUSES[code][1] == int(status)
            assert ("www-authenticate" in headers) == (code == "UNAUTHENTICATED")
            raise Refused(code, answer["message"], answer["details"])
        return call
    return connect


def test_all_operations_over_http_1_1(server):
    encodings = set()
    operations.run_all(connector(server.url, ["--http1.1"], "1.1", encodings))
    assert not encodings, "compressed although nobody asked for it"


def test_all_operations_over_http_1_1_compressed_both_ways(server):
    encodings = set()
    operations.run_all(connector(server.url, ["--http1.1", "--compressed"], "1.1", encodings))
    assert encodings == {"gzip"}


def test_all_operations_over_http_2_with_prior_knowledge(server):
    operations.run_all(connector(server.url, ["--http2-prior-knowledge"], "2", set()))


def test_all_operations_over_http_2_with_prior_knowledge_compressed_both_ways(server):
    encodings = set()
    operations.run_all(connector(server.url, ["--http2-prior-knowledge", "--compressed"], "2", encodings))
    assert encodings == {"gzip"}


def test_all_operations_over_tls(secure_server):
    trust = ["--cacert", str(secure_server.authority)]
    operations.run_all(connector(secure_server.secure_url, [*trust, "--http1.1"], "1.1", set()))
    operations.run_all(connector(secure_server.secure_url, [*trust, "--http2"], "2", set()))
