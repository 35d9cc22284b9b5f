#!/bin/bash
# Requests per second within the SLO of a simulated fleet under our choice of replicas and six others, on traces.
# STAITHE_TRACES=DIR plays every .csv (Azure) and .jsonl (Mooncake) below DIR instead of those in the tree.
set -euo pipefail
cmake --build build --target route_sim -j "$(nproc)"
. tools/traces.sh
set_trace_arguments bench/route_sim/traces '*.csv' '*_trace.jsonl'
build/bench/route_sim --cost "${traces[@]}" "$@"
[ -n "${STAITHE_TRACES:-}" ] || build/bench/route_sim --trace bench/scale/traces/azure-conv.txt.gz --trace bench/scale/traces/azure-code.txt.gz "$@"
exec build/bench/route_sim --unique "${traces[@]}" "$@"
