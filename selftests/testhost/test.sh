#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# test.sh [TIER]: runs the tests, two jobs side by side, and prints TAP and a closing line
# 'N passed, N failed, N skipped'. Status 0 if none failed and at least one passed.
#   fast     the unit tests on this machine, and the selftests on amd-tcg
#   tcg      on amd-tcg: the selftests, and the module's life
#   e2e      on amd-tcg: Debian guests with 1 and 4 CPUs, under keel and under stock KVM, what a
#            person at a terminal has of `make run`, and QEMU as the client
#   bochs    the selftests on amd-bochs
#   intel    on intel-bochs: the selftests, with and without APIC virtualisation, a Debian guest, and
#            what five kinds of exits cost
#   models   the abi/ and run/ tests on Intel CPUs of other generations, or the line that refuses one
#   debug    on amd-tcg and intel-bochs with the debug kernel: the selftests, once more with each
#            allocation failing (abi/ alone on intel-bochs), and a Debian guest
#   all      fast, tcg, e2e, bochs, intel and models (default)
#   oracle   on stock KVM: the selftests on amd-tcg, amd-bochs and intel-bochs, the guests on amd-tcg
#   JOB...   single jobs, by the names that the progress lines show
# TESTS='run/mmio ...' limits the selftests to these programs. Each job's output and host log
# stay in the cache, in test-logs/.
set -u
. "$(dirname "$0")/lib.sh"

GROUPS_OF_TESTS="abi run mmu irq state"
# A page of 1 GiB for mmu/backing: it must be set aside at boot, and below 4 GiB is no room.
ONE_GIB=(--mem 4096 --append 'hugepagesz=1G hugepages=1')
LOGS=$CACHE/test-logs
SLOTS=${KEEL_TEST_SLOTS:-2}

# The longest first, so that the two slots end together.
jobs_of()
{
	case $1 in
	fast)	echo unit tcg ;;
	tcg)	echo tcg life ;;
	e2e)	echo e2e-keel-4 e2e-kvm-4 e2e-keel-1 e2e-kvm-1 terminal qemu-keel qemu-kvm ;;
	bochs)	echo bochs ;;
	intel)	echo e2e-intel intel intel-noapicv bench ;;
	models)	echo intel-haswell intel-sandybridge intel-arrandale ;;
	debug)	echo debug-intel e2e-debug-intel fail-nth-intel fail-nth e2e-debug debug-tcg ;;
	all)	echo e2e-intel intel "$(jobs_of e2e)" intel-noapicv unit bochs "$(jobs_of models)" \
			tcg bench life ;;
	oracle)	echo oracle-intel oracle-bochs oracle-tcg e2e-kvm-4 e2e-kvm-1 ;;
	*)	echo "$*" ;;
	esac
}

# programs [GROUP]...: those of TESTS, or else all of the groups, or else of every one.
programs()
{
	local g
	if [ -n "${TESTS:-}" ]; then
		printf '%s\n' $TESTS
		return
	fi
	for g in ${*:-$GROUPS_OF_TESTS}; do
		(cd "$TOP/selftests" && ls "$g"/*.c 2>/dev/null)
	done | sed 's/\.c$//'
	[ $# -gt 0 ] || echo launcher/launch
}

module_for()
{
	[ -e "$CACHE/build/current-$1" ] && cat "$CACHE/build/current-$1"
}

# in_progress_at OUT: the program that had begun and not ended when the host went away.
in_progress_at()
{
	tr -d '\r' <"$1" | awk '/^@begin / { p = $2 } /^@end / { p = "" } END { print p }'
}

# after NAME PROGRAM...: the programs behind NAME.
after()
{
	local name=$1
	shift
	while [ $# -gt 0 ] && [ "$1" != "$name" ]; do
		shift
	done
	[ $# -eq 0 ] || shift
	echo "$*"
}

# run_hosts EACH PROGRAM...: the programs in one host, in order. A host that hangs or dies fails the
# program that ran then, and the others go on in another host; five of them are enough to know.
# Sets `status`: 0 if the first host did them all.
run_hosts()
{
	local each=$1 left part=$LOGS/$job.part at n first=
	shift
	left=$*
	: >"$LOGS/$job.out"
	for n in 1 2 3 4 5; do
		"$TESTHOST/host.sh" run "${args[@]}" -- \
			sh -c "$before sh /keel/run-list $each /t /dev/$device $left" >"$part"
		status=$?
		: "${first:=$status}"
		cat "$part" >>"$LOGS/$job.out"
		# With nothing in progress, either all is done or the host has not come up.
		at=$(in_progress_at "$part")
		[ -n "$at" ] || break
		cp "$LOGS/$job.host.log" "$LOGS/$job.host.log.$n"
		printf '\n@end %s %s\n' "$at" "$status" >>"$LOGS/$job.out"
		left=$(after "$at" $left)
		[ -n "$left" ] || break
	done
	rm -f "$part"
	status=$first
}

# job_selftests PREFIX HOST KERNEL DEVICE SECONDS-A-PROGRAM STALL SECONDS OPTION...
job_selftests()
{
	local prefix=$1 host=$2 kernel=$3 device=$4 each=$5 stall=$6 all=$7
	local list args p status before=${VARS:-}
	shift 7
	# shellcheck disable=SC2086
	list=$(programs ${groups:-} | tr '\n' ' ')
	args=(--host "$host" --kernel "$kernel" --device "$device" --stall "$stall" --timeout "$all"
		--log "$LOGS/$job.host.log" --mem 1536
		--file "$TESTHOST/run-list:keel/run-list"
		--file "$TOP/userspace/keel:keel/launcher")
	[ "$device" = kvm ] || args+=(--module "$(module_for "$kernel")")
	for p in $list; do
		[ ! -x "$TOP/selftests/$p" ] || args+=(--file "$TOP/selftests/$p:t/$p")
	done
	case $host in
	amd-bochs)	before+=' KEEL_TEST_BOCHS=svm' ;;
	intel-bochs)
		before+=' KEEL_TEST_BOCHS=vmx'
		args+=(--allow "$MEANT_TO_FAIL") ;;
	esac
	args+=("$@")
	# shellcheck disable=SC2086
	run_hosts "$each" $list
	awk -v prefix="$prefix" -v list="$list" -f "$TESTHOST/flatten.awk" "$LOGS/$job.out"
	if [ "$status" = 0 ]; then
		echo "ok - $prefix/host: no report in the kernel log, clean end"
	else
		echo "not ok - $prefix/host: ended with status $status"
		sed 's/^/#   /' "$LOGS/$job.err" | tail -n 60
	fi
}

# The entries that run/fail_entry wants to fail, as Bochs's log names them.
MEANT_TO_FAIL='VMENTER FAIL: (Enter to x86-64 guest with RFLAGS\.VM|RFLAGS reserved bits are set'
MEANT_TO_FAIL+='|VMCS guest CS\.TYPE|VMCS guest DS\.AR/LIMIT malformed|VMCS guest incorrect TR type'
MEANT_TO_FAIL+='|VMCS x86_64 guest wrong CS\.D_B/L)$'
MEANT_TO_FAIL+='|VMFAIL: VMENTRY injected event vector 13 broken error code$'

# job_model MODEL: the programs of abi/ and run/ on another Intel CPU. One that the module refuses
# passes with the one line in which it says why.
job_model()
{
	local groups='abi run' line
	job_selftests "$job" intel-bochs cloud keel 200 120 900 --cpu "$1" >"$LOGS/$job.first"
	line=$(tr -d '\r' <"$LOGS/$job.host.log" | grep -a '\] keel: ' | tail -n 1)
	if grep -aq 'testhost: cannot load /keel/keel.ko' "$LOGS/$job.host.log" && [ -n "$line" ]; then
		echo "ok - $job/insmod: refused: ${line#*keel: }"
	else
		cat "$LOGS/$job.first"
	fi
	rm -f "$LOGS/$job.first"
}

# one_program PREFIX NAME LENIENT COMMAND...: a command that stands for a test program.
one_program()
{
	local prefix=$1 name=$2 lenient=$3
	shift 3
	{
		echo "@begin $name"
		"$@" 2>&1
		printf '\n@end %s %s\n' "$name" $?
	} | tee -a "$LOGS/$job.out" |
		awk -v prefix="$prefix" -v list="$name" -v lenient="$lenient" \
			-f "$TESTHOST/flatten.awk"
}

# Not with failing allocations: what these do cannot be done twice.
#   launcher/launch   runs the launcher, which is no test's system calls
NOT_FAIL_NTH="launcher/launch"

# Every allocation that a program's system calls make fails once; with the leak detector. A CPU mask
# or a vmalloc() without memory leaves a call trace in the log, which is no report without more.
# job_fail_nth HOST SECONDS-A-PROGRAM STALL SECONDS OPTION...
job_fail_nth()
{
	local list host=$1
	shift
	# shellcheck disable=SC2086
	list=$(programs ${groups:-} | grep -vxF "$(tr ' ' '\n' <<<"$NOT_FAIL_NTH")" | tr '\n' ' ')
	TESTS=$list VARS='KEEL_TEST_FAIL_NTH=1 KEEL_TEST_SCALE=10' job_selftests "$job" "$host" \
		debug keel "$@" --kmemleak --allow 'Call Trace'
}

job_unit()
{
	local t out=$CACHE/build/unit
	: >"$LOGS/$job.out"
	for t in unit lencheck diff fuzz; do
		one_program emul "$t" 1 timeout -k 10 600 make -s --no-print-directory \
			-C "$TOP" -f selftests/emul.mk "$t" OUT="$out/emul"
	done
	one_program unit module 1 timeout -k 10 600 make -s --no-print-directory \
		-C "$TOP" -f selftests/unit.mk run OUT="$out/module"
	one_program unit launcher 1 timeout -k 10 600 make -s --no-print-directory \
		-C "$TOP/selftests/launcher" check OUT="$out/launcher"
}

# job_e2e KERNEL DEVICE CPUS [OPTION OF guest.sh]...
job_e2e()
{
	local kernel=$1 device=$2 cpus=$3
	shift 3
	: >"$LOGS/$job.out"
	one_program e2e "${job#e2e-}" 0 "$TOP/selftests/e2e/boot.sh" "$device" "$cpus" \
		--kernel "$kernel" --module "$(module_for "$kernel")" --log "$LOGS/$job.host.log" \
		--timeout 1500 "$@"
}

job_terminal()
{
	: >"$LOGS/$job.out"
	one_program e2e terminal 0 timeout -k 10 900 expect -f "$TOP/selftests/e2e/terminal.exp" \
		"$LOGS/$job.screen" "$TESTHOST/guest.sh" --host amd-tcg --module "$(module_for cloud)" --fresh \
		--log "$LOGS/$job.host.log"
}

job_qemu()
{
	: >"$LOGS/$job.out"
	one_program e2e "$job" 0 "$TOP/selftests/e2e/qemu.sh" "$1" "$(module_for cloud)" \
		--log "$LOGS/$job.host.log"
}

job_bench()
{
	: >"$LOGS/$job.out"
	one_program bench guard 0 "$TOP/selftests/bench/guard.sh" --module "$(module_for cloud)" \
		--log "$LOGS/$job.host.log"
}

job_life()
{
	: >"$LOGS/$job.out"
	one_program life module 0 "$TOP/selftests/e2e/life.sh" "$(module_for cloud)"
}

run_job()
{
	case $job in
	unit)		job_unit ;;
	tcg)		job_selftests tcg amd-tcg cloud keel 120 200 600 "${ONE_GIB[@]}" ;;
	bochs)		job_selftests bochs amd-bochs cloud keel 200 120 900 ;;
	debug-tcg)	job_selftests debug-tcg amd-tcg debug keel 300 600 1800 --kmemleak ;;
	debug-intel)
		VARS=KEEL_TEST_SCALE=5 job_selftests debug-intel intel-bochs debug keel \
			1200 1200 5400 --khz 120000 --kmemleak ;;
	fail-nth)	job_fail_nth amd-tcg 600 600 3000 ;;
	fail-nth-intel)
		groups=abi
		job_fail_nth intel-bochs 1200 1200 5400 --khz 120000 ;;
	oracle-tcg)	job_selftests oracle-tcg amd-tcg cloud kvm 120 200 900 "${ONE_GIB[@]}" ;;
	oracle-bochs)	job_selftests oracle-bochs amd-bochs cloud kvm 200 120 900 ;;
	oracle-intel)	job_selftests oracle-intel intel-bochs cloud kvm 200 120 900 \
				--kvm-params pml=0 ;;
	intel)		job_selftests intel intel-bochs cloud keel 200 120 900 ;;
	intel-noapicv)
		groups="abi run irq state"
		job_selftests intel-noapicv intel-bochs cloud keel 200 120 900 \
			--keel-params apicv=0 ;;
	intel-arrandale)	job_model corei5_arrandale_m520 ;;
	intel-sandybridge)	job_model corei7_sandy_bridge_2600k ;;
	intel-haswell)		job_model corei7_haswell_4770 ;;
	e2e-intel)	job_e2e cloud keel 1 --host intel-bochs --memory 256 ;;
	e2e-intel-kvm)	job_e2e cloud kvm 1 --host intel-bochs --memory 256 ;;
	e2e-debug)	job_e2e debug keel 1 --timeout 3000 ;;
	e2e-debug-intel)
		job_e2e debug keel 1 --host intel-bochs --memory 256 --timeout 5400 ;;
	e2e-*)		IFS=- read -r _ device cpus <<<"$job"; job_e2e cloud "$device" "$cpus" ;;
	bench)		job_bench ;;
	life)		job_life ;;
	terminal)	job_terminal ;;
	qemu-*)		job_qemu "${job#qemu-}" ;;
	*)		echo "not ok - no such tier or job: $job" ;;
	esac
}

# A job is this script again, in a process group of its own, so that ending it ends its emulator.
if [ "${1:-}" = --job ]; then
	job=$2
	run_job
	exit
fi

stop_all()
{
	local p
	trap - EXIT
	for p in "${pids[@]}"; do
		kill -TERM -- "-$p" 2>/dev/null
	done
	wait
}

# build DESCRIPTION COMMAND...: what cannot be built fails the run as one test.
build()
{
	local text=$1
	shift
	if in_progress "build: $text" logged "$@"; then
		emit "ok - build: $text"
		grep -h 'warning:' "$LOGS/build.err" | sed 's/^/# /'
	else
		emit "not ok - build: $text"
		tail -n 30 "$LOGS/build.err" | sed 's/^/#   /'
		return 1
	fi
}

logged()
{
	"$@" >"$LOGS/build.err" 2>&1
}

build_selftests()
{
	make -s -C "$TOP/selftests" OUTPUT="$TOP/selftests" -j"$(nproc)" &&
		make -s -C "$TOP/selftests/launcher" launch
}

build_module()
{
	local ko
	ko=$("$TESTHOST/module.sh" "$1") || return 1
	echo "$ko" >"$CACHE/build/current-$1"
}

passed=0 failed=0 skipped=0 number=0
emit()
{
	local line=$1
	case $line in
	'ok - '*' # SKIP'*|'ok - '*' # skip'*) skipped=$((skipped + 1)) ;;
	'ok - '*)	passed=$((passed + 1)) ;;
	'not ok - '*)	failed=$((failed + 1)) ;;
	*)		printf '%s\n' "$line"; return ;;
	esac
	number=$((number + 1))
	printf '%s\n' "${line/ok - /ok $number - }"
}

closing()
{
	echo "1..$number"
	echo "$passed passed, $failed failed, $skipped skipped"
	[ $failed = 0 ] && [ $passed -gt 0 ]
}

declare -A pid_of=() started=()
pids=()
start()
{
	rm -f "$LOGS/$1".{out,err,tap,host.log} "$LOGS/$1".host.log.[0-9]
	msg START "$1"
	setsid "$0" --job "$1" >"$LOGS/$1.tap" 2>"$LOGS/$1.err" </dev/null &
	pid_of[$1]=$!
	pids+=($!)
	started[$1]=$SECONDS
}

reap()
{
	local j
	for j in "${!pid_of[@]}"; do
		kill -0 "${pid_of[$j]}" 2>/dev/null && continue
		wait "${pid_of[$j]}"
		unset "pid_of[$j]"
		msg END "$j ($((SECONDS - started[$j])) s)"
		echo "# $j: $((SECONDS - started[$j])) s"
		while IFS= read -r line; do
			emit "$line"
		done <"$LOGS/$j.tap"
	done
}

tier=${*:-all}
# shellcheck disable=SC2086
read -ra pending <<<"$(jobs_of $tier)"
mkdir -p "$LOGS" "$CACHE/build"
trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
echo "TAP version 13"
"$TESTHOST/deps.sh" build run test || { emit "not ok - install what is missing"; closing; exit 1; }

build "launcher" make -s -C "$TOP/userspace" -j"$(nproc)" || pending=()
case " ${pending[*]} " in
*" e2e-"*|*" tcg "*|*" bochs "*|*" intel"*|*" life "*|*" bench "*|*" terminal "*|*" qemu-"*|*" oracle-"*|*" debug-"*|*" fail-nth "*)
	# What several jobs need is fetched before them, where its progress can be seen.
	"$TESTHOST/fetch.sh" kernel >/dev/null && "$TESTHOST/fetch.sh" selftests >/dev/null ||
		{ emit "not ok - fetch the emulated hosts' kernel"; closing; exit 1; }
	build "selftests" build_selftests || pending=()
	case " ${pending[*]} " in
	*' tcg '*|*' bochs '*|*' intel'*|*' e2e-intel '*|*-keel*|*' life '*|*' bench '*|*' terminal '*)
		build "module" build_module cloud || pending=(unit) ;;
	esac
	case " ${pending[*]} " in
	*' debug-'*|*'-debug '*|*'-debug-'*|*' fail-nth '*)
		# Half an hour where it has to be built.
		"$TESTHOST/fetch.sh" debug >/dev/null ||
			{ emit "not ok - fetch the debug kernel"; closing; exit 1; }
		build "module for the debug kernel" build_module debug || pending=() ;;
	esac
	case "${pending[*]}" in
	*e2e*|*terminal*)
		"$TESTHOST/image.sh" >/dev/null || emit "not ok - make the Debian guest" ;;
	esac ;;
esac

while [ ${#pending[@]} -gt 0 ] || [ ${#pid_of[@]} -gt 0 ]; do
	while [ ${#pending[@]} -gt 0 ] && [ ${#pid_of[@]} -lt "$SLOTS" ]; do
		start "${pending[0]}"
		pending=("${pending[@]:1}")
	done
	sleep 0.5
	reap
done
trap - EXIT
closing
