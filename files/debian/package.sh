#!/bin/sh
# Makes target/debian/dante4l_VERSION_ARCH.deb of what `make install` puts into a folder. Called by `make deb`.
#
#   DEB_VERSION=   version and revision; by default Cargo.toml's version and 0upstream1, which is older than Debian's own first
#   DEB_OUTPUT=    the folder of the package
#   DEBFULLNAME= DEBEMAIL=   whose package it is, as for all of Debian's tools
#
# `package.sh tool` only builds what packs, cargo-deb, into target/tools.
set -eu
cd "$(dirname "$0")/../.."

mkdir -p target
exec 9>target/package.lock
flock 9

tool=target/tools/bin/cargo-deb
want=3.8.0
if [ "$("$tool" --version 2>/dev/null)" != "$want" ]; then
    "${CARGO:-cargo}" install --quiet --debug --root target/tools cargo-deb --version "$want" --locked --no-default-features
fi
[ "${1-}" != tool ] || exit 0

# cargo-deb finds the tree by this name (dante4l/Cargo.toml).
root=target/package/root
rm -rf target/package
"${MAKE:-make}" --silent install DESTDIR="$PWD/$root" PREFIX=/usr ZSH=vendor-completions
strip --strip-unneeded "$root"/usr/sbin/* "$root"/usr/bin/*

version=${DEB_VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)-0upstream1}
maintainer="${DEBFULLNAME:-The dante4l authors} <${DEBEMAIL:-dante4l@dante4l.invalid}>"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
cat >target/package/changelog <<CHANGELOG
dante4l ($version) unstable; urgency=medium

  * What changed is told in /usr/share/doc/dante4l/changelog.gz.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
CHANGELOG
# Quietly: it warns of every path that does not begin with target/release.
"$tool" --quiet --no-build --no-strip --package dante4l --deb-version "$version" --maintainer "$maintainer" --locked \
    --compress-system --output "${DEB_OUTPUT:-target/debian/}"
