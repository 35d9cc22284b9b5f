# Sourced by benches that play traces.

# set_trace_arguments FOLDER PATTERN...: sets `traces` to a --trace for every trace in FOLDER, or for every file below
# STAITHE_TRACES that fits one of the patterns.
set_trace_arguments() {
  local folder=${STAITHE_TRACES:-$1} trace patterns=() found
  shift
  [ -n "${STAITHE_TRACES:-}" ] || set -- '*.txt.gz'
  for found in "$@"; do patterns+=(-o -name "$found"); done
  traces=()
  while read -r trace; do traces+=(--trace "$trace"); done < <(find "$folder" "${patterns[@]:1}" | sort)
  [ ${#traces[@]} -gt 0 ] || { echo "no traces in $folder" >&2; exit 1; }
}
