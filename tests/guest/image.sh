#!/bin/sh
# Makes the disk of the guest that the tests boot, once: FOLDER/root-KEY.img, with its kernel FOLDER/kernel-KEY and, for
# use outside of the guest, its chronyd with libraries in FOLDER/chrony-KEY. Prints the three paths. KEY is a hash of
# this script, so that a changed script makes a new disk and an unchanged one none.
# The suite's programs are not on it: they come on a second disk, so that a change of the code leaves this one alone.
#
#   tests/guest/image.sh FOLDER        needs root, mmdebstrap, mke2fs and a Debian mirror; 40 s
#   tests/guest/image.sh FOLDER igb    a disk with the driver of igb cards and linuxptp, in a folder of its own; prints
#                                      its initial RAM disk, FOLDER/initrd-KEY, as a fourth path
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
    printf '%s\n' "$disk" "$kernel" "$chrony" ${card:+"$initrd"}
    exit 0
}

# One builder at a time; who waited finds the disk there.
exec 9>"$folder/lock"
flock 9
# The disk comes last: where it is, all is.
[ ! -e "$disk" ] || finish
rm -rf "$folder"/*.partial "$folder"/root-*.img "$folder"/kernel-* "$folder"/chrony-* "$folder"/initrd-*
root=$folder/root.partial
trap 'rm -rf "$folder"/*.partial' EXIT
trap 'exit 1' HUP INT TERM

# systemd-timesyncd cannot stand beside chrony in Debian.
packages=systemd,systemd-sysv,dbus,udev,kmod,iproute2,chrony,util-linux-extra,adjtimex,apparmor,libcap2-bin,strace
# The cloud kernel has no driver of igb cards.
case $card in
igb) packages=$packages,linux-image-amd64,initramfs-tools,linuxptp,ethtool ;;
*) packages=$packages,linux-image-cloud-amd64 ;;
esac
mmdebstrap --quiet --variant=minbase --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    bookworm "$root" >&2

# The guest has a date of its own, and whoever moves it is under test: nobody else may. adjtimex.service would set the
# rate at boot. chrony is there, and off: `systemctl start chrony`. The rest only takes time.
chroot "$root" systemctl --quiet disable chrony.service
chroot "$root" systemctl --quiet mask adjtimex.service systemd-timesyncd.service \
    getty@tty1.service serial-getty@ttyS0.service getty.target e2scrub_reap.service systemd-pstore.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    systemd-journal-flush.service systemd-hwdb-update.service ldconfig.service systemd-binfmt.service \
    proc-sys-fs-binfmt_misc.automount dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount

mkdir -p "$root/opt/dante"
echo '/dev/nvme1n1 /opt/dante ext4 ro 0 0' >"$root/etc/fstab"
echo dante-guest >"$root/etc/hostname"
# The journal in memory: it is read through the agent.
mkdir -p "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nStorage=volatile\nRateLimitBurst=0\n' >"$root/etc/systemd/journald.conf.d/guest.conf"
cat >"$root/etc/systemd/system/agent.service" <<'UNIT'
[Unit]
Description=The tests' hand in this guest
RequiresMountsFor=/opt/dante

[Service]
ExecStart=/opt/dante/agent
Restart=always
RestartSec=1
# What a test starts with systemd-run is in a unit of its own; a test's shell is not killed for memory.
OOMScoreAdjust=-900
Nice=-10

[Install]
WantedBy=multi-user.target
UNIT
chroot "$root" systemctl --quiet enable agent.service

cp "$root"/boot/vmlinuz-* "$kernel.partial"
# The cloud kernel finds the disk by itself (NVMe is built in); the other needs these modules first.
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
