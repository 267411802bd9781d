#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# deps.sh build|run|test|check|debug...: installs the Debian packages for these purposes that the
# machine lacks. It prints their list first; it needs root or sudo only when the list has any.
set -eu
. "$(dirname "$0")/lib.sh"

# libelf1 and libssl3 are for the kernel's build tools, which are unpacked, not installed.
BUILD="gcc libc6-dev linux-libc-dev make xz-utils kmod acpica-tools libelf1
	libssl3"
RUN="qemu-system-x86 busybox-static cpio e2fsprogs mmdebstrap debian-archive-keyring zstd
	iproute2 procps util-linux"
TEST="bochs bochs-term bochsbios vgabios isolinux syslinux-common xorriso clang libclang-rt-dev
	libzydis-dev expect"
CHECK="sparse"
# For debug-kernel.sh.
DEBUG="bc bison flex libelf-dev zlib1g-dev"

installed()
{
	[ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null)" = 'ii ' ]
}

missing=()
for purpose in "$@"; do
	case $purpose in
	build)	list=$BUILD ;;
	run)	list=$RUN ;;
	test)	list=$TEST ;;
	check)	list=$CHECK ;;
	debug)	list=$DEBUG ;;
	*)	die "no such purpose: $purpose" ;;
	esac
	for p in $list; do
		# Bochs needs one front end to install, and uses none of them here.
		[ "$p" != bochs-term ] || ! installed bochs-wx || continue
		installed "$p" || missing+=("$p")
	done
done

[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null ||
	die "this is not Debian: install what these packages hold: ${missing[*]}"
msg INSTALL "${missing[*]}"
install_them()
{
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
		install "${missing[@]}" >"$CACHE/apt.log" 2>&1 </dev/null
}
mkdir -p "$CACHE"
in_progress "update the package lists" apt_update
in_progress "install ${#missing[@]} Debian packages" install_them ||
	{ tail -n 20 "$CACHE/apt.log" >&2; exit 1; }
