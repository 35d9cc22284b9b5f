#!/bin/bash
# Schemathesis against `staithe serve`: schemathesis.sh [SECONDS [ARGUMENTS...]]. It draws requests from our OpenAPI document, good
# and bad ones, and sequences of them, and holds every answer against the document: no 5xx, no status, media type, header or body
# that is not in it, nothing accepted that it forbids.
set -euo pipefail
. "$(dirname "$0")/common.sh"

seconds=${1:-300}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || die "the first argument is a number of seconds, not '$seconds'"
[ $# = 0 ] || shift

start_server
cd "$server_folder" # where it leaves what it remembers
# The document has the form of requests; the rules about their values are the services', so that not all it allows is accepted.
"$(schemathesis_python_folder)/bin/schemathesis" run "$server_url/openapi.json" --header 'Authorization: Bearer admin-token' \
  --max-time "$seconds" --checks all --exclude-checks positive_data_acceptance --continue-on-failure "$@"
