"""grpcurl, which learns the API from the server's reflection alone."""

import json
import pathlib
import subprocess

import pytest

import operations
from operations import PACKAGE, Refused

ROOT = pathlib.Path(__file__).resolve().parents[2]
CODES = {3: "INVALID_ARGUMENT", 5: "NOT_FOUND", 6: "ALREADY_EXISTS", 7: "PERMISSION_DENIED", 9: "FAILED_PRECONDITION",
         16: "UNAUTHENTICATED"}


@pytest.fixture(scope="session")
def grpcurl():
    found = subprocess.run([str(ROOT / "tools" / "go_tool.sh"), "grpcurl"], check=True, capture_output=True, text=True, timeout=900)
    program = found.stdout.strip()

    def run(*arguments, body=None):
        return subprocess.run([program, "-max-time", "20", *arguments], input=body, capture_output=True, text=True, timeout=60)
    return run


def connector(grpcurl, *target):
    def connect(token):
        header = ["-H", f"authorization: Bearer {token}"] if token else []

        def call(method, request):
            result = grpcurl(*header, "-format-error", "-d", "@", *target, f"{PACKAGE}.{operations.service_of(method)}/{method}",
                             body=json.dumps(request))
            if result.returncode == 0:
                return json.loads(result.stdout)
            # It ends with 64 and the status's code when the server refused, and with less when it could not ask.
            assert result.returncode > 64, result.stderr
            status = json.loads(result.stderr)
            assert status["code"] == result.returncode - 64
            raise Refused(CODES.get(status["code"], status["code"]), status["message"], status.get("details", []))
        return call
    return connect


def test_lists_and_describes_what_is_served(grpcurl, server):
    target = ["-plaintext", f"127.0.0.1:{server.port}"]
    services = grpcurl(*target, "list").stdout.split()
    assert set(services) >= {f"{PACKAGE}.{name}" for name in operations.SERVICES.values()} | {"grpc.health.v1.Health"}
    methods = {name.rsplit(".", 1)[1] for service in operations.SERVICES.values()
               for name in grpcurl(*target, "list", f"{PACKAGE}.{service}").stdout.split()}
    assert methods == set(operations.METHODS)
    described = grpcurl(*target, "describe", f"{PACKAGE}.CapacityClaimResources").stdout
    assert "uint32 instance_count = 2" in described and "repeated string zones = 4" in described
    assert "rpc Check" in grpcurl(*target, "describe", "grpc.health.v1.Health").stdout
    health = grpcurl(*target, "grpc.health.v1.Health/Check")
    assert json.loads(health.stdout) == {"status": "SERVING"}, health.stderr


def test_all_operations(grpcurl, server):
    operations.run_all(connector(grpcurl, "-plaintext", f"127.0.0.1:{server.port}"))


def test_all_operations_over_tls(grpcurl, secure_server):
    operations.run_all(connector(grpcurl, "-cacert", str(secure_server.authority), f"localhost:{secure_server.secure_port}"))
