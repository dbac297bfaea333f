#!/bin/sh
# Builds the examples as components.
#
#   examples/plugins/build.sh [DIRECTORY]    DIRECTORY/wasm32-unknown-unknown/release/*.wasm; `target` here by default
#
# With `rustup target add wasm32-unknown-unknown`, this is one `cargo build`. Without that target, Debian's
# compiler (rustc-web, cargo-web, rust-web-src) builds the standard library, too.
set -eu

examples=$(cd "$(dirname "$0")" && pwd)
directory=${1:-$examples/target}
target=wasm32-unknown-unknown
sysroot=$(rustc --print sysroot)
host=$(rustc -vV | sed -n 's/^host: //p')
cd "$examples"

if [ -d "$sysroot/lib/rustlib/$target/lib" ]; then
    exec cargo build --release --locked --target $target --target-dir "$directory"
fi
if ! [ -x /usr/bin/cargo ] || ! [ -d /usr/lib/rustlib/src/rust ]; then
    echo "run rustup target add $target, or install rustc-web, cargo-web and rust-web-src" >&2
    exit 1
fi
exec env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_RUSTFLAGS \
    PATH="$sysroot/lib/rustlib/$host/bin:$PATH" RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_INCREMENTAL=0 \
    /usr/bin/cargo build --release --locked -Zbuild-std=std,panic_abort --target $target --target-dir "$directory"
