#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# exits.sh kvm|keel [OPTION OF testhost/host.sh]...: boots the Debian guest in one emulated Intel
# host and tells what it took, from the launcher's start to its end: instructions (in Bochs the TSC
# counts them, and the time that the host idles) and exits by reason. The guest's own work is the
# same on either device; the difference is the hypervisor's.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
. "$top/selftests/testhost/lib.sh"
device=$1
shift
case $device in
kvm)	modules=() ;;
keel)	modules=(--module "$("$TESTHOST/module.sh" cloud)") ;;
*)	die "no such device: $device" ;;
esac
guest=$("$TESTHOST/image.sh") || exit 1
work=$(mktemp -d "$CACHE/exits.XXXXXX")
trap 'rm -rf "$work"' EXIT

cat >"$work/tsc.c" <<-'END'
	#include <stdio.h>
	#include <x86intrin.h>

	int main(void)
	{
		printf("%llu\n", __rdtsc());
	}
END
"${CC:-gcc}" -O2 -static -o "$work/tsc" "$work/tsc.c" || exit 1
cp --reflink=auto --sparse=always "$guest/root.img" "$work/root.img"
echo 'echo "guest: up after $(cut -d" " -f1 /proc/uptime) s"' >"$work/script.img"
truncate -s 1M "$work/script.img"

append="root=/dev/vda ro console=ttyS0 quiet systemd.show_status=0 keel.script=vdb"
append+=" systemd.mask=serial-getty@ttyS0.service systemd.mask=serial-getty@hvc0.service"
# A fast clock, or the guest's timer makes most of the exits.
"$TESTHOST/host.sh" run --host intel-bochs --khz 200000 --device "$device" "${modules[@]}" --mem 1024 \
	--timeout 2400 "$@" --file "$top/userspace/keel:keel/bin" \
	--file "$guest/vmlinuz:keel/vmlinuz" --file "$guest/initrd:keel/initrd" \
	--file "$TESTHOST/guest-run:keel/guest-run" --file "$work/tsc:keel/tsc" \
	--file "$top/selftests/e2e/exits-in-host:keel/exits" \
	--drive "$work/root.img" --drive "$work/script.img" -- \
	sh /keel/exits "$device" "$append" </dev/null | tr -d '\r' | tee "$work/out" >&2
status=${PIPESTATUS[0]}
[ "$status" = 0 ] || exit "$status"

# Names of the SDM's appendix "VMX Basic Exit Reasons", for those that a guest of ours makes.
awk -v device="$device" '
	BEGIN {
		split("0 exception_or_NMI 1 external_interrupt 7 interrupt_window 8 NMI_window " \
		      "9 task_switch 10 CPUID 12 HLT 14 INVLPG 15 RDPMC 16 RDTSC 18 VMCALL " \
		      "28 control_register 29 debug_register 30 I/O 31 RDMSR 32 WRMSR 36 MWAIT " \
		      "39 MONITOR 40 PAUSE 41 machine_check 43 TPR_below_threshold 44 APIC_access " \
		      "45 virtualized_EOI 46 GDTR_or_IDTR 47 LDTR_or_TR 48 EPT_violation " \
		      "49 EPT_misconfiguration 51 RDTSCP 52 preemption_timer 54 WBINVD 55 XSETBV " \
		      "56 APIC_write 58 INVPCID 62 page_modification_log_full", n, " ")
		for (i = 1; i in n; i += 2)
			name[n[i]] = n[i + 1]
	}
	$1 == "idle" { idle = $2 }
	$1 == "ticks" { ticks = $2 }
	$1 == "exit" { count[$2] = $3; total += $3 }
	END {
		sorter = "sort -k2 -n -r"
		printf "%-24s %12.0f\n", device ": ticks", ticks
		printf "%-24s %12.2f\n", "seconds idle in these", idle / 100
		printf "%-24s %12d\n", "exits", total
		for (r in count)
			printf "  %-22s %12d\n", (r in name ? name[r] : "reason_" r), \
				count[r] | sorter
	}' "$work/out"
