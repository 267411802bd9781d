#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Fetches what the emulated hosts are made of into the cache, from Debian packages:
#   fetch.sh kernel      the newest 6.1 cloud kernel and its modules; prints their folder
#   fetch.sh headers     its headers; prints the folder that KDIR= takes
#   fetch.sh selftests   the kernel tree's tools/testing/selftests; prints the folder
#   fetch.sh debug       the debug kernel: of KEEL_DEBUG_KERNEL, of ../shared/debug-kernel beside
#                        the clone, or built by debug-kernel.sh; prints the folder
# Nothing is installed: packages are unpacked with dpkg -x, /boot stays as it is.
set -eu
. "$(dirname "$0")/lib.sh"

# The meta package's Depends names the newest ABI: linux-image-6.1.0-NN-cloud-amd64.
newest_image()
{
	apt_candidate linux-image-cloud-amd64 >/dev/null || return 1
	apt-cache depends --no-recommends --no-suggests linux-image-cloud-amd64 |
		awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }'
}

# An answer from the lists takes a second, so it is asked once a day and kept.
resolve()
{
	local f=$CACHE/kernel/newest
	if [ -n "${KEEL_KERNEL:-}" ]; then
		echo "linux-image-$KEEL_KERNEL"
		return
	fi
	if [ -z "$(find "$f" -mmin -1440 2>/dev/null)" ]; then
		mkdir -p "$CACHE/kernel"
		newest_image >"$f.new" && [ -s "$f.new" ] && mv "$f.new" "$f"
	fi
	[ -s "$f" ] || die "no linux-image-cloud-amd64 in the package lists"
	cat "$f"
}

# unpack PACKAGE DIR: downloads and unpacks; the stamp comes last, so a cut-off run starts anew.
unpack()
{
	local pkg=$1 dir=$2
	rm -rf "$dir" "$CACHE/deb/$pkg"
	in_progress "download $pkg" apt_fetch "$CACHE/deb/$pkg" "$pkg"
	mkdir -p "$dir"
	in_progress "unpack $pkg" dpkg -x "$CACHE/deb/$pkg"/*.deb "$dir"
	rm -rf "${CACHE:?}/deb/$pkg"
}

fetch_kernel()
{
	local image release dir
	image=$(resolve)
	release=${image#linux-image-}
	dir=$CACHE/kernel/$release
	if [ ! -e "$dir/.done" ]; then
		unpack "$image" "$dir"
		depmod -b "$dir" "$release"
		touch "$dir/.done"
	fi
	echo "$dir"
}

# The headers' Makefile names the -common folder and kbuild by absolute path. Where the packages
# are not installed, both are unpacked side by side and the copy's paths are turned to them.
fetch_headers()
{
	local image release dir installed p common kbuild
	image=$(resolve)
	release=${image#linux-image-}
	installed=/usr/src/linux-headers-$release
	if [ -e "$installed/Module.symvers" ]; then
		echo "$installed"
		return
	fi
	dir=$CACHE/headers/$release
	if [ ! -e "$dir/.done" ]; then
		rm -rf "$dir"
		common=linux-headers-${release%-cloud-amd64}-common
		kbuild=linux-kbuild-${release%%.0-*}
		for p in "linux-headers-$release" "$common" "$kbuild"; do
			unpack "$p" "$dir/$p.d"
			cp -a "$dir/$p.d/." "$dir/"
			rm -rf "${dir:?}/$p.d"
		done
		sed -i "s,/usr/src/,$dir/usr/src/," "$dir/usr/src/linux-headers-$release/Makefile"
		for p in scripts tools; do
			ln -sfn "$dir/usr/lib/$kbuild/$p" "$dir/usr/src/linux-headers-$release/$p"
		done
		touch "$dir/.done"
	fi
	echo "$dir/usr/src/linux-headers-$release"
}

# Only the selftests' own files: 2 % of the package, which is deleted again.
selftests_from_deb()
{
	local deb
	deb=$(echo "$CACHE"/deb/linux-source-6.1/*.deb)
	dpkg-deb --fsys-tarfile "$deb" | tar -xO ./usr/src/linux-source-6.1.tar.xz |
		xz -dc -T0 | tar -x -C "$1" linux-source-6.1/tools/testing/selftests
}

fetch_selftests()
{
	local dir=$CACHE/linux-6.1
	if [ ! -e "$dir/.done" ]; then
		rm -rf "$dir" "$dir.new"
		mkdir -p "$dir.new"
		in_progress "download linux-source-6.1 (selftests headers; 140 MB)" \
			apt_fetch "$CACHE/deb/linux-source-6.1" linux-source-6.1
		in_progress "unpack linux-source-6.1's tools/testing/selftests" \
			selftests_from_deb "$dir.new"
		mv "$dir.new/linux-source-6.1" "$dir"
		rm -rf "$dir.new" "$CACHE/deb/linux-source-6.1"
		touch "$dir/.done"
	fi
	echo "$dir/tools/testing/selftests"
}

fetch_debug()
{
	local dir=$CACHE/kernel/debug stamp
	if [ ! -r "$DEBUG_KERNEL/bzImage" ]; then
		[ -z "${KEEL_DEBUG_KERNEL:-}" ] || die "no debug kernel in $DEBUG_KERNEL"
		"$TESTHOST/debug-kernel.sh"
		return
	fi
	stamp=$(stat -c '%s %Y' "$DEBUG_KERNEL/bzImage")
	if [ "$(cat "$dir/.done" 2>/dev/null)" != "$stamp" ]; then
		rm -rf "$dir"
		mkdir -p "$dir/boot" "$dir/headers"
		cp "$DEBUG_KERNEL/bzImage" "$dir/boot/vmlinuz-debug"
		tar -xJf "$DEBUG_KERNEL/modules.tar.xz" -C "$dir"
		in_progress "unpack the debug kernel's headers" \
			tar -xJf "$DEBUG_KERNEL/headers.tar.xz" -C "$dir/headers"
		echo "$stamp" >"$dir/.done"
	fi
	echo "$dir"
}

case ${1:-} in
kernel|headers|selftests|debug)
	mkdir -p "$CACHE"
	with_lock "$1" "fetch_$1" ;;
*)
	sed -n '3,9s/^# \{0,1\}//p' "$0" >&2
	exit 1 ;;
esac
