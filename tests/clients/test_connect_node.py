"""A client generated from our .proto files by other people's tools, over Connect with both codecs."""

import pathlib
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent / "connect-node"
API = HERE.parents[2] / "api"


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


@pytest.mark.parametrize("codec", ["json", "binary"])
def test_all_operations(server, generated, codec):
    result = subprocess.run(["node", str(HERE / "all_operations.js"), server.url, codec, str(generated)],
                            capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    print(result.stdout.strip())
