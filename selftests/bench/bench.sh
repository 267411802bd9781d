#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# `make bench`: measures stock KVM and keel side by side, in the same boot of the same host, and
# prints a table for each host. Variables:
#   HOSTS='intel amd intel-mitigated amd-mitigated'   emulated ones of lib.sh (default: all four);
#             native: this machine, which must have the hardware, and root must start it (the
#             default there, if its kernel's headers are installed)
#   ROWS='...'  only these, of `bench --list` and boot_ticks, boot_outside, boot_exits, boot_huge_pages
#   BOOT=0    not the Debian guest's boot, which takes longest
#   ROUNDS=N  turns of each device for a row (default 2; native 9)
#   CHECK=1   compare with Documentation/performance.csv; fails where a row is worse by more than 5%
#   UPDATE=1  put the figures into Documentation/ (of a whole run only)
#   RESUME=1  do not repeat what was measured before with the same programs
# Two hosts run side by side (KEEL_TEST_SLOTS). The figures are left in the cache, in bench/.
set -u
. "$(dirname "$0")/lib.sh"

RUN=$CACHE/bench
EVERY_HOST="intel amd intel-mitigated amd-mitigated"
[ "${HOST:-}" != native ] || HOSTS=${HOSTS:-native}
# As 0 they are not wanted.
for v in CHECK UPDATE RESUME; do
	[ "${!v:-0}" != 0 ] || unset $v
done

# What this machine lacks to be measured itself; nothing if it can be.
lacking()
{
	if ! grep -qwE 'svm|vmx' /proc/cpuinfo; then
		echo "this CPU shows neither SVM nor VMX"
	elif [ "$(id -u)" != 0 ]; then
		echo "only root can load the module"
	elif [ ! -e "/lib/modules/$(uname -r)/build/Makefile" ]; then
		echo "the headers of this kernel are not installed (linux-headers-$(uname -r))"
	elif [ ! -r /dev/kvm ] || [ ! -w /dev/kvm ]; then
		echo "no usable /dev/kvm to compare with"
	fi
}

if [ -z "${HOSTS:-}${CHECK:-}${UPDATE:-}" ] && [ -z "$(lacking)" ] &&
	! grep -qw hypervisor /proc/cpuinfo; then
	HOSTS=native
fi
HOSTS=${HOSTS:-$EVERY_HOST}
ROWS=${ROWS:-}
BOOT=${BOOT:-1}
SLOTS=${KEEL_TEST_SLOTS:-2}
case $HOSTS in
native)	ROUNDS=${ROUNDS:-9} ;;
*)	ROUNDS=${ROUNDS:-2} ;;
esac
export HOSTS ROWS ROUNDS
# The kernel's make has a CHECK of its own.
unset MAKEFLAGS MAKEOVERRIDES

rows_of_bench()
{
	"$RUN/bench" --list | cut -f1
}

# Those of ROWS that bench has; all without ROWS.
micro_rows()
{
	rows_of_bench | if [ -n "$ROWS" ]; then
		grep -xF "$(tr -s ' ' '\n' <<<"$ROWS")"
	else
		cat
	fi | tr '\n' ' '
}

wanted()
{
	local row
	[ -n "$ROWS" ] || return 0
	for row in "$@"; do
		case " $ROWS " in
		*" $row "*) return 0 ;;
		esac
	done
	return 1
}

# The longest first, so that the slots end together.
jobs_of_hosts()
{
	local h
	if [ "$BOOT" != 0 ] && [ "$HOSTS" != native ]; then
		for h in $HOSTS; do
			! wanted boot_exits boot_outside boot_huge_pages || echo "exits:$h"
			! wanted boot_ticks || echo "times:$h"
		done
	fi
	for h in $HOSTS; do
		[ -z "$(micro_rows)" ] || echo "rows:$h"
	done
}

# A job is this script again, in a process group of its own, so that ending it ends its emulator.
run_job()
{
	local kind=${1%%:*} name=${1#*:} floor=()
	[ ! -e "$RUN/floor.ko" ] || floor=(--floor "$RUN/floor.ko")
	case $kind in
	rows)
		# shellcheck disable=SC2046
		"$BENCH/rows.sh" --rounds "$ROUNDS" --module "$RUN/keel.ko" --bench "$RUN/bench" \
			"${floor[@]}" --log "$RUN/$kind-$name.log" "$name" $(micro_rows) ;;
	*)
		"$BENCH/boot.sh" --module "$RUN/keel.ko" --launcher "$RUN/keel" --bench "$RUN/bench" \
			--log "$RUN/$kind-$name.log" "$name" "$kind" ;;
	esac
}

if [ "${1:-}" = --job ]; then
	run_job "$2"
	exit
fi

check_words()
{
	local h
	for h in $HOSTS; do
		host_of "$h"
		[ "$h" != native ] || [ "$HOSTS" = native ] || die "native runs alone, not beside emulators"
	done
	[ "$HOSTS" != native ] || [ -z "${CHECK:-}" ] || die "native: the table has no figures of this machine"
	[ -z "${UPDATE:-}" ] || { [ -z "$ROWS" ] && [ "$BOOT" != 0 ] && [ "$HOSTS" = "$EVERY_HOST" ]; } ||
		die "UPDATE=1 takes a whole run: without HOSTS=, ROWS= and BOOT=0"
}

check_rows()
{
	local row known
	known=" $(rows_of_bench | tr '\n' ' ')$BOOT_ROWS "
	for row in $ROWS; do
		case $known in
		*" $row "*) ;;
		*)	die "no such row: $row (there are:$known)" ;;
		esac
	done
}

# Where it runs, in one line; for a machine of its own, whether it can.
say_where()
{
	local lack
	if [ "$HOSTS" != native ]; then
		msg HOST "emulated: $HOSTS (Bochs, whose TSC counts instructions)"
		return
	fi
	lack=$(lacking)
	[ -z "$lack" ] || die "native: $lack"
	[ ! -e /dev/keel ] || die "native: keel is loaded already; rmmod keel first"
	msg HOST "this machine: cycles of the TSC, pinned, medians of $ROUNDS; without the guest's boot"
}

# What all jobs measure, whatever is edited meanwhile.
build_modules()
{
	local floor=selftests/bench/floor kdir=/lib/modules/$(uname -r)/build
	rm -f "$RUN/floor.ko"
	if [ "$HOSTS" = native ]; then
		make -s -C "$kdir" M="$TOP" -j"$(nproc)" modules &&
			cp "$TOP/module/keel.ko" "$RUN/keel.ko" || return
		[ -e "$TOP/$floor" ] || return 0
		make -s -C "$kdir" M="$TOP/$floor" modules && cp "$TOP/$floor/floor.ko" "$RUN/"
	else
		cp "$("$TESTHOST/module.sh" cloud)" "$RUN/keel.ko" || return
		[ -e "$TOP/$floor" ] || return 0
		cp "$("$TESTHOST/module.sh" cloud $floor)" "$RUN/floor.ko"
	fi
}

build_programs()
{
	"$TESTHOST/fetch.sh" selftests >/dev/null &&
		make -s -C "$TOP/userspace" -j"$(nproc)" &&
		make -s -C "$TOP/selftests" OUTPUT="$TOP/selftests" -j"$(nproc)" \
			"$TOP/selftests/bench/bench" &&
		cp "$TOP/userspace/keel" "$TOP/selftests/bench/bench" "$RUN/"
}

prepare()
{
	if [ "$HOSTS" = native ]; then
		"$TESTHOST/deps.sh" build || exit 1
	else
		"$TESTHOST/deps.sh" build run test && "$TESTHOST/fetch.sh" kernel >/dev/null || exit 1
	fi
	mkdir -p "$RUN"
	exec 8>"$RUN/lock"
	flock -n 8 || die "another run measures with this cache ($CACHE)"
	in_progress "build the module" build_modules >&2 || exit 1
	in_progress "build the programs" build_programs >&2 || exit 1
	check_rows
	case $(jobs_of_hosts) in
	*times:*|*exits:*)
		"$TESTHOST/image.sh" >/dev/null || exit 1 ;;
	esac
	key=$(cat "$RUN"/{*.ko,bench,keel} "$BENCH"/*.sh "$BENCH"/*in-host | cksum | tr ' ' -)
}

load_native()
{
	insmod "$RUN/keel.ko" || die "native: this machine does not take the module"
	loaded=1
}

stop_all()
{
	local p
	trap - EXIT
	set +m
	for p in $(jobs -rp); do
		kill -TERM -- "-$p" 2>/dev/null
	done
	wait
	[ -z "$loaded" ] || rmmod keel
}

# one_job JOB: what it says is shown if it fails. A key beside its output tells RESUME= what it is of.
one_job()
{
	local file=$RUN/${1/:/-} started=$SECONDS of="$key $ROUNDS $ROWS"
	if [ -n "${RESUME:-}" ] && [ "$(cat "$file.key" 2>/dev/null)" = "$of" ]; then
		msg KEPT "$1"
		return
	fi
	rm -f "$file".{key,out,log}
	msg START "$1"
	if "$0" --job "$1" >"$file.out" 2>"$file.err" </dev/null 8>&-; then
		echo "$of" >"$file.key"
		msg END "$1 ($((SECONDS - started)) s)"
	else
		msg FAILED "$1 ($((SECONDS - started)) s):"
		tail -n 30 "$file.err" | sed 's/^/    | /' >&2
		return 1
	fi
}

run_jobs()
{
	local j status=0
	# With job control each one has a process group of its own.
	set -m
	for j in "$@"; do
		while [ "$(jobs -rp | wc -l)" -ge "$SLOTS" ]; do
			sleep 0.5
		done
		one_job "$j" &
	done
	wait
	set +m
	# Not by their process numbers: those come round again within such a run.
	for j in "$@"; do
		[ -e "$RUN/${j/:/-}.key" ] || status=1
	done
	return $status
}

# The CSV of what the jobs of this run have left.
collect()
{
	local h j ticks files
	echo "$CSV_HEAD"
	"$RUN/bench" --list >"$RUN/list"
	for h in $HOSTS; do
		host_of "$h"
		ticks=instructions
		[ "$h" != native ] || ticks=cycles
		files=()
		for j in $(jobs_of_hosts | grep ":$h\$"); do
			files+=("$RUN/${j/:/-}.out")
		done
		awk -v host=$host -v mitigations=$mitigations -v ticks=$ticks \
			-f "$BENCH/figures.awk" "$RUN/list" "${files[@]}"
	done
}

commit()
{
	git -C "$TOP" describe --always --dirty 2>/dev/null || echo unknown
}

# Without what the table does not depend on.
command_line()
{
	local v line="make bench"
	for v in HOSTS ROWS BOOT; do
		case $v=${!v} in
		HOSTS="$EVERY_HOST"|ROWS=|BOOT=1) ;;
		*)	line+=" $v='${!v}'" ;;
		esac
	done
	[ "$ROUNDS" = 2 ] || line+=" ROUNDS=$ROUNDS"
	echo "$line"
}

# Rows that a host should have and has not: `-` is a figure, none at all is not.
missing()
{
	local h row
	for h in $HOSTS; do
		host_of "$h"
		for row in $(rows_of_bench) $BOOT_ROWS; do
			grep -q "^$host,$mitigations,$row," "$RUN/bench.csv" || echo "$row on $h"
		done
	done
}

update()
{
	local docs=$TOP/Documentation bochs kernel
	bochs=$(dpkg-query -W -f '${Version}' bochs)
	kernel=$(basename "$("$TESTHOST/fetch.sh" kernel)")
	cp "$RUN/bench.csv" "$docs/performance.csv"
	awk -v stamp="Taken on $today of \`\`$of_commit\`\` by \`\`$(command_line)\`\`, in Bochs $bochs with Linux $kernel." \
		-f "$BENCH/rst.awk" "$RUN/list" "$RUN/bench.csv" >"$docs/performance-table.rst"
	awk -v title="keel's figures by KVM's: smaller is better (mitigations=off)" \
		-v stamp="$today, $of_commit: $(command_line)" \
		-f "$BENCH/chart.awk" "$RUN/bench.csv" >"$docs/performance.svg"
	msg WRITTEN "Documentation/performance.csv, performance-table.rst, performance.svg"
}

loaded=
check_words
say_where
prepare
# Before its own files change.
of_commit=$(commit) today=$(date +%F)
trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
[ "$HOSTS" != native ] || load_native
status=0
jobs=$(jobs_of_hosts)
[ -n "$jobs" ] || die "nothing to measure with ROWS='$ROWS' BOOT='$BOOT' HOSTS='$HOSTS'"
run_jobs $jobs || status=1
collect >"$RUN/bench.csv"
echo "$today, $of_commit: $(command_line)"
awk -f "$BENCH/table.awk" "$RUN/bench.csv"
echo
msg FIGURES "$RUN/bench.csv"
if [ -n "${CHECK:-}" ]; then
	[ -e "$TABLE" ] || die "nothing to compare with: $TABLE"
	echo "against Documentation/performance.csv:"
	if awk -f "$BENCH/compare.awk" "$TABLE" "$RUN/bench.csv"; then
		echo "no row is worse by more than 5%"
	else
		status=1
	fi
fi
if [ -n "${UPDATE:-}" ]; then
	lack=$(missing)
	[ -z "$lack" ] || die "not put into Documentation/, there is no figure for:" $lack
	[ $status = 0 ] || die "not put into Documentation/: not all was measured, or not well"
	update
fi
exit $status
