#!/usr/bin/env bash
# cmake/compile-pch: an object compiled with a precompiled header is found by ccache from another checkout, and not when
# the header has changed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export CCACHE_DIR=$scratch/cache CCACHE_PCH_EXTSUM=1
export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
failures=0

# build CHECKOUT: as CMake's rules do it, with absolute paths.
build() {
  local build=$1/build here=(-O2 -Xclang -fno-pch-timestamp)
  mkdir -p "$build"
  echo "#include \"$1/pch.h\"" >"$build/cmake_pch.hxx"
  (
    cd "$build"
    export CCACHE_BASEDIR=$1
    "$root/cmake/compile-pch" ccache clang++-19 "${here[@]}" -Xclang -emit-pch -x c++-header -MD -MT header.pch \
      -MF header.pch.d -o header.pch -c "$build/cmake_pch.hxx"
    "$root/cmake/compile-pch" ccache clang++-19 "${here[@]}" -Xclang -include-pch -Xclang "$build/header.pch" -MD \
      -MT one.o -MF one.o.d -o one.o -c "$1/one.cpp"
  )
}

# checkout NAME CONSTANT
checkout() {
  mkdir -p "$scratch/$1"
  printf '#include <vector>\ninline int constant() { return %s; }\n' "$2" >"$scratch/$1/pch.h"
  echo 'int one(std::vector<int>& v) { return v[0] + constant(); }' >"$scratch/$1/one.cpp"
  build "$scratch/$1"
}

hits() { ccache --print-stats | awk '/^(direct|preprocessed)_cache_hit/ { sum += $2 } END { print sum }'; }

# expect WHAT GOT WANTED
expect() {
  [[ $2 == "$3" ]] && echo "ok: $1" && return
  failures=$((failures + 1))
  echo "FAILED: $1: got $2, expected $3"
}

checkout first 1
before=$(hits)
checkout second 1
expect 'another checkout finds the object' "$(($(hits) - before))" 1
checkout changed 2
expect 'with another header it does not' "$(($(hits) - before))" 1
expect 'and is compiled anew' "$(cmp -s "$scratch/first/build/one.o" "$scratch/changed/build/one.o" && echo same || echo other)" other
status=0
"$root/cmake/compile-pch" false -o "$scratch/header.pch" || status=$?
expect 'a compiler that fails is told' "$status" 1
exit "$((failures > 0))"
