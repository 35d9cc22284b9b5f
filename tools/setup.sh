#!/bin/bash
# Installs what building and testing need: Debian packages, a Python environment, the Node and Go packages of the tests.
# Looks first and does only what is missing, so that running it again costs nothing.
set -euo pipefail
. "$(dirname "$0")/common.sh"

# install_packages FILE: asks apt only for what is not there.
install_packages() {
  local package command missing=()
  while read -r package command; do
    case $package in '' | '#'*) continue ;; esac
    if [ -n "$command" ] && command -v "$command" >/dev/null; then continue; fi
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done <"$1"
  if [ ${#missing[@]} = 0 ]; then return; fi

  command -v apt-get >/dev/null ||
    die "these packages are missing and apt-get is not here to install them: ${missing[*]}"
  say "installing ${#missing[@]} Debian packages (a few minutes on a bare machine): ${missing[*]}"
  run_quietly "$cache/apt.log" as_root apt-get update
  run_quietly "$cache/apt.log" as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    "${missing[@]}"
}

# make_python LIST: the environment of a list of packages in tools/.
make_python() {
  local list=$1 python
  python=$(python_folder "$list")
  if [ -e "$python/complete" ]; then return; fi
  say "making the Python environment of tools/$list in $python"
  rm -rf "$python"
  python3 -m venv "$python"
  run_quietly "$cache/pip.log" "$python/bin/pip" install --disable-pip-version-check -r "$root/tools/$list"
  touch "$python/complete"
}

# make_node_modules CLIENT: the packages of tests/clients/CLIENT.
make_node_modules() {
  local folder=$root/tests/clients/$1 want
  want=$(sha256sum <"$folder/package-lock.json")
  if [ "$(cat "$folder/node_modules/.complete" 2>/dev/null)" = "$want" ]; then return; fi
  say "installing the Node packages of $1"
  (cd "$folder" && run_quietly "$cache/npm.log" npm ci --no-audit --no-fund)
  echo "$want" >"$folder/node_modules/.complete"
}

# The modules of the Go clients, so that their test needs no network, and grpcurl.
make_go_clients() {
  local folder=$root/tests/clients/go
  local mark=$cache/go/modules-$(sha256sum <"$folder/go.sum" | cut -c 1-12)
  need_go
  if [ ! -e "$mark" ]; then
    say "downloading the modules of the Go clients"
    run_quietly "$cache/go-modules.log" go -C "$folder" mod download
    mkdir -p "$cache/go"
    touch "$mark"
  fi
  "$root/tools/go_tool.sh" grpcurl >/dev/null
}

install_packages "$root/tools/packages.txt"
case ${1:-} in
fuzz) install_packages "$root/tools/packages-fuzz.txt" ;;
bench) install_packages "$root/tools/packages-bench.txt" ;;
clients)
  locked python make_python requirements.txt
  make_node_modules connect-node
  make_node_modules grpc-js
  make_go_clients
  ;;
python) locked python make_python requirements.txt ;;
schemathesis) locked python make_python requirements-schemathesis.txt ;;
'') ;;
*) die "unknown kind of setup '$1': bench, clients, fuzz, python, schemathesis or nothing" ;;
esac
