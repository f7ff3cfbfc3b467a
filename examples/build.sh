#!/usr/bin/env bash
# Rebuilds the example plugins and the fixture guests from source, with their checksum files.
#
#   examples/build.sh
#
# Takes the Rust toolchain on PATH if it has the WebAssembly targets, otherwise Debian's, which
# builds the standard library from source. wasm-opt makes the modules smaller where there is one.
# Other toolchains give other bytes, of the same behaviour.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

examples=(examples/api-key examples/role-check examples/rewrite-body examples/request-stats)
hello=tests/guests/hello
bench=benches/guest
target_dir=$PWD/target/guests

# What Rust's WebAssembly targets use beyond the first version, and any host has.
features=(bulk-memory mutable-globals nontrapping-float-to-int sign-ext)

# A list that cargo splits at this character: paths may hold spaces.
join() {
    local IFS=$'\x1f'
    echo "$*"
}

# Whether the toolchain on PATH has the standard library for both targets.
has_targets() {
    local target library
    for target in wasm32-wasip1 wasm32-unknown-unknown; do
        library=$(rustc --print target-libdir --target "$target") || return
        compgen -G "$library/libstd-*" >/dev/null || return
    done
}

# Whether Debian's toolchain is there, with sources of the standard library.
has_debian() {
    [[ -x /usr/bin/cargo && -x /usr/bin/rustc ]] &&
        [[ -d $(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library ]] &&
        [[ -e /usr/lib/wasm32-wasi/libc.a ]] && compgen -G '/usr/bin/wasm-ld*' >/dev/null
}

flags=()
options=()
if command -v cargo >/dev/null && command -v rustc >/dev/null && has_targets; then
    toolchain=$(rustc --version)
elif has_debian; then
    PATH=/usr/bin:$PATH
    export RUSTC_BOOTSTRAP=1
    options=(-Zbuild-std=std,panic_abort)
    linkers=(/usr/bin/wasm-ld*)
    flags=(-Lnative=/usr/lib/wasm32-wasi "-Clinker=${linkers[-1]}")
    toolchain="$(rustc --version) of Debian"
else
    cat >&2 <<'END'
examples/build.sh: no Rust toolchain for WebAssembly. Either of these is enough:
  - rustup target add wasm32-wasip1 wasm32-unknown-unknown
  - on Debian: apt-get install rustc-web cargo-web rust-web-src lld-22 wasi-libc
END
    exit 1
fi
echo "with $toolchain"
if ! command -v wasm-opt >/dev/null; then
    echo "without wasm-opt (Debian and others: package binaryen): the modules become larger"
fi

# No path of this machine gets into a module. The registry's exists once crates are fetched.
sources=$(rustc --print sysroot)/lib/rustlib/src/
flags+=("--remap-path-prefix=$PWD=" "--remap-path-prefix=$sources=")
for crate in "${examples[@]}" "$hello" "$bench"; do
    cargo fetch --quiet --locked --manifest-path "$crate/Cargo.toml"
done
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    flags+=("--remap-path-prefix=$registry=crates")
done
CARGO_ENCODED_RUSTFLAGS=$(join "${flags[@]}")
export CARGO_ENCODED_RUSTFLAGS

# build CRATE_DIRECTORY TARGET MODULE
build() {
    local crate=$1 target=$2 module=$3 built
    cargo build --quiet --release --locked "${options[@]}" \
        --manifest-path "$crate/Cargo.toml" --target "$target" --target-dir "$target_dir"
    built=$(basename "$crate")
    built=$target_dir/$target/release/${built//-/_}.wasm
    if command -v wasm-opt >/dev/null; then
        wasm-opt -Oz "${features[@]/#/--enable-}" --strip-producers "$built" -o "$module"
    else
        cp "$built" "$module"
    fi
    printf '%8d  %s\n' "$(stat -c %s "$module")" "$module"
}

for crate in "${examples[@]}"; do
    build "$crate" wasm32-wasip1 "examples/wasm/$(basename "$crate").wasm"
done
build "$hello" wasm32-unknown-unknown tests/guests/wasm/hello-unknown.wasm
build "$hello" wasm32-wasip1 tests/guests/wasm/hello-wasip1.wasm
build "$bench" wasm32-wasip1 benches/wasm/guest.wasm
tests/guests/build.sh
for directory in examples/wasm tests/guests/wasm benches/wasm; do
    (cd "$directory" && sha256sum -- *.wasm >SHA256SUMS)
done
