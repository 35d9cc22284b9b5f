#!/bin/bash
# Four real llama-servers behind one gateway: how much of the prompts they have cached, and first tokens, with prefix affinity and without.
set -euo pipefail
exec python3 bench/prefix_cache/run.py --llama-server "$(tools/llama_server.sh)" --buckets "$(tools/models.sh)" \
  --out docs/benchmarks/prefix_cache.json "$@"
