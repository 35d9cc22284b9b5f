#!/usr/bin/env python3
"""Thousands of streams for minutes, while replicas are killed, added and drained and clients hang up at random.

Every stream is held against the text it must bring: whole with [DONE], or cut short by an error event and nothing after it.
At the end nothing may be left: no request in flight by the gateway's count, none at an engine, no memory that only grows.

    tests/soak/soak.py --staithe build/staithe [--seconds 600] [--streams 2000] [--seed 1]
"""

import argparse
import asyncio
import collections
import json
import os
import pathlib
import random
import re
import signal
import sys
import tempfile
import time

import httpx

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import conftest  # noqa: E402

CONFIG = """
[[nodes]]
zone = "US-LOCAL-01A"
instance_type = "cpu-1x"
gpus = 1
count = 16
"""
PROMPTS = 16
TOKENS_MAX = 200
INTER_TOKEN_MS = 200
AUTH = "Authorization: Bearer admin-token\r\n"


def body_of(prompt, tokens, stream=True):
    words = f"You are a clerk at quay {prompt}. " * 40
    return json.dumps({"model": "soak", "stream": stream, "max_tokens": tokens,
                       "messages": [{"role": "system", "content": words}, {"role": "user", "content": "Go on."}]}).encode()


def request_of(path, body, port):
    return (f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{AUTH}Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def texts_of(payload):
    """What the events of a body say, and whether the last of them is [DONE] or an error."""
    texts, end = [], None
    for event in payload.split(b"\n\n"):
        if not event:
            continue
        if end is not None:
            return texts, "events after the end"
        if not event.startswith(b"data: "):
            return texts, f"not an event: {event[:80]!r}"
        if event == b"data: [DONE]":
            end = "done"
            continue
        value = json.loads(event[len(b"data: "):])
        if "error" in value:
            end = "error"
            continue
        for choice in value["choices"]:
            if choice["delta"].get("content"):
                texts.append(choice["delta"]["content"])
    return texts, end


def dechunk(data):
    """The payload of a chunked body and whether its framing is whole, ended, or broken."""
    out, at = [], 0
    while True:
        line_end = data.find(b"\r\n", at)
        if line_end < 0:
            return b"".join(out), "open"
        size = int(data[at:line_end], 16)
        begin = line_end + 2
        if size == 0:
            return b"".join(out), "ended" if data[begin:] == b"\r\n" else "broken"
        if len(data) < begin + size + 2:
            return b"".join(out) + data[begin:begin + size], "open"
        if data[begin + size:begin + size + 2] != b"\r\n":
            return b"".join(out), "broken"
        out.append(data[begin:begin + size])
        at = begin + size + 2


class Soak:
    def __init__(self, options, server, path, deployments, expected):
        self.options, self.server, self.path, self.deployments, self.expected = options, server, path, deployments, expected
        self.random = random.Random(options.seed)
        self.outcomes = collections.Counter()
        self.corrupted = []
        self.open = 0
        self.tokens = 0
        self.is_over = False
        self.rss = []

    async def client(self):
        while not self.is_over:
            prompt = self.random.randrange(PROMPTS)
            tokens = self.random.randint(10, TOKENS_MAX)
            leaves_after = self.random.uniform(0, tokens * INTER_TOKEN_MS / 1000) if self.random.random() < 0.15 else None
            try:
                outcome = await self.stream(prompt, tokens, leaves_after)
            except (OSError, asyncio.IncompleteReadError) as problem:
                outcome = f"connection: {type(problem).__name__}"
            self.outcomes[outcome] += 1
            if outcome not in ("whole", "left"):
                await asyncio.sleep(self.random.uniform(0.1, 0.5))

    async def stream(self, prompt, tokens, leaves_after):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        self.open += 1
        try:
            writer.write(request_of(self.path, body_of(prompt, tokens), self.server.port))
            status, data = await asyncio.wait_for(self.read(reader), leaves_after)
        except asyncio.TimeoutError:
            return "left"
        finally:
            self.open -= 1
            writer.close()
        if status != 200:
            return f"refused {status}"
        return self.judge(prompt, tokens, data)

    async def read(self, reader):
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        data = bytearray()
        while chunk := await reader.read(65536):
            data += chunk
            if data.endswith(b"0\r\n\r\n") or status != 200:
                break
        return status, bytes(data)

    def judge(self, prompt, tokens, data):
        payload, framing = dechunk(data)
        texts, end = texts_of(payload)
        self.tokens += len(texts)
        if texts != self.expected[prompt][:len(texts)]:
            return self.corrupt("another text", data)
        if framing == "ended" and end == "done":
            return "whole" if len(texts) == tokens else self.corrupt(f"{len(texts)} of {tokens} tokens and [DONE]", data)
        if framing == "ended" and end == "error":
            return "broken off with an error event"
        return self.corrupt(f"framing {framing}, end {end}", data)

    def corrupt(self, what, data):
        self.corrupted.append(what)
        print(f"CORRUPTED: {what}: ...{data[-300:]!r}", flush=True)
        return "corrupted"

    async def disturb(self):
        """Kills an engine, or changes how many replicas there are, every few seconds."""
        loop = asyncio.get_running_loop()
        while not self.is_over:
            await asyncio.sleep(self.random.uniform(2, 6))
            deployment = self.random.choice(self.deployments)
            if self.random.random() < 0.4:
                engines = self.server.engines()
                if len(engines) > 2:
                    os.kill(self.random.choice(engines)[0], signal.SIGKILL)
                    self.outcomes["engines killed"] += 1
            else:
                await loop.run_in_executor(None, self.scale, deployment, self.random.randint(2, 7))
                self.outcomes["scalings"] += 1

    def scale(self, deployment, count):
        current = self.server.get("deployments", deployment)["spec"]
        changed = {**current, "autoscaling": {**current["autoscaling"], "min": count, "max": count}}
        with self.server.client() as api:
            answer = api.patch(f"/deployments/{deployment}", json=changed)
        assert answer.status_code == 200, answer.text

    async def watch(self):
        begun = time.monotonic()
        while not self.is_over:
            rss = resident_kib(self.server.process.pid)
            self.rss.append((time.monotonic() - begun, rss))
            print(f"{self.rss[-1][0]:6.0f} s  {self.open:5d} open  {rss / 1024:6.1f} MiB  {len(self.server.engines()):2d} engines  "
                  f"{dict(self.outcomes)}", flush=True)
            await asyncio.sleep(15)

    async def run(self):
        clients = [asyncio.create_task(self.client()) for _ in range(self.options.streams)]
        others = [asyncio.create_task(self.disturb()), asyncio.create_task(self.watch())]
        await asyncio.sleep(self.options.seconds)
        self.is_over = True
        await asyncio.gather(*clients)
        for other in others:
            other.cancel()


def resident_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))


def metric_sum(text, name):
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(rf"{name}[ {{]", line))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--staithe", default=conftest.BINARY)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    conftest.BINARY = str(pathlib.Path(options.staithe).resolve())
    folder = pathlib.Path(tempfile.mkdtemp(prefix="staithe-soak-"))
    (folder / "staithe.toml").write_text(CONFIG)
    server = conftest.Server(folder / "data", "--config", str(folder / "staithe.toml"), "--replica-drain-timeout", "120000",
                             "--log-level", "warning", emulate=False)
    server.start()
    try:
        return soak(options, server)
    finally:
        server.kill()
        for pid, _, _ in server.engines():
            os.kill(pid, signal.SIGKILL)


def soak(options, server):
    gateway = server.create_gateway()
    gateway_id = gateway["spec"]["id"]
    runtime = {"engine": "simulated", "version": "1.0.0",
               "engineConfig": {"itl-ms": str(INTER_TOKEN_MS), "itl-jitter-ms": "50", "max-num-seqs": "2000"}}
    deployments = [server.create_deployment(gateway_id, name=name, runtime=runtime,
                                            resources={"instanceType": "cpu-1x", "gpuCount": 1},
                                            model={"name": "soak", "bucket": "models", "path": "soak"},
                                            autoscaling={"min": 4, "max": 4, "concurrency": 1000})["spec"]["id"]
                   for name in ("first", "second")]
    for deployment in deployments:
        server.wait_ready("deployments", deployment, 60)
    path = f"/gateways/{gateway_id}/v1/chat/completions"

    async def expect():
        async def one(prompt):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(request_of(path, body_of(prompt, TOKENS_MAX), server.port))
            await reader.readuntil(b"\r\n\r\n")
            data = bytearray()
            while not data.endswith(b"0\r\n\r\n"):
                data += await reader.read(65536)
            writer.close()
            texts, end = texts_of(dechunk(bytes(data))[0])
            assert end == "done" and len(texts) == TOKENS_MAX, (end, len(texts))
            return texts
        return await asyncio.gather(*(one(prompt) for prompt in range(PROMPTS)))

    expected = asyncio.run(expect())
    state = Soak(options, server, path, deployments, expected)
    asyncio.run(state.run())

    faults = [f"{len(state.corrupted)} corrupted streams"] if state.corrupted else []
    metrics = httpx.get(server.url + "/metrics", timeout=10).text
    in_flight = metric_sum(metrics, "staithe_gateway_in_flight_requests")
    if in_flight:
        faults.append(f"{in_flight:.0f} requests are still counted as in flight")
    busy = 0
    for _, _, port in server.engines():
        busy += metric_sum(httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text, "vllm:num_requests_running")
    if busy:
        faults.append(f"engines still work on {busy:.0f} requests")
    # The first third fills pools, tables and the allocator's arenas.
    early = [rss for at, rss in state.rss if options.seconds / 6 <= at <= options.seconds / 3]
    late = [rss for at, rss in state.rss if at >= options.seconds * 2 / 3]
    growth = (sum(late) / len(late) - sum(early) / len(early)) / 1024 if early and late else 0.0
    if growth > 4:
        faults.append(f"memory grew by {growth:.1f} MiB")
    print(f"{options.seconds} s, {options.streams} streams at a time, {state.tokens} tokens checked: {dict(state.outcomes)}")
    print(f"memory: {max(rss for _, rss in state.rss) / 1024:.1f} MiB at most, {growth:+.1f} MiB from the second sixth to the last third; "
          f"in flight at the end: {in_flight:.0f}; running at {len(server.engines())} engines: {busy:.0f}")
    print("soak: " + ("; ".join(faults) if faults else "clean"))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
