"""gRPC's own JavaScript client, which reads our .proto files itself."""

import pathlib
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent / "grpc-js"
API = HERE.parents[2] / "api"


def run(address, compression, *more):
    assert shutil.which("node") and (HERE / "node_modules").exists(), "node or its packages are missing: run ./dev setup"
    result = subprocess.run(["node", str(HERE / "all_operations.js"), address, compression, str(API), *more],
                            capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "all operations" in result.stdout


@pytest.mark.parametrize("compression", ["identity", "gzip"])
def test_all_operations(server, compression):
    run(f"127.0.0.1:{server.port}", compression)


def test_all_operations_over_tls(secure_server):
    run(f"localhost:{secure_server.secure_port}", "identity", str(secure_server.authority))
