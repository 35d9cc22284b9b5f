#!/bin/bash
# SLO attainment, replica-hours and changes of direction of our autoscaler beside HPA, Knative's KPA and KEDA, on traces.
# STAITHE_TRACES=DIR plays every .csv (Azure) and .jsonl (Mooncake) below DIR instead of those in bench/scale/traces.
set -euo pipefail
cmake --build build --target scale_sim -j "$(nproc)"
traces=()
while read -r trace; do traces+=(--trace "$trace"); done < <(
  if [ -n "${STAITHE_TRACES:-}" ]; then
    find "$STAITHE_TRACES" -name '*.csv' -o -name '*.jsonl' | sort
  else
    find bench/scale/traces -name '*.txt.gz' | sort
  fi
)
[ ${#traces[@]} -gt 0 ] || { echo "no traces in ${STAITHE_TRACES:-bench/scale/traces}" >&2; exit 1; }
exec build/bench/scale_sim "${traces[@]}" "$@"
