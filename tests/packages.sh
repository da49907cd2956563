#!/bin/sh
# Installs the Debian packages that the tests use, as root with apt-get; otherwise prints which are missing. Then builds
# cargo-deb, so that no test has to.
set -eu

missing=
for pair in ip:iproute2 tshark:tshark setpriv:util-linux cc:gcc g++:g++ qemu-system-x86_64:qemu-system-x86 mmdebstrap:mmdebstrap mke2fs:e2fsprogs \
    dpkg-shlibdeps:dpkg-dev lintian:lintian strip:binutils systemd-analyze:systemd mandoc:mandoc zsh:zsh fish:fish nft:nftables tmux:tmux; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done
# Modules of Debian's own Python.
for pair in jsonschema:python3-jsonschema prometheus_client:python3-prometheus-client; do
    /usr/bin/python3 -c "import ${pair%%:*}" 2>/dev/null || missing="$missing ${pair#*:}"
done
if [ -z "$missing" ]; then
    :
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "not installed:$missing; the tests that need them are skipped"
fi

"$(dirname "$0")/../files/debian/package.sh" tool || echo "no cargo-deb; the tests that need it are skipped"
