#!/bin/bash
# Requests per second within the SLO of a simulated fleet under our choice of replicas and six others, on traces.
# STAITHE_TRACES=DIR plays every .csv (Azure) and .jsonl (Mooncake) below DIR instead of those in the tree.
set -euo pipefail
cmake --build build --target route_sim -j "$(nproc)"
traces=()
while read -r trace; do traces+=(--trace "$trace"); done < <(
  if [ -n "${STAITHE_TRACES:-}" ]; then
    find "$STAITHE_TRACES" -name '*.csv' -o -name '*_trace.jsonl' | sort
  else
    find bench/route_sim/traces -name '*.txt.gz' | sort
  fi
)
[ ${#traces[@]} -gt 0 ] || { echo "no traces in ${STAITHE_TRACES:-bench/route_sim/traces}" >&2; exit 1; }
build/bench/route_sim --cost "${traces[@]}" "$@"
[ -n "${STAITHE_TRACES:-}" ] || build/bench/route_sim --trace bench/scale/traces/azure-conv.txt.gz --trace bench/scale/traces/azure-code.txt.gz "$@"
exec build/bench/route_sim --unique "${traces[@]}" "$@"
