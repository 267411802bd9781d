# SPDX-License-Identifier: GPL-2.0-only
# Sourced by the scripts in this folder: the hosts that the benchmark runs in.
# shellcheck shell=bash disable=SC2034

BENCH=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$BENCH/../testhost/lib.sh"

TABLE=$TOP/Documentation/performance.csv
CSV_HEAD=host,mitigations,row,unit,kvm,keel,ratio
BOOT_ROWS="boot_ticks boot_outside boot_exits boot_huge_pages"

# Bochs's instructions a millisecond. With few of them the host's own timer is a good part of what a
# row takes, and most of a guest's exits are for its timer; real CPUs have ten times as many.
KHZ=200000

# host_of NAME: sets host, mitigations, host.sh's options for them in args, and boot_devices, on which
# the Debian guest boots there. Both of Bochs's CPUs count instructions by their TSC.
host_of()
{
	local kvm_params=
	mitigations=default boot_devices='kvm keel'
	case $1 in
	intel|intel-mitigated)	host=intel-bochs ;;
	amd|amd-mitigated)	host=amd-bochs ;;
	native)
		host=native args=()
		! grep -qw mitigations=off /proc/cmdline || mitigations=off
		return ;;
	*)	die "no such host: $1 (intel, amd, intel-mitigated, amd-mitigated, native)" ;;
	esac
	# Bochs logs dirty pages with the low bits of their addresses, at which stock KVM warns.
	[ $host != intel-bochs ] || kvm_params=pml=0
	# There the guest stands still on stock KVM, before it has a console: see testing.rst.
	[ $host != amd-bochs ] || boot_devices=keel
	args=(--host $host --khz $KHZ --kvm-params "$kvm_params")
	case $1 in
	intel|amd)
		mitigations=off
		args+=(--append mitigations=off) ;;
	esac
}
