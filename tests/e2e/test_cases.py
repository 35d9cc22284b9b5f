"""Faults reported of gateways and control planes like this one that show only in a whole server; named by their case."""

import httpx
import pytest

from conftest import until

SERVICE = "/coreweave.inference.v1alpha1.DeploymentService"


def says_something(server, gateway_id, model):
    answer = httpx.post(f"{server.url}/gateways/{gateway_id}/v1/chat/completions", timeout=5,
                        headers={"Authorization": "Bearer viewer-token"},
                        json={"model": model, "max_tokens": 2, "messages": [{"role": "user", "content": "Hi"}]})
    return answer.status_code == 200 and answer.json()["model"] == model


@pytest.mark.parametrize("end", ["drained", "killed"])
def test_R13_five_models_are_served_again_after_a_restart_without_touching_them(make_server, end):
    server = make_server().start()
    gateway_id = server.create_gateway()["spec"]["id"]
    models = [f"team/model-{i}" for i in range(5)]
    deployments = [server.create_deployment(gateway_id, name=f"d{i}", model={"name": model, "bucket": "models", "path": "m"})
                   for i, model in enumerate(models)]
    for deployment in deployments:
        server.wait_ready("deployments", deployment["spec"]["id"])
    before = [server.get("deployments", d["spec"]["id"]) for d in deployments]
    pids = sorted(pid for pid, _, _ in server.engines())
    assert len(pids) == 5

    server.stop() if end == "drained" else server.kill()
    server.start()
    for model in models:
        until(lambda: says_something(server, gateway_id, model), f"an answer of {model}", seconds=10)
    assert sorted(pid for pid, _, _ in server.engines()) == pids
    # A restart is no change: neither the status nor its times move.
    assert [server.get("deployments", d["spec"]["id"]) for d in deployments] == before


def test_R14_a_loading_engine_gets_no_request(make_server, tmp_path):
    config = tmp_path / "staithe.toml"
    config.write_text('[[nodes]]\nzone = "US-LAB-01A"\ninstance_type = "gb200-4x"\ngpus = 4\n')
    server = make_server("--config", str(config), emulate=False).start()
    gateway_id = server.create_gateway()["spec"]["id"]
    loading = {"engine": "simulated", "version": "1.0.0", "engineConfig": {"load-delay-ms": "1500"}}
    deployment_id = server.create_deployment(gateway_id, runtime=loading)["spec"]["id"]
    headers = {"Authorization": "Bearer viewer-token"}
    with httpx.Client(base_url=f"{server.url}/gateways/{gateway_id}", headers=headers, timeout=10) as inference:
        while server.get("deployments", deployment_id)["status"]["status"] != "STATUS_READY":
            answer = inference.post("/v1/completions", json={"model": "meta/llama", "prompt": "Hi", "max_tokens": 1})
            assert answer.status_code in (200, 503), answer.text
            if answer.status_code == 503:
                assert "retry-after" in answer.headers
        answer = inference.post("/v1/completions", json={"model": "meta/llama", "prompt": "Hi", "max_tokens": 1})
        assert answer.status_code == 200


def test_A07_a_new_deployment_serves_an_existing_token_at_once(served):
    for number in range(3):
        name = f"late-{number}"
        deployment = served.create_deployment(served.gateway_id, name=name, model={"name": name, "bucket": "b", "path": "p"})
        served.wait_ready("deployments", deployment["spec"]["id"])
        assert says_something(served, served.gateway_id, name)


def viewer_calls(server, deployment):
    """The three writes, each as (status or Connect code) of one protocol."""
    spec = {key: value for key, value in deployment["spec"].items() if key not in ("gateways", "organizationId")}
    new = {**spec, "name": "theirs"}
    new.pop("id")
    with server.client("viewer-token") as api:
        rest = [api.post("/deployments", json=new), api.patch(f"/deployments/{spec['id']}", json={**spec, "disabled": True}),
                api.delete(f"/deployments/{spec['id']}")]
    headers = {"Authorization": "Bearer viewer-token", "Connect-Protocol-Version": "1"}
    with httpx.Client(base_url=server.url + SERVICE, headers=headers) as connect:
        json_calls = [connect.post("/CreateDeployment", json=new), connect.post("/UpdateDeployment", json={**spec, "disabled": True}),
                      connect.post("/DeleteDeployment", json={"id": spec["id"]})]
        # Authorization comes before the body, so that an empty message is as good as a whole one.
        binary = [connect.post(f"/{method}Deployment", content=b"", headers={"Content-Type": "application/proto"})
                  for method in ("Create", "Update", "Delete")]
    return rest, json_calls, binary


def test_A09_a_viewer_who_writes_is_refused_in_every_protocol_and_changes_nothing(served):
    before = served.get("deployments", served.deployment_id)
    rest, json_calls, binary = viewer_calls(served, before)
    for answer in rest:
        assert (answer.status_code, answer.json()["code"]) == (403, 7), answer.text
    for answer in json_calls + binary:
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied"), answer.text
    assert served.get("deployments", served.deployment_id) == before
    with served.client() as api:
        assert len(api.get("/deployments").json()["items"]) == 1


def test_addresses_outside_a_gateways_ranges_do_not_reach_it_from_the_change_on(served):
    gateway = served.get("gateways", served.gateway_id)["spec"]

    def allow(ranges):
        with served.client() as api:
            answer = api.patch(f"/gateways/{served.gateway_id}", json={
                "id": gateway["id"], "name": gateway["name"], "coreWeaveAuth": {}, "bodyBasedRouting": gateway["bodyBasedRouting"],
                "endpointConfiguration": {"allowedSourceIpRanges": ranges}})
        assert answer.status_code == 200, answer.text

    assert says_something(served, served.gateway_id, "meta/llama")
    allow(["192.0.2.0/24", "2001:db8::/32"])
    models = f"{served.url}/gateways/{served.gateway_id}/v1/models"
    headers = {"Authorization": "Bearer viewer-token", "X-Forwarded-For": "192.0.2.1"}
    refused = until(lambda: (answer := httpx.get(models, headers=headers, timeout=5)).status_code == 403 and answer, "the refusal")
    assert "address" in refused.json()["error"]["message"]
    allow(["192.0.2.0/24", "127.0.0.1"])
    until(lambda: says_something(served, served.gateway_id, "meta/llama"), "an answer to an address that is allowed")
    allow([])
    until(lambda: says_something(served, served.gateway_id, "meta/llama"), "an answer without ranges")
