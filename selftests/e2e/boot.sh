#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# boot.sh DEVICE CPUS [OPTION OF testhost/guest.sh]...: boots the Debian guest on an emulated host,
# lets it check itself over a reboot, powers it off, and prints TAP.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
device=$1 cpus=$2
shift 2

out=$(mktemp)
trap 'rm -f "$out"' EXIT
"$top/selftests/testhost/guest.sh" --host amd-tcg --device "$device" --cpus "$cpus" \
	--script "$top/selftests/e2e/guest.sh" --set clock=1 "$@" </dev/null |
	tr -d '\r' | tee "$out" | awk '
	/^guest: pass: / { sub(/^guest: pass: /, ""); print "ok " ++n " - " boot $0; next }
	/^guest: FAIL: / { sub(/^guest: FAIL: /, ""); print "not ok " ++n " - " boot $0; next }
	/^guest: second boot/ { boot = "after the reboot: " }
	/^guest: boot seconds/ { print "# note: " $0; next }
	{ print "# " $0; fflush() }'
status=${PIPESTATUS[0]}
n=$(grep -cE '^guest: (pass|FAIL): ' "$out")
if grep -q '^guest: second boot' "$out"; then
	echo "ok $((++n)) - the guest came back from its reboot"
else
	echo "not ok $((++n)) - the guest came back from its reboot"
fi
if [ "$status" = 0 ]; then
	echo "ok $((++n)) - the guest powered off and all ended well"
else
	echo "not ok $((++n)) - the guest powered off and all ended well (status $status)"
fi
echo "1..$n"
! grep -q '^guest: FAIL' "$out" && [ "$status" = 0 ]
