#!/bin/bash
# tools/fuzz.sh [NAME|all [SECONDS]]: runs fuzz targets from build-fuzz/ on the corpus fuzz/corpus/NAME, as many at a time
# as there are jobs. What a run finds new is kept in build-fuzz/corpus/NAME, a crash in build-fuzz/crashes/. With
# STAITHE_FUZZ_SEED it goes the same way every time.
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
[[ $seconds =~ ^[1-9][0-9]*$ ]] || die "the time must be a whole number of seconds, not '$seconds'"
if [ "$1" != all ]; then
  [[ " ${targets[*]} " == *" fuzz_${1#fuzz_} "* ]] || die "there is no fuzz target '$1'; ./dev fuzz lists them"
  targets=("fuzz_${1#fuzz_}")
fi
[ ${#targets[@]} -gt 0 ] || die "fuzz/ has no targets"

say "building ${targets[*]}"
cmake --build build-fuzz -j "$jobs" --target "${targets[@]}" >&2
mkdir -p build-fuzz/crashes build-fuzz/logs

# fuzz_one TARGET: becomes the target; its log is all it writes, and its exit code says whether it found something.
fuzz_one() {
  local name=${1#fuzz_} corpora
  corpora=("build-fuzz/corpus/$name")
  mkdir -p "${corpora[0]}"
  [ ! -d "fuzz/corpus/$name" ] || corpora+=("fuzz/corpus/$name")
  exec "build-fuzz/fuzz/$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -seed="${STAITHE_FUZZ_SEED:-0}" -artifact_prefix="build-fuzz/crashes/$name-" "${corpora[@]}" </dev/null >"build-fuzz/logs/$name.log" 2>&1
}

executions_of() { sed -n 's/^stat::number_of_executed_units: *//p' "build-fuzz/logs/$1.log" | tail -n 1; }

say "fuzzing for $seconds s each, $jobs at a time: about $(((${#targets[@]} + jobs - 1) / jobs * seconds)) s in all"
declare -A started=()
failed=()
executions=0
trap 'kill "${!started[@]}" 2>/dev/null; exit 130' INT TERM
# Waits for one of those that run, and says how it went.
reap() {
  local pid code=0 name count
  wait -n -p pid "${!started[@]}" || code=$?
  name=${started[$pid]}
  unset "started[$pid]"
  count=$(executions_of "$name")
  executions=$((executions + ${count:-0}))
  if [ $code = 0 ] && [ -n "$count" ]; then
    say "$name: $count executions"
  else
    failed+=("$name")
    tail -n 40 "build-fuzz/logs/$name.log" >&2
    say "$name: a FINDING (exit code $code); its input is build-fuzz/crashes/$name-*, its log build-fuzz/logs/$name.log"
  fi
}
for target in "${targets[@]}"; do
  [ ${#started[@]} -lt "$jobs" ] || reap
  fuzz_one "$target" &
  started[$!]=${target#fuzz_}
done
while [ ${#started[@]} -gt 0 ]; do reap; done

if [ ${#failed[@]} -gt 0 ]; then
  die "${#targets[@]} targets, $executions executions, ${#failed[@]} with a finding: ${failed[*]}"
fi
if [ ${#targets[@]} = 1 ]; then what=target; else what=targets; fi
echo "${#targets[@]} $what, $executions executions, no finding"
