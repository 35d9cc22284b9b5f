#!/bin/bash
# Durable creates per second for 1 and 256 clients, and how soon a server with 100,000 resources is ready.
set -euo pipefail
cmake --build build --target store_bench -j "${STAITHE_JOBS:-$(nproc)}"
mkdir -p docs/benchmarks
exec python3 bench/store/run.py --staithe build/staithe --bench build/bench/store_bench --out docs/benchmarks/store.json "$@"
