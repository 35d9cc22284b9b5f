"""A client generated from our .proto files by other people's tools, over every protocol it speaks."""

import os
import pathlib
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent / "connect-node"
API = HERE.parents[2] / "api"
# gRPC needs HTTP/2.
WIRES = [(protocol, http, codec) for protocol in ("connect", "grpc", "grpcweb") for http in ("1.1", "2")
         for codec in ("json", "binary") if (protocol, http) != ("grpc", "1.1")]


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    plugin = HERE / "node_modules" / ".bin" / "protoc-gen-es"
    assert shutil.which("node") and plugin.exists(), "node or its packages are missing: run ./dev setup"
    # Generated modules look for their runtime beside themselves.
    folder = tmp_path_factory.mktemp("generated")
    (folder / "package.json").write_text('{"type":"module"}')
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    protos = sorted(str(path.relative_to(API)) for path in API.rglob("*.proto"))
    subprocess.run(["protoc", f"--plugin=protoc-gen-es={plugin}", f"--es_out={folder}", "--es_opt=target=js,import_extension=js", *protos],
                   cwd=API, check=True, timeout=120)
    return folder


def run(generated, url, protocol, http, codec, compression, **environment):
    result = subprocess.run(["node", str(HERE / "all_operations.js"), url, protocol, http, codec, compression, str(generated)],
                            capture_output=True, text=True, timeout=120, env={**os.environ, **environment})
    assert result.returncode == 0, result.stdout + result.stderr
    assert "all operations" in result.stdout


@pytest.mark.parametrize("protocol, http, codec", WIRES)
def test_all_operations(server, generated, protocol, http, codec):
    run(generated, server.url, protocol, http, codec, "identity")


@pytest.mark.parametrize("protocol, http", [("connect", "1.1"), ("grpc", "2"), ("grpcweb", "1.1")])
def test_all_operations_with_gzip(server, generated, protocol, http):
    run(generated, server.url, protocol, http, "binary", "gzip")


@pytest.mark.parametrize("protocol, http", [("connect", "1.1"), ("connect", "2"), ("grpc", "2"), ("grpcweb", "2")])
def test_all_operations_over_tls(secure_server, generated, protocol, http):
    run(generated, secure_server.secure_url, protocol, http, "binary", "identity", NODE_EXTRA_CA_CERTS=str(secure_server.authority))
