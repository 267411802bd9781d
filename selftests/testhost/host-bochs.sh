# SPDX-License-Identifier: GPL-2.0-only
# Sourced by host.sh: the hosts under Bochs. One CPU, strict about VM-entry checks, and its TSC
# counts instructions. A CD image carries kernel and initramfs.
# shellcheck shell=bash disable=SC2154

BXSHARE=${BXSHARE:-/usr/share/bochs}

# bochs_model: sets the CPU model, and the instructions a millisecond, which is what its TSC counts.
# A higher figure makes boots cheaper and what waits for its time slice dearer; the CPU must be
# fast enough for stock KVM to come through 2 ms of its PIT.
bochs_model()
{
	case $host in
	intel-bochs)	model=corei7_skylake_x khz=${khz:-30000} ;;
	*)		model=trinity_apu khz=${khz:-10000} ;;
	esac
	model=${cpu:-$model}
}

bochs_cd()
{
	local cd=$work/cd
	mkdir -p "$cd"
	cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$cd"
	ln "$vmlinuz" "$cd/vmlinuz" 2>/dev/null || cp "$vmlinuz" "$cd/vmlinuz"
	# Static programs have most of their pages in common, far apart; this halves the boot.
	zstd -q -3 --long=26 -c "$work/initrd" >"$cd/initrd"
	# The emulated serial line is the slow part, so the log starts at warnings. CPUID promises
	# APERF and MPERF, which are not there: two faults a tick, and two lines in Bochs's log. It
	# gives the size of the uncompacted area for XSAVES, so that the kernel warns and does
	# without XSAVE. The frequencies of its newer models are those of the silicon.
	cat >"$cd/isolinux.cfg" <<-END
	DEFAULT keel
	LABEL keel
	KERNEL /vmlinuz
	APPEND initrd=/initrd console=ttyS0 loglevel=5 panic=-1 oops=panic $kernel_words \
		clearcpuid=aperfmperf,xsaves,xsavec tsc_early_khz=$khz $append
	END
	xorriso -as mkisofs -quiet -o "$work/cd.iso" -b isolinux.bin -c boot.cat -no-emul-boot \
		-boot-load-size 4 -boot-info-table "$cd" >"$work/xorriso" 2>&1 ||
		{ cat "$work/xorriso" >&2; exit 125; }
	rm -rf "$cd"
}

start_bochs()
{
	local model i=0 d ata=0 com2="mode=file, dev=$work/out" stops=c
	[ -z "$interactive" ] || com2="mode=term, dev=$(tty)"
	bochs_model
	bochs_cd
	# A guest's triple fault is a panic of Bochs's CPU before it is a SHUTDOWN exit, hence cpu0.
	# The speaker plugin dies on a machine without sound. Debian's build has the debugger, which
	# starts stopped: `c` lets it go.
	echo c >"$work/rc"
	cat >"$work/bochsrc" <<-END
	config_interface: textconfig
	display_library: rfb, options="timeout=0"
	memory: guest=$mem, host=$mem
	romimage: file=$BXSHARE/BIOS-bochs-latest
	vgaromimage: file=$BXSHARE/VGABIOS-lgpl-latest
	cpu: model=$model, count=1, ips=${khz}000, reset_on_triple_fault=0
	clock: sync=none
	plugin_ctrl: speaker=0, gameport=0
	ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
	ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15
	ata0-master: type=cdrom, path=$work/cd.iso, status=inserted
	boot: cdrom
	com1: enabled=1, mode=file, dev=$log
	com2: enabled=1, $com2
	log: $work/bochs.log
	panic: action=fatal, cpu0=report
	error: action=report
	info: action=ignore
	debug: action=ignore
	END
	for d in "${drives[@]}"; do
		i=$((i + 1))
		ata=$((i / 2))
		echo "ata$ata-$([ $((i % 2)) = 0 ] && echo master || echo slave): type=disk," \
			"path=${d%,ro}, mode=flat" >>"$work/bochsrc"
	done
	# It stops at magic break points to trace what comes between the first and the second one, the
	# third and the fourth.
	if [ -n "$trace" ]; then
		echo "magic_break: enabled=1" >>"$work/bochsrc"
		stops=$'trace on\nc\ntrace off\nc'
	fi
	# It stops again at each of those panics, and a host's own last one must not go on for ever.
	yes "$stops" | head -n 1000 >"$work/commands"
	bochs-bin -q -f "$work/bochsrc" -rc "$work/rc" <"$work/commands" \
		>"${trace:-$work/emulator}" 2>&1 &
	emulator=$!
}

# bochs_seconds: the CPU time of the emulator so far.
bochs_seconds()
{
	local stat hz
	hz=$(getconf CLK_TCK)
	stat=$(cat "/proc/$emulator/stat" 2>/dev/null) || return 1
	# Behind the name, which may hold blanks: utime and stime are the 12th and 13th.
	# shellcheck disable=SC2086
	set -- ${stat##*) }
	echo $(((${12} + ${13}) / hz))
}

# bochs_reports: entries that the CPU refused, with the check that failed. A test that means to
# make one says which with --allow.
bochs_reports()
{
	grep -aE 'VMRUN(:|\(\):| CR| PDPTR)|SvmInjectEvents: (invalid|unsupp)|VMENTER FAIL|VMFAIL' \
		"$work/bochs.log" | sed 's/^[0-9]*//' | sort | uniq -c
}
