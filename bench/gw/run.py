#!/usr/bin/env python3
"""The data plane of Staithe and of the proxies and routers people run today, in front of one upstream process, in one run. Each figure is
taken from all peers one after another, forwards and backwards (A B C C B A). Peers have one core alike, load and upstream another. CPU is
the user and system time of all processes of the peer. Every byte of every answer is checked, except of peers that write answers anew.

    bench/gw/run.py --peers FOLDER [--only staithe,nginx,…] [--out docs/benchmarks/gw.json]
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import resource
import shutil
import statistics
import subprocess
import tempfile

from peers import OTHERS, TOKEN, Staithe
from processes import cpu_seconds, memory_kib
from table import markdown

ALL_FEATURES = 'access_log = true'
FEW_FEATURES = 'access_log = false\nprefix_affinity = false\nengine_metrics_interval = 0'


class Bench:
    def __init__(self, program, core, upstream_target, rounds):
        self.program, self.core, self.rounds = program, core, rounds
        self.upstream_target = upstream_target

    def load(self, kind, target, path, rewrites, *options):
        command = ["taskset", "-c", self.core, self.program, kind, "--target", target, "--path", path, "--token", TOKEN, *options]
        return [*map(str, command), *(["--rewritten"] if rewrites else [])]

    def run(self, peer, *options):
        """Loads the peer, or the upstream itself if it is None, and adds the CPU time this took the peer."""
        target, path, rewrites = (peer.target, peer.path, peer.rewrites) if peer else (self.upstream_target, "/v1/chat/completions", False)
        before = cpu_seconds(peer.pids) if peer else 0
        done = subprocess.run(self.load("load", target, path, rewrites, *options), capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"the load generator failed: {done.stderr[:400]}")
        result = json.loads(done.stdout)
        result["cpu"] = cpu_seconds(peer.pids) - before if peer else 0
        if result["failed"]:
            name = peer.name if peer else "upstream"
            print(f"{name}: {result['failed']} of {result['done'] + result['failed']} requests failed: {done.stderr[:200]}", flush=True)
            if name.startswith(("staithe", "upstream")):
                raise SystemExit(1)
            peer.failed += result["failed"]
        return result

    def in_turns(self, peers, measure):
        """The medians of what `measure` says of each peer."""
        figures = {peer.name: [] for peer in peers}
        for _ in range(self.rounds):
            for peer in [*peers, *reversed(peers)]:
                figures[peer.name].append(measure(peer))
        return {name: {key: round(statistics.median(one[key] for one in several), 2) for key in several[0]}
                for name, several in figures.items()}

    def streams(self, peer, count):
        """Long streams of a chunk every 50 ms. Slow peers get fewer, and longer pauses, so that they keep up."""
        streams, interval_ms = (count, 50) if peer.effort == 1 else (count // 8, 200)
        done = self.run(peer, "--connections", streams, "--requests", streams, "--chunks", 100, "--interval-ms", interval_ms)
        result = {"chunk_us": done["cpu"] / done["chunks"] * 1e6, "busy": done["cpu"] / done["seconds"], "streams": streams}
        if not peer.rewrites:  # else the chunks do not say when they were sent
            result |= {"delay_p50_us": done["chunk_p50_us"], "delay_p99_us": done["chunk_p99_us"]}
        return result

    def requests(self, peer, count, connections, prompt_bytes=1200):
        done = self.run(peer, "--connections", connections, "--requests", int(count * peer.effort), "--prompt-bytes", prompt_bytes)
        return {"request_us": done["cpu"] / done["done"] * 1e6, "per_cpu_second": done["done"] / max(done["cpu"], 0.01),
                "per_second": done["done"] / done["seconds"], "busy": done["cpu"] / done["seconds"]}

    def first_bytes(self, peer, rate):
        """At a rate that leaves the cores idle half of the time; the upstream alone right before."""
        rate = round(rate)
        options = ["--rate", rate, "--requests", max(2 * rate, 100)]
        direct, done = self.run(None, *options), self.run(peer, *options)
        result = {"rate": rate}
        for percentile in ("p50", "p99"):
            key = f"first_byte_{percentile}_us"
            result[f"{percentile}_us"], result[f"direct_{percentile}_us"] = done[key], direct[key]
            result[f"added_{percentile}_us"] = done[key] - direct[key]
        return result

    def open_stream_bytes(self, peer, count):
        """What one of `count` streams takes that wait for their next chunk beside half as many. To be asked before a peer has had many at
        once: what it keeps of those would be used again and not be seen."""
        with self.held(peer, count // 2):
            before, _ = memory_kib(peer.pids)
            with self.held(peer, count):
                held, _ = memory_kib(peer.pids)
        return (held - before) * 1024 / count

    @contextlib.contextmanager
    def held(self, peer, count):
        command = self.load("hold", peer.target, peer.path, peer.rewrites, "--connections", count, "--chunks", 1000, "--interval-ms", 600000)
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = holder.stdout.readline()
        if line.strip() != f"holding {count}":
            raise SystemExit(f"{peer.name} does not hold {count} streams: {line}")
        yield
        holder.communicate("\n")


def measure(bench, peers, arguments):
    figures = {peer.name: {"version": peer.version} for peer in peers}
    for peer in peers:
        private, resident = memory_kib(peer.pids)
        figures[peer.name] |= {"idle_private_kib": private, "idle_resident_kib": resident,
                               "open_stream_bytes": round(bench.open_stream_bytes(peer, 1000 if peer.effort == 1 else 100))}
    fast = [peer for peer in peers if peer.effort == 1]

    def add(key, of_peers, one):
        for name, figure in bench.in_turns(of_peers, one).items():
            figures[name][key] = figure
        print(key, json.dumps({name: figure.get(key) for name, figure in figures.items()}), flush=True)

    add("requests", peers, lambda peer: bench.requests(peer, arguments.requests, 32))
    # One rate for those that can do it. Load and upstream share a core, which takes twice that one by one.
    half = {name: min(6000, figure["requests"]["per_second"] / 2) for name, figure in figures.items()}
    add("half_load", peers, lambda peer: bench.first_bytes(peer, half[peer.name]))
    add("streams_400", peers, lambda peer: bench.streams(peer, 400))
    add("streams_1000", fast, lambda peer: bench.streams(peer, 1000))
    add("prompts_220k", peers, lambda peer: bench.requests(peer, arguments.requests // 10, 16, 220_000))
    for peer in peers:
        figures[peer.name]["failed"] = peer.failed
    return figures


def start_peers(arguments, work, proxy_core, load_core, started):
    """Staithe twice, and the other peers in front of the first one's upstream, whose port is answered beside names of what is missing."""
    for name, lines, routing in (("staithe", ALL_FEATURES, {"bodyBasedRouting": {"apiType": "API_TYPE_OPENAI"}}),
                                 ("staithe-plain", FEW_FEATURES, {"pathBasedRouting": {}})):
        if name not in arguments.only:
            continue
        staithe = Staithe(name, arguments.staithe, arguments.bench, work, proxy_core, load_core, lines)
        started.append(staithe)
        staithe.deploy(routing)
    upstream_port = started[0].upstream_port()
    missing = []
    for name, start in OTHERS.items():
        if name not in arguments.only:
            continue
        try:
            started.append(start(work, proxy_core, upstream_port, arguments.peers))
        except (OSError, StopIteration) as error:
            missing.append(name)
            print(f"{name} is left out, it is not installed: {error}")
    for peer in started:
        peer.wait_ready()
    return upstream_port, missing


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--staithe", type=os.path.abspath, default="build/staithe")
    parser.add_argument("--bench", type=os.path.abspath, default="build/bench/gw_bench")
    parser.add_argument("--peers", type=pathlib.Path, required=True, help="the folder that tools/peers.sh prints")
    parser.add_argument("--only", type=lambda text: text.split(","), default=["staithe", "staithe-plain", *OTHERS],
                        help="names separated by commas; staithe has to be among them")
    parser.add_argument("--requests", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("this bench needs two cores")
    load_core, proxy_core = cores[0], cores[-1]

    work = pathlib.Path(tempfile.mkdtemp(prefix="gw-bench-"))
    peers = []
    try:
        upstream_port, missing = start_peers(arguments, work, proxy_core, load_core, peers)
        load_before = os.getloadavg()
        figures = measure(Bench(arguments.bench, load_core, f"127.0.0.1:{upstream_port}", arguments.rounds), peers, arguments)
    finally:
        for peer in reversed(peers):
            peer.stop()
    result = {"machine": f"{processor()}, {os.cpu_count()} cores, {platform.release()}", "load_before": load_before,
              "passes": 2 * arguments.rounds, "requests": arguments.requests, "not_installed": missing, "peers": figures}
    print(markdown(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
