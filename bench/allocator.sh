#!/bin/bash
# How fast capacity is given out: 1,200 nodes, 8,000 live; decisions per second, median and tail on one core.
set -euo pipefail
cmake --build build --target allocator_bench -j "$(nproc)"
exec build/bench/allocator_bench
