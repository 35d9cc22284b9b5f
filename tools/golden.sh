#!/bin/bash
# tools/golden.sh [FILTER...]: builds and replays the golden exchanges in tests/wire; FILTER is one of GoogleTest's flags.
# Answers are written by hand from the contract, so there is no way to take them over from the server.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$root"

./dev build
exec build/tests/wire_golden_test "$@"
