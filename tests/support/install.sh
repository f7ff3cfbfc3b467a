#!/usr/bin/env bash
# Installs programs that tests run, where they are missing: Debian packages of the same names, so as
# root.
#
#   tests/support/install.sh PROGRAM...
set -euo pipefail
missing=()
for program; do
    command -v "$program" >/dev/null || missing+=("$program")
done
[ ${#missing[@]} -eq 0 ] && exit
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -o DPkg::Lock::Timeout=300 --no-install-recommends "${missing[@]}"
