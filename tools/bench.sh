#!/bin/bash
# tools/bench.sh [NAME...]: runs bench/NAME.sh or bench/NAME.py; without a name, lists them.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$root"

if [ $# = 0 ]; then
  find bench -maxdepth 1 -name '*.sh' -o -maxdepth 1 -name '*.py' | sort | while read -r script; do
    echo "$(basename "${script%.*}"): $(sed -n '2,3s/^[#" ]*//p' "$script" | grep -m 1 .)"
  done
  exit
fi
./dev build
for name in "$@"; do
  if [ -e "bench/$name.sh" ]; then
    bash "bench/$name.sh"
  elif [ -e "bench/$name.py" ]; then
    python3 "bench/$name.py"
  else
    die "there is no bench '$name'; ./dev bench lists them"
  fi
done
