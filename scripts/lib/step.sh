# shellcheck shell=bash
# Steps: one line each, the whole output in build/logs, and on failure the line that helps. Sourced, not run.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

say() { printf '[ivory] %s\n' "$*" >&2; }

# shell_line WORD…: the words as a line that can be pasted into a shell.
shell_line() {
  local line
  printf -v line ' %q' "$@"
  printf '%s' "${line:1}"
}

# ticker TITLE LOG: shows that TITLE is alive, on a terminal every second, elsewhere every minute.
ticker() {
  local seconds=0 last columns
  columns=$(tput cols 2>/dev/null || echo 80)
  while kill -0 $$; do
    last="$1 … $seconds s  $(tail -n 1 "$2" | tr -cd '[:print:]')"
    if [[ -t 2 ]]; then
      printf '\r\033[K[ivory] %s' "${last:0:columns-9}" >&2
    elif ((seconds % 60 == 59)); then
      say "$last"
    fi
    sleep 1 &>/dev/null
    seconds=$((seconds + 1))
  done
}

# attempt TITLE COMMAND…: runs it, says how long it took, returns its status. Silent when ninja had nothing to do.
attempt() {
  local title=$1 log status=0 alive begin=${EPOCHREALTIME/[.,]/}
  shift
  log=$(tr -cs '[:alnum:]\n' - <<<"$title")
  log=$root/build/logs/${log%-}.log
  mkdir -p "${log%/*}"
  : >"$log"
  ticker "$title" "$log" 9>&- &
  alive=$!
  "$@" </dev/null &>"$log" || status=$?
  kill "$alive" || true
  wait "$alive" 2>/dev/null || true
  [[ ! -t 2 ]] || printf '\r\033[K' >&2

  local tenths=$(((${EPOCHREALTIME/[.,]/} - begin) / 100000))
  local took="$((tenths / 10)).$((tenths % 10)) s"
  if ((status)); then
    say "$title … failed after $took, see $log:"
    tail -n 20 "$log" | sed 's/^/    /' >&2
  elif [[ $(tail -n 1 "$log") != 'ninja: no work to do.' ]]; then
    say "$title … $took"
  fi
  return "$status"
}

# step TITLE ADVICE LINE COMMAND…: an attempt that ends the script when it fails, saying what to do: ADVICE, then LINE.
step() {
  local title=$1 advice=$2 line=$3
  shift 3
  attempt "$title" "$@" && return
  say "$advice"
  printf '    %s\n' "$line" >&2
  exit 1
}
