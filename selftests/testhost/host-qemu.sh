# SPDX-License-Identifier: GPL-2.0-only
# Sourced by host.sh: the host under QEMU's TCG. It has SVM and NPT with several CPUs, without
# NRIP save and decode assists.
# shellcheck shell=bash disable=SC2154

# `<>` because opening a FIFO without a reader for writing alone would wait for one.
send_size()
{
	stty size 1<>"$work/size.in"
}

# Without ERMS and init_on_alloc, because TCG looks up the translations of a page at each store
# to it: clearing a huge page that held a guest's code, byte by byte, takes it half a minute.
#
# A thread for each CPU, or with KEEL_TCG_THREAD=single one for all. VMRUN and #VMEXIT change
# cs->interrupt_request without the lock that other threads take for it (QEMU 7.2, helper_vmrun()
# and do_vmexit()): with several threads an interrupt gets lost now and then, and the host or a
# guest of keel's or of stock KVM's waits for it for ever. Guests of Debian's boot with one thread.
start_qemu()
{
	local args i=0 d opts
	args=(-M q35 -cpu "$cpu" -accel "tcg,thread=${KEEL_TCG_THREAD:-multi}" -smp "$smp" -m "$mem" -display none -nodefaults
		-no-reboot -rtc base=utc -kernel "$vmlinuz" -initrd "$work/initrd"
		-append "console=ttyS0 panic=-1 oops=panic init_on_alloc=0 $kernel_words $append"
		-serial "file:$log")
	[ -z "$icount" ] || args+=(-icount shift=0)
	for d in "${drives[@]}"; do
		opts=
		[ "$d" = "${d%,ro}" ] || opts=,read-only=on
		args+=(-drive "file=${d%,ro},if=none,id=d$i,format=raw,cache=unsafe$opts"
			-device "virtio-blk-pci,drive=d$i")
		i=$((i + 1))
	done
	if [ -n "$winsize" ]; then
		# A FIFO pair for QEMU to read sizes from: what it takes as a `pipe` chardev.
		mkfifo "$work/size.in" "$work/size.out"
		args+=(-chardev "pipe,id=size,path=$work/size" -device virtio-serial-pci
			-device virtserialport,chardev=size,name=keel.winsize)
		trap send_size WINCH
	fi
	if [ -n "$interactive" ]; then
		args+=(-chardev stdio,id=out,signal=off -serial chardev:out)
		# Explicitly from this terminal: a background job's stdin is /dev/null.
		qemu-system-x86_64 "${args[@]}" <&0 2>"$work/emulator" &
	else
		args+=(-serial "file:$work/out")
		qemu-system-x86_64 "${args[@]}" </dev/null >"$work/emulator" 2>&1 &
	fi
	emulator=$!
}
