#!/bin/bash
# CPU and writes of 10,000 converged deployments at rest, how soon a change shows, and how many statuses each change writes.
set -euo pipefail
cmake --build build --target control_bench -j "${STAITHE_JOBS:-$(nproc)}"
mkdir -p docs/benchmarks
folder=$(mktemp -d -p build bench-control-XXXXXX)
trap 'rm -rf "$folder"' EXIT
build/bench/control_bench "$folder" --out docs/benchmarks/control.json "$@"
