#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# module.sh cloud|debug [FOLDER]: builds the module for an emulated host's kernel, in a copy of its
# sources in the cache, and prints the path of keel.ko. The tree's own module/keel.ko may thus be for
# another kernel. With FOLDER another module of the tree, which stands there and has that name.
set -eu
. "$(dirname "$0")/lib.sh"

build()
{
	local kind=$1 folder=${2:-} kdir dir
	case $kind in
	cloud)	kdir=$("$TESTHOST/fetch.sh" headers) ;;
	debug)	kdir=$("$TESTHOST/fetch.sh" debug); kdir=$(echo "$kdir"/headers/linux-headers-*) ;;
	*)	die "no such kernel: $kind" ;;
	esac
	dir=$CACHE/build/$kind-$({
		echo "$TOP $kdir${folder:+ $folder}"
		cat "$kdir/include/generated/autoconf.h"
	} | cksum | cut -d' ' -f1)
	mkdir -p "$dir/module"
	# Only sources, and only what has changed, so that make builds no more than it must.
	(cd "$TOP" && find Kbuild uapi module ${folder:+"$folder"} \( -name '*.[chS]' -o -name Kbuild \) \
		! -name '*.mod.c' | LC_ALL=C sort) >"$dir/sources.new"
	if [ -e "$dir/sources" ] && ! cmp -s "$dir/sources" "$dir/sources.new"; then
		rm -rf "${dir:?}"/{Kbuild,uapi,module,selftests}
	fi
	mv "$dir/sources.new" "$dir/sources"
	(cd "$TOP" && xargs cp -u --parents -t "$dir") <"$dir/sources"
	if ! make -C "$kdir" M="$dir${folder:+/$folder}" -j"$(nproc)" W=1 modules >"$dir/log" 2>&1; then
		grep -E 'error|warning|\*\*\*' "$dir/log" >&2 || tail -n 20 "$dir/log" >&2
		return 1
	fi
	grep -E 'warning:' "$dir/log" >&2 || true
	if [ -n "$folder" ]; then
		echo "$dir/$folder/${folder##*/}.ko"
	else
		echo "$dir/module/keel.ko"
	fi
}

with_lock "build-${1:-}" build "$@"
