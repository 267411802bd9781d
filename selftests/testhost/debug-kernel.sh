#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# debug-kernel.sh: builds a kernel that finds errors in a module (KASAN, lockdep, UBSAN, kmemleak,
# fault injection) from Debian's package linux-source-6.1 and the options in debug-kernel.config,
# in the cache, and prints its folder:
#   boot/vmlinuz-debug, lib/modules/RELEASE, headers/linux-headers-RELEASE
# The build folder is deleted. Called by fetch.sh where no ready-made one is at hand.
set -eu
. "$(dirname "$0")/lib.sh"

CONFIG=$TESTHOST/debug-kernel.config
# Object files of a whole build, for the progress lines.
OBJECTS=1650
JOBS=$(nproc)

# The same sources make the same kernel, whoever builds it.
export KBUILD_BUILD_USER=keel KBUILD_BUILD_HOST=keel KBUILD_BUILD_VERSION=1
export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 2026' LC_ALL=C

kernel_make()
{
	make -C "$src" ARCH=x86_64 -j"$JOBS" "$@"
}

# Not the code of other architectures and of what this kernel never has, which is most of it.
unpack_source()
{
	local tar dir
	tar=$(echo "$work"/deb/linux-source-6.1_*.deb)
	dpkg-deb --fsys-tarfile "$tar" | tar -xO ./usr/src/linux-source-6.1.tar.xz | xz -dc -T0 |
		tar -x -C "$work" --wildcards --wildcards-match-slash \
			--exclude='linux-source-6.1/Documentation/*/*' \
			--exclude='linux-source-6.1/sound/*.[ch]' \
			--exclude='linux-source-6.1/drivers/gpu/*.[ch]' \
			--exclude='linux-source-6.1/drivers/media/*.[ch]' \
			--exclude='linux-source-6.1/drivers/infiniband/*.[ch]' \
			--exclude='linux-source-6.1/drivers/staging/*.[ch]' \
			--exclude='linux-source-6.1/drivers/net/ethernet/*.[ch]' \
			--exclude='linux-source-6.1/drivers/net/wireless/*.[ch]' \
			--exclude='linux-source-6.1/arch/[!x]*/*.[chS]' \
			--exclude='linux-source-6.1/arch/[!x]*/*.dts*' \
			--exclude='linux-source-6.1/tools/testing/*'
	rm -rf "$work/deb"
	# The filter by callers works on x86-64 since there is ORC; later kernels dropped this line.
	sed -i '/^config FAULT_INJECTION_STACKTRACE_FILTER/,/^$/ s/^\tdepends on !X86_64$//' \
		"$src/lib/Kconfig.debug"
}

# An option that the source does not know, or that lacks what it depends on, is worth a line.
configure()
{
	local line
	KCONFIG_ALLCONFIG=$CONFIG kernel_make -s allnoconfig >"$work/log" 2>&1 ||
		{ tail -n 20 "$work/log" >&2; return 1; }
	sed -i 's/^CONFIG_LOCALVERSION=.*/CONFIG_LOCALVERSION="-keel-debug"/' "$src/.config"
	grep -E '^CONFIG_' "$CONFIG" | while read -r line; do
		grep -qxF -- "$line" "$src/.config" || msg MISSING "$line"
	done
}

compile()
{
	local pid n t=0
	kernel_make -k bzImage modules >"$work/log" 2>&1 &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 1
		t=$((t + 1))
		[ $((t % 20)) = 0 ] || continue
		n=$(grep -cE '^  (CC|AS) ' "$work/log" || true)
		msg ... "debug kernel: $n of about $OBJECTS files compiled ($t s)"
	done
	wait "$pid" || { grep -E 'error|\*\*\*' "$work/log" | head -n 20 >&2; return 1; }
}

# What a module's build reads: the makefiles, the headers, and the tools that were built.
copy_headers()
{
	(
		cd "$src"
		{
			echo Makefile
			echo .config
			echo Module.symvers
			echo tools/objtool/objtool
			ls arch/x86/Makefile*
			find arch/x86/include include scripts \( -type f -o -type l \) \
				! -name '*.o' ! -name '.*.cmd' ! -name '*.[cly]' ! -path 'scripts/dtc/*'
		} | tar -c -T - | tar -x -C "$1"
	)
}

build()
{
	local out=$1 rel
	work=$out.build
	src=$work/linux-source-6.1
	rm -rf "$work" "$out.new"
	mkdir -p "$work/deb"
	"$TESTHOST/deps.sh" build debug
	in_progress "download linux-source-6.1 (140 MB)" apt_fetch "$work/deb" linux-source-6.1
	in_progress "unpack linux-source-6.1" unpack_source
	configure
	compile
	rel=$(kernel_make -s kernelrelease)
	mkdir -p "$out.new/boot" "$out.new/headers/linux-headers-$rel"
	cp "$src/arch/x86/boot/bzImage" "$out.new/boot/vmlinuz-debug"
	kernel_make -s INSTALL_MOD_PATH="$out.new" INSTALL_MOD_STRIP=1 modules_install \
		>"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; return 1; }
	rm -f "$out.new/lib/modules/$rel"/{build,source}
	copy_headers "$out.new/headers/linux-headers-$rel"
	rm -rf "$out" "$work"
	mv "$out.new" "$out"
}

# By the configuration: nothing else is worth half an hour of building.
out=$CACHE/kernel/debug-$(cksum <"$CONFIG" | tr ' ' -)
if [ ! -e "$out" ]; then
	drop_old "$CACHE/kernel" 'debug-*'
	build "$out"
fi
echo "$out"
