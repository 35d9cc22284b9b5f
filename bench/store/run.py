#!/usr/bin/env python3
"""What the store costs: durable creates per second, and how soon a server with 100,000 resources is ready.

The database lies in a folder below the build folder, so on the disk that builds are on. `store_bench fill` makes 1,000 claims,
4,720 gateways, 93,000 deployments and 1,280 nodes, all of them converged; the deployments are disabled, because each replica of
another would be an engine to start on this one machine. Then `staithe serve --emulate` is started on it, over and over. From its exec:

  ready    the line that says where it serves
  answer   the first authenticated GET of a deployment
  quiet    from here on it uses next to no CPU: the control loop has read and looked at everything too

    bench/store/run.py [--staithe build/staithe] [--bench build/bench/store_bench] [--starts 7] [--out docs/benchmarks/store.json]
"""

import argparse
import http.client
import json
import os
import pathlib
import platform
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

PUBLIC_URL = "http://127.0.0.1:8080"
TICKS = os.sysconf("SC_CLK_TCK")
QUIET_FOR = 0.5
MIX = {"claims": 1_000, "gateways": 4_720, "deployments": 93_000, "nodes": 1_280}


def process_numbers(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    rss_kib = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
    return (int(fields[11]) + int(fields[12])) / TICKS, rss_kib / 1024


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", f"/v1alpha1/inference{path}", headers={"Authorization": "Bearer bench-token"})
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200, text[:500]
    return json.loads(text)


def start_once(binary, data, deployment_id):
    """Seconds until ready, answer and quiet, CPU seconds and MiB by then, and the id of a deployment to ask for next time."""
    log = open(data / "log", "ab")
    begun = time.monotonic()
    server = subprocess.Popen([binary, "serve", "--emulate", "--listen", "127.0.0.1:0", "--data", str(data), "--log-level", "warning",
                               "--public-url", PUBLIC_URL, "--bootstrap-token", "bench-token=cw1a2b:admin"],
                              stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        line = server.stdout.readline()
        ready = time.monotonic() - begun
        assert line.startswith("ready "), (data / "log").read_text()[-2000:]
        port = int(line.rsplit(":", 1)[1])
        answer = None
        if deployment_id:
            get(port, f"/deployments/{deployment_id}")
            answer = time.monotonic() - begun
        cpu, last_busy = 0.0, time.monotonic()
        while time.monotonic() - last_busy < QUIET_FOR:
            time.sleep(0.05)
            used, memory = process_numbers(server.pid)
            if used - cpu > 0.01:
                last_busy = time.monotonic()
            cpu = used
        if not deployment_id:
            deployment_id = get(port, "/deployments")["items"][0]["spec"]["id"]
        return {"ready_s": ready, "answer_s": answer, "quiet_s": last_busy - begun, "cpu_s": cpu, "memory_mib": memory}, deployment_id
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
        log.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--staithe", default="build/staithe")
    parser.add_argument("--bench", default="build/bench/store_bench")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()

    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-store-", dir=pathlib.Path(arguments.bench).resolve().parent))
    try:
        subprocess.run([arguments.bench, "commits", str(folder / "commits"), "--seconds", str(arguments.seconds),
                        "--out", str(folder / "commits.json")], check=True)
        results = {"machine": f"{platform.machine()}, {os.cpu_count()} cores",
                   "commits": json.loads((folder / "commits.json").read_text()), "mix": MIX}

        data = folder / "data"
        counts = [word for kind in ("claims", "gateways", "deployments") for word in (f"--{kind}", str(MIX[kind]))]
        subprocess.run([arguments.bench, "fill", str(data), *counts, "--public-url", PUBLIC_URL], check=True)
        results["database_mib"] = round((data / "staithe.db").stat().st_size / 2**20, 1)
        _, deployment_id = start_once(arguments.staithe, data, None)  # the first start makes what every installation has
        starts = [start_once(arguments.staithe, data, deployment_id)[0] for _ in range(arguments.starts)]
        results["starts"] = starts
        print(f"{sum(MIX.values()):,} resources, {results['database_mib']} MiB; {arguments.starts} starts:  median, best, worst")
        for key, unit in (("ready_s", "s"), ("answer_s", "s"), ("quiet_s", "s"), ("cpu_s", "s"), ("memory_mib", "MiB")):
            values = [start[key] for start in starts]
            results[key] = {"median": statistics.median(values), "best": min(values), "worst": max(values)}
            print(f"  {key.rsplit('_', 1)[0]:8} {statistics.median(values):10.3f} {min(values):10.3f} {max(values):10.3f} {unit}")
    finally:
        shutil.rmtree(folder)
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
