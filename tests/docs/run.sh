#!/usr/bin/env bash
# Runs every command of the docs: the ```sh blocks of a file make one script, run in a scratch folder that looks like the
# checkout. README's first block (set up, quickstart, all tests) is what .ci/run and the quickstart's own test do. Smoke
# runs of tables are planned only: tests/run/smoke_tables.py runs them.
set -euo pipefail
source_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export HOME=$scratch/home XDG_CACHE_HOME=$scratch/home/.cache IVORY_CACHE=$scratch/caches OMP_NUM_THREADS=1
mkdir -p "$HOME"
failures=0

# blocks FILE SKIP: the lines of its sh blocks after the first SKIP of them.
blocks() {
  awk -v skip="$2" '/^ *```sh$/ { if (++count > skip) inside = 1; next } /^ *```$/ { inside = 0 } inside' "$1" |
    sed '/--dry-run/!s,^scripts/run-experiment --smoke experiments/table,scripts/run-experiment --dry-run --smoke experiments/table,'
}

# check FILE SKIP
check() {
  local name=${1//\//-} status=0
  local checkout=$scratch/$name
  mkdir "$checkout"
  ln -s "$source_root"/{scripts,experiments,docs,build,.venv,CMakePresets.json} "$checkout"
  blocks "$source_root/$1" "$2" >"$scratch/$name.sh"
  [[ -s $scratch/$name.sh ]] || { echo "skipped: $1 has no commands"; return; }
  (cd "$checkout" && bash -euxo pipefail "$scratch/$name.sh") >"$scratch/$name.log" 2>&1 || status=$?
  if ((status)); then
    failures=$((failures + 1))
    echo "FAILED: $1 (exit code $status)"
    tail -n 25 "$scratch/$name.log"
  else
    echo "ok: $1"
  fi
}

check README.md 1
for file in "$source_root"/docs/*.md; do
  [[ $file == */benchmarks.md ]] || check "docs/${file##*/}" 0 # its commands take an idle machine and an hour
done
((failures == 0)) || { echo "$failures failed"; exit 1; }
