#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# life.sh MODULE: loading, unloading, CPU hotplug and refusal of the module, on emulated hosts with
# and without what it needs. Prints TAP.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
module=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
${CC:-gcc} -O2 -Wall -Wextra -Werror -static -pthread -o "$work/hold-vm" \
	"$top/selftests/e2e/hold-vm.c" || exit 1

n=0 failed=0
# host NAME MODE OPTION...: the host's cases, numbered on, with its name before each.
host()
{
	local name=$1 mode=$2 status line
	shift 2
	"$top/selftests/testhost/host.sh" run --timeout 600 --file "$module:keel/keel.ko" \
		--file "$work/hold-vm:keel/hold-vm" \
		--file "$top/selftests/e2e/life-in-host:keel/life" "$@" -- \
		sh /keel/life "$mode" >"$work/out"
	status=$?
	while IFS= read -r line; do
		case $line in
		'ok '*|'not ok '*)
			n=$((n + 1))
			echo "${line%% [0-9]* - *} $n - $name: ${line#* - }" ;;
		'1..'*)	;;
		*)	echo "$line" ;;
		esac
	done <"$work/out"
	n=$((n + 1))
	if [ $status = 0 ]; then
		echo "ok $n - $name: clean end"
	else
		echo "not ok $n - $name: clean end (status $status)"
		failed=1
	fi
}

host 'SVM and NPT' full
host 'no SVM' nodev --cpu qemu64,-svm
host 'no NPT' nodev --cpu max,-erms,-npt
echo "1..$n"
exit $failed
