"""The clients that the API's vendor generates for Go, over every protocol they speak."""

import pathlib
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent / "go"
# gRPC needs HTTP/2.
WIRES = [(protocol, http, codec, compression)
         for protocol in ("connect", "grpc", "grpcweb") for http in ("1", "2") for codec in ("proto", "json")
         for compression in ("identity", "gzip") if (protocol, http) != ("grpc", "1")]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    assert shutil.which("go"), "Go is missing: see CONTRIBUTING.md"
    path = tmp_path_factory.mktemp("go") / "client"
    subprocess.run(["go", "build", "-C", str(HERE), "-p", "2", "-o", str(path), "."], check=True, timeout=900)
    return path


def run(program, url, protocol, http, codec, compression, *more):
    flags = ["-url", url, "-protocol", protocol, "-http", http, "-codec", codec, f"-gzip={str(compression == 'gzip').lower()}", *more]
    result = subprocess.run([str(program), *flags], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "18 operations" in result.stdout


@pytest.mark.parametrize("protocol, http, codec, compression", WIRES)
def test_all_operations(server, program, protocol, http, codec, compression):
    run(program, server.url, protocol, http, codec, compression)


@pytest.mark.parametrize("protocol, http, codec", [wire[:3] for wire in WIRES if wire[3] == "gzip"])
def test_all_operations_over_tls(secure_server, program, protocol, http, codec):
    run(program, secure_server.secure_url, protocol, http, codec, "gzip", "-ca", str(secure_server.authority))
