#!/bin/bash
# The Connect project's conformance suite against our transport code: conformance.sh SERVER_PROGRAM [TEST_NAME_PATTERN...].
# The suite starts the program once per protocol, HTTP version and TLS, and speaks to it as its own reference client does.
# Its last line is ours: how many of how many cases passed. There is no list of known failures.
set -euo pipefail
. "$(dirname "$0")/common.sh"

server=${1:?usage: conformance.sh SERVER_PROGRAM [TEST_NAME_PATTERN...]}
shift
[ -x "$server" ] || die "$server is not there: ./dev conformance builds it"
suite=$("$root/tools/go_tool.sh" connectconformance)
report=$(mktemp)
trap 'rm -f "$report"' EXIT

patterns=()
for pattern in "$@"; do patterns+=(--run "$pattern"); done
code=0
"$suite" --mode server --conf "$root/tests/conformance/suite.yaml" "${patterns[@]}" -- "$server" >"$report" 2>&1 || code=$?

# The suite closes with "Total cases: N" and "P passed, F failed", and tells of each failure before.
total=$(sed -n 's/^Total cases: \([0-9]*\).*/\1/p' "$report" | tail -n 1)
passed=$(sed -n 's/^\([0-9]*\) passed, [0-9]* failed.*/\1/p' "$report" | tail -n 1)
if [ "$code" != 0 ] || [ -z "$total" ] || [ "$total" = 0 ] || [ "$passed" != "$total" ]; then
  head -c 12000 "$report"
  echo "conformance: ${passed:-0} of ${total:-unknown} cases passed"
  exit 1
fi
echo "conformance: $passed of $total cases passed"
