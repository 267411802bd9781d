#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# rows.sh [OPTION]... HOST ROW...: measures rows of bench in one boot of a host of lib.sh, the
# devices taking turns, and prints a line `figure DEVICE ROW VALUE` for each turn.
#   --devices 'D...'  (default: kvm keel)
#   --rounds N        turns of each device (default 2)
#   --limit S         seconds for one row's turn (default 200)
#   --module FILE, --bench FILE, --floor FILE   (default: no row `floor`)
#   --log FILE        keep the host's kernel log there
# What bench itself says goes to stderr. Status: 0 if every row came through.
set -u
. "$(dirname "$0")/lib.sh"

devices='kvm keel' rounds=2 limit=200 module=$TOP/module/keel.ko bench=$BENCH/bench floor='' log=''
while [ $# -gt 0 ]; do
	case $1 in
	--devices|--rounds|--limit|--module|--bench|--floor|--log)
		[ $# -ge 2 ] || die "$1 wants a value"
		printf -v "${1#--}" %s "$2"; shift 2 ;;
	-*)	sed -n '3,10s/^# \{0,1\}//p' "$0" >&2; exit 1 ;;
	*)	break ;;
	esac
done
[ $# -ge 2 ] || die "usage: rows.sh [OPTION]... HOST ROW..."
host_of "$1"
shift

emulated()
{
	local flavour=svm modules=both
	[ $host != intel-bochs ] || flavour=vmx
	[ "$devices" != keel ] || modules=keel
	[ -z "$log" ] || args+=(--log "$log")
	[ -z "$floor" ] || args+=(--file "$floor:bench/floor.ko")
	# Of all rows together, in the emulator's CPU time; some map a GiB.
	"$TESTHOST/host.sh" run "${args[@]}" --device $modules --module "$module" --mem 2048 \
		--stall $((limit + 120)) --timeout 5400 \
		--file "$bench:bench/bench" --file "$BENCH/in-host:bench/in-host" -- \
		env KEEL_TEST_BOCHS=$flavour sh /bench/in-host "$rounds" "$limit" "$devices" "$@" \
		</dev/null | tr -d '\r'
	return $((PIPESTATUS[0] | PIPESTATUS[1]))
}

# Rows with two vCPUs want two CPUs; the others run on the first of them.
native()
{
	local here status
	here=$(mktemp -d "$CACHE/bench.XXXXXX")
	cp "$BENCH/in-host" "$bench" "$here/"
	[ -z "$floor" ] || cp "$floor" "$here/"
	KEEL_BENCH_PIN=1 sh "$here/in-host" "$rounds" "$limit" "$devices" "$@" </dev/null
	status=$?
	rm -rf "$here"
	return $status
}

run_it()
{
	case $host in
	native)	native "$@" ;;
	*)	emulated "$@" ;;
	esac
}

run_it "$@" | awk '
	$1 == "figure" { print; next }
	NF { print "  " $0 >"/dev/stderr" }'
exit $((PIPESTATUS[0] | PIPESTATUS[1]))
