#!/bin/sh
# Builds this plugin: src/plugin.py and CPython, which runs it, in one component.
#
#   ./build.sh [FILE]      makes FILE (__name__.wasm without it) and prints its name
#   ./build.sh --missing   prints the commands that install what is not on this machine
#
# `componentize-py` is installed once for all projects. WASI, which CPython would import, is replaced by
# functions that stop the plugin; without `--stub-wasi`, wharf answers to it: what is printed goes to the log,
# the clock stands still, and there are no files.
set -eu
cd "$(dirname "$0")"
version=0.25.1
tools="${WHARF_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/wharf/tools}/componentize-py-$version"

missing() {
    if ! command -v python3 > /dev/null || ! python3 -c 'import ensurepip, venv' 2> /dev/null; then
        echo "apt-get install -y python3 python3-venv"
    fi
    [ -x "$tools/bin/componentize-py" ] ||
        echo "python3 -m venv '$tools' && '$tools/bin/pip' install --quiet componentize-py==$version"
}

case ${1:-} in
--missing) missing ;;
*)
    out=${1:-__name__.wasm}
    "$tools/bin/componentize-py" -q -d wit -w plugin componentize --stub-wasi -p src plugin -o "$out" >&2
    echo "$out"
    ;;
esac
