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

# failures REPORT: a line per failed case.
failures() {
  python3 - "$1" <<'PYTHON'
import sys, xml.etree.ElementTree
for case in xml.etree.ElementTree.parse(sys.argv[1]).getroot().iter("testcase"):
    if case.find("failure") is not None or case.find("error") is not None:
        print(f"{case.get('package')} {case.get('classname')}")
PYTHON
}

# check NAME PORT EXCEPTION FLAGS...
check() {
  local name=$1 port=$2 exception=$3 report=$server_folder/$1
  shift 3
  "$h2spec" --strict --timeout 2 --host 127.0.0.1 --port "$port" --junit-report "$report.xml" "$@" >"$report.txt" 2>&1 || true
  local summary failed
  summary=$(tail -n 1 "$report.txt")
  [ -s "$report.xml" ] || die "h2spec did not run on $name: $summary"
  failed=$(failures "$report.xml")
  if [ -n "$exception" ]; then failed=$(grep -vF "$exception" <<<"$failed" || true); fi
  if [ -n "$failed" ]; then
    sed -n '/^Failures:/,$p' "$report.txt"
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
