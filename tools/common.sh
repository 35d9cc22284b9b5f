# Shared by ./dev and the scripts in tools/: where things are, how we speak, how we install. Sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/staithe
jobs=${STAITHE_JOBS:-$(nproc)}

if [ -t 2 ]; then bold=$'\e[1m' red=$'\e[31m' plain=$'\e[0m'; else bold='' red='' plain=''; fi

# Everything meant for people goes to stderr, so that a script's stdout stays an answer.
say() { echo "${bold}==>${plain} $*" >&2; }
die() {
  echo "${red}error:${plain} $*" >&2
  exit 1
}

# run_quietly LOG COMMAND...: a line of progress every ten seconds, the end of LOG if the command fails.
run_quietly() {
  local log=$1 start=$SECONDS pid next_report=10
  shift
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    if [ $((SECONDS - start)) -ge $next_report ]; then
      next_report=$((next_report + 10))
      echo "    $((SECONDS - start)) s: $(tail -c 300 "$log" | tr '\r' '\n' | grep -v '^ *$' | tail -n 1 | cut -c 1-110)" >&2
    fi
  done
  wait "$pid" || {
    tail -n 30 "$log" >&2
    die "'$*' failed; all of its output is in $log"
  }
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "need root to run '$*': run as root, install sudo, or run it yourself"
  fi
}

# locked NAME COMMAND...: one at a time on this machine, so that two builds do not write one cache entry.
locked() {
  local name=$1
  shift
  mkdir -p "$cache/locks"
  (
    flock 9
    "$@"
  ) 9>"$cache/locks/$name"
}

# The Python environment of the tests; tools/setup.sh makes it.
test_python_folder() { echo "$cache/python-$(sha256sum <"$root/tools/requirements.txt" | cut -c 1-12)"; }
