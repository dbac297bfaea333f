#!/bin/sh
# Builds the default plugins as components.
#
#   plugins/build.sh           builds prebuilt/*.wasm anew
#   plugins/build.sh --check   builds them in another directory and compares every byte
#   plugins/build.sh --stale   builds nothing; fails when a source is not the one they were built from
#
# The same sources and the same compiler give the same bytes, wherever the checkout is. The compiler
# is Debian's (rustc-web, cargo-web, rust-web-src), which everybody can install and which brings the
# source of the standard library; the linker is rustup's. prebuilt/TOOLCHAIN names the versions.
#
#   prebuilt/SOURCES.sha256    every file they were built from, for `sha256sum -c` at the top of the checkout
#   prebuilt/PREBUILT.sha256   the components
#   prebuilt/DESCRIPTIONS      what each says of itself, one JSON object a line: the program knows its plugins without
#                              compiling them
#
# With CARGO_TARGET_DIR set, the first form keeps what it compiled below it (the standard library
# above all) and the next build is faster; --check always begins anew.
#
# The author of another plugin needs none of this: `rustup target add wasm32-unknown-unknown` and
# `cargo build --release --target wasm32-unknown-unknown`.
set -eu

plugins=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$plugins")
prebuilt=$plugins/prebuilt
packages="rustc-web cargo-web rust-web-src libllvm22"
target=wasm32-unknown-unknown

sources() {
    (cd "$top" && find wit plugins/.cargo plugins/Cargo.toml plugins/Cargo.lock plugins/build.sh \
        plugins/sdk plugins/instruction plugins/storage plugins/network plugins/hook \
        -type f | LC_ALL=C sort | xargs sha256sum)
}

stale() {
    if sources | diff -u "$prebuilt/SOURCES.sha256" - && (cd "$prebuilt" && sha256sum --check --quiet PREBUILT.sha256)
    then
        return 0
    fi
    echo "prebuilt components are not what these sources give: run plugins/build.sh" >&2
    return 1
}

install_compiler() {
    [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && [ -d /usr/lib/rustlib/src/rust ] && return 0
    apt-get update -q
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $packages
}

# rustup's directory with rust-lld and wasm-component-ld.
linkers() {
    host=$(rustc -vV | sed -n 's/^host: //p')
    echo "$(rustc --print sysroot)/lib/rustlib/$host/bin"
}

toolchain() {
    /usr/bin/rustc --version
    PATH="$(linkers):$PATH" wasm-component-ld --version
}

# The names of the components, as the packages have them.
examples() {
    (cd "$plugins" && awk '/^\[/ { example = /^\[\[example\]\]/ } example && /^name = / { gsub(/"/, "", $3); print $3 }' \
        instruction/Cargo.toml storage/Cargo.toml network/Cargo.toml hook/Cargo.toml)
}

# Compiles into $1/*.wasm; the build happens in $2.
compile() {
    out=$1
    built=$2
    cargo_home=${CARGO_HOME:-$HOME/.cargo}
    remap="--remap-path-prefix=$cargo_home/registry/src=/registry"
    remap="$remap --remap-path-prefix=/usr/lib/rustlib/src/rust=/rustc"
    remap="$remap --remap-path-prefix=$plugins=/plugins"
    (cd "$plugins" && env -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_RUSTFLAGS \
        PATH="$(linkers):$PATH" RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS="$remap" CARGO_INCREMENTAL=0 \
        /usr/bin/cargo build --release --locked --quiet -Zbuild-std=std,panic_abort --target $target \
        --target-dir "$built" --examples \
        -p wharf-instructions -p wharf-storage-drivers -p wharf-network-drivers -p wharf-hooks)
    for name in $(examples); do
        cp "$built/$target/release/examples/$name.wasm" "$out/$(echo "$name" | tr _ -).wasm"
    done
}

# Asks the components in $1. This is the host's side of the contract, so the whole engine's target is used, and the
# packages of `./dev build` are named: by itself it would want its dependencies with fewer features, all compiled anew.
descriptions() {
    (cd "$top" && cargo build --release --locked --quiet -p wharf -p wharf-runtime -p wharf-plugin --example describe &&
        "${CARGO_TARGET_DIR:-$top/target}/release/examples/describe" "$1"/*.wasm)
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

case ${1-} in
--stale)
    stale
    ;;
--check)
    stale
    install_compiler
    toolchain | diff -u "$prebuilt/TOOLCHAIN" - || echo "another compiler: the bytes may differ" >&2
    compile "$work" "$work/target"
    (cd "$work" && sha256sum -- *.wasm) | diff -u "$prebuilt/PREBUILT.sha256" -
    descriptions "$work" | diff -u "$prebuilt/DESCRIPTIONS" -
    echo "every component is what its sources give"
    ;;
"")
    install_compiler
    compile "$work" "${CARGO_TARGET_DIR:-$work}/components"
    mkdir -p "$prebuilt"
    rm -f "$prebuilt"/*.wasm
    cp "$work"/*.wasm "$prebuilt"
    (cd "$prebuilt" && sha256sum -- *.wasm >PREBUILT.sha256)
    descriptions "$prebuilt" >"$work/DESCRIPTIONS"
    cp "$work/DESCRIPTIONS" "$prebuilt"
    sources >"$prebuilt/SOURCES.sha256"
    toolchain >"$prebuilt/TOOLCHAIN"
    ;;
*)
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
