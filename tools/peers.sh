#!/bin/bash
# Installs the peers of tools/peers.txt from PyPI into the cache (about 1 GB) and prints the folder that holds one environment of each.
# One that cannot be installed is named and left out.
set -euo pipefail
. "$(dirname "$0")/common.sh"

install_peer() {
  local package=$1 folder=$2
  if [ "$(cat "$folder/complete" 2>/dev/null)" = "$package" ]; then return; fi
  say "installing $package into $folder"
  rm -rf "$folder"
  python3 -m venv "$folder"
  run_quietly "$cache/peers/pip.log" "$folder/bin/pip" install --disable-pip-version-check "$package"
  echo "$package" >"$folder/complete"
}

install_peers() {
  local package name
  while read -r package; do
    case $package in '' | '#'*) continue ;; esac
    name=${package%%[=[]*}
    (install_peer "$package" "$cache/peers/$name") || say "$package could not be installed and is left out"
  done <"$root/tools/peers.txt"
}

locked peers install_peers >&2
echo "$cache/peers"
