#!/bin/bash
# tools/golden.sh [--update]: replays the golden exchanges in tests/wire; --update rewrites the answers in the files.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$root"

./dev build
case ${1:-} in
'') exec build/tests/wire_golden_test ;;
--update)
  STAITHE_GOLDEN_UPDATE=1 build/tests/wire_golden_test
  git diff --stat -- tests/wire
  ;;
*) die "unknown argument '$1': --update or nothing" ;;
esac
