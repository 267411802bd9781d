# SPDX-License-Identifier: GPL-2.0-only
# Sourced by host.sh: the host under QEMU's TCG. It has SVM and NPT with several CPUs, without
# NRIP save and decode assists.
# shellcheck shell=bash disable=SC2154

# follow_size: sends the terminal's size if it has changed. Not from the trap: bash forgets a
# signal that comes while the same signal's trap runs. `<>` because opening a FIFO without a
# reader for writing alone would wait for one.
follow_size()
{
	[ -n "${resized:-}" ] || return 0
	resized=
	stty size 1<>"$work/size.in"
}

# A CPU that no other emulated host has, if there is one: $machine_cpu. The lock goes with this shell.
take_cpu()
{
	local cpus

	cpus=$(awk '/^Cpus_allowed_list/ {
		n = split($2, range, ",")
		for (i = 1; i <= n; i++) {
			if (split(range[i], end, "-") < 2)
				end[2] = end[1]
			for (c = end[1]; c <= end[2]; c++)
				print c
		}
	}' /proc/self/status | shuf)
	mkdir -p "$CACHE/lock"
	for machine_cpu in $cpus; do
		exec {cpu_lock}>"$CACHE/lock/cpu$machine_cpu"
		! flock -n "$cpu_lock" || return 0
	done
}

# Without ERMS and init_on_alloc, because TCG looks up the translations of a page at each store
# to it: clearing a huge page that held a guest's code, byte by byte, takes it half a minute.
#
# All threads of QEMU on one CPU of this machine. VMRUN and #VMEXIT change cs->interrupt_request
# without the lock that QEMU's other threads take for it (helper_vmrun() and do_vmexit(), in 7.2 and
# later): on several CPUs an interrupt gets lost now and then, and the host, or a guest of keel's
# or of stock KVM's, waits for it for ever. Each of these changes is one instruction of the x86 that
# QEMU was compiled to, so on one CPU nothing can come in between.
start_qemu()
{
	local args i=0 d opts

	take_cpu
	args=(-M q35 -cpu "${cpu:-max,-erms}" -accel tcg,thread=multi -smp "$smp" -m "$mem" -display none -nodefaults
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
		trap 'resized=1' WINCH
	fi
	if [ -n "$interactive" ]; then
		args+=(-chardev stdio,id=out,signal=off -serial chardev:out)
		# Explicitly from this terminal: a background job's stdin is /dev/null.
		taskset -c "$machine_cpu" qemu-system-x86_64 "${args[@]}" <&0 2>"$work/emulator" &
	else
		args+=(-serial "file:$work/out")
		taskset -c "$machine_cpu" qemu-system-x86_64 "${args[@]}" \
			</dev/null >"$work/emulator" 2>&1 &
	fi
	emulator=$!
}
