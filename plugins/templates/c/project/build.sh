#!/bin/sh
# Builds this plugin: src/plugin.c, and bindings/, which a generator made of wit/.
#
#   ./build.sh [FILE]      makes FILE (__name__.wasm without it) and prints its name
#   ./build.sh --missing   prints the commands that install what is not on this machine
#
# clang compiles for WASI, of which only the C library is used; wasm-component-ld links and makes a component
# of the module, as it does for Rust. A plugin that prints or asks for the time imports WASI, to which wharf has
# answers: what is printed goes to the log, the clock stands still, and there are no files.
set -eu
cd "$(dirname "$0")"
out=${1:-__name__.wasm}

# The first of its arguments that is a program.
first() {
    for program in "$@"; do
        if command -v "$program"; then return; fi
    done
    return 1
}

clang() { first "${CLANG:-clang-19}" clang-20 clang-18 clang-17 clang-16 clang; }
wasm_ld() { first wasm-ld-19 wasm-ld-20 wasm-ld-18 wasm-ld-17 wasm-ld-16 wasm-ld; }
component_ld() {
    first wasm-component-ld && return
    host=$(rustc -vV 2> /dev/null | sed -n 's/^host: //p')
    first "$(rustc --print sysroot 2> /dev/null)/lib/rustlib/$host/bin/wasm-component-ld"
}
library() { [ -e /usr/lib/wasm32-wasi/libc.a ] && [ -e /usr/include/wasm32-wasi/stdio.h ]; }

missing() {
    if ! clang > /dev/null || ! wasm_ld > /dev/null || ! library; then
        echo "apt-get install -y --no-install-recommends clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32"
    fi
    component_ld > /dev/null || echo "cargo install --locked wasm-component-ld"
}

build() {
    objects=$(mktemp -d)
    trap 'rm -rf "$objects"' EXIT
    for source in src/*.c bindings/*.c; do
        "$(clang)" --target=wasm32-wasi --sysroot=/usr -std=gnu11 -Wall -Oz -ffunction-sections -Ibindings \
            -c "$source" -o "$objects/$(echo "$source" | tr / -).o"
    done
    "$(component_ld)" --wasm-ld-path "$(wasm_ld)" --entry _initialize --gc-sections --strip-all -L/usr/lib/wasm32-wasi \
        /usr/lib/wasm32-wasi/crt1-reactor.o "$objects"/*.o bindings/*.o -lc \
        "$("$(clang)" --print-resource-dir)/lib/wasi/libclang_rt.builtins-wasm32.a" -o "$out"
}

case $out in
--missing) missing ;;
*)
    build >&2
    echo "$out"
    ;;
esac
