#!/usr/bin/env python3
"""Four llama-servers behind one gateway, with prefix affinity and without, in turns (A B B A), each time with new engines whose caches are
empty. Clients hold conversations of several turns; groups of them share a long system prompt, as the users of one application do. What
an engine had cached of a prompt is what the engine itself says in `usage`.

    bench/prefix_cache/run.py --llama-server PATH --buckets FOLDER [--out docs/benchmarks/prefix_cache.json]
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import platform
import random
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

MODEL = "smollm2-135m-instruct"
TOKEN = "bench-token"
REPLICAS = 4
WORDS = ("harbour tide crane quay rope vessel pilot cargo manifest berth anchor signal lamp storm ledger captain dock warehouse barge ferry "
         "channel buoy compass chart keel mast sail engine crew watch port starboard cable winch pier customs invoice crate").split()
NODES = f"""
[[nodes]]
zone = "US-LOCAL-01A"
instance_type = "cpu-1x"
gpus = 1
count = {REPLICAS}
"""


def call(method, url, body=None):
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode(),
                                     headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


class Server:
    """Staithe with its engines."""

    def __init__(self, arguments, folder, has_affinity):
        folder.mkdir()
        config = folder / "staithe.toml"
        config.write_text(f"prefix_affinity = {'true' if has_affinity else 'false'}\n{NODES}")
        self.process = subprocess.Popen(
            [arguments.staithe, "serve", "--listen", "127.0.0.1:0", "--data", folder / "data", "--config", config, "--weights-root",
             arguments.buckets, "--engine-search-path", f"{pathlib.Path(arguments.llama_server).parent}:{os.environ['PATH']}",
             "--bootstrap-token", f"{TOKEN}=cw1a2b:admin"], stdout=subprocess.PIPE, stderr=open(folder / "staithe.log", "w"), text=True)
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            raise SystemExit(f"staithe did not start: see {folder}/staithe.log")
        self.api = line.split()[1] + "/v1alpha1/inference"
        try:
            self.deploy(folder)
        except BaseException:
            self.stop()
            raise

    def deploy(self, folder):
        gateway = call("POST", f"{self.api}/gateways", {"name": "bench", "zones": ["US-LOCAL-01A"], "coreWeaveAuth": {},
                                                        "bodyBasedRouting": {"apiType": "API_TYPE_OPENAI"}})["gateway"]
        deployment = call("POST", f"{self.api}/deployments", {
            "name": "bench", "gatewayIds": [gateway["spec"]["id"]],
            "runtime": {"engine": "llama.cpp", "version": "1.0.0", "engineConfig": {"ctx-size": "8192"}},
            "resources": {"instanceType": "cpu-1x", "gpuCount": 1}, "model": {"name": MODEL, "bucket": "models", "path": MODEL},
            "autoscaling": {"min": REPLICAS, "max": REPLICAS, "concurrency": 4}, "traffic": {}})["deployment"]
        deadline = time.monotonic() + 120
        while call("GET", f"{self.api}/deployments/{deployment['spec']['id']}")["deployment"]["status"]["status"] != "STATUS_READY":
            if time.monotonic() > deadline:
                raise SystemExit(f"the llama-servers did not become ready: see {folder}/staithe.log")
            time.sleep(0.2)
        self.chat_url = gateway["status"]["endpoints"][0] + "/v1/chat/completions"
        self.deployment = f"{self.api}/deployments/{deployment['spec']['id']}"

    def stop(self):
        if hasattr(self, "deployment"):
            call("DELETE", self.deployment)
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                try:
                    call("GET", self.deployment)
                except urllib.error.HTTPError:
                    break
                time.sleep(0.1)
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def some_text(random_source, word_count):
    return " ".join(random_source.choice(WORDS) for _ in range(word_count))


class Conversation:
    def __init__(self, group, number, arguments):
        self.random = random.Random(f"{group} {number}")
        self.question_words = arguments.question_words
        self.messages = [{"role": "system", "content": some_text(random.Random(group), arguments.system_words)}]

    def take_turn(self, url):
        """The next question and its answer. Gives the prompt's tokens, those of them that were cached, and seconds to the first token."""
        self.messages.append({"role": "user", "content": some_text(self.random, self.question_words)})
        body = {"model": MODEL, "messages": self.messages, "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 12,
                "temperature": 0}
        request = urllib.request.Request(url, json.dumps(body).encode(),
                                         {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
        started, first, usage, answer = time.monotonic(), None, None, ""
        with urllib.request.urlopen(request, timeout=900) as lines:
            for line in lines:
                if not line.startswith(b"data: {"):
                    continue
                event = json.loads(line[6:])
                usage = event.get("usage") or usage
                for choice in event["choices"]:
                    text = choice["delta"].get("content") or ""
                    if text and first is None:
                        first = time.monotonic() - started
                    answer += text
        self.messages.append({"role": "assistant", "content": answer})
        return {"prompt": usage["prompt_tokens"], "cached": usage["prompt_tokens_details"]["cached_tokens"],
                "first": first if first is not None else time.monotonic() - started}


def play(server, arguments):
    """All conversations, turn by turn, each time in another order, `clients` at once."""
    conversations = [Conversation(group, number, arguments) for group in range(arguments.groups) for number in range(arguments.members)]
    order, turns = random.Random(1), []
    with concurrent.futures.ThreadPoolExecutor(arguments.clients) as clients:
        for _ in range(arguments.turns):
            order.shuffle(conversations)
            turns += clients.map(lambda conversation: conversation.take_turn(server.chat_url), conversations)
    return turns


def summary(turns):
    first = sorted(turn["first"] for turn in turns)
    return {"requests": len(turns), "prompt_tokens": sum(turn["prompt"] for turn in turns),
            "cached_share": round(sum(turn["cached"] for turn in turns) / sum(turn["prompt"] for turn in turns), 4),
            "first_token_mean_ms": round(statistics.mean(first) * 1000, 1), "first_token_p50_ms": round(statistics.median(first) * 1000, 1),
            "first_token_p90_ms": round(first[len(first) * 9 // 10] * 1000, 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--staithe", default="build/staithe")
    parser.add_argument("--llama-server", required=True)
    parser.add_argument("--buckets", required=True)
    parser.add_argument("--groups", type=int, default=4, help="system prompts")
    parser.add_argument("--members", type=int, default=3, help="conversations with one system prompt")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--system-words", type=int, default=300)
    parser.add_argument("--question-words", type=int, default=40)
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()

    work = pathlib.Path(tempfile.mkdtemp(prefix="bench-prefix-cache-"))
    turns, legs = {"on": [], "off": []}, []
    for leg, affinity in enumerate(("on", "off", "off", "on")):
        server = Server(arguments, work / str(leg), affinity == "on")
        try:
            played = play(server, arguments)
        finally:
            server.stop()
        turns[affinity] += played
        legs.append({"affinity": affinity, **summary(played)})
        print(json.dumps(legs[-1]), flush=True)
    version = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True).stdout.strip()
    workload = {name: getattr(arguments, name) for name in ("groups", "members", "turns", "clients", "system_words", "question_words")}
    result = {"commit": version, "machine": f"{platform.machine()}, {os.cpu_count()} cores", "model": MODEL, "replicas": REPLICAS,
              "workload": workload, "affinity": {name: summary(both) for name, both in turns.items()}, "legs": legs}
    print(json.dumps(result["affinity"], indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
