#!/bin/sh
# Builds this plugin: a component that imports the contract and nothing else.
#
#   ./build.sh [FILE]      makes FILE (__name__.wasm without it) and prints its name
#   ./build.sh --missing   prints the commands that install what is not on this machine
#
# With rustup's standard library for the target, this is plain cargo. Where rustup has none, the compiler of
# Debian and Ubuntu brings the source of the standard library, which is then built once for all
# projects. The linker is rustup's in both cases.
set -eu
cd "$(dirname "$0")"
target=wasm32-unknown-unknown
tools="${WHARF_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/wharf/tools}"

has() { command -v "$1" > /dev/null; }
has_rust() { has rustc && has cargo; }
has_std() { [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; }
has_source() { [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && [ -d /usr/lib/rustlib/src/rust/library ]; }

# With the directory where rustup keeps its linkers.
linkers() { echo "$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin:$PATH"; }

missing() {
    if ! has_rust; then
        echo "curl -sSf https://sh.rustup.rs | sh -s -- -y --target $target"
    elif ! has_std && ! has_source; then
        echo "rustup target add $target || apt-get install -y --no-install-recommends rustc-web cargo-web rust-web-src libllvm22"
    fi
}

build() {
    # Names of this machine's directories stay out of the component.
    RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src=/registry"
    if has_std; then
        RUSTFLAGS="$RUSTFLAGS" cargo build --release --target $target
    else
        # The standard library takes a minute, once for all projects.
        RUSTFLAGS="$RUSTFLAGS --remap-path-prefix=/usr/lib/rustlib/src/rust=/rustc" \
            PATH="$(linkers)" RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$tools/rust" \
            /usr/bin/cargo build --release -Zbuild-std=std,panic_abort --target $target
        cp "$tools/rust/$target/release/__snake__.wasm" "$1"
        return
    fi
    cp "${CARGO_TARGET_DIR:-target}/$target/release/__snake__.wasm" "$1"
}

case ${1:-} in
--missing) missing ;;
*)
    out=${1:-__name__.wasm}
    build "$out" >&2
    echo "$out"
    ;;
esac
