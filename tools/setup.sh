#!/bin/bash
# Installs what building and testing need: Debian packages, a Python environment, the Node packages of the tests.
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

# The environment's name carries the hash of the list it was made from, so a changed list makes a new one.
make_python() {
  local python=$1
  if [ -e "$python/complete" ]; then return; fi
  say "making the Python environment of the tests in $python"
  rm -rf "$python"
  python3 -m venv "$python"
  run_quietly "$cache/pip.log" "$python/bin/pip" install --disable-pip-version-check -r "$root/tools/requirements.txt"
  touch "$python/complete"
}

make_node_modules() {
  local folder=$root/tests/clients/connect-node
  if [ ! -e "$folder/package-lock.json" ]; then return; fi
  local want
  want=$(sha256sum <"$folder/package-lock.json")
  if [ "$(cat "$folder/node_modules/.complete" 2>/dev/null)" = "$want" ]; then return; fi
  say "installing the Node packages of the Connect client"
  (cd "$folder" && run_quietly "$cache/npm.log" npm ci --no-audit --no-fund)
  echo "$want" >"$folder/node_modules/.complete"
}

install_packages "$root/tools/packages.txt"
case ${1:-} in
fuzz) install_packages "$root/tools/packages-fuzz.txt" ;;
clients)
  locked python make_python "$(test_python_folder)"
  make_node_modules
  ;;
'') ;;
*) die "unknown kind of setup '$1': fuzz, clients or nothing" ;;
esac
