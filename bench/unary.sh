#!/bin/bash
# CPU per GetCapacityClaim over gRPC and over Connect, beside gRPC's own C++ server saying hello.
set -euo pipefail
tools/setup.sh bench
cmake build >/dev/null  # finds what was just installed
cmake --build build --target hello_server -j "$(nproc)"
exec python3 bench/unary/run.py --out docs/benchmarks/unary.json "$@"
