// SPDX-License-Identifier: GPL-2.0-only
/* What VMs and vCPUs cost by being there: their beginning and end, their memory. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

/* ---- creation and destruction ----------------------------------------------------- */

#define CREATE_ROUNDS	(TRACED_ROUND + 1)
#define CREATE_WARM_UP	2
#define BUSY_ROUNDS	32
#define VM_SIZE		PAGE_1G

/* All there is before a guest's kernel is loaded. */
static void create(unsigned int nr, u8 *mem)
{
	struct vcpu *v[MAX_VCPUS];
	struct vm *vm = vm_create(VM_BARE);
	unsigned int i;

	must(vm->fd, KVM_CREATE_IRQCHIP, 0);
	if (vm_slot(vm, 0, 0, 0, VM_SIZE, mem))
		die("cannot add the memory");
	for (i = 0; i < nr; i++)
		v[i] = vcpu_create(vm, i);
	for (i = 0; i < nr; i++)
		vcpu_free(v[i]);
	vm_free(vm);
}

static void create_bare(unsigned int nr, u8 *unused)
{
	int vm = must(dev_fd, KVM_CREATE_VM, 0);

	close(must(vm, KVM_CREATE_VCPU, 0));
	close(vm);
}

static u64 create_row(void (*fn)(unsigned int, u8 *), unsigned int nr)
{
	u8 *mem = map_anon(VM_SIZE);
	u32 r;
	u64 t;

	for (r = 0; r < CREATE_ROUNDS; r++) {
		magic(r);
		t = rdtsc();
		fn(nr, mem);
		t = rdtsc() - t;
		magic(r);
		if (r >= CREATE_WARM_UP)
			sample(t);
	}
	return median(&samples);
}

/*
 * What this CPU has run other than its idle thread, in ns.  The kernel adds a thread's time as that
 * gives up the CPU.
 */
static u64 busy_ns(void)
{
	FILE *f = fopen("/proc/schedstat", "r");
	char line[256];
	u64 busy;

	usleep(50000);
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "cpu0 %*u %*u %*u %*u %*u %*u %lu", &busy) == 1) {
			fclose(f);
			return busy;
		}
	}
	die("no CPU time in /proc/schedstat");
}

static u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000UL + t.tv_nsec;
}

/* Where there is one CPU: on others, RCU and what it frees run elsewhere. */
static u64 busy_row(unsigned int nr)
{
	u8 *mem = map_anon(VM_SIZE);
	u64 busy, ticks, ns;
	u32 r;

	if (sysconf(_SC_NPROCESSORS_ONLN) != 1)
		return NOT_HERE;
	for (r = 0; r < CREATE_WARM_UP; r++)
		create(nr, mem);
	busy = busy_ns();
	ns = now_ns();
	ticks = rdtsc();
	for (r = 0; r < BUSY_ROUNDS; r++)
		create(nr, mem);
	ticks = rdtsc() - ticks;
	ns = now_ns() - ns;
	return (unsigned __int128)(busy_ns() - busy) * ticks / ns / BUSY_ROUNDS;
}

static u64 row_create_bare(void)
{
	return create_row(create_bare, 1);
}

static u64 row_create_1(void)
{
	return create_row(create, 1);
}

static u64 row_create_64(void)
{
	return create_row(create, 64);
}

static u64 row_create_1_busy(void)
{
	return busy_row(1);
}

static u64 row_create_64_busy(void)
{
	return busy_row(64);
}

/* ---- KVM_RUN without a guest ------------------------------------------------------ */

#define OPS	16

static u64 row_immediate_exit(void)
{
	struct vcpu *v = bench_vcpu(0, NULL, 0);

	v->run->immediate_exit = 1;
	if (vcpu_run(v) != EINTR)
		die("KVM_RUN does not end at once");
	GUEST_ROUNDS(OPS, vcpu_run(v));
	return median(&samples) / OPS;
}

/* ---- memory ----------------------------------------------------------------------- */

#define BEFORE	32		/* they use up what slabs have free, and what is there once */
#define MANY	128

#define QUIET_S		6		/* RCU's batches of what it frees wait up to five */

/*
 * Before anything is counted: free memory of one CPU's lists and slabs is no use to the others,
 * and what the row before had may not be free yet.
 */
static void settle(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity: %s", strerror(errno));
	sleep(QUIET_S);
}

/* The kernel's free memory, pages on its CPUs' lists included. */
static u64 free_memory(void)
{
	FILE *f = fopen("/proc/sys/vm/stat_refresh", "r");
	char line[256];
	u64 pages = 0, n;

	usleep(500000);
	/* Counters lag behind, by some dozens of pages a CPU, until somebody reads this. */
	if (f) {
		while (fgets(line, sizeof(line), f))
			;
		fclose(f);
	}
	f = fopen("/proc/zoneinfo", "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, " pages free %lu", &n) == 1 || sscanf(line, " count: %lu", &n) == 1)
			pages += n;
	}
	if (f)
		fclose(f);
	return pages * PAGE;
}

static u64 taken_since(u64 before)
{
	u64 now = free_memory();

	return before > now ? before - now : 0;
}

static void add_vms(unsigned int nr)
{
	while (nr--)
		must(vm_create(VM_BARE)->fd, KVM_CREATE_IRQCHIP, 0);
}

static u64 row_vm_memory(void)
{
	u64 before;

	settle();
	add_vms(BEFORE);
	before = free_memory();
	add_vms(MANY);
	return taken_since(before) / MANY;
}

static void guest_nothing(u64 unused)
{
	guest_done();
}

/* They must have run: some of their memory comes as late as that. */
static void add_vcpus(struct vm *vm, unsigned int first, unsigned int nr)
{
	struct vcpu *v;

	for (; nr--; first++) {
		v = vcpu_create(vm, first);
		vcpu_set_runnable(v);
		vcpu_long(v, guest_nothing, 0);
		bench_run(v);
	}
}

static u64 row_vcpu_memory(void)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	u64 before;
	u32 i;

	settle();
	/* What guests use is in memory before. */
	for (i = 0; i < sizeof(guest_cpus); i += PAGE)
		((volatile u8 *)guest_cpus)[i] = 0;
	add_vcpus(vm, 0, BEFORE);
	before = free_memory();
	add_vcpus(vm, BEFORE, MANY);
	return taken_since(before) / MANY;
}

static u64 row_gib_memory(void)
{
	struct vcpu *v;
	u64 before;

	settle();
	v = bench_map(bench_gib());
	before = free_memory();
	bench_run(v);
	return taken_since(before);
}

const struct bench_row life_rows[] = {
	{ "create_bare", "ticks",
	  "KVM_CREATE_VM and KVM_CREATE_VCPU, and both closed; to its end, with what the host idles "
	  "meanwhile", row_create_bare },
	{ "create_1", "ticks",
	  "a VM with interrupt controllers, 1 GiB of untouched memory and a vCPU with its mapping "
	  "and CPUID: created and destroyed; to its end, with what the host idles meanwhile",
	  row_create_1 },
	{ "create_64", "ticks", "the same with 64 vCPUs", row_create_64 },
	{ "create_1_busy", "ticks",
	  "what the CPU does for create_1, that which comes after its end included; without idling",
	  row_create_1_busy },
	{ "create_64_busy", "ticks", "the same with 64 vCPUs", row_create_64_busy },
	{ "immediate_exit", "ticks", "KVM_RUN with immediate_exit set", row_immediate_exit },
	{ "vm_memory", "bytes", "kernel memory of a VM with interrupt controllers and no vCPU",
	  row_vm_memory },
	{ "vcpu_memory", "bytes", "kernel memory of a vCPU that has run", row_vcpu_memory },
	{ "gib_memory", "bytes", "kernel memory for a GiB that a guest has mapped in 4K pages",
	  row_gib_memory },
	{ }
};
