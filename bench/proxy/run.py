#!/usr/bin/env python3
"""The proxy floor: what one streamed chunk and one 1.5 KB request cost in Staithe's gateway and in nginx with buffering
off, in front of the same upstream process, in one run, interleaved (A B B A). CPU is the proxy's own user + system time.

    bench/proxy/run.py --staithe build/staithe --bench build/bench/proxy_bench [--out docs/benchmarks/proxy.json]
"""

import argparse
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
import urllib.error
import urllib.request

TOKEN = "bench-token"
TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid):
    """The process and its children: nginx does its work in one."""
    pids = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            pids.append(int(child))
    return pids


def cpu_seconds(pids):
    total = 0.0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def private_kib(pids):
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Private_Clean:", "Private_Dirty:")):
                total += int(line.split()[1])
    return total


def call(method, url, body=None):
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Authorization", f"Bearer {TOKEN}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


class Staithe:
    def __init__(self, args, work):
        config = work / "staithe.toml"
        config.write_text(
            f'[engines.bench]\nversions = ["1.0.0"]\ncommand = ["{args.bench}", "upstream", "--port", "{{port}}", "--model", "{{model_name}}"]\n'
            'health_path = "/health"\nneeds_weights = false\n')
        log = open(work / "staithe.log", "w")
        self.process = subprocess.Popen(
            [args.staithe, "serve", "--listen", "127.0.0.1:0", "--data", str(work / "data"), "--config", str(config),
             "--event-loops", "1", "--bootstrap-token", f"{TOKEN}=cw1a2b:admin"], stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()
        while line and not line.startswith("ready "):
            line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"staithe did not start: see {work}/staithe.log")
        self.base = line.split()[1]
        api = self.base + "/v1alpha1/inference"
        zone = call("GET", api + "/gateways/parameters")["zones"][0]
        types = call("GET", api + "/capacityclaims/parameters")["zoneInstanceTypes"][zone]["instanceIds"]
        gateway = call("POST", api + "/gateways", {"name": "bench", "zones": [zone], "coreWeaveAuth": {}, "bodyBasedRouting": {"apiType": "API_TYPE_OPENAI"}})["gateway"]
        deployment = call("POST", api + "/deployments", {
            "name": "bench", "gatewayIds": [gateway["spec"]["id"]], "runtime": {"engine": "bench", "version": "1.0.0"},
            "resources": {"instanceType": types[0], "gpuCount": 1}, "model": {"name": "bench", "bucket": "none", "path": "none"},
            "autoscaling": {"min": 1, "max": 1}, "traffic": {}})["deployment"]
        deadline = time.monotonic() + 30
        while call("GET", f"{api}/deployments/{deployment['spec']['id']}")["deployment"]["status"]["status"] != "STATUS_READY":
            if time.monotonic() > deadline:
                raise SystemExit("the bench deployment did not become ready")
            time.sleep(0.05)
        self.api = api
        self.deployment_id = deployment["spec"]["id"]
        self.target = self.base.removeprefix("http://")
        self.path = gateway["status"]["endpoints"][0].removeprefix(self.base) + "/v1/chat/completions"
        self.upstream_port = self.find_upstream()
        self.pids = [self.process.pid]

    def find_upstream(self):
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
                environment = (entry / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if "upstream" in words and self.deployment_id in environment:
                return int(words[words.index("--port") + 1])
        raise SystemExit("the upstream's process was not found")

    def stop(self):
        call("DELETE", f"{self.api}/deployments/{self.deployment_id}")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                call("GET", f"{self.api}/deployments/{self.deployment_id}")
            except urllib.error.HTTPError:
                break
            time.sleep(0.1)
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


class Nginx:
    def __init__(self, work, upstream_port):
        import socket
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        conf = work / "nginx.conf"
        conf.write_text(f"""daemon off; pid {work}/nginx.pid; worker_processes 1; error_log {work}/nginx.err;
events {{ worker_connections 8192; }}
http {{ access_log off; client_body_temp_path {work}/b; proxy_temp_path {work}/p; fastcgi_temp_path {work}/f; uwsgi_temp_path {work}/u; scgi_temp_path {work}/s;
  keepalive_requests 1000000;
  upstream up {{ server 127.0.0.1:{upstream_port}; keepalive 1024; keepalive_requests 1000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096; client_max_body_size 64m; client_body_buffer_size 64k;
    location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; proxy_read_timeout 600s; }} }} }}
""")
        self.process = subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(conf), "-p", str(work)])
        self.target = f"127.0.0.1:{port}"
        self.path = "/v1/chat/completions"
        deadline = time.monotonic() + 10
        while True:
            try:
                urllib.request.urlopen(f"http://{self.target}/health", timeout=1).read()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self.pids = tree(self.process.pid)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


def load(args, proxy, *options):
    before = cpu_seconds(proxy.pids)
    out = subprocess.run([args.bench, "load", "--target", proxy.target, "--path", proxy.path, "--token", TOKEN, *map(str, options)],
                         check=True, capture_output=True, text=True)
    result = json.loads(out.stdout)
    result["cpu"] = cpu_seconds(proxy.pids) - before
    if result["failed"]:
        raise SystemExit(f"{result['failed']} requests failed: {out.stderr[:400]}")
    return result


def idle_stream_bytes(args, proxy, count):
    load(args, proxy, "--connections", 64, "--requests", 256)
    before = private_kib(proxy.pids)
    holder = subprocess.Popen([args.bench, "hold", "--target", proxy.target, "--path", proxy.path, "--token", TOKEN,
                               "--connections", str(count), "--chunks", "1000", "--interval-ms", "600000"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    line = holder.stdout.readline()
    held = private_kib(proxy.pids)
    holder.communicate("\n")
    if line.strip() != f"holding {count}":
        raise SystemExit(f"could not hold {count} streams: {line}")
    return (held - before) * 1024 / count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--staithe", default="build/staithe")
    parser.add_argument("--bench", default="build/bench/proxy_bench")
    parser.add_argument("--streams", type=int, default=400)
    parser.add_argument("--chunks", type=int, default=100)
    parser.add_argument("--interval-ms", type=int, default=50)
    parser.add_argument("--requests", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out")
    args = parser.parse_args()
    args.staithe, args.bench = os.path.abspath(args.staithe), os.path.abspath(args.bench)
    work = pathlib.Path(tempfile.mkdtemp(prefix="proxy-bench-"))
    staithe = Staithe(args, work)
    nginx = Nginx(work, staithe.upstream_port)
    proxies = {"staithe": staithe, "nginx": nginx}
    idle = {name: private_kib(proxy.pids) for name, proxy in proxies.items()}
    figures = {name: {"chunk_us": [], "request_us": [], "first_byte_p99_us": [], "rps": []} for name in proxies}
    for _ in range(args.rounds):
        for name in ("staithe", "nginx", "nginx", "staithe"):
            streamed = load(args, proxies[name], "--connections", args.streams, "--requests", args.streams,
                            "--chunks", args.chunks, "--interval-ms", args.interval_ms)
            figures[name]["chunk_us"].append(streamed["cpu"] / streamed["chunks"] * 1e6)
            unary = load(args, proxies[name], "--connections", 32, "--requests", args.requests)
            figures[name]["request_us"].append(unary["cpu"] / unary["done"] * 1e6)
            figures[name]["first_byte_p99_us"].append(unary["first_byte_p99_us"])
            figures[name]["rps"].append(unary["done"] / unary["seconds"])
    result = {"what": {"streams": args.streams, "chunks_per_stream": args.chunks, "interval_ms": args.interval_ms,
                       "unary_requests": args.requests, "unary_connections": 32, "rounds": 2 * args.rounds},
              "machine": f"{os.cpu_count()} cores, {platform.release()}",
              "nginx": subprocess.run([shutil.which("nginx") or "/usr/sbin/nginx", "-v"], capture_output=True, text=True).stderr.strip()}
    for name, proxy in proxies.items():
        result[name] = {key: round(statistics.median(values), 2) for key, values in figures[name].items()}
        result[name]["idle_process_kib"] = idle[name]
        result[name]["idle_stream_bytes"] = round(idle_stream_bytes(args, proxy, 1000))
    for key in ("chunk_us", "request_us", "idle_stream_bytes"):
        result["ratio_" + key] = round(result["staithe"][key] / max(result["nginx"][key], 1e-9), 2)
    nginx.stop()
    staithe.stop()
    print(json.dumps(result, indent=1))
    if args.out:
        pathlib.Path(args.out).write_text(json.dumps(result, indent=1) + "\n")
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
