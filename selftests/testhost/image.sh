#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# image.sh: makes the Debian guest in the cache unless it is there, and prints its folder:
#   root.img   the root file system (ext4, raw, sparse)
#   vmlinuz, initrd, release   Debian's kernel, its initrd as the package made it, its version
# KEEL_MIRROR names another Debian mirror than mmdebstrap's own choice.
set -eu
. "$(dirname "$0")/lib.sh"

SUITE=bookworm
PACKAGES=systemd-sysv,udev,kmod,iproute2,iputils-ping,linux-image-cloud-amd64,initramfs-tools,zstd
IMAGE_SIZE=1G

bootstrap()
{
	as_root mmdebstrap --quiet --variant=minbase --include="$PACKAGES" \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		"$SUITE" "$1" ${KEEL_MIRROR:+"$KEEL_MIRROR"} >"$CACHE/mmdebstrap.log" 2>&1 ||
		{ tail -n 20 "$CACHE/mmdebstrap.log" >&2; return 1; }
}

# set_up ROOT: what makes the file system this guest; units that only cost an emulated CPU
# time are masked. With the guest's own systemctl: a machine need not have one.
set_up()
{
	local root=$1 u
	as_root cp -r "$TESTHOST/guest/." "$root/"
	echo keel-guest | as_root tee "$root/etc/hostname" >/dev/null
	printf '127.0.0.1 localhost keel-guest\n172.30.0.1 host\n' |
		as_root tee "$root/etc/hosts" >/dev/null
	echo '/dev/vda / ext4 rw,noatime 0 1' | as_root tee "$root/etc/fstab" >/dev/null
	as_root chroot "$root" passwd -q -d root
	as_root chroot "$root" systemd-machine-id-setup >/dev/null 2>&1
	as_root chroot "$root" systemctl -q enable systemd-networkd keel-script
	as_root chroot "$root" systemctl -q disable systemd-networkd-wait-online
	for u in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
		e2scrub_all.timer e2scrub_reap.service fstrim.timer getty@tty1.service \
		systemd-pstore.service systemd-update-utmp.service \
		systemd-networkd-wait-online.service; do
		as_root chroot "$root" systemctl -q mask "$u"
	done
}

build()
{
	local dir=$1 root rel
	rm -rf "$dir.new"
	mkdir -p "$dir.new"
	# Not below /tmp: mmdebstrap needs a file system with device nodes.
	root=$dir.new/root
	in_progress "Debian guest: mmdebstrap $SUITE (about a minute)" bootstrap "$root"
	set_up "$root"
	rel=$(basename "$root"/boot/vmlinuz-* | sed 's/^vmlinuz-//')
	echo "$rel" >"$dir.new/release"
	as_root cat "$root/boot/vmlinuz-$rel" >"$dir.new/vmlinuz"
	as_root cat "$root/boot/initrd.img-$rel" >"$dir.new/initrd"
	truncate -s "$IMAGE_SIZE" "$dir.new/root.img"
	in_progress "Debian guest: ext4 image" \
		as_root /sbin/mke2fs -q -t ext4 -F -L keel-guest -d "$root" "$dir.new/root.img"
	as_root rm -rf "$root"
	rm -rf "$dir"
	mv "$dir.new" "$dir"
}

image()
{
	local dir
	dir=$CACHE/guest/$SUITE-$(cd "$TESTHOST" && find image.sh guest -type f -print0 |
		LC_ALL=C sort -z | xargs -0 cat | cksum | tr ' ' -)
	if [ ! -e "$dir/root.img" ]; then
		drop_old "$CACHE/guest" "$SUITE-*"
		build "$dir"
	fi
	echo "$dir"
}

mkdir -p "$CACHE/guest"
with_lock guest image
