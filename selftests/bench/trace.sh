#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# trace.sh keel|kvm ROW [OPTION]...: shows where the instructions of a row of bench go: those of one
# of its rounds in an emulated host, by the function that they are in.
#   --host NAME     intel-bochs (default), amd-bochs
#   --mitigations   with the kernel's default instead of mitigations=off
#   --per N         divide by N operations (default: by the guest's exits in that round)
#   --raw           instead, the instructions from one exit to the next
#   --raw-all       ... of the whole round
#   --khz N         instructions a millisecond (default 200000: few interrupts of the host's timer)
#   --module FILE   (default: this tree's, built for that host)
#   --bench FILE    (default: bench in this folder)
# The row's own figure goes to stderr. In a round that the host's timer fell into, its handler is in
# the table.
set -u
. "$(dirname "$0")/../testhost/lib.sh"
BENCH=$(cd "$(dirname "$0")" && pwd)

usage()
{
	sed -n '3,13s/^# \{0,1\}//p' "$0" >&2
	exit 1
}

names=()
host=intel-bochs append=mitigations=off per=0 raw='' khz=200000 module='' bench=$BENCH/bench
while [ $# -gt 0 ]; do
	case $1 in
	--host|--per|--khz|--module|--bench)
		[ $# -ge 2 ] || usage
		printf -v "${1#--}" %s "$2"; shift ;;
	--mitigations)	append='' ;;
	--raw)		raw=one ;;
	--raw-all)	raw=all ;;
	-*)		usage ;;
	*)		names+=("$1") ;;
	esac
	shift
done
[ ${#names[@]} = 2 ] || usage
device=${names[0]} row=${names[1]}

[ -x "$bench" ] || die "no program: $bench (make selftests)"
args=(--host "$host" --device "$device" --khz "$khz" --append "$append")
case $host in
intel-bochs)
	# Bochs logs dirty pages with the low bits of their addresses, at which stock KVM warns.
	half=vmx
	args+=(--kvm-params pml=0) ;;
amd-bochs)	half=svm ;;
*)		die "no such host: $host" ;;
esac
case $device in
keel)
	[ -n "$module" ] || module=$("$TESTHOST/module.sh" cloud) || exit 1
	args+=(--module "$module") ;;
kvm)	;;
*)	die "no such device: $device" ;;
esac

work=$(mktemp -d "$CACHE/trace.XXXXXX")
trap 'rm -rf "$work"' EXIT

# A disk takes the kernel's symbols out of the host: the serial line would need minutes.
truncate -s 16M "$work/symbols.img"
"$TESTHOST/host.sh" run "${args[@]}" --timeout 1200 --stall 300 --drive "$work/symbols.img" \
	--trace "$work/trace" --file "$bench:bench/bench" -- \
	sh -c "grep ' [tTwW] ' /proc/kallsyms >/dev/drive0 && sync &&
		KEEL_BENCH_MAGIC=1 KEEL_TEST_BOCHS=$half exec /bench/bench /dev/$device $row" \
	>&2 </dev/null || exit

{
	tr -d '\0' <"$work/symbols.img" | awk 'NF > 2 { print $1, $2, $3, $4 }'
	nm "$bench" | awk '$2 ~ /^[tTwW]$/ { print $1, $2, $3, "[program]" }'
} | LC_ALL=C sort | awk '{ print $1, $3, $4 }' >"$work/symbols"
LC_ALL=C awk -v per="$per" -v raw="$raw" -f "$BENCH/trace.awk" "$work/symbols" "$work/trace" ||
	die "nothing was traced: $row has no magic break points on $device"
