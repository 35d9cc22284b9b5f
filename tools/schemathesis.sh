#!/bin/bash
# Schemathesis against `staithe serve`: schemathesis.sh [SECONDS [ARGUMENTS...]]. It draws requests from our OpenAPI document, good
# and bad ones, and sequences of them, and holds every answer against the document: no 5xx, no status, media type, header or body
# that is not in it, nothing answered without a token.
set -euo pipefail
. "$(dirname "$0")/common.sh"

seconds=${1:-300}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || die "the first argument is a number of seconds, not '$seconds'"
[ $# = 0 ] || shift

start_server
authorization='Authorization: Bearer admin-token'
for n in 1 2; do # those that tests/schemathesis/schemathesis.toml names
  curl -sS --fail-with-body -o "$server_folder/answer" -H "$authorization" -H 'Content-Type: application/json' \
    "$server_url/v1alpha1/inference/gateways" --data "{\"id\": \"0b0b0b0b-0000-4000-8000-00000000000$n\",
      \"name\": \"gateway-$n\", \"coreWeaveAuth\": {}, \"bodyBasedRouting\": {\"apiType\": \"API_TYPE_OPENAI\"}}" ||
    die "no gateway could be made: $(cat "$server_folder/answer")"
done

cd "$server_folder" # where it leaves what it remembers
# Three checks ask for more than the API promises. The document has the form of requests, the rules about their values are the
# services', so that not all it allows is accepted (positive_data_acceptance). JSON may be spelled in more ways than it lists, null
# for what is absent for one (negative_data_rejection). What is deleted may be looked at until it is gone (use_after_free).
checks_left_out=positive_data_acceptance,negative_data_rejection,use_after_free
code=0
SCHEMATHESIS_HOOKS=hooks PYTHONPATH=$root/tests/schemathesis PYTHONDONTWRITEBYTECODE=1 \
  "$(schemathesis_python_folder)/bin/schemathesis" --config-file "$root/tests/schemathesis/schemathesis.toml" run "$server_url/openapi.json" \
  --header "$authorization" --max-time "$seconds" --checks all \
  --exclude-checks $checks_left_out --continue-on-failure "$@" || code=$?

# What the server counted, so that a run that met only refusals shows.
echo "accepted of each method:"
curl -sS "$server_url/metrics" | sed -n 's/^staithe_api_requests_total{method="\(.*\)",dialect="rest",code="OK"} / \1 /p' | tr '\n' ';'
echo
exit $code
