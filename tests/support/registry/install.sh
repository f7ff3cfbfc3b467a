#!/usr/bin/env bash
# Installs what the tests of registries run, where it is missing: Debian packages, so as root.
set -euo pipefail
missing=()
for program in docker-registry skopeo openssl; do
    command -v "$program" >/dev/null || missing+=("$program")
done
[ ${#missing[@]} -eq 0 ] && exit
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -o DPkg::Lock::Timeout=300 --no-install-recommends "${missing[@]}"
