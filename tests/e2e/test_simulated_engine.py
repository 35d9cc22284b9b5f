"""`staithe engine simulate` beside what vLLM answers: what tests, benches and --emulate rely on it for."""

import base64
import json
import signal
import struct
import subprocess
import time

import httpx
import pytest

from conftest import BINARY, until

# The families of vLLM that autoscalers and routers read.
FAMILIES = {"vllm:num_requests_running": "gauge", "vllm:num_requests_waiting": "gauge", "vllm:kv_cache_usage_perc": "gauge",
            "vllm:prompt_tokens_total": "counter", "vllm:generation_tokens_total": "counter",
            "vllm:request_success_total": "counter", "vllm:time_to_first_token_seconds": "histogram",
            "vllm:inter_token_latency_seconds": "histogram", "vllm:e2e_request_latency_seconds": "histogram"}


@pytest.fixture
def make_engine():
    processes, clients = [], []

    def make(*flags):
        process = subprocess.Popen([BINARY, "engine", "simulate", "--port", "0", "--model", "m", "--ttft-ms", "1",
                                    "--ttft-jitter-ms", "0", "--itl-ms", "0.2", "--itl-jitter-ms", "0", *flags],
                                   stdout=subprocess.PIPE, text=True)
        processes.append(process)
        client = httpx.Client(base_url=process.stdout.readline().split()[1], timeout=10)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        assert process.wait(10) == 0


def chat(engine, fault=None, **changes):
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello there"}], "max_tokens": 6, **changes}
    return engine.post("/v1/chat/completions", json=body, headers={"x-simulate-fault": fault} if fault else {})


def events(answer):
    lines = [line for line in answer.text.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def metric(engine, name):
    for line in engine.get("/metrics").text.splitlines():
        if line.startswith(name + "{"):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


def test_equal_seeds_give_equal_answers(make_engine):
    first, second, other = make_engine("--seed", "7"), make_engine("--seed", "7"), make_engine("--seed", "8")
    texts = [chat(engine).json()["choices"][0]["message"]["content"] for engine in (first, second)]
    assert texts[0] == texts[1] and texts[0]
    assert chat(first, messages=[{"role": "user", "content": "Something else"}]).json()["choices"][0]["message"]["content"] != texts[0]
    assert chat(other).json()["id"] != chat(make_engine("--seed", "7")).json()["id"]


def test_a_stream_is_the_whole_answer_in_pieces(make_engine):
    engine = make_engine()
    whole = chat(engine).json()
    answer = chat(engine, stream=True, stream_options={"include_usage": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *pieces, last = events(answer)
    assert pieces[0]["choices"][0]["delta"]["role"] == "assistant"
    assert "".join(p["choices"][0]["delta"].get("content") or "" for p in pieces) == whole["choices"][0]["message"]["content"]
    assert pieces[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"] == "length"
    assert last["choices"] == [] and last["usage"] == whole["usage"]
    assert whole["usage"]["completion_tokens"] == 6 and whole["usage"]["total_tokens"] == whole["usage"]["prompt_tokens"] + 6
    # Without the option no usage chunk comes.
    assert all(event["choices"] for event in events(chat(engine, stream=True)))


def test_a_stop_word_ends_the_answer_before_it(make_engine):
    engine = make_engine()
    text = chat(engine, max_tokens=20).json()["choices"][0]["message"]["content"]
    stop = text.split()[4]
    choice = chat(engine, max_tokens=20, stop=[stop]).json()["choices"][0]
    assert choice["finish_reason"] == "stop" and choice["message"]["content"] == text[:text.index(stop)]
    pieces = events(chat(engine, max_tokens=20, stop=[stop], stream=True))
    assert "".join(p["choices"][0]["delta"].get("content") or "" for p in pieces) == text[:text.index(stop)]
    assert pieces[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("changes, status, param", [
    ({"model": "other"}, 404, "model"), ({"messages": []}, 400, "messages"), ({"messages": None}, 400, "messages"),
    ({"max_tokens": -1}, 400, "max_tokens"), ({"max_tokens": 10**6}, 400, None), ({"stream": "yes"}, 400, "stream"),
    ({"n": 0}, 400, "n"),
])
def test_bad_requests_are_refused_as_vllm_does(make_engine, changes, status, param):
    answer = chat(make_engine(), **changes)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["message"] and error["code"] == status and error["type"]
    assert param is None or error["param"] == param


def test_completions_take_several_prompts_and_choices(make_engine):
    answer = make_engine().post("/v1/completions", json={"model": "m", "prompt": ["a", "b"], "n": 2, "max_tokens": 3}).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert answer["usage"]["completion_tokens"] == 12


def test_log_probabilities_come_in_the_shape_of_the_surface_with_exact_token_ids(make_engine):
    engine = make_engine()
    (chat_choice,) = chat(engine, logprobs=True).json()["choices"]
    shown = chat_choice["logprobs"]["content"]
    assert "".join(item["token"] for item in shown) == chat_choice["message"]["content"]
    assert all(item["logprob"] < 0 and bytes(item["bytes"]).decode() == item["token"] for item in shown)

    body = {"model": "m", "prompt": "x", "max_tokens": 5, "logprobs": 1}
    (choice,) = engine.post("/v1/completions", json=body).json()["choices"]
    probabilities = choice["logprobs"]
    assert "".join(probabilities["tokens"]) == choice["text"] and len(probabilities["token_logprobs"]) == 5
    assert [choice["text"][at:].startswith(token) for at, token in zip(probabilities["text_offset"], probabilities["tokens"])] == [True] * 5
    body["return_tokens_as_token_ids"] = True
    (numbered,) = engine.post("/v1/completions", json=body).json()["choices"]
    assert all(token.removeprefix("token_id:").isdigit() for token in numbered["logprobs"]["tokens"])
    streamed = events(engine.post("/v1/completions", json={**body, "stream": True}))
    assert [event["choices"][0]["logprobs"]["tokens"][0] for event in streamed] == numbered["logprobs"]["tokens"]
    assert [event["choices"][0]["logprobs"]["text_offset"][0] for event in streamed] == probabilities["text_offset"]


def test_embeddings_are_unit_vectors_in_both_formats(make_engine):
    engine = make_engine()
    body = {"model": "m", "input": ["one", "two", "one"]}
    vectors = [item["embedding"] for item in engine.post("/v1/embeddings", json=body).json()["data"]]
    assert vectors[0] == vectors[2] != vectors[1]
    assert abs(sum(x * x for x in vectors[0]) - 1) < 1e-5
    packed = engine.post("/v1/embeddings", json={**body, "encoding_format": "base64"}).json()["data"][0]["embedding"]
    raw = base64.b64decode(packed)
    assert struct.unpack(f"<{len(raw) // 4}f", raw) == pytest.approx(vectors[0], rel=1e-6)


def test_tokenize_counts_as_usage_does(make_engine):
    engine = make_engine()
    counted = engine.post("/tokenize", json={"model": "m", "prompt": "Hello there, dear engine"}).json()["count"]
    used = engine.post("/v1/completions", json={"model": "m", "prompt": "Hello there, dear engine", "max_tokens": 1}).json()
    assert used["usage"]["prompt_tokens"] == counted > 3


def test_the_metric_families_of_vllm_are_there_and_count(make_engine):
    engine = make_engine()
    chat(engine)
    text = engine.get("/metrics").text
    for family, kind in FAMILIES.items():
        assert f"# TYPE {family} {kind}\n" in text, family
    assert metric(engine, "vllm:generation_tokens_total") == 6
    assert metric(engine, "vllm:request_success_total") == 1
    assert metric(engine, "vllm:num_requests_running") == 0


def test_a_full_batch_makes_the_next_request_wait(make_engine):
    engine = make_engine("--max-num-seqs", "1")
    with engine.stream("POST", "/v1/completions", json={"model": "m", "prompt": "x", "max_tokens": 4, "stream": True},
                       headers={"x-simulate-fault": "hang-mid=1"}):
        with httpx.Client(base_url=engine.base_url) as second:
            with pytest.raises(httpx.ReadTimeout):
                second.post("/v1/completions", json={"model": "m", "prompt": "y", "max_tokens": 1}, timeout=0.2)
            until(lambda: metric(second, "vllm:num_requests_running") == 1, "one running request")
    until(lambda: metric(engine, "vllm:num_requests_running") == 0, "an empty batch")
    assert chat(engine).status_code == 200


def test_each_fault_shows(make_engine):
    engine = make_engine()
    assert chat(engine, "status=503").status_code == 503
    assert chat(engine, "status=429").json()["error"]["code"] == 429
    assert chat(engine, "nonsense").status_code == 400
    for fault in ("reset-before", "reset-mid=0"):
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            chat(engine, fault)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        chat(engine, "reset-mid=3", stream=True)
    with pytest.raises(httpx.ReadTimeout):
        engine.post("/v1/completions", json={"model": "m", "prompt": "x"}, headers={"x-simulate-fault": "hang"}, timeout=0.2)
    started = time.monotonic()
    assert chat(engine, "slow-first-byte=300").status_code == 200
    assert time.monotonic() - started >= 0.3
    assert len(events(chat(engine, "flood=500", stream=True))) >= 500


def test_a_loading_engine_is_unhealthy_until_it_is_loaded(make_engine):
    engine = make_engine("--load-delay-ms", "400")
    assert engine.get("/health").status_code == 503
    assert chat(engine).status_code == 503
    until(lambda: engine.get("/health").status_code == 200, "health")
    assert chat(engine).status_code == 200
