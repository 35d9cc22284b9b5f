#!/bin/bash
# Prints where a program written in Go is, after building it if it is not there yet: connectconformance, grpcurl, h2spec.
set -euo pipefail
. "$(dirname "$0")/common.sh"

conformance=connectrpc.com/conformance/cmd/connectconformance@v1.0.7
grpcurl=github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4

# Built as its authors released it, in a folder named after the version.
install_package() {
  local package=$1
  local folder=$cache/go/${package##*/}
  if [ ! -x "$folder/$program" ]; then
    say "building ${package##*/} (a few minutes at first)"
    GOBIN=$folder run_quietly "$cache/go-$program.log" go install -p "$jobs" "$package"
  fi
  echo "$folder/$program"
}

# For an author who pins no dependencies, we do: tools/NAME/go.mod names the program and go.sum all that it is made of.
build_module() {
  local folder
  folder=$cache/go/$program-$(cat "$root/tools/$program"/go.{mod,sum} | sha256sum | cut -c 1-12)
  if [ ! -x "$folder/$program" ]; then
    say "building $program"
    run_quietly "$cache/go-$program.log" go build -C "$root/tools/$program" -p "$jobs" -o "$folder/$program" "$1"
  fi
  echo "$folder/$program"
}

need_go
program=${1:-}
case $program in
connectconformance) locked "go-$program" install_package "$conformance" ;;
grpcurl) locked "go-$program" install_package "$grpcurl" ;;
h2spec) locked "go-$program" build_module github.com/summerwind/h2spec/cmd/h2spec ;;
*) die "unknown program '$program': connectconformance, grpcurl or h2spec" ;;
esac
