#!/usr/bin/env bash
# What a machine without a GPU downloads: of CUDA only the libraries that libtorch_cpu loads, and under 800 MB in all.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
site=$(compgen -G "$root/.venv/lib/python3*/site-packages")
failures=0

# expect WHAT COMMAND…
expect() {
  local what=$1
  shift
  if "$@"; then echo "ok: $what"; else echo "FAILED: $what"; failures=$((failures + 1)); fi
}

# pins LIST: name==version, one a line.
pins() { sed 's/[[:space:]]*#.*//; /^$/d' "$root/scripts/lib/$1"; }

# as_file PIN: how the names of its wheel and of its .dist-info folder begin.
as_file() { local name=${1%%==*}; echo "${name//-/_}-${1##*==}"; }

# holds_any RECORD LIBRARY…: whether a wheel's list of files has one of the libraries.
holds_any() {
  local record=$1 library
  shift
  for library; do ! grep -qs "/$library," "$record" || return 0; done
  return 1
}

mapfile -t needed < <(readelf -d "$site/torch/lib/libtorch_cpu.so" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
for pin in $(pins requirements.txt | grep '^nvidia-'); do
  expect "libtorch_cpu loads a library of $pin" holds_any "$site/$(as_file "$pin").dist-info/RECORD" "${needed[@]}"
done

no_gpu() { [[ ! -e /dev/nvidiactl ]] && ! nvidia-smi -L &>/dev/null; }
only_listed() {
  local folder
  for folder in "$site"/nvidia_*.dist-info; do
    folder=${folder##*/}
    grep -qx "${folder%.dist-info}" < <(for pin in $(pins requirements.txt); do as_file "$pin"; done) ||
      { echo "  ${folder%.dist-info} is installed"; return 1; }
  done
}
if no_gpu; then
  expect 'no other wheel of NVIDIA is installed' only_listed
else
  echo 'skipped: this machine has a GPU, so the libraries of requirements-cuda.txt are installed, too'
fi

# megabytes PIN: the size of its wheel as pip said when it was fetched (scripts/lib/setup.sh keeps those lines).
megabytes() {
  sed -n "s|.*\b$(as_file "$1")-.*\.whl (\([0-9.]*\) \([kMG]\)B).*|\1 \2|p" "$root/.venv/downloads.txt" 2>/dev/null |
    awk 'END { if (NR) print $1 * ($2 == "k" ? 0.001 : $2 == "G" ? 1000 : 1) }'
}
total=0 unknown=()
for pin in $(pins requirements.txt); do
  size=$(megabytes "$pin")
  [[ -n $size ]] || unknown+=("$pin")
  total=$(awk "BEGIN { printf \"%.1f\", $total + ${size:-0} }")
done
if ((${#unknown[@]})); then
  echo "skipped: pip did not say how large ${unknown[*]} is (taken from a folder, or fetched by another checkout)"
else
  expect "the wheels were $total MB to download, less than 800" awk "BEGIN { exit !($total < 800) }"
fi
((failures == 0)) || { echo "$failures failed"; exit 1; }
