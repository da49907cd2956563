#!/bin/sh
# Makes the files for a guest with an emulated igb card, which has a PTP hardware clock: disk, kernel, chronyd and initial RAM disk of
# `image.sh FOLDER igb`, and QEMU 10 of Debian 13 in FOLDER/qemu-KEY. Prints the four paths and that of the script which runs this
# QEMU. Installs nothing on this machine.
#
#   tests/guest/igb.sh FOLDER        needs root, mmdebstrap, mke2fs and a Debian mirror; 90 s, 800 MB
set -eu

folder=${1:?the folder for the image}
mkdir -p "$folder"
folder=$(realpath "$folder")
qemu=$folder/qemu-$(sha256sum "$0" | cut -c1-12)
"$(dirname "$0")/image.sh" "$folder" igb

exec 9>"$folder/lock"
flock 9
# The script is made last: if it exists, so do the other files.
if [ ! -e "$qemu/run" ]; then
    find "$folder" -maxdepth 1 -name 'qemu-*' -mtime +30 -exec rm -rf {} +
    rm -rf "$qemu"
    trap 'rm -rf "$qemu"' EXIT
    trap 'exit 1' HUP INT TERM
    mmdebstrap --quiet --variant=extract --include=qemu-system-x86 \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        trixie "$qemu" >&2
    # QEMU runs with its own loader and libraries, not in a chroot: disks, sockets and taps are outside.
    libraries=$(find "$qemu/usr/lib/x86_64-linux-gnu" -name '*.so*' -printf '%h\n' | sort -u | tr '\n' ':')
    cat >"$qemu/run.partial" <<RUN
#!/bin/sh
root='$qemu'
export QEMU_MODULE_DIR="\$root/usr/lib/x86_64-linux-gnu/qemu"
exec "\$root/usr/lib64/ld-linux-x86-64.so.2" --library-path '$libraries' \\
    "\$root/usr/bin/qemu-system-x86_64" -L "\$root/usr/share/qemu" -L "\$root/usr/share/seabios" "\$@"
RUN
    chmod +x "$qemu/run.partial"
    mv "$qemu/run.partial" "$qemu/run"
    trap - EXIT
fi
touch "$qemu"
printf '%s\n' "$qemu/run"
