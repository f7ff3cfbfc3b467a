#!/usr/bin/env bash
# Rebuilds the probe, one module per ABI version: tests/guests/wasm/probe-*.wasm.
#
#   tests/guests/probe/build.sh
#
# Toolchain as for examples/build.sh, which calls this: the Rust on PATH if it has the WebAssembly
# target, otherwise Debian's, which builds the standard library from source.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

crate=tests/guests/probe
target=wasm32-unknown-unknown
target_dir=$PWD/target/guests

# What Rust's WebAssembly targets use beyond the first version, and any host has.
features=(bulk-memory mutable-globals nontrapping-float-to-int sign-ext)

has_target() {
    local library
    library=$(rustc --print target-libdir --target "$target") &&
        compgen -G "$library/libstd-*" >/dev/null
}

options=()
flags=()
if command -v rustc >/dev/null && has_target; then
    :
elif [[ -x /usr/bin/cargo && -x /usr/bin/rustc ]] && compgen -G '/usr/bin/wasm-ld*' >/dev/null &&
    [[ -d $(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library ]]; then
    PATH=/usr/bin:$PATH
    export RUSTC_BOOTSTRAP=1
    options=(-Zbuild-std=std,panic_abort)
    linkers=(/usr/bin/wasm-ld*)
    flags=("-Clinker=${linkers[-1]}")
else
    cat >&2 <<'END'
tests/guests/probe/build.sh: no Rust toolchain for WebAssembly. Either of these is enough:
  - rustup target add wasm32-unknown-unknown
  - on Debian: apt-get install rustc-web cargo-web rust-web-src lld-22
END
    exit 1
fi

# No path of this machine gets into a module.
sources=$(rustc --print sysroot)/lib/rustlib/src/
flags+=("--remap-path-prefix=$PWD=" "--remap-path-prefix=$sources=")
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    flags+=("--remap-path-prefix=$registry=crates")
done
CARGO_ENCODED_RUSTFLAGS=$(
    IFS=$'\x1f'
    echo "${flags[*]}"
)
export CARGO_ENCODED_RUSTFLAGS

for version in 0_1_0 0_2_0 0_2_1; do
    cargo build --quiet --release --locked "${options[@]}" --manifest-path "$crate/Cargo.toml" \
        --features "abi_$version" --target "$target" --target-dir "$target_dir"
    built=$target_dir/$target/release/probe.wasm
    module=tests/guests/wasm/probe-$version.wasm
    if command -v wasm-opt >/dev/null; then
        wasm-opt -Oz "${features[@]/#/--enable-}" --strip-producers "$built" -o "$module"
    else
        cp "$built" "$module"
    fi
    printf '%8d  %s\n' "$(stat -c %s "$module")" "$module"
done
