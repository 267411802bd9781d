# SPDX-License-Identifier: GPL-2.0-only
# Sourced by the scripts in this folder: messages, the cache folder, locks, Debian packages.
# shellcheck shell=bash

TESTHOST=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP=$(cd "$TESTHOST/../.." && pwd)
CACHE=${KEEL_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/keel}
DEBUG_KERNEL=${KEEL_DEBUG_KERNEL:-$TOP/../shared/debug-kernel}

# Everything but a command's own output goes to stderr, so that TAP on stdout stays clean.
msg()
{
	printf '  %-8s %s\n' "$1" "$2" >&2
}

die()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# as_root CMD...: with sudo where the caller is not root.
as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "this step needs root, and there is no sudo: $*"
	fi
}

# with_lock NAME CMD...: one process at a time a NAME; the lock goes when the process does.
with_lock()
{
	local name=$1
	shift
	mkdir -p "$CACHE/lock"
	(
		flock -n 9 || { msg WAIT "another run holds the cache's '$name'"; flock 9; }
		"$@" 9>&-
	) 9>"$CACHE/lock/$name"
}

# in_progress TEXT CMD...: a line at the start, and one every 10 s while it lasts.
in_progress()
{
	local text=$1 pid rc t=0
	shift
	msg BEGIN "$text"
	"$@" &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		t=$((t + 1))
		[ $((t % 50)) -ne 0 ] || msg ... "$text ($((t / 5)) s)"
	done
	rc=0
	wait "$pid" || rc=$?
	[ "$rc" -eq 0 ] || msg FAILED "$text (status $rc)"
	return "$rc"
}

# drop_old FOLDER PATTERN: what was replaced over a day ago; a younger one may be in use.
drop_old()
{
	find "$1" -mindepth 1 -maxdepth 1 -name "$2" -mmin +1440 -exec rm -rf {} +
}

apt_update()
{
	as_root apt-get -qq -o APT::Sandbox::User=root update >&2
}

# A package's candidate version; the lists are fetched when they lack it.
apt_candidate()
{
	local v
	v=$(apt-cache policy "$1" 2>/dev/null | awk '$1 == "Candidate:" { print $2 }')
	if [ -z "$v" ] || [ "$v" = "(none)" ]; then
		apt_update || return 1
		v=$(apt-cache policy "$1" | awk '$1 == "Candidate:" { print $2 }')
	fi
	[ -n "$v" ] && [ "$v" != "(none)" ] && printf '%s\n' "$v"
}

# apt_fetch DIR PACKAGE: the .deb of the candidate version, left in DIR.
# Lists older than the archive name files that are gone: one update, one more try.
apt_fetch()
{
	local dir=$1 pkg=$2
	mkdir -p "$dir"
	(
		cd "$dir" || exit 1
		apt-get -qq -o APT::Sandbox::User=root download "$pkg" >&2 && exit 0
		apt_update
		apt-get -qq -o APT::Sandbox::User=root download "$pkg" >&2
	)
}
