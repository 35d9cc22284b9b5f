#!/usr/bin/env python3
"""What hostile clients cost: the server's memory and a normal client's latency while it is attacked in ten ways.

    bench/abuse/run.py [--only NAME] [--out docs/benchmarks/abuse.json]

Fails when a normal call fails or is too late, or when the server grows beyond what an attack may cost.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import platform
import resource
import signal
import statistics
import subprocess
import tempfile
import time
import urllib.request

import attacks
import normal

TOKEN = "bench-token"
RATE = 200
P99_MS_MAX = 250
# Attackers, the normal client and the server share the processors: what they hold up among themselves is not the server's.
CONTEXT = multiprocessing.get_context("fork")


def certificate(folder):
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-keyout", key, "-out", cert], check=True, capture_output=True)
    return ["--tls-cert", str(cert), "--tls-key", str(key)]


class Server:
    def __init__(self, binary, folder):
        usage = subprocess.run([binary, "serve", "--help"], capture_output=True, text=True).stdout
        self.has_tls = "--tls-cert" in usage
        self.log = open(folder / "staithe.log", "w")
        self.process = subprocess.Popen(
            [binary, "serve", "--emulate", "--listen", "127.0.0.1:0", "--data", str(folder / "data"), "--bootstrap-token",
             f"{TOKEN}=cw1a2b:admin", *(certificate(folder) if self.has_tls else [])], stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            raise SystemExit(f"the server did not start: {(folder / 'staithe.log').read_text()}")
        self.port = int(line.split()[1].rsplit(":", 1)[1])

    def make_claim(self):
        body = {"name": "abused", "resources": {"instanceId": "gb200-4x", "instanceCount": 1, "zones": ["US-WEST-04A"],
                                                "capacityType": "CAPACITY_TYPE_MANAGED"}}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v1alpha1/inference/capacityclaims", json.dumps(body).encode(),
                                         {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)["capacityClaim"]["spec"]["id"]

    def resident_mib(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise SystemExit("the server is gone")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def summary(calls):
    latencies = sorted(calls["latencies"]) or [float("inf")]
    return {"calls": len(calls["latencies"]), "errors": len(calls["errors"]), "first_error": next(iter(calls["errors"]), None),
            "p50_ms": round(statistics.median(latencies) * 1000, 1),
            "p99_ms": round(latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)] * 1000, 1),
            "max_ms": round(latencies[-1] * 1000, 1)}


def measure(server, target, name):
    """Runs the normal client, and beside it the attack `name` unless that is None."""
    seconds = attacks.ATTACKS[name][1] if name else 10
    stop, answers, spoils = CONTEXT.Event(), CONTEXT.Queue(), CONTEXT.Queue()
    before = peak = server.resident_mib()
    client = CONTEXT.Process(target=normal.run, args=(target, RATE, stop, answers))
    attacker = CONTEXT.Process(target=attacks.run, args=(name, target, stop, spoils)) if name else None
    client.start()
    if attacker:
        attacker.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        peak = max(peak, server.resident_mib())
        time.sleep(0.05)
    stop.set()
    result = {"normal": {kind: summary(calls) for kind, calls in answers.get(timeout=30).items()}}
    if attacker:
        result |= {"attack": attacks.ATTACKS[name][0], **spoils.get(timeout=30)}
        attacker.join()
    client.join()
    time.sleep(2)
    result |= {"before_mib": round(before, 1), "peak_mib": round(peak, 1), "after_mib": round(server.resident_mib(), 1)}
    return result


def problems_of(name, result):
    found = []
    for kind, calls in result["normal"].items():
        if calls["errors"]:
            found.append(f"{calls['errors']} calls over {kind} failed ({calls['first_error']})")
        if calls["p99_ms"] > P99_MS_MAX:
            found.append(f"p99 over {kind} is {calls['p99_ms']} ms, above {P99_MS_MAX}")
    growth = result["peak_mib"] - result["before_mib"]
    if name and growth > attacks.ATTACKS[name][2]:
        found.append(f"the server grew by {growth:.0f} MiB, above {attacks.ATTACKS[name][2]}")
    return found


def row(name, result):
    calls = result["normal"]
    said = ", ".join(f"{count:,} {what}" for what, count in sorted(result.get("server", {}).items())) or "nothing"
    memory = " / ".join(str(result[when + "_mib"]) for when in ("before", "peak", "after"))
    cells = [name or "none", f"{result.get('connections', 0):,}", said if name else "", memory]
    cells += [f"{c['p50_ms']} / {c['p99_ms']} / {c['max_ms']}" for c in calls.values()]
    cells.append(str(sum(c["errors"] for c in calls.values())))
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--staithe", default="build/staithe")
    parser.add_argument("--only", action="append", choices=list(attacks.ATTACKS), help="this attack alone; may be repeated")
    parser.add_argument("--out", default="docs/benchmarks/abuse.json")
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < 12_000:
        raise SystemExit("10,000 connections need more descriptors than this shell may have: see ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    with tempfile.TemporaryDirectory() as folder:
        server = Server(args.staithe, pathlib.Path(folder))
        results, problems = {}, []
        try:
            target = {"port": server.port, "token": TOKEN, "path": "/v1alpha1/inference/capacityclaims/" + server.make_claim()}
            print("| attack | connections | what the server did | RSS before / peak / after, MiB | HTTP/1.1 p50 / p99 / max, ms "
                  "| HTTP/2 | new connections | failed calls |\n|---|---|---|---|---|---|---|---|", flush=True)
            for name in [None, *(args.only or attacks.ATTACKS)]:
                if name in attacks.NEED_TLS and not server.has_tls:
                    continue
                # Where handshakes are attacked, the normal client makes them, too.
                result = measure(server, {**target, "tls": name in attacks.NEED_TLS}, name)
                results[name or "none"] = result
                problems += [f"{name or 'no attack'}: {problem}" for problem in problems_of(name, result)]
                print(row(name, result), flush=True)
        finally:
            server.stop()
        if not args.only:
            pathlib.Path(args.out).parent.mkdir(parents=True, exist_ok=True)
            machine = {"cpus": os.cpu_count(), "kernel": platform.release()}
            pathlib.Path(args.out).write_text(json.dumps({"machine": machine, "attacks": results}, indent=1) + "\n")
    for problem in problems:
        print("FAILED: " + problem)
    if problems:
        raise SystemExit(1)
    print(f"{len(results) - 1} attacks: no call failed, p99 within {P99_MS_MAX} ms, memory within bounds")


if __name__ == "__main__":
    main()
