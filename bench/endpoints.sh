#!/bin/bash
# How soon requests go by a change of endpoints: 5,000 changes under load without a failed request, with 100 and 10,000 deployments.
set -euo pipefail
cmake --build build --target endpoint_bench -j "${STAITHE_JOBS:-$(nproc)}"
mkdir -p docs/benchmarks
for deployments in 100 10000; do
  build/bench/endpoint_bench --deployments $deployments --out docs/benchmarks/endpoints-$deployments.json "$@"
done
