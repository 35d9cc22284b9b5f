#!/bin/bash
# The server's memory and a normal client's latency under slow-loris, HTTP/2 floods and half-open handshakes.
set -euo pipefail
exec python3 bench/abuse/run.py --staithe build/staithe --out docs/benchmarks/abuse.json "$@"
