#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# initramfs.sh base KERNELDIR          prints the path of the cached base archive
# initramfs.sh files OUT SRC:DST...    writes an archive of the given files to OUT
# The kernel unpacks several archives one behind the other, so the base (busybox, modules, /init)
# is made once for a kernel, and a run only adds its own files.
set -eu
. "$(dirname "$0")/lib.sh"

# What a host may need: both of KVM's back ends for the oracle, virtio and ATA for its own disks,
# brd to swap to.
# A name that the kernel has built in, or does not have, is passed over.
MODULES="kvm kvm-amd kvm-intel ccp irqbypass tun virtio_pci virtio_blk virtio_net virtio_console
	9pnet_virtio 9p virtiofs ext4 ata_piix sd_mod loop brd msr"

# copy_modules KERNELDIR RELEASE ROOT: the modules of the list with all they depend on.
copy_modules()
{
	local kdir=$1 rel=$2 root=$3 m f
	for m in $MODULES; do
		modprobe -d "$kdir" -S "$rel" --show-depends "$m" 2>/dev/null || true
	done | awk '$1 == "insmod" { print $2 }' | sort -u | while read -r f; do
		install -D -m 0644 "$f" "$root/lib/modules/$rel/${f#*/lib/modules/"$rel"/}"
	done
	cp "$kdir/lib/modules/$rel"/modules.{order,builtin,builtin.modinfo} \
		"$root/lib/modules/$rel/"
	depmod -b "$root" "$rel"
}

pack()
{
	(cd "$1" && find . -mindepth 1 | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) >"$2"
}

build_base()
{
	local kdir=$1 rel=$2 out=$3 root
	root=$(mktemp -d "$CACHE/tmp.XXXXXX")
	mkdir -p "$root"/{bin,dev,proc,sys,tmp,run,root,mnt,etc,lib/modules,keel}
	install -m 0755 "$(command -v busybox)" "$root/bin/busybox"
	ln -s bin "$root/sbin"
	mkdir "$root/usr"
	ln -s ../bin "$root/usr/bin"
	ln -s ../bin "$root/usr/sbin"
	echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
	echo 'root:x:0:' >"$root/etc/group"
	install -m 0755 "$TESTHOST/init" "$root/init"
	copy_modules "$kdir" "$rel" "$root"
	pack "$root" "$out.new"
	rm -rf "$root"
	mv "$out.new" "$out"
}

base()
{
	local kdir=$1 rel out
	rel=$(ls "$kdir/lib/modules")
	command -v busybox >/dev/null || die "no busybox (Debian package busybox-static)"
	# By the kernel, too: two debug kernels may have one release and different modules.
	out=$CACHE/initramfs/$rel-$(cat "$0" "$TESTHOST/init" "$(command -v busybox)" \
		"$kdir"/boot/vmlinuz-* | cksum | tr ' ' -).cpio
	if [ ! -e "$out" ]; then
		mkdir -p "$CACHE/initramfs"
		drop_old "$CACHE/initramfs" "$rel-*"
		msg BUILD "initramfs for $rel"
		build_base "$kdir" "$rel" "$out"
	fi
	echo "$out"
}

files()
{
	local out=$1 root f src dst
	shift
	root=$(mktemp -d "$CACHE/tmp.XXXXXX")
	for f in "$@"; do
		src=${f%%:*}
		dst=${f#*:}
		[ -e "$src" ] || die "no such file: $src"
		mkdir -p "$root/$(dirname "$dst")"
		cp -rL --preserve=mode "$src" "$root/$dst"
	done
	pack "$root" "$out"
	rm -rf "$root"
}

cmd=${1:-}
[ $# -eq 0 ] || shift
case $cmd in
base)	with_lock initramfs base "$@" ;;
files)	files "$@" ;;
*)	sed -n '3,6s/^# \{0,1\}//p' "$0" >&2; exit 1 ;;
esac
