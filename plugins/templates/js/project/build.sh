#!/bin/sh
# Builds this plugin: src/plugin.js and SpiderMonkey, which runs it, in one component.
#
#   ./build.sh [FILE]      makes FILE (__name__.wasm without it) and prints its name
#   ./build.sh --missing   prints the commands that install what is not on this machine
#
# `componentize-js` is installed once for all projects. The parts of its runtime that would ask for WASI are left
# out: a plugin has no clock, no randomness, no network. Code in several files is put together by a bundler
# (`esbuild src/plugin.js --bundle --format=esm`) first.
set -eu
cd "$(dirname "$0")"
version=0.23.0
tools="${WHARF_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/wharf/tools}/componentize-js-$version"
componentize=$tools/node_modules/.bin/componentize-js

missing() {
    command -v npm > /dev/null || echo "apt-get install -y nodejs npm"
    [ -x "$componentize" ] || echo "npm install --no-audit --no-fund --loglevel=error --prefix '$tools' @bytecodealliance/componentize-js@$version"
}

case ${1:-} in
--missing) missing ;;
*)
    out=${1:-__name__.wasm}
    "$componentize" src/plugin.js -w wit -n plugin -d stdio random clocks http fetch-event -o "$out" >&2
    echo "$out"
    ;;
esac
