#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Boots the Debian guest with the launcher, on this machine or in an emulated host.
#
# guest.sh [OPTION]...
#   --host NAME      native, or a host of host.sh; without it, what fits this machine
#   --device NAME    keel (default), kvm
#   --cpus N         the guest's CPUs (default 2)
#   --memory SIZE    the guest's memory in MiB (default 512)
#   --host-cpus N    an emulated host's CPUs (default 2)
#   --script FILE    a script for the guest to run, instead of a login
#   --fresh          without a script as well: a fresh file system that is thrown away
#   --set NAME=VALUE a variable for the script; any number of times
#   --timeout S      seconds for all of it
#   --module FILE, --launcher FILE    (default: this tree's)
#   --keel-params S  parameters of the module
#   --kernel NAME    an emulated host's kernel: cloud, debug
#   --log FILE       keep the emulated host's kernel log
#
# Status: the script's; without a script, the launcher's.
set -u
. "$(dirname "$0")/lib.sh"

NET=172.30.0.1

host='' device=keel cpus=2 memory=512 host_cpus=2 script='' timeout='' kernel=cloud log='' fresh=''
keel_params=''
module=$TOP/module/keel.ko launcher=$TOP/userspace/keel sets=()
while [ $# -gt 0 ]; do
	case $1 in
	--host|--device|--cpus|--memory|--script|--timeout|--module|--launcher|--kernel|--log)
		[ $# -ge 2 ] || die "$1 wants a value"
		printf -v "${1#--}" %s "$2" ;;
	--host-cpus)	host_cpus=$2 ;;
	--keel-params)	keel_params=$2 ;;
	--set)		sets+=("$2") ;;
	--fresh)	fresh=1; shift; continue ;;
	*)		sed -n '3,22s/^# \{0,1\}//p' "$0" >&2; exit 1 ;;
	esac
	shift 2
done

[ -n "$host" ] || host=$("$TESTHOST/choose.sh")
[ -x "$launcher" ] || die "no launcher: $launcher (make userspace)"
guest=$("$TESTHOST/image.sh") || exit 1
work=$(mktemp -d "$CACHE/guest.XXXXXX")
trap 'rm -rf "$work"' EXIT

# A script finds a fresh file system, and leaves none; a person's guest is kept.
append="root=/dev/vda ro console=ttyS0"
if [ -n "$script" ]; then
	script_disk=$work/script.img
	{
		printf '%s\n' "net=$NET" "cpus=$cpus" "${sets[@]}"
		cat "$script"
	} >"$script_disk"
	[ "$(stat -c %s "$script_disk")" -le 524288 ] || die "script too long: $script"
	truncate -s 1M "$script_disk"
	append+=" quiet systemd.show_status=0 keel.script=vdb"
	append+=" systemd.mask=serial-getty@ttyS0.service systemd.mask=serial-getty@hvc0.service"
else
	append+=" systemd.mask=serial-getty@ttyS0.service"
fi
if [ -n "$script$fresh" ]; then
	root_disk=$work/root.img
	cp --reflink=auto --sparse=always "$guest/root.img" "$root_disk"
else
	root_disk=$guest/mine.img
	[ -e "$root_disk" ] ||
		cp --reflink=auto --sparse=always "$guest/root.img" "$root_disk"
fi

run_native()
{
	local loaded=
	if [ "$device" = keel ] && [ ! -e /dev/keel ]; then
		# shellcheck disable=SC2086
		insmod "$module" $keel_params || die "this machine does not take $module"
		loaded=1
	fi
	busybox sh "$TESTHOST/guest-run" "/dev/$device" "$launcher" "$guest/vmlinuz" \
		"$guest/initrd" "$cpus" "${memory}M" "$root_disk" "${script_disk:--}" "$NET" "$append"
	status=$?
	[ -z "$loaded" ] || rmmod keel
	return $status
}

run_emulated()
{
	local script_in_host=-
	local args=(--host "$host" --kernel "$kernel" --device "$device" --smp "$host_cpus"
		--mem $((memory + 768)) --module "$module"
		--file "$launcher:keel/bin" --file "$guest/vmlinuz:keel/vmlinuz"
		--file "$guest/initrd:keel/initrd" --file "$TESTHOST/guest-run:keel/guest-run"
		--file "$TESTHOST/guest-clock:keel/guest-clock" --drive "$root_disk")
	# Time that passes slowly has fewer of the timer's interrupts, the guest's and the host's.
	[ "$host" = "${host%-bochs}" ] || args+=(--khz 100000)
	[ -z "$log" ] || args+=(--log "$log")
	# Bochs delivers virtual interrupts with RFLAGS.IF 0, too: see testing.rst.
	[ "$host" != intel-bochs ] || keel_params="apicv=0 $keel_params"
	[ -z "$keel_params" ] || args+=(--keel-params "$keel_params")
	if [ -n "$script" ]; then
		args+=(--drive "$script_disk" --timeout "${timeout:-1200}")
		script_in_host=/dev/drive1
	else
		args+=(--timeout "${timeout:-1000000}")
	fi
	[ -n "$script" ] || [ ! -t 0 ] || args+=(--interactive)
	[ -n "$script" ] || [ ! -t 0 ] || [ "$host" != amd-tcg ] || args+=(--winsize)
	"$TESTHOST/host.sh" run "${args[@]}" -- sh /keel/guest-run "/dev/$device" /keel/bin \
		/keel/vmlinuz /keel/initrd "$cpus" "${memory}M" /dev/drive0 \
		"$script_in_host" "$NET" "$append"
}

case $host in
native)	run_native ;;
*)	run_emulated ;;
esac
