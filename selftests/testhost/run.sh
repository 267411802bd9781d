#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# `make run`: installs what is missing, builds, chooses the host and boots the Debian guest: its
# login on a terminal, or without one a script whose status is this one's.
set -eu
. "$(dirname "$0")/lib.sh"

"$TESTHOST/deps.sh" build run
host=$("$TESTHOST/choose.sh")
if [ "$host" = native ]; then
	module=$TOP/module/keel.ko
	in_progress "build the module for this kernel" \
		make -s -C "/lib/modules/$(uname -r)/build" M="$TOP" -j"$(nproc)" modules >&2
else
	msg BUILD "the module for the emulated host's kernel"
	module=$("$TESTHOST/module.sh" cloud)
fi
"$TESTHOST/fetch.sh" selftests >/dev/null
in_progress "build the launcher" make -s -C "$TOP/userspace" -j"$(nproc)" >&2
in_progress "build the selftests" make -s -C "$TOP/selftests" OUTPUT="$TOP/selftests" -j"$(nproc)" >&2

args=(--host "$host" --module "$module" --device "${DEVICE:-keel}")
if [ ! -t 0 ] || [ ! -t 1 ]; then
	exec "$TESTHOST/guest.sh" "${args[@]}" --script "$TOP/selftests/e2e/guest.sh" \
		--set clock=
fi
msg GUEST "booting; log in is automatic, \`poweroff\` ends it"
exec "$TESTHOST/guest.sh" "${args[@]}"
