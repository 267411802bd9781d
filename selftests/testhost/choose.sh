#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Prints the host that `make run` uses: native if this machine's CPU has SVM or VMX, its kernel
# loads modules, headers for that kernel are there and the caller is root; else an emulated one.
# HOST= decides instead.
set -eu
. "$(dirname "$0")/lib.sh"

emulated()
{
	msg HOST "emulated: $1"
	echo amd-tcg
	exit 0
}

case ${HOST:-} in
'')		;;
native)		echo native; exit 0 ;;
amd)		echo amd-tcg; exit 0 ;;
bochs)		echo amd-bochs; exit 0 ;;
intel)		echo intel-bochs; exit 0 ;;
*)		echo "$HOST"; exit 0 ;;
esac

[ "$(uname -m)" = x86_64 ] || emulated "this machine is not x86-64"
grep -qwE 'svm|vmx' /proc/cpuinfo || emulated "this CPU shows neither SVM nor VMX"
[ -e /proc/modules ] || emulated "this kernel loads no modules"
[ -e "/lib/modules/$(uname -r)/build/Module.symvers" ] ||
	emulated "no headers for this kernel, $(uname -r)"
[ "$(id -u)" = 0 ] || emulated "only root can load the module here"
msg HOST "this machine"
echo native
