#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# cli.sh [LAUNCHER]: what a person does wrong on the launcher's command line gets one line on
# standard error that names the thing, and status 1. Needs no device and no root. TAP.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
keel=${1:-${KEEL_LAUNCHER:-$top/userspace/keel}}
[ -x "$keel" ] || { echo "1..0 # SKIP no launcher: $keel"; exit 4; }
keel=$(realpath "$keel")

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
n=0 failed=0

result()
{
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		sed 's/^/# /' err
		failed=1
	fi
}

# wrong TEXT WORD COMMAND...: the command must end with 1, silent but for one line with WORD.
wrong()
{
	local text=$1 word=$2 status
	shift 2
	timeout 20 "$@" </dev/null >out 2>err
	status=$?
	[ $status = 1 ] && [ ! -s out ] && [ "$(wc -l <err)" = 1 ] &&
		grep -q '^keel: ' err && grep -qF -- "$word" err
	result $? "$text"
}

run()
{
	local text=$1 word=$2
	shift 2
	wrong "$text" "$word" "$keel" run "$@"
}

# A file that passes for a bzImage, so that what comes after the kernel is looked at.
# byte OFFSET OCTAL...
byte()
{
	local at=$1
	shift
	printf "$(printf '\\%s' "$@")" | dd of=kernel bs=1 seek="$at" conv=notrunc status=none
}
truncate -s 4096 kernel
byte 497 001				# setup_sects
byte 500 001 000 000 000		# syssize, in paragraphs
byte 510 125 252			# boot_flag
byte 514 110 144 162 123		# "HdrS"
byte 518 017 002			# version 2.15
byte 566 001				# xloadflags: XLF_KERNEL_64
echo text >text
truncate -s 1000 odd.img
: >empty.img
truncate -s 1M good.img
cp kernel short
truncate -s 1030 short

"$keel" --help >out 2>err && [ ! -s err ] && grep -q -- --kernel out
result $? "--help prints the options"
"$keel" --version >out 2>err && [ ! -s err ] && grep -qE '^keel [0-9]' out
result $? "--version prints the version"
missing=
for o in kernel initrd append cpus memory disk net device help version; do
	"$keel" run --help | grep -q -- "--$o" || missing+=" --$o"
done
echo "missing:$missing" >err
[ -z "$missing" ]
result $? "--help names every option"
if [ -e /dev/full ]; then
	"$keel" --help 2>err >/dev/full
	[ $? = 1 ] && [ "$(wc -l <err)" = 1 ]
	result $? "--help into a full disk fails"
fi

wrong "no command" command "$keel"
wrong "unknown command" boot "$keel" boot
run "no kernel" --kernel
run "unknown long option" --frobnicate --frobnicate
run "unknown short option" -z -z
run "option without its argument" --kernel --kernel
run "extra argument" surplus --kernel kernel surplus
run "kernel does not exist" nothere --kernel nothere
run "kernel is a folder" "$dir" --kernel "$dir"
run "kernel is a text" text --kernel text
run "kernel is empty" empty.img --kernel empty.img
run "kernel is cut short" short --kernel short
run "initrd does not exist" nothere --kernel kernel --initrd nothere
for v in 0 -1 x 2x '' 99999999999999999999; do
	run "--cpus '$v'" --cpus --kernel kernel --cpus "$v"
done
for v in 0 -1 x 1Q 1GG '' 1M 99999999999999999999G 33000001K; do
	run "--memory '$v'" memory --kernel kernel --memory "$v"
done
run "disk does not exist" nothere --kernel kernel --disk nothere
run "disk of an odd size" odd.img --kernel kernel --disk odd.img
run "disk without size" empty.img --kernel kernel --disk empty.img
run "disk without a name" --disk --kernel kernel --disk ,readonly
run "disk is a folder" "$dir" --kernel kernel --disk "$dir,readonly"
run "one disk twice" "good.img: already in use" --kernel kernel --disk good.img --disk good.img
run "--net of an unknown kind" --net --kernel kernel --net user
run "--net without a name" --net --kernel kernel --net tap=
run "device does not exist" /dev/nothere --kernel kernel --device /dev/nothere
run "device is something else" /dev/null --kernel kernel --device /dev/null
run "one disk read-only twice is allowed" /dev/nothere --kernel kernel --device /dev/nothere \
	--disk good.img,readonly --disk good.img,readonly

if [ "$(id -u)" = 0 ] && setpriv --version >/dev/null 2>&1; then
	chmod 755 "$dir"
	chmod 644 kernel good.img
	mknod -m 0660 "$dir/node" c 1 3 2>/dev/null || cp kernel node
	chown root:kvm node 2>/dev/null || chown root:tty node
	chmod 0660 node
	group=$(stat -c %G node)
	cp "$keel" ./launcher
	wrong "no permission on the device: the group is named" "'$group'" \
		setpriv --reuid=65534 --regid=65534 --clear-groups \
		./launcher run --kernel kernel --device "$dir/node"
	wrong "no permission on a disk" good.img \
		setpriv --reuid=65534 --regid=65534 --clear-groups \
		./launcher run --kernel kernel --disk good.img
else
	n=$((n + 1))
	echo "ok $n - no permission on the device # SKIP not root"
fi

echo "1..$n"
exit $failed
