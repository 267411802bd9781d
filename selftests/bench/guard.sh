#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# guard.sh [OPTION OF rows.sh]...: compares what five kinds of exits take on the Intel host with the
# committed table, and prints TAP. They repeat to the digit, with 5% of room.
set -u
. "$(dirname "$0")/lib.sh"

GUARDED="cpuid rdmsr hypercall pio_user mmio_user"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
host_of intel
# shellcheck disable=SC2086
"$BENCH/rows.sh" --devices keel --rounds 1 "$@" intel $GUARDED >"$work/figures"
status=$?
"$BENCH/bench" --list >"$work/list"
{
	echo "$CSV_HEAD"
	awk -v host=$host -v mitigations=$mitigations -v ticks=instructions \
		-f "$BENCH/figures.awk" "$work/list" "$work/figures"
} >"$work/new.csv"
[ -e "$TABLE" ] || TABLE=$work/none
[ -e "$TABLE" ] || echo "$CSV_HEAD" >"$TABLE"
awk -v tap=1 -f "$BENCH/compare.awk" "$TABLE" "$work/new.csv" || [ $status != 0 ] || status=1
exit $status
