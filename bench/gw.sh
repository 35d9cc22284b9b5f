#!/bin/bash
# The gateway beside the proxies and routers people run today: CPU per streamed chunk and per request, first bytes, memory.
set -euo pipefail
tools/setup.sh bench
cmake --build build --target gw_bench -j "${STAITHE_JOBS:-$(nproc)}"
peers=$(tools/peers.sh)
# Two runs of some minutes, with Staithe and nginx in both.
python3 bench/gw/run.py --peers "$peers" --only staithe,staithe-plain,nginx,haproxy,envoy --out docs/benchmarks/gw-proxies.json "$@"
python3 bench/gw/run.py --peers "$peers" --only staithe,nginx,smg,sglang-router,vllm-router,litellm --out docs/benchmarks/gw-routers.json "$@"
