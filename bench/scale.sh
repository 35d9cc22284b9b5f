#!/bin/bash
# SLO attainment, replica-hours and changes of direction of our autoscaler beside HPA, Knative's KPA and KEDA, on traces.
# STAITHE_TRACES=DIR plays every .csv (Azure) and .jsonl (Mooncake) below DIR instead of those in bench/scale/traces.
set -euo pipefail
cmake --build build --target scale_sim -j "$(nproc)"
. tools/traces.sh
set_trace_arguments bench/scale/traces '*.csv' '*.jsonl'
exec build/bench/scale_sim "${traces[@]}" "$@"
