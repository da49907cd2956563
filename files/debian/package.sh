#!/bin/sh
# Builds target/debian/dante4l_VERSION_ARCH.deb from the files that `make install` installs into a folder. Called by `make deb`.
#
#   DEB_VERSION=   version and revision; by default Cargo.toml's version and 0upstream1, which is older than Debian's first revision
#   DEB_OUTPUT=    folder for the package
#   DEBFULLNAME= DEBEMAIL=   maintainer of the package, as for all of Debian's tools
#
# `package.sh tool` only builds cargo-deb, which makes the package, in target/tools.
set -eu
cd "$(dirname "$0")/../.."

mkdir -p target
exec 9>target/package.lock
flock 9

tool=target/tools/bin/cargo-deb
want="cargo-deb 3.8.0"
if [ "$("$tool" --version 2>/dev/null)" != "$want" ]; then
    "${CARGO:-cargo}" install --quiet --debug --root target/tools cargo-deb --version "${want#* }" --locked --no-default-features
fi
[ "${1-}" != tool ] || exit 0

# dante4l/Cargo.toml names this folder for cargo-deb.
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

  * The changes are listed in /usr/share/doc/dante4l/changelog.gz.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
CHANGELOG
# --quiet: cargo-deb warns about every path outside target/release.
"$tool" --quiet --no-build --no-strip --package dante4l --deb-version "$version" --maintainer "$maintainer" --locked \
    --compress-system --output "${DEB_OUTPUT:-target/debian/}"
