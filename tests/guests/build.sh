#!/usr/bin/env bash
# Rebuilds the fixture guests of the SDKs of other languages, and the checksum file.
#
#   tests/guests/build.sh
#
# Takes the toolchains that are there. Where one is missing, its guest is skipped, as the output
# says: the committed module stays, and its checksum.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

wasm=$PWD/wasm
build=$(realpath -m ../../target/guests)
skipped=0

skip() {
    echo " skipped  $1: $2" >&2
    skipped=1
}

built() {
    printf '%8d  %s\n' "$(stat -c %s "$wasm/$1")" "tests/guests/wasm/$1"
}

# The newest clang++ that has a C++ library for WASI.
find_clang() {
    local clang
    for clang in $(compgen -c clang++ | sort -Vru); do
        if echo '#include <string>' |
            "$clang" --target=wasm32-wasi -x c++ -fsyntax-only - 2>/dev/null; then
            echo "$clang"
            return
        fi
    done
    return 1
}

# tour-go: by Go's own compiler, as a WASI reactor.
if command -v go >/dev/null; then
    GOOS=wasip1 GOARCH=wasm go build -C go -buildmode=c-shared -buildvcs=false -trimpath \
        -ldflags='-s -w -buildid=' -o "$wasm/tour-go.wasm" .
    built tour-go.wasm
else
    skip tour-go "no go"
fi

# tour-cpp: once for each ABI version that C++ plugins have.
if clang=$(find_clang); then
    cpp() {
        "$clang" --target=wasm32-wasi -mexec-model=reactor -std=c++20 -Oz -flto -fno-exceptions \
            -Wall -Wextra -Wl,--export=malloc,--strip-all "${@:2}" cpp/tour.cpp -o "$wasm/$1"
        built "$1"
    }
    cpp tour-cpp.wasm
    cpp tour-cpp-0-1-0.wasm -DABI_0_1_0
else
    skip tour-cpp "no clang++ for wasm32-wasi (on Debian: apt-get install clang-19 lld-19 wasi-libc
          libc++-19-dev-wasm32 libclang-rt-19-dev-wasm32)"
fi

# tour-assemblyscript: what npm installs stays out of the sources.
if command -v npm >/dev/null; then
    mkdir -p "$build/assemblyscript"
    cp -r assemblyscript/. "$build/assemblyscript"
    (
        cd "$build/assemblyscript"
        npm ci --silent --no-audit --no-fund
        npx --no-install asc assembly/tour.ts --use abort=abort_proc_exit -O3z \
            --binaryFile tour.wasm --validate 2>asc.log || { cat asc.log >&2; exit 1; }
        cp tour.wasm "$wasm/tour-assemblyscript.wasm"
    )
    built tour-assemblyscript.wasm
else
    skip tour-assemblyscript "no npm"
fi

(cd "$wasm" && sha256sum -- *.wasm >SHA256SUMS)
if ((skipped)); then
    echo "tests/guests/build.sh: what was skipped is as committed" >&2
fi
