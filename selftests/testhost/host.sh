#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Boots an emulated host, runs a command in it, and ends with the command's status.
#
# host.sh run [OPTION]... -- COMMAND [ARG]...
#   --host NAME       amd-tcg (default), amd-bochs, intel-bochs
#   --kernel NAME     cloud (default), debug
#   --device NAME     keel, kvm, both (keel, then kvm), none (default)
#   --smp N           CPUs (default 2; Bochs has 1)
#   --mem M           MiB (default 1024)
#   --timeout S       seconds for all of it (default 300)
#   --stall S         seconds without any output of the command after which the host hangs
#                     (both: of the emulator's CPU time with Bochs, which never idles, of the
#                     clock with QEMU)
#   --file SRC:DST    a file or folder for the host's initramfs; any number of times
#   --drive IMG[,ro]  a raw image as disk: /dev/drive0, drive1, ...
#   --module FILE     the module (default module/keel.ko of this tree)
#   --keel-params S, --kvm-params S   module parameters
#   --cpu S           the CPU: QEMU's model and flags (amd-tcg; default max,-erms), Bochs's model
#                     (amd-bochs: trinity_apu, intel-bochs: corei7_skylake_x)
#   --khz N           instructions a millisecond (Bochs; default 10000 or 30000)
#   --append S        words for the kernel command line
#   --kmemleak        look for leaks (debug kernel; boots three times slower)
#   --icount          count instructions as time (amd-tcg)
#   --log FILE        keep the host's kernel log there
#   --allow REGEX     lines of the log that are no reports
#   --trace FILE      each instruction that runs between two magic break points, xchg %bx, %bx, of the
#                     command or its guests, as Bochs's debugger prints it (Bochs)
#   --interactive     the command gets this terminal
#   --winsize         ... and follows its size (amd-tcg)
#
# The host has busybox and nothing else: programs that it runs are static. COMMAND sees the
# files where --file put them. Its output comes clean on stdout; the host's own words go to
# stderr. Status: the command's; 124 for the time limit; 125 when the host or a module did not
# start or ended early; 126 when the kernel log holds a report (shown on stderr).
set -u
. "$(dirname "$0")/lib.sh"

host=amd-tcg kernel=cloud device=none cpu='' khz='' smp=2 mem=1024 timeout=300 stall='' module=$TOP/module/keel.ko
keel_params='' kvm_params='' append='' icount='' log='' allow='' interactive='' winsize='' kmemleak='' trace=''
# Secret memory for mmu/backing.
files=() drives=() kernel_words=secretmem.enable=1

usage()
{
	sed -n '3,37s/^# \{0,1\}//p' "$0" >&2
	exit 1
}

# A run's end must not leave an emulator behind, whatever ended it.
emulator=
cleanup()
{
	trap - EXIT
	if [ -n "$emulator" ] && kill "$emulator" 2>/dev/null; then
		sleep 0.2
		kill -KILL "$emulator" 2>/dev/null
	fi
	wait 2>/dev/null
	[ -z "${terminal:-}" ] || stty "$terminal" 2>/dev/null
	[ -z "${work:-}" ] || rm -rf "$work"
}

quote()
{
	local a
	for a in "$@"; do
		printf "'%s' " "${a//\'/\'\\\'\'}"
	done
	echo
}

parse()
{
	[ "${1:-}" = run ] || usage
	shift
	while [ $# -gt 0 ]; do
		case $1 in
		--host|--kernel|--device|--cpu|--khz|--smp|--mem|--timeout|--stall|--module|--append|--log|--allow|--trace)
			[ $# -ge 2 ] || usage
			printf -v "${1#--}" %s "$2"; shift ;;
		--keel-params)	keel_params=$2; shift ;;
		--kvm-params)	kvm_params=$2; shift ;;
		--file)		files+=("$2"); shift ;;
		--drive)	drives+=("$2"); shift ;;
		--icount)	icount=1 ;;
		--kmemleak)	kmemleak=on ;;
		--interactive)	interactive=1 ;;
		--winsize)	winsize=1 ;;
		--)		shift; break ;;
		*)		usage ;;
		esac
		shift
	done
	[ $# -gt 0 ] || usage
	command=("$@")
	case $device in
	none)	devices='' ;;
	both)	devices='keel kvm' ;;
	keel|kvm) devices=$device ;;
	*)	die "no such device: $device" ;;
	esac
}

# prepare: the kernel, and the initramfs with the command and the module, in the run's folder.
prepare()
{
	local kdir base
	case $kernel in
	cloud)	kdir=$("$TESTHOST/fetch.sh" kernel) || exit 125 ;;
	debug)
		kdir=$("$TESTHOST/fetch.sh" debug) || exit 125
		kernel_words+=" kmemleak=${kmemleak:-off}" ;;
	*)	die "no such kernel: $kernel" ;;
	esac
	vmlinuz=$(echo "$kdir"/boot/vmlinuz-*)
	base=$("$TESTHOST/initramfs.sh" base "$kdir") || exit 125

	token=$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
	{
		echo "token=$token"
		echo "devices='$devices'"
		echo "keel_params=$(quote "$keel_params")"
		echo "kvm_params=$(quote "$kvm_params")"
		echo "drives=${#drives[@]}"
		echo "interactive=$interactive"
		if [ -n "$interactive" ] && [ -t 0 ]; then
			stty size | awk '{ print "rows=" $1; print "cols=" $2 }'
		fi
	} >"$work/config"
	# The line is slow where an emulated CPU is fast, and forgets what it has not sent when its
	# session ends; stty waits until all is sent.
	{
		quote "${command[@]}"
		echo 'status=$?; stty -echo; exit $status'
	} >"$work/command"
	files+=("$work/config:keel/config" "$work/command:keel/command")
	case $device in
	keel|both)
		[ -r "$module" ] || die "no module: $module (make module)"
		# Its debug information is ten times the rest.
		strip -g -o "$work/keel.ko" "$module" || exit 125
		files+=("$work/keel.ko:keel/keel.ko") ;;
	esac
	[ -z "$winsize" ] || files+=("$TESTHOST/winsize:keel/winsize")
	"$TESTHOST/initramfs.sh" files "$work/files.cpio" "${files[@]}" || exit 125
	cat "$base" "$work/files.cpio" >"$work/initrd"
}

. "$TESTHOST/host-qemu.sh"
. "$TESTHOST/host-bochs.sh"

# The lines of a kernel log that no run may have.
REPORTS='(^|[] ])BUG:|(^|\] )WARNING:|KASAN|UBSAN|KCSAN|kmemleak: [1-9]|unreferenced object'
REPORTS+='|INFO: possible|possible (circular|recursive|irq)|inconsistent lock state|ODEBUG:'
REPORTS+='|general protection|Oops|Kernel panic|unable to handle|suspicious RCU|bad unlock'
REPORTS+='|detected stall|self-detected|soft lockup|hard LOCKUP|blocked for more than|Call Trace'
REPORTS+='|refcount_t:|list_(add|del) corruption|Objects remaining|scheduling while atomic'

# The log from /init on: the module comes later. All of it without that line.
after_boot()
{
	awk '{ line[NR] = $0 } /testhost: up$/ { from = NR }
		END { for (i = from + 1; i <= NR; i++) print line[i] }'
}

reports()
{
	{
		tr -d '\r' <"$log" | after_boot | grep -E "$REPORTS"
		[ "$host" = amd-tcg ] || bochs_reports
	} | { if [ -n "$allow" ]; then grep -vE "$allow"; else cat; fi; }
}

show_tail()
{
	msg LOG "the host's last lines:"
	tr -d '\r' <"$log" | tail -n 40 | sed 's/^/    | /' >&2
}

# spent: the seconds that the run has had, by the clock that its limits go by. What Bochs does
# takes the same CPU time on a busy machine; one that waits for something has a limit all the same.
spent()
{
	local wall=$((SECONDS - started_at)) used
	if [ "$host" != amd-tcg ] && used=$(bochs_seconds); then
		echo $((used > wall / 8 ? used : wall / 8))
	else
		echo $wall
	fi
}

# watch: waits for the emulator's end, the token and the time limits, whichever comes first.
# An emulator that has shown the token gets 30 s to power off.
watch_emulator()
{
	local done_at='' now size=0 seen=0 last=0 started_at=$SECONDS
	while kill -0 "$emulator" 2>/dev/null; do
		now=$(spent)
		size=$(stat -c %s "$work/out")
		[ "$size" = "$seen" ] || { seen=$size; last=$now; }
		if [ "$now" -ge "$timeout" ]; then
			timed_out="no end after $timeout s"
			break
		fi
		if [ -n "$stall" ] && [ $((now - last)) -ge "$stall" ]; then
			timed_out="no output for $stall s"
			break
		fi
		if [ -z "$done_at" ] && grep -q "$token status" "$log" 2>/dev/null; then
			done_at=$SECONDS
			[ "$host" = amd-tcg ] || break
		fi
		[ -z "$done_at" ] || [ $((SECONDS - done_at)) -lt 30 ] || break
		follow_size
		sleep 0.2
	done
}

judge()
{
	local status
	status=$(tr -d '\r' <"$log" | sed -n "s/^.*testhost: $token status \([0-9]*\)$/\1/p")
	if [ -n "${timed_out:-}" ]; then
		msg HANG "$timed_out ($host: ${command[*]:0:4})"
		show_tail
		exit 124
	fi
	if [ -z "$status" ]; then
		msg DIED "the host ended without a status ($host: ${command[*]:0:4})"
		[ ! -s "$work/emulator" ] || tail -n 5 "$work/emulator" >&2
		show_tail
		exit 125
	fi
	if [ -n "$(reports)" ]; then
		msg REPORT "the host's kernel log holds:"
		reports | head -n 20 | sed 's/^/    | /' >&2
		if [ -z "${log_kept:-}" ]; then
			log_kept=$CACHE/last-report.log
			cp "$log" "$log_kept"
		fi
		msg LOG "whole log: $log_kept"
		exit 126
	fi
	[ "$status" != 125 ] || show_tail
	exit "$status"
}

parse "$@"
mkdir -p "$CACHE"
work=$(mktemp -d "$CACHE/run.XXXXXX")
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
log_kept=$log
: "${log:=$work/log}"
: >"$log"
: >"$work/out"
prepare
[ -z "$interactive" ] || [ ! -t 0 ] || terminal=$(stty -g)
case $host in
amd-tcg)
	[ -z "$trace" ] || die "no --trace without Bochs"
	start_qemu ;;
amd-bochs|intel-bochs)		start_bochs ;;
*)				die "no such host: $host" ;;
esac
if [ -z "$interactive" ]; then
	tail -q -c +1 -s 0.2 -f --pid="$emulator" "$work/out" 2>/dev/null &
	streamer=$!
fi
watch_emulator
kill "$emulator" 2>/dev/null
wait "$emulator" 2>/dev/null
emulator=
[ -n "$interactive" ] || wait "$streamer"
judge
