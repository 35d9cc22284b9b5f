#!/bin/bash
# From a clone to a streamed answer of a real model: builds, starts the server, makes a gateway and a deployment over the REST API,
# waits, asks, and leaves everything running. `--stop` ends what an earlier run left.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$root"

state=$root/build/demo
port=${STAITHE_DEMO_PORT:-8080}
base=http://127.0.0.1:$port
api=$base/v1alpha1/inference
model=smollm2-135m-instruct
started=$SECONDS

call() { # call METHOD PATH [BODY]
  curl -sS --fail-with-body -X "$1" -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
    ${3:+--data "$3"} "$api$2"
}

# The value at a path of members and indexes in the JSON on standard input; nothing if it is not there.
field() {
  python3 -c '
import json, sys
value = json.load(sys.stdin)
for key in sys.argv[1:]:
    try: value = value[int(key) if isinstance(value, list) else key]
    except (KeyError, IndexError): sys.exit()
print(value)' "$@"
}

# The id of the resource NAME in the list at PATH.
find_id() {
  call GET "$1" | python3 -c '
import json, sys
for item in json.load(sys.stdin)["items"]:
    if item["spec"]["name"] == sys.argv[1]: print(item["spec"]["id"])' "$2"
}

is_running() { [ -s "$state/pid" ] && kill -0 "$(cat "$state/pid")" 2>/dev/null && curl -sf "$base/readyz" >/dev/null; }

stop() {
  if ! is_running; then
    say "the demo is not running"
    return
  fi
  token=$(cat "$state/data/admin-token")
  local id
  id=$(find_id /deployments demo)
  if [ -n "$id" ]; then
    call DELETE "/deployments/$id" >/dev/null
    for _ in $(seq 100); do
      call GET "/deployments/$id" >/dev/null 2>&1 || break
      sleep 0.1
    done
  fi
  kill "$(cat "$state/pid")"
  rm -f "$state/pid"
  say "stopped the demo"
}

if [ "${1:-}" = --stop ]; then
  stop
  exit
fi
[ $# = 0 ] || die "unknown argument '$1': --stop or nothing"

./dev build RelWithDebInfo staithe
llama_server=$(tools/llama_server.sh)
buckets=$(tools/models.sh)

if ! is_running; then
  mkdir -p "$state"
  say "starting the server on $base"
  setsid nohup build/staithe serve --listen "127.0.0.1:$port" --data "$state/data" --weights-root "$buckets" \
    --engine-search-path "$(dirname "$llama_server"):$PATH" >"$state/out" 2>"$state/log" </dev/null &
  echo $! >"$state/pid"
  for _ in $(seq 100); do
    grep -q '^ready ' "$state/out" && break
    kill -0 "$(cat "$state/pid")" 2>/dev/null || { tail -n 5 "$state/log" >&2; die "the server did not start"; }
    sleep 0.1
  done
fi
token=$(cat "$state/data/admin-token")

gateway=$(find_id /gateways demo)
if [ -z "$gateway" ]; then
  say "creating a gateway: POST /v1alpha1/inference/gateways"
  gateway=$(call POST /gateways '{"name":"demo","coreWeaveAuth":{},"bodyBasedRouting":{"apiType":"API_TYPE_OPENAI"}}' | field gateway spec id)
fi
endpoint=$(call GET "/gateways/$gateway" | field gateway status endpoints 0)

deployment=$(find_id /deployments demo)
if [ -z "$deployment" ]; then
  say "creating a deployment: POST /v1alpha1/inference/deployments"
  instance_type=$(call GET "/deployments/parameters?gatewayIds=$gateway" | field resourceParameters instanceTypes 0)
  deployment=$(call POST /deployments '{"name":"demo","gatewayIds":["'"$gateway"'"],
    "runtime":{"engine":"llama.cpp","version":"1.0.0","engineConfig":{"ctx-size":"4096"}},
    "resources":{"instanceType":"'"$instance_type"'","gpuCount":1},
    "model":{"name":"'$model'","bucket":"models","path":"'$model'"},
    "autoscaling":{"min":1,"max":1},"traffic":{}}' | field deployment spec id)
fi

say "waiting for the model to load"
for _ in $(seq 600); do
  answer=$(call GET "/deployments/$deployment")
  status=$(field deployment status status <<<"$answer")
  [ "$status" = STATUS_READY ] && break
  case $status in STATUS_ERROR | STATUS_FAILED) echo "$answer" >&2; die "the deployment is $status; the server's log is $state/log" ;; esac
  sleep 0.1
done
[ "$status" = STATUS_READY ] || die "the deployment is still $status"

question='{"model":"'$model'","messages":[{"role":"user","content":"What is a quay? Answer in one sentence."}],"stream":true,"max_tokens":60,"temperature":0}'
say "asking the model: What is a quay?"
curl -sSN --fail-with-body "$endpoint/v1/chat/completions" -H "Authorization: Bearer $token" -H 'Content-Type: application/json' -d "$question" |
  python3 -uc '
import json, sys
text = ""
for line in sys.stdin:
    if not line.startswith("data: ") or line.startswith("data: [DONE]"): continue
    event = json.loads(line[6:])
    if "error" in event: sys.exit("the stream broke: " + event["error"]["message"])
    for choice in event["choices"]:
        piece = choice["delta"].get("content") or ""
        text += piece
        print(piece, end="", flush=True)
print()
if not text: sys.exit("the model said nothing")'

cat <<TEXT

That took $((SECONDS - started)) s. The server stays up; ./dev demo --stop ends it. Again, with curl:

  curl -N $endpoint/v1/chat/completions \\
    -H "Authorization: Bearer \$(cat $state/data/admin-token)" -H 'Content-Type: application/json' \\
    -d '{"model":"$model","messages":[{"role":"user","content":"Hello"}],"stream":true}'

or with the OpenAI SDK:

  from openai import OpenAI
  client = OpenAI(base_url="$endpoint/v1", api_key=open("$state/data/admin-token").read().strip())
  for chunk in client.chat.completions.create(model="$model", stream=True,
                                              messages=[{"role": "user", "content": "Hello"}]):
      print(chunk.choices[0].delta.content or "", end="")
TEXT
