#!/bin/sh
# Makes the disk of the guest, once: FOLDER/root-KEY.img, its kernel FOLDER/kernel-KEY and, for tests outside of the guest, its
# chronyd with libraries in FOLDER/chrony-KEY. Prints the three paths. KEY is a hash of this script: a changed script makes another
# disk. The programs of the suite are on a second disk, so that a change of the code does not change this one.
#
#   tests/guest/image.sh FOLDER        needs root, mmdebstrap, mke2fs and a Debian mirror; 40 s
#   tests/guest/image.sh FOLDER igb    a disk with the driver of igb cards and linuxptp, in another folder; also prints the path
#                                      of its initial RAM disk, FOLDER/initrd-KEY
set -eu

folder=${1:?the folder for the image}
card=${2-}
mkdir -p "$folder"
key=$(sha256sum "$0" | cut -c1-12)
disk=$folder/root-$key.img
kernel=$folder/kernel-$key
chrony=$folder/chrony-$key
initrd=$folder/initrd-$key
finish() {
    touch "$disk" "$kernel" "$chrony" ${card:+"$initrd"}
    printf '%s\n' "$disk" "$kernel" "$chrony" ${card:+"$initrd"}
    exit 0
}

# One builder at a time; the next one finds the disk.
exec 9>"$folder/lock"
flock 9
# The disk is made last: if it exists, so do the other files.
[ ! -e "$disk" ] || finish
# Another checkout may use another version of this script: only what was not used for a month is removed.
rm -rf "$folder"/*.partial
find "$folder" -maxdepth 1 \( -name 'root-*' -o -name 'kernel-*' -o -name 'chrony-*' -o -name 'initrd-*' \) -mtime +30 -exec rm -rf {} +
root=$folder/root.partial
trap 'rm -rf "$folder"/*.partial' EXIT
trap 'exit 1' HUP INT TERM

# Debian does not install systemd-timesyncd together with chrony.
packages=systemd,systemd-sysv,dbus,udev,kmod,iproute2,chrony,util-linux-extra,adjtimex,apparmor,libcap2-bin,strace,
packages=${packages}prometheus-node-exporter
# The cloud kernel has no driver for igb cards.
case $card in
igb) packages=$packages,linux-image-amd64,initramfs-tools,linuxptp,ethtool ;;
*) packages=$packages,linux-image-cloud-amd64 ;;
esac
mmdebstrap --quiet --variant=minbase --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    bookworm "$root" >&2

# No program but those under test may set the guest's clock. adjtimex.service would set its frequency at boot. chrony is disabled:
# `systemctl start chrony`; so is node_exporter, which a test starts with fewer collectors. The other units only slow down the boot.
chroot "$root" systemctl --quiet disable chrony.service prometheus-node-exporter.service
chroot "$root" systemctl --quiet mask adjtimex.service systemd-timesyncd.service \
    getty@tty1.service serial-getty@ttyS0.service getty.target e2scrub_reap.service systemd-pstore.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    systemd-journal-flush.service systemd-hwdb-update.service ldconfig.service systemd-binfmt.service \
    proc-sys-fs-binfmt_misc.automount dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount

mkdir -p "$root/opt/dante"
echo '/dev/nvme1n1 /opt/dante ext4 ro 0 0' >"$root/etc/fstab"
echo dante-guest >"$root/etc/hostname"
# The journal is in memory; tests read it through the agent.
mkdir -p "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nStorage=volatile\nRateLimitBurst=0\n' >"$root/etc/systemd/journald.conf.d/guest.conf"
cat >"$root/etc/systemd/system/agent.service" <<'UNIT'
[Unit]
Description=Agent of the tests in this guest
RequiresMountsFor=/opt/dante

[Service]
ExecStart=/opt/dante/agent
Restart=always
RestartSec=1
# The OOM killer must not end the agent; programs that a test starts with systemd-run are in other units.
OOMScoreAdjust=-900

[Install]
WantedBy=multi-user.target
UNIT
chroot "$root" systemctl --quiet enable agent.service

cp "$root"/boot/vmlinuz-* "$kernel.partial"
# NVMe is built into the cloud kernel; the other kernel needs these modules to find the disk.
if [ -n "$card" ]; then
    mkdir -p "$root/etc/initramfs-tools/conf.d"
    echo 'MODULES=list' >"$root/etc/initramfs-tools/conf.d/guest"
    printf '%s\n' nvme ext4 >>"$root/etc/initramfs-tools/modules"
    chroot "$root" update-initramfs -u >&2
    cp "$root"/boot/initrd.img-* "$initrd.partial"
    mv "$initrd.partial" "$initrd"
fi
mkdir "$chrony.partial"
for file in /usr/sbin/chronyd $(chroot "$root" ldd /usr/sbin/chronyd | grep -o '/[^ ]*'); do
    cp -L "$root$file" "$chrony.partial"
done
rm -f "$root"/boot/vmlinuz-* "$root"/boot/initrd.img-*
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*
truncate -s 1G "$disk.partial"
mke2fs -q -t ext4 -d "$root" "$disk.partial"
mv "$kernel.partial" "$kernel"
mv "$chrony.partial" "$chrony"
mv "$disk.partial" "$disk"
finish
