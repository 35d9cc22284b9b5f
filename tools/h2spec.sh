#!/bin/bash
# h2spec, which holds a server to RFC 7540 and RFC 7541 frame by frame, against `staithe serve`: on cleartext with prior knowledge,
# then over TLS. Ends with how many of how many cases passed on each.
set -euo pipefail
. "$(dirname "$0")/common.sh"

# On cleartext our port speaks HTTP/1.1 as well. What is no HTTP/2 preface gets that version's answer to nonsense, 400 and the
# end of the connection (RFC 9112 section 2.2), which h2spec takes for broken frames. Over TLS the case has to pass.
cleartext_exception="Sends invalid connection preface"

h2spec=$("$root/tools/go_tool.sh" h2spec)
certificates=$(mktemp -d)
make_certificate "$certificates"
start_server --tls-cert "$certificates/cert.pem" --tls-key "$certificates/key.pem"
[ -n "$server_secure_url" ] || die "the server serves no https"

# check NAME PORT EXCEPTION FLAGS...
check() {
  local name=$1 port=$2 exception=$3 report=$server_folder/$1
  shift 3
  "$h2spec" --strict --timeout 2 --host 127.0.0.1 --port "$port" "$@" >"$report" 2>&1 || true
  local summary failed
  summary=$(tail -n 1 "$report")
  [[ $summary == *' tests, '*' failed' ]] || die "h2spec did not run on $name: $summary"
  # Below "Failures:" each failed case is told of again, as "× 2: What it does".
  failed=$(sed -n '/^Failures:/,$s/^ *× [0-9]*: //p' "$report")
  if [ -n "$exception" ]; then failed=$(grep -vxF "$exception" <<<"$failed" || true); fi
  if [ -n "$failed" ]; then
    sed -n '/^Failures:/,$p' "$report"
    result=1
  fi
  summaries+=("h2spec on $name: $summary${exception:+ (not meant to pass: $exception)}")
}

result=0 summaries=()
check cleartext "${server_url##*:}" "$cleartext_exception"
check TLS "${server_secure_url##*:}" "" --tls --insecure
rm -rf "$certificates"
printf '%s\n' "${summaries[@]}"
exit $result
