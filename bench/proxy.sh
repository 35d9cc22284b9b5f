#!/bin/bash
# CPU per streamed chunk and per request, and memory per stream, of the gateway beside nginx with buffering off.
set -euo pipefail
cmake --build build --target proxy_bench -j "$(nproc)"
mkdir -p docs/benchmarks
exec python3 bench/proxy/run.py --staithe build/staithe --bench build/bench/proxy_bench --out docs/benchmarks/proxy.json "$@"
