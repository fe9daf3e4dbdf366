# shellcheck shell=bash
# Where the volumes lie that fetch-data brings: ${IVORY_PACKAGES} in experiment files. Sourced, not run.
export IVORY_PACKAGES=${IVORY_PACKAGES:-${XDG_CACHE_HOME:-$HOME/.cache}/ivory/packages}
