#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# qemu.sh keel|kvm MODULE [OPTION OF testhost/host.sh]...: this machine's own QEMU as the client, in
# an emulated host, with its firmware and Debian's kernel in the guest. Prints TAP.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
host=$top/selftests/testhost
device=$1 module=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The program with its libraries, and the firmware that it loads by itself.
copy_qemu()
{
	local qemu lib
	qemu=$(command -v qemu-system-x86_64)
	mkdir -p "$work/q/lib" "$work/q/share"
	cp -L "$qemu" "$work/q/qemu"
	for lib in $(ldd "$qemu" | grep -o '/[^ ]*'); do
		cp -L "$lib" "$work/q/lib/"
	done
	for lib in seabios/{bios-256k,vgabios-stdvga}.bin qemu/{kvmvapic,linuxboot_dma,linuxboot}.bin; do
		cp -L "/usr/share/$lib" "$work/q/share/"
	done
}

copy_qemu && "$host/initramfs.sh" files "$work/initrd" "$(command -v busybox):bin/busybox" \
	"$top/selftests/e2e/qemu-guest:init" && kernel=$("$host/fetch.sh" kernel) || exit 1
if [ "$device" = keel ]; then
	# QEMU of that age knows no other name of the device.
	set -- --module "$module" --keel-params devname=kvm "$@"
fi
"$host/host.sh" run --device "$device" --mem 1536 --timeout 600 "$@" --file "$work/q:keel/q" \
	--file "$(echo "$kernel"/boot/vmlinuz-*):keel/vmlinuz" --file "$work/initrd:keel/initrd" \
	--file "$top/selftests/e2e/qemu-move:keel/qemu-move" -- \
	sh -c '
		mkdir -p /lib64
		ln -s /keel/q/lib/ld-linux-x86-64.so.2 /lib64/
		LD_LIBRARY_PATH=/keel/q/lib timeout 300 /keel/q/qemu -L /keel/q/share \
			-accel kvm -M q35 -cpu host -smp 2 -m 256 -nodefaults -vga std \
			-display none -serial stdio -no-reboot -kernel /keel/vmlinuz \
			-initrd /keel/initrd -append "console=ttyS0 quiet panic=-1" </dev/null &&
			/keel/qemu-move' |
	tr -d '\r' >"$work/out"
status=${PIPESTATUS[0]}

n=0 failed=0
result()
{
	local text=$1
	shift
	n=$((n + 1))
	if "$@"; then
		echo "ok $n - $text"
	else
		echo "not ok $n - $text"
		failed=1
	fi
}

sed 's/^/# /' "$work/out"
result "the guest comes up, with both CPUs" grep -q '^guest: up, 2 CPUs$' "$work/out"
result "every CPU runs" grep -q '^guest: every CPU has run$' "$work/out"
result "the guest knows where it is, and takes kvmclock" \
	grep -q '^guest: clock: kvm-clock$' "$work/out"
result "a second takes a second" grep -qE '^guest: slept (9[0-9]|1[0-4][0-9]) hundredths$' "$work/out"
result "it moves while it writes, to another QEMU and on to a third" \
	grep -qE '^guest: moved; [0-9]+ times written, 0 files are not as' "$work/out"
result "power-off ends QEMU with status 0, and the host without a report ($status)" [ "$status" = 0 ]
echo "1..$n"
exit $failed
