"""Bad input gets a clear answer, and nothing is lost."""

import json
import os
import pathlib
import subprocess

import httpx
import pytest

from conftest import API, BINARY, until

CLAIM = {"name": "a", "resources": {"instanceId": "gb200-4x", "instanceCount": 1, "zones": ["US-WEST-04A"],
                                    "capacityType": "CAPACITY_TYPE_MANAGED"}}


def test_bodies_that_are_no_request(server):
    with server.client() as api:
        for body in (b"{", b"[]", b'"x"', b'{"name":"a"} x', b'{"name":"a","name":"b"}', b'{"name":"\xff"}', b"null x",
                     b'{"name":"a","resources":{"capacityType":"CAPACITY_TYPE_GOLD"}}', b"[" * 200 + b"]" * 200,
                     b'{"resources":' * 150 + b"{}" + b"}" * 150):
            answer = api.post("/capacityclaims", content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == 400, (body, answer.text)
            error = answer.json()
            assert error["code"] == 3 and error["message"] and isinstance(error["details"], list)
        assert api.get("/capacityclaims").json() == {"capacityClaims": []}


def test_a_body_of_5_mib_is_refused_with_413(server):
    with server.client() as api:
        answer = api.post("/capacityclaims", json={**CLAIM, "name": "a" * (5 * 1024 * 1024)})
        assert answer.status_code == 413 and answer.json()["code"] == 8
        assert api.get("/capacityclaims").status_code == 200


def test_wrong_media_types_and_none_at_all(server):
    with server.client() as api:
        refused = api.post("/capacityclaims", content=b"name=a", headers={"Content-Type": "application/x-www-form-urlencoded"})
        assert refused.status_code == 415 and refused.json()["message"]
        assert api.post("/capacityclaims", content=json.dumps(CLAIM).encode()).status_code == 200
        assert api.get("/capacityclaims", headers={"Content-Type": "application/json"}).status_code == 200
        connect = httpx.post(server.url + "/coreweave.inference.v1alpha1.GatewayService/ListGateways", content=b"",
                             headers={"Authorization": "Bearer admin-token", "Content-Type": "text/plain"})
        assert connect.status_code == 415 and "application/json" in connect.headers["accept-post"]


def test_wrong_methods_and_paths(server):
    with server.client() as api:
        answer = api.put("/capacityclaims", json=CLAIM)
        assert answer.status_code == 405 and answer.json()["code"] == 12
        assert {"GET", "POST"} <= {m.strip() for m in answer.headers["allow"].split(",")}
        for path in ("/nothing", "/capacityclaims/", "/gateways//x", "/capacityclaims/a/b"):
            answer = api.get(path)
            assert answer.status_code == 404 and answer.json()["code"] == 5, path
    connect = httpx.get(server.url + "/coreweave.inference.v1alpha1.GatewayService/ListGateways",
                        headers={"Authorization": "Bearer admin-token"})
    assert connect.status_code == 405 and connect.headers["allow"] == "POST, OPTIONS"


def test_tokens_and_roles(server):
    for headers in ({}, {"Authorization": "Bearer nobody"}, {"Authorization": "Basic admin-token"}):
        answer = httpx.get(server.url + API + "/gateways", headers=headers)
        assert answer.status_code == 401 and answer.json()["code"] == 16
        assert answer.headers["www-authenticate"].startswith("Bearer")
    with server.client(token="viewer-token") as api:
        assert api.get("/gateways").status_code == 200
        answer = api.post("/capacityclaims", json=CLAIM)
        assert answer.status_code == 403 and answer.json()["code"] == 7
        assert api.get("/capacityclaims").json() == {"capacityClaims": []}
    assert b"nobody" not in server.log and b"admin-token" not in server.log.replace(b'/admin-token"', b"")


def test_malformed_query_parameters_name_themselves(server):
    with server.client() as api:
        for query, name in (("updatedAfter=yesterday", "updatedAfter"), ("updated_after=1", "updatedAfter")):
            answer = api.get("/gateways?" + query)
            assert answer.status_code == 400
            assert answer.json()["details"][0]["fieldViolations"][0]["field"] == name
        # A "+" that was not escaped arrives as a space.
        assert api.get("/gateways?updatedAfter=2026-01-01T00:00:00+01:00").status_code == 200
        assert api.get("/gateways?unknown=1").status_code == 200


def test_the_body_id_must_agree_with_the_path(server):
    with server.client() as api:
        claim = api.post("/capacityclaims", json=CLAIM).json()["capacityClaim"]
        body = {"id": "0a0a0a0a-0000-4000-8000-000000000001", "resources": CLAIM["resources"]}
        answer = api.patch(f"/capacityclaims/{claim['spec']['id']}", json=body)
        assert answer.status_code == 400 and answer.json()["message"] == "id in body does not match id in path"
        body["id"] = claim["spec"]["id"].upper()
        assert api.patch(f"/capacityclaims/{claim['spec']['id']}", json=body).status_code == 200


def run(*arguments, **environment):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=20,
                          env={**os.environ, **environment})


def one_line(text):
    return len(text.strip().splitlines()) == 1


def test_bad_usage_is_exit_code_2_and_one_line(tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text("lisen = 1\n")
    for arguments in (["serve", "--lisen", "x"], ["serve", "--listen", "nowhere"], ["serve", "--config", tmp_path / "none.toml"],
                      ["serve", "--config", bad], ["serve", "--bootstrap-token", "secret-text"], ["serve", "--event-loops", "x"],
                      ["serve", "--otlp-endpoint", "collector:4318"], ["serve", "--trace-sample-percent", "101"],
                      ["serve", "--prefix-table-mib", "0"]):
        result = run(*arguments, STAITHE_DATA=str(tmp_path / "d"))
        assert result.returncode == 2 and one_line(result.stderr), (arguments, result)
        assert "secret-text" not in result.stderr
        assert not (tmp_path / "d").exists(), "nothing is made of a wrong configuration"
    assert run("nonsense").returncode == 2


def test_a_taken_port_is_said_so(server, tmp_path):
    result = run("serve", "--emulate", "--listen", f"127.0.0.1:{server.port}", "--data", tmp_path / "other")
    assert result.returncode == 1 and one_line(result.stderr) and str(server.port) in result.stderr


def test_a_database_that_is_none_and_one_in_use(server, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "staithe.db").write_bytes(b"not a database at all" * 100)
    result = run("serve", "--emulate", "--listen", "127.0.0.1:0", "--data", broken)
    assert result.returncode == 1 and str(broken) in result.stderr.strip().splitlines()[-1]
    result = run("serve", "--emulate", "--listen", "127.0.0.1:0", "--data", server.data)
    assert result.returncode == 1 and "another" in result.stderr


def test_the_first_admin_token_is_its_owners_alone(server):
    path = server.data / "admin-token"
    assert path.stat().st_mode & 0o777 == 0o600
    with server.client(token=path.read_text().strip()) as api:
        assert api.get("/gateways").status_code == 200


def test_tokens_are_made_and_revoked_beside_a_running_server(server):
    made = run("token", "create", "--data", server.data, "--name", "ci", "--org", "cw1a2b", "--role", "admin")
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    with server.client(token=token) as api:
        until(lambda: api.get("/gateways").status_code == 200, "the new token's first success", seconds=5)
        listed = json.loads(run("token", "list", "--data", server.data, "-o", "json").stdout)
        assert token not in json.dumps(listed)
        token_id = next(t["id"] for t in listed if t["name"] == "ci")
        assert run("token", "revoke", "--data", server.data, token_id).returncode == 0
        until(lambda: api.get("/gateways").status_code == 401, "the end of the token", seconds=5)


@pytest.fixture
def real(make_server, tmp_path):
    """A server without emulation, with engines that are not there, crash, or want weights that are not there."""
    config = tmp_path / "staithe.toml"
    (tmp_path / "weights" / "models").mkdir(parents=True)
    config.write_text(f"""
weights_root = "{tmp_path}/weights"
[[nodes]]
zone = "US-EAST-01A"
instance_type = "cpu-1x"
gpus = 8
[engines.missing]
command = ["no-such-engine-anywhere", "{{port}}"]
versions = ["1.0.0"]
needs_weights = false
[engines.crashing]
command = ["/bin/false", "{{port}}"]
versions = ["1.0.0"]
needs_weights = false
[engines.weighty]
command = ["/bin/true", "{{model_dir}}", "{{port}}"]
versions = ["1.0.0"]
""")
    return make_server("--config", str(config), emulate=False).start()


@pytest.mark.parametrize("engine, bucket, kind, reason", [
    ("weighty", "nowhere", "ModelAvailable", "BucketNotFound"), ("weighty", "models", "ModelAvailable", "PathNotFound"),
    ("missing", "models", "ReplicasReady", "EngineMissing"), ("crashing", "models", "ReplicasReady", "EngineCrashLoop")])
def test_what_cannot_run_says_why_and_can_be_deleted(real, engine, bucket, kind, reason):
    gateway = real.create_gateway()
    deployment = real.create_deployment(gateway["spec"]["id"], runtime={"engine": engine, "version": "1.0.0"},
                                        resources={"instanceType": "cpu-1x", "gpuCount": 1},
                                        model={"name": "some-model", "bucket": bucket, "path": "none"})

    def has_failed():
        status = real.get("deployments", deployment["spec"]["id"])["status"]
        found = [c for c in status["conditions"] if c["type"] == kind and c["reason"] == reason]
        return found if found and status["status"] in ("STATUS_ERROR", "STATUS_FAILED") else None

    condition, = until(has_failed, f"{kind}/{reason}", seconds=30)
    assert condition["status"] == "False" and len(condition["message"]) > 10
    answer = httpx.post(gateway["status"]["endpoints"][0] + "/v1/chat/completions", json={"model": "some-model"},
                        headers={"Authorization": "Bearer admin-token"})
    assert answer.status_code == 503 and answer.json()["error"]["code"] == "model_not_ready" and "retry-after" in answer.headers
    real.delete("deployments", deployment["spec"]["id"])


def test_missing_weights_heal_when_they_appear(real, tmp_path):
    gateway = real.create_gateway()
    deployment = real.create_deployment(gateway["spec"]["id"], runtime={"engine": "weighty", "version": "1.0.0"},
                                        resources={"instanceType": "cpu-1x", "gpuCount": 1},
                                        model={"name": "some-model", "bucket": "models", "path": "late"})
    resource_id = deployment["spec"]["id"]

    def condition(kind):
        return next((c for c in real.get("deployments", resource_id)["status"]["conditions"] if c["type"] == kind), {})

    until(lambda: condition("ModelAvailable").get("reason") == "PathNotFound", "PathNotFound")
    late = pathlib.Path(tmp_path / "weights" / "models" / "late")
    late.mkdir()
    (late / "config.json").write_text("{}")
    until(lambda: condition("ModelAvailable").get("status") == "True", "the model being found", seconds=20)
