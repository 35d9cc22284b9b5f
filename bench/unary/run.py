#!/usr/bin/env python3
"""What one unary call costs: GetCapacityClaim over gRPC (HTTP/2) and Connect (HTTP/1.1), beside gRPC's C++ saying hello.

Every server runs on one core and the load generator (h2load) on the other, in turns (A B C C B A), so that a machine that
slows down slows all alike. CPU is the server process's own user + system time, divided by the calls that were answered.
Staithe authenticates each call and reads the claim from its store; the other servers do nothing but greet.

    bench/unary/run.py [--build build] [--seconds 6] [--rounds 2] [--out docs/benchmarks/unary.json]
"""

import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOKEN = "bench-token"
TICKS = os.sysconf("SC_CLK_TCK")
SERVICE = "/coreweave.inference.v1alpha1.CapacityClaimService/GetCapacityClaim"
SERVER_CORE, LOAD_CORE = "0", "1"


def envelope(message):
    return b"\0" + struct.pack(">I", len(message)) + message


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def spawn(command):
    return subprocess.Popen(["taskset", "-c", SERVER_CORE, *command], stdout=subprocess.PIPE, text=True)


class Staithe:
    def __init__(self, binary, folder):
        self.process = spawn([str(binary), "serve", "--emulate", "--listen", "127.0.0.1:0", "--data", str(folder / "data"),
                              "--bootstrap-token", f"{TOKEN}=cw1a2b:admin", "--event-loops", "1", "--log-level", "warning"])
        self.url = self.process.stdout.readline().split()[1]
        body = {"name": "bench", "resources": {"instanceId": "gb200-4x", "instanceCount": 1, "capacityType": "CAPACITY_TYPE_MANAGED",
                                                "zones": ["US-EAST-02A"]}}
        request = urllib.request.Request(f"{self.url}/v1alpha1/inference/capacityclaims", method="POST",
                                         data=json.dumps(body).encode(),
                                         headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            self.claim_id = json.loads(answer.read())["capacityClaim"]["spec"]["id"].encode()

    def message(self):
        return b"\x0a" + bytes([len(self.claim_id)]) + self.claim_id


class Hello:
    def __init__(self, binary, api):
        self.process = spawn([str(binary), api])
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"


class Case:
    """One way to call one server."""

    def __init__(self, name, server, path, body, headers, flags, folder):
        self.name, self.server, self.headers, self.flags = name, server, headers, flags
        self.url = server.url + path
        self.body = folder / (name.replace(" ", "_") + ".bin")
        self.body.write_bytes(body)
        self.rounds = []

    def run(self, seconds):
        command = ["taskset", "-c", LOAD_CORE, "h2load", "-c", "16", "-t", "1", "--warm-up-time", "1", "-D", str(seconds),
                   "-d", str(self.body), *self.flags]
        for header in self.headers:
            command += ["-H", header]
        # h2load counts from the end of its warm-up on; so do we, by CPU per second of the whole run.
        before = cpu_seconds(self.server.process.pid)
        out = subprocess.run([*command, self.url], capture_output=True, text=True, check=True).stdout
        spent = cpu_seconds(self.server.process.pid) - before
        rate = float(re.search(r"finished in .*?, ([\d.]+) req/s", out).group(1))
        codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", out)
        if int(codes.group(1)) == 0 or any(int(codes.group(i)) for i in (2, 3, 4)):
            sys.exit(f"{self.name}: not every call was answered: {codes.group(0)}")
        latency = re.search(r"time for request:\s+\S+\s+(\S+)\s+(\S+)", out)
        self.rounds.append({"calls_per_s": rate, "cpu_us": spent / (rate * (seconds + 1)) * 1e6, "mean": latency.group(2)})

    def result(self):
        return {"cpu_us_per_call": statistics.median(r["cpu_us"] for r in self.rounds),
                "calls_per_s": statistics.median(r["calls_per_s"] for r in self.rounds), "rounds": self.rounds}


def check_one(case, grpc):
    """One call by hand, so that nothing but right answers is measured."""
    command = ["curl", "-s", "--http2-prior-knowledge" if grpc else "--http1.1", "--data-binary", f"@{case.body}", "-D", "-", case.url]
    for header in case.headers:
        command += ["-H", header]
    out = subprocess.run(command, capture_output=True, check=True).stdout
    if grpc and b"grpc-status: 0" not in out or not grpc and b" 200 " not in out.split(b"\r\n")[0]:
        sys.exit(f"{case.name}: a wrong answer: {out[:500]!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    hello_binary = options.build / "bench" / "hello_server"
    folder = pathlib.Path(tempfile.mkdtemp(prefix="unary-bench-"))
    servers = []
    try:
        staithe = Staithe(options.build / "staithe", folder)
        servers.append(staithe)
        hellos = {api: Hello(hello_binary, api) for api in ("callback", "async")}
        servers += hellos.values()
        grpc_headers = ["content-type: application/grpc", "te: trailers"]
        auth = f"authorization: Bearer {TOKEN}"
        grpc_flags = ["-m", "16"]
        cases = [Case("staithe gRPC", staithe, SERVICE, envelope(staithe.message()), [*grpc_headers, auth], grpc_flags, folder),
                 Case("staithe Connect", staithe, SERVICE, staithe.message(), ["content-type: application/proto", auth],
                      ["--h1"], folder)]
        for api, hello in hellos.items():
            cases.append(Case(f"grpc++ {api}", hello, "/staithe.bench.Greeter/SayHello", envelope(b"\x0a\x05bench"), grpc_headers,
                              grpc_flags, folder))
        for case in cases:
            check_one(case, case.name != "staithe Connect")
        for number in range(options.rounds):
            for case in (cases if number % 2 == 0 else reversed(cases)):
                case.run(options.seconds)
    finally:
        for server in servers:
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
        shutil.rmtree(folder, ignore_errors=True)

    results = {case.name: case.result() for case in cases}
    least = min(results[f"grpc++ {api}"]["cpu_us_per_call"] for api in hellos)
    print(f"{'':18} {'CPU per call':>13} {'calls/s':>10} {'of grpc++':>10}")
    for name, result in results.items():
        print(f"{name:18} {result['cpu_us_per_call']:10.1f} us {result['calls_per_s']:10.0f} {result['cpu_us_per_call'] / least:10.2f}")
    if options.out:
        report = {"machine": platform.processor() or platform.machine(), "kernel": platform.release(), "results": results}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
