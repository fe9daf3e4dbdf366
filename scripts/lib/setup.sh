# shellcheck shell=bash
# All that a fresh Debian 12 machine needs before Ivory runs; what is there already is left alone. Sourced, not run.
# shellcheck source=step.sh
source "$(dirname "${BASH_SOURCE[0]}")/step.sh"
preset=${IVORY_PRESET:-release}
build=$root/build/$preset
venv=$root/.venv
export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
export CCACHE_BASEDIR=${CCACHE_BASEDIR-$root} CCACHE_PCH_EXTSUM=1 # build folders and checkouts share objects

# entries FILE…: a list's lines without comments.
entries() { sed 's/[[:space:]]*#.*//; /^$/d' "$@"; }

# setup_debian LIST…: installs the packages that are missing.
setup_debian() {
  local installed missing line as_root=()
  command -v dpkg-query >/dev/null || return 0 # another distribution: configuring says what is missing
  # shellcheck disable=SC2016 # dpkg-query's own placeholders; it fails when a package is unknown
  installed=$(entries "$@" | xargs dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null || true)
  installed=$(sed -n 's/^installed //p' <<<"$installed")
  mapfile -t missing < <(entries "$@" | grep -vxF "$installed")
  ((${#missing[@]})) || return 0

  line="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
  if ((EUID)); then
    as_root=(sudo -n)
    [[ ! -t 2 ]] || ! command -v sudo >/dev/null || sudo -v || true # asks for the password before the step begins
  fi
  step 'setup: Debian packages' 'This needs root and the network; as root, run this line, then start again:' "$line" \
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive sh -c "$line"
}

has_gpu() { [[ -e /dev/nvidiactl ]] || nvidia-smi -L &>/dev/null; }

# missing_wheels LIST…: the pins that the environment lacks; INSTALLER is written after a wheel's files.
missing_wheels() {
  local pin name
  for pin in $(entries "$@"); do
    name=${pin%%==*}
    compgen -G "$venv/lib/python3*/site-packages/${name//-/_}-${pin##*==}.dist-info/INSTALLER" >/dev/null || echo "$pin"
  done
}

# install_wheels PIN…: makes the environment if there is none, clears what a killed install left, installs.
install_wheels() {
  local pin name
  "$venv/bin/pip" --version 2>/dev/null || python3 -m venv "$venv" || return
  for pin in "$@"; do
    name=${pin%%==*}
    rm -rf "$venv"/lib/python3*/site-packages/"${name//-/_}-${pin##*==}.dist-info"
  done
  "$venv/bin/pip" install --no-deps --no-input --disable-pip-version-check --progress-bar off "$@"
}

# setup_python LIST…: the pinned wheels, in .venv.
setup_python() {
  local missing line
  mapfile -t missing < <(missing_wheels "$@")
  ((${#missing[@]})) || return 0
  line="$(shell_line python3 -m venv "$venv") && $(shell_line "$venv/bin/pip" install --no-deps "${missing[@]}")"
  step 'setup: Python wheels' 'This needs the network; when it is there, run this line, then start again:' "$line" \
    install_wheels "${missing[@]}"
  # What pip said of their sizes: tests/scripts/cpu_wheels.sh adds them up.
  grep -E '\.whl \(' "$root/build/logs/setup-Python-wheels.log" >>"$venv/downloads.txt" || true
}

# configure: runs CMake when the preset, the wheels or the CUDA compiler changed; all else ninja notices.
configure() {
  local key line=("$venv/bin/cmake" -S "$root" --preset "$preset")
  key=$({ cat "$root/CMakePresets.json" "$root"/scripts/lib/requirements{,-cuda}.txt
    ! has_gpu || echo GPU
    command -v nvcc /usr/local/cuda/bin/nvcc || true; } | sha256sum)
  [[ $key == "$(cat "$build/.configured" 2>/dev/null)" && -e $build/build.ninja ]] && return
  step "setup: configure ($preset)" 'CMake says why above; to repeat this step alone:' \
    "$(shell_line "${line[@]}")" "${line[@]}"
  printf '%s\n' "$key" >"$build/.configured"
}

# jobs_that_fit: one compiler a core, as long as each has 2 GB of memory.
jobs_that_fit() {
  local memory
  memory=$(awk '/^MemAvailable/ { print int($2 / 2e6) }' /proc/meminfo)
  echo $((memory < 1 ? 1 : memory < $(nproc) ? memory : $(nproc)))
}

# setup KIND: one caller at a time. "run" builds tools and plugins; "benchmark" and "test" build everything.
setup() {
  local kind=$1 lib=$root/scripts/lib targets=(all) ninja
  local packages=("$lib/debian-packages.txt") wheels=("$lib/requirements.txt")
  [[ $kind != run ]] || targets=(core/all plugins/all)
  [[ $kind != test ]] || { packages+=("$lib/debian-packages-test.txt"); wheels+=("$lib/requirements-test.txt"); }
  ! has_gpu || wheels+=("$lib/requirements-cuda.txt")

  mkdir -p "$root/build"
  exec 9>"$root/build/.lock"
  flock -n 9 || { say 'setup: waits for another script that is setting up (build/.lock)'; flock 9; }
  setup_debian "${packages[@]}"
  setup_python "${wheels[@]}"
  configure
  ninja=("$venv/bin/ninja" -C "$build" -j "$(jobs_that_fit)" "${targets[@]}")
  step "setup: build ($preset)" 'The compiler says why above; to repeat this step alone:' \
    "$(shell_line "${ninja[@]}")" "${ninja[@]}"
  exec 9>&-
}
