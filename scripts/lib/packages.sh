# shellcheck shell=bash
# Where the volumes lie that fetch-data brings: ${IVORY_PACKAGES} in experiment files. Sourced, not run.
# Cron, containers and batch systems may start a script without HOME.
HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
if [[ -z ${IVORY_PACKAGES-}${XDG_CACHE_HOME-}$HOME ]]; then
  echo 'Ivory: no folder for packages: set the environment variable IVORY_PACKAGES, XDG_CACHE_HOME or HOME' >&2
  exit 2
fi
export HOME
export IVORY_PACKAGES=${IVORY_PACKAGES:-${XDG_CACHE_HOME:-$HOME/.cache}/ivory/packages}
