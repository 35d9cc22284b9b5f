#!/bin/bash
# tools/fuzz.sh [NAME|all [SECONDS]]: runs fuzz targets from build-fuzz/ on the corpus fuzz/corpus/NAME. What a run finds
# new is kept in build-fuzz/corpus/NAME, a crash in build-fuzz/crashes/.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$root"

list_targets() { ninja -C build-fuzz -t targets all 2>/dev/null | sed -n 's/^\(fuzz_[a-z0-9_]*\): phony$/\1/p' | sort -u; }

mapfile -t targets < <(list_targets)
if [ $# = 0 ]; then
  printf '%s\n' "${targets[@]#fuzz_}"
  exit
fi
seconds=${2:-60}
if [ "$1" != all ]; then
  [[ " ${targets[*]} " == *" fuzz_${1#fuzz_} "* ]] || die "there is no fuzz target '$1'; ./dev fuzz lists them"
  targets=("fuzz_${1#fuzz_}")
fi
[ ${#targets[@]} -gt 0 ] || die "fuzz/ has no targets"

say "building ${targets[*]}"
cmake --build build-fuzz -j "$jobs" --target "${targets[@]}" >&2
mkdir -p build-fuzz/crashes
for target in "${targets[@]}"; do
  name=${target#fuzz_}
  corpora=("build-fuzz/corpus/$name")
  mkdir -p "${corpora[0]}"
  [ ! -d "fuzz/corpus/$name" ] || corpora+=("fuzz/corpus/$name")
  program=$(find build-fuzz -type f -name "$target" -perm -u+x | head -n 1)
  say "fuzzing $name for $seconds s"
  run_quietly "build-fuzz/$name.log" "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -artifact_prefix="build-fuzz/crashes/$name-" -print_final_stats=1 "${corpora[@]}"
  grep -E '^stat::number_of_executed_units' "build-fuzz/$name.log" | sed "s/^/$name /"
done
