#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# `make check`: the module with W=1 and sparse, the shell scripts by bash. Any finding fails.
set -eu
. "$(dirname "$0")/lib.sh"

"$TESTHOST/deps.sh" build check
kdir=$("$TESTHOST/fetch.sh" headers)
dir=$CACHE/build/check
rm -rf "$dir"
mkdir -p "$dir"
(cd "$TOP" && find Kbuild uapi module \( -name '*.[chS]' -o -name Kbuild \) ! -name '*.mod.c' |
	xargs cp --parents -t "$dir")
make -C "$kdir" M="$dir" -j"$(nproc)" W=1 C=2 modules >"$dir/log" 2>&1 ||
	{ tail -n 30 "$dir/log" >&2; exit 1; }
status=0
# What sparse finds in the kernel's own headers is not ours.
if grep -E '(warning|error):' "$dir/log" | grep -F "$dir/"; then
	status=1
fi
for f in "$TESTHOST"/*.sh "$TOP"/selftests/{bench,e2e}/*.sh "$TOP/.ci/run"; do
	bash -n "$f" || status=1
done
[ $status != 0 ] || msg CHECK "nothing found"
exit $status
