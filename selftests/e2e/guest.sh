# SPDX-License-Identifier: GPL-2.0-only
# Runs in the Debian guest, twice: before a reboot and after it. The lines above this file, put
# there by testhost/guest.sh, set cpus (how many the guest must see), net (an address to ping, or
# nothing) and clock (1: the host serves its time on port 13; or nothing).
# shellcheck shell=bash disable=SC2154

state=/var/lib/keel-boot
failed=0

# check TEXT COMMAND...: one line for each, and the output of what failed.
check()
{
	local text=$1 out
	shift
	if out=$("$@" 2>&1); then
		echo "guest: pass: $text"
	else
		echo "guest: FAIL: $text"
		echo "$out" | sed 's/^/guest:   /'
		failed=1
	fi
}

root_is_ext4()
{
	local src fs
	read -r src _ fs _ < <(grep ' / ext4 ' /proc/mounts)
	echo "root: $src $fs"
	[ "$src" = /dev/vda ] && touch /root/.writable
}

sees_cpus()
{
	echo "nproc: $(nproc), wanted: $cpus"
	[ "$(nproc)" = "$cpus" ]
}

# A CPU that only idles has not been shown to run.
every_cpu_runs()
{
	local n=0
	while [ $n -lt "$cpus" ]; do
		taskset -c $n sh -c 'i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); done' || return 1
		n=$((n + 1))
	done
}

writes_file()
{
	head -c 8M /dev/urandom >$state.data &&
		sha256sum $state.data >$state.sum && sync
}

file_survived()
{
	echo 3 >/proc/sys/vm/drop_caches
	sha256sum -c $state.sum
}

pings_host()
{
	ping -n -c 3 -i 0.2 -w 60 "$net"
}

# 16 KiB packets go through several descriptors and come back whole.
pings_host_large()
{
	ping -n -c 2 -s 16000 -w 60 "$net"
}

# The host answers with its date, its uptime, and its uptime at the launcher's start.
host_times()
{
	read -r date uptime start <"/dev/tcp/$net/13"
}

# Hundredths of a second of the boot, by the host's clock, the launcher's own start included.
boot_time()
{
	local date uptime start
	host_times
	uptime=${uptime/./} start=${start/./}
	echo "guest: boot seconds by the host's clock: $(((uptime - start) / 100))"
}

# The guest's clock must stand within a minute of the host's, and keep its pace; the tolerance
# is for the two questions over an emulated network.
clock_is_right()
{
	local date uptime start g0 g1 h0
	host_times
	g0=$(date +%s)
	echo "clock source: $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
	echo "date: guest $g0, host $date"
	[ $((g0 - date)) -ge -60 ] && [ $((g0 - date)) -le 60 ] || return 1
	read -r g0 _ </proc/uptime
	host_times
	h0=$uptime
	sleep 20
	read -r g1 _ </proc/uptime
	host_times
	g1=$((${g1/./} - ${g0/./})) uptime=$((${uptime/./} - ${h0/./}))
	echo "20 s of sleep: guest $g1, host $uptime hundredths of a second"
	[ $((g1 - uptime)) -ge -150 ] && [ $((g1 - uptime)) -le 150 ]
}

# QEMU's TCG does not intercept XSETBV, so the hypervisor does not learn which state the guest has
# enabled, and CPUID's size for it does not follow: the guest's kernel says so, once. And it says
# what an Intel CPU without new microcode is open to.
no_kernel_reports()
{
	! dmesg --facility=kern |
		grep -E 'BUG:|WARNING:|Oops|soft lockup|detected stall|I/O error|general protection' |
		grep -vE 'WARNING: .* fpu__init_system_xstate|RETBleed: WARNING: '
}

common_checks()
{
	check 'root file system is ext4 on /dev/vda and writable' root_is_ext4
	check "all $cpus CPUs are there" sees_cpus
	check 'every CPU runs' every_cpu_runs
	if [ -n "$net" ]; then
		check 'ping to the host' pings_host
	fi
	check 'kernel log without reports' no_kernel_reports
}

echo "guest: up after $(cut -d' ' -f1 /proc/uptime) s"
if [ ! -e $state.sum ]; then
	echo "guest: first boot"
	[ -z "$clock" ] || boot_time
	uname -a
	lscpu
	common_checks
	[ -z "$net" ] || check 'large pings to the host' pings_host_large
	[ -z "$clock" ] || check 'clock agrees with the host' clock_is_right
	check 'write a file' writes_file
	if [ $failed = 0 ]; then
		echo "guest: rebooting"
		exit 99
	fi
else
	echo "guest: second boot"
	check 'the file reads back after the reboot' file_survived
	common_checks
fi
echo "guest: done, $failed"
exit $failed
