#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# boot.sh [OPTION]... HOST times|exits: boots the Debian guest on stock KVM and on keel in one boot
# of an emulated host of lib.sh, and prints lines `figure DEVICE ROW VALUE`:
#   times   boot_ticks: from the launcher's start to its end, without what the host idled
#   exits   boot_exits, and boot_outside: the ticks outside the guest; both also by the CPU's exit
#           reasons, as boot_exits/REASON and boot_outside/REASON. By tracing, hence not in the same
#           boot; what that adds is taken off again. And boot_huge_pages.
#   --devices 'D...'  (default: those that can do it there)
#   --module FILE, --launcher FILE, --bench FILE   (default: where make leaves them)
#   --log FILE        keep the host's kernel log there
# What the guest says goes to stderr. Status: 0 if every boot ended well.
set -u
. "$(dirname "$0")/lib.sh"

devices='' module=$TOP/module/keel.ko launcher=$TOP/userspace/keel bench=$BENCH/bench log=''
while [ $# -gt 0 ]; do
	case $1 in
	--devices|--module|--launcher|--bench|--log)
		[ $# -ge 2 ] || die "$1 wants a value"
		printf -v "${1#--}" %s "$2"; shift 2 ;;
	-*)	sed -n '3,12s/^# \{0,1\}//p' "$0" >&2; exit 1 ;;
	*)	break ;;
	esac
done
[ $# = 2 ] || die "usage: boot.sh [OPTION]... HOST times|exits"
host_of "$1"
: "${devices:=$boot_devices}"
what=$2
[ "$host" != native ] || die "the guest's boot is measured in emulated hosts only"

guest=$("$TESTHOST/image.sh") || exit 1
work=$(mktemp -d "$CACHE/bench.XXXXXX")
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

# A disk for each device, since a boot changes what it finds.
for d in $devices; do
	cp --reflink=auto --sparse=always "$guest/root.img" "$work/$d.img"
	args+=(--drive "$work/$d.img")
done
echo 'echo "guest: up after $(cut -d" " -f1 /proc/uptime) s"' >"$work/script.img"
truncate -s 1M "$work/script.img"

append="root=/dev/vda ro console=ttyS0 quiet systemd.show_status=0 keel.script=vdb"
append+=" systemd.mask=serial-getty@ttyS0.service systemd.mask=serial-getty@hvc0.service"
# Bochs delivers virtual interrupts with RFLAGS.IF 0, too: see testing.rst.
[ "$host" != intel-bochs ] || args+=(--keel-params apicv=0)
[ -z "$log" ] || args+=(--log "$log")
modules=both
[ "$devices" != keel ] || modules=keel

# The names of the SDM's appendix "VMX Basic Exit Reasons" and, in hexadecimal digits, of the APM's
# appendix "SVM Intercept Exit Codes", for those that a guest of ours makes.
take_figures()
{
	awk -v host="$host" '
	BEGIN {
		vmx = "0 exception_or_NMI 1 external_interrupt 7 interrupt_window 8 NMI_window " \
		      "9 task_switch 10 CPUID 12 HLT 14 INVLPG 15 RDPMC 16 RDTSC 18 VMCALL " \
		      "28 control_register 29 debug_register 30 I/O 31 RDMSR 32 WRMSR 36 MWAIT " \
		      "39 MONITOR 40 PAUSE 41 machine_check 43 TPR_below_threshold 44 APIC_access " \
		      "45 virtualized_EOI 46 GDTR_or_IDTR 47 LDTR_or_TR 48 EPT_violation " \
		      "49 EPT_misconfiguration 51 RDTSCP 52 preemption_timer 54 WBINVD 55 XSETBV " \
		      "56 APIC_write 58 INVPCID 62 page_modification_log_full"
		svm = "60 INTR 61 NMI 62 SMI 63 INIT 64 VINTR 65 CR0_SEL_WRITE 6e RDTSC 6f RDPMC " \
		      "70 PUSHF 71 POPF 72 CPUID 74 IRET 76 INVD 77 PAUSE 78 HLT 79 INVLPG " \
		      "7a INVLPGA 7b IOIO 7c MSR 7d TASK_SWITCH 7f SHUTDOWN 81 VMMCALL 87 RDTSCP " \
		      "89 WBINVD 8a MONITOR 8b MWAIT 8d XSETBV 400 NPF 401 AVIC_INCOMPLETE_IPI " \
		      "402 AVIC_NOACCEL"
		n = split(host == "intel-bochs" ? vmx : svm, word, " ")
		for (i = 1; i < n; i += 2)
			name[word[i]] = word[i + 1]
	}
	function svm_name(code)
	{
		if (code < 64)
			return (code < 32 ? "CR" : "DR") code % 16 \
				(int(code / 16) % 2 ? "_WRITE" : "_READ")
		if (code < 96)
			return "exception_" code - 64
		code = sprintf("%x", code)
		return code in name ? name[code] : "exit_" code "h"
	}
	$1 == "figure" { print; next }
	$1 == "idle" { idle[$2] = $3; next }
	$1 == "exit" {
		exits[$2] += $4
		outside[$2] += $5
		if (host == "intel-bochs")
			reason = $3 in name ? name[$3] : "reason_" $3
		else
			reason = svm_name($3)
		# The CPU idles when the guest does.
		if (reason == "HLT")
			$5 = $5 > idle[$2] ? $5 - idle[$2] : 0
		print "figure", $2, "boot_exits/" reason, $4
		printf "figure %s boot_outside/%s %.0f\n", $2, reason, $5
		next
	}
	NF { print "  " $0 >"/dev/stderr" }
	END {
		for (d in exits) {
			printf "figure %s boot_exits %.0f\n", d, exits[d]
			printf "figure %s boot_outside %.0f\n", d, outside[d] - idle[d]
		}
	}'
}

# The limit is on the emulator's CPU time; two boots take some 350 s of it.
"$TESTHOST/host.sh" run "${args[@]}" --device $modules --module "$module" --mem 1024 --timeout 1800 \
	--file "$launcher:keel/bin" --file "$guest/vmlinuz:keel/vmlinuz" \
	--file "$guest/initrd:keel/initrd" --file "$TESTHOST/guest-run:keel/guest-run" \
	--file "$work/tsc:keel/tsc" --file "$bench:keel/bench" --file "$work/script.img:keel/script.img" \
	--file "$BENCH/boot-in-host:keel/boot" -- \
	sh /keel/boot "$what" "$KHZ" "$devices" "$append" </dev/null | tr -d '\r' | take_figures
exit $((PIPESTATUS[0] | PIPESTATUS[2]))
