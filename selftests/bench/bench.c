// SPDX-License-Identifier: GPL-2.0-only
/*
 * What things cost on a device that speaks KVM's ABI:
 *
 *	bench DEVICE [ROW]...	prints a line `row figure` for each; `-` where there is none
 *	bench --list		prints name, unit and meaning of all rows, between tabs
 *
 * Each row runs in a process of its own, so that none finds what another one left behind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static const struct bench_row *const tables[] = {
	exit_rows, irq_rows, mem_rows, life_rows,
};

struct samples samples;
bool bench_magic;

static int compare(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

u64 median(struct samples *s)
{
	if (!s->nr)
		die("no samples");
	qsort(s->ticks, s->nr, sizeof(s->ticks[0]), compare);
	return s->ticks[s->nr / 2];
}

struct vcpu *bench_vcpu(unsigned int vm_flags, void (*fn)(), u64 arg)
{
	struct vcpu *v = vcpu_create(vm_create(vm_flags), 0);

	vcpu_long(v, fn, arg);
	return v;
}

void bench_run(struct vcpu *v)
{
	int reason;

	do {
		reason = guest_run(v);
	} while (reason == KVM_EXIT_IO || reason == KVM_EXIT_MMIO);
	if (reason != UC_DONE) {
		vcpu_dump(v);
		die("the guest stopped: %d", reason);
	}
}

u64 bench_guest(unsigned int vm_flags, void (*fn)(), u64 arg)
{
	bench_run(bench_vcpu(vm_flags, fn, arg));
	return median(&samples);
}

static const struct bench_row *find(const char *name)
{
	const struct bench_row *row;
	size_t i;

	for (i = 0; i < ARRAY_LEN(tables); i++)
		for (row = tables[i]; row->name; row++)
			if (!strcmp(row->name, name))
				return row;
	return NULL;
}

static void list(void)
{
	const struct bench_row *row;
	size_t i;

	for (i = 0; i < ARRAY_LEN(tables); i++)
		for (row = tables[i]; row->name; row++)
			printf("%s\t%s\t%s\n", row->name, row->unit, row->text);
}

/* 0 or 1, the row's part of the exit status. */
static int run_row(const struct bench_row *row)
{
	int status = 0;
	u64 figure;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		/* Whoever ends the parent (a limit, Ctrl-C) means this. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		figure = row->run();
		if (figure == NOT_HERE)
			printf("%s -\n", row->name);
		else
			printf("%s %lu\n", row->name, figure);
		exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		die("cannot run a process");
	if (!status)
		return 0;
	fprintf(stderr, "bench: %s failed\n", row->name);
	return 1;
}

int main(int argc, char **argv)
{
	const struct bench_row *row;
	int failed = 0, i;
	size_t t;

	if (argc == 2 && !strcmp(argv[1], "--list")) {
		list();
		return 0;
	}
	if (argc < 2) {
		fprintf(stderr, "usage: bench DEVICE [ROW]... | --list\n");
		return 1;
	}
	for (i = 2; i < argc; i++) {
		if (!find(argv[i])) {
			fprintf(stderr, "bench: no such row: %s\n", argv[i]);
			return 1;
		}
	}
	bench_magic = getenv("KEEL_BENCH_MAGIC");
	test_setup(argc, argv);
	for (i = 2; i < argc; i++)
		failed |= run_row(find(argv[i]));
	if (argc > 2)
		return failed;
	for (t = 0; t < ARRAY_LEN(tables); t++)
		for (row = tables[t]; row->name; row++)
			failed |= run_row(row);
	return failed;
}
