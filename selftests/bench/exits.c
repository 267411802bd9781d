// SPDX-License-Identifier: GPL-2.0-only
/* Exits, measured by the guest that makes them: from the instruction before to the one after. */
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bench.h"

#define OPS		16
#define PORT		0x500		/* nobody's */
#define MMIO_GPA	0xd0000000UL	/* no memory */

/* Each of OPS took so long; what the loop itself takes is less than an instruction of it. */
static u64 per_op(unsigned int vm_flags, void (*fn)())
{
	return bench_guest(vm_flags, fn, 0) / OPS;
}

static void guest_cpuid(u64 unused)
{
	u32 r[4];

	GUEST_ROUNDS(OPS, cpuid(0, 0, r));
	guest_done();
}

static u64 row_cpuid(void)
{
	return per_op(0, guest_cpuid);
}

static void guest_rdmsr(u64 unused)
{
	GUEST_ROUNDS(OPS, rdmsr(MSR_MISC_ENABLE));
	guest_done();
}

static u64 row_rdmsr(void)
{
	return per_op(0, guest_rdmsr);
}

static void guest_wrmsr(u64 unused)
{
	u64 val = rdmsr(MSR_MISC_ENABLE);

	GUEST_ROUNDS(OPS, wrmsr(MSR_MISC_ENABLE, val));
	guest_done();
}

static u64 row_wrmsr(void)
{
	return per_op(0, guest_wrmsr);
}

/* KVM_HC_VAPIC_POLL_IRQ: does nothing. */
static void guest_hypercall(u64 amd)
{
	u64 ret;

	if (amd)
		GUEST_ROUNDS(OPS, asm volatile("vmmcall" : "=a"(ret) : "a"(1) : "memory"));
	else
		GUEST_ROUNDS(OPS, asm volatile("vmcall" : "=a"(ret) : "a"(1) : "memory"));
	guest_done();
}

static u64 row_hypercall(void)
{
	return bench_guest(0, guest_hypercall, !host_is_intel()) / OPS;
}

static void guest_pio(u64 unused)
{
	GUEST_ROUNDS(OPS, outb(PORT, 0));
	guest_done();
}

static u64 row_pio_user(void)
{
	return per_op(0, guest_pio);
}

static void guest_mmio(u64 unused)
{
	GUEST_ROUNDS(OPS, MMIO(u32, MMIO_GPA) = 0);
	guest_done();
}

static u64 row_mmio_user(void)
{
	return per_op(0, guest_mmio);
}

static u64 with_eventfd(void (*fn)(), u64 addr, u32 len, u32 flags)
{
	struct vcpu *v = bench_vcpu(0, fn, 0);
	struct kvm_ioeventfd e = {
		.addr = addr, .len = len, .flags = flags, .fd = eventfd(0, EFD_NONBLOCK),
	};

	must(v->vm->fd, KVM_IOEVENTFD, &e);
	bench_run(v);
	return median(&samples) / OPS;
}

static u64 row_pio_eventfd(void)
{
	return with_eventfd(guest_pio, PORT, 1, KVM_IOEVENTFD_FLAG_PIO);
}

static u64 row_mmio_eventfd(void)
{
	return with_eventfd(guest_mmio, MMIO_GPA, 4, 0);
}

static u64 row_mmio_eventfd_any(void)
{
	return with_eventfd(guest_mmio, MMIO_GPA, 0, 0);
}

/* ---- what must not exit ----------------------------------------------------------- */

static u64 without_exits(void (*fn)())
{
	struct vcpu *v = bench_vcpu(0, fn, 0);
	int stats = must(v->fd, KVM_GET_STATS_FD, 0);
	u64 before = stat_value(stats, "exits"), exits;

	bench_run(v);
	exits = stat_value(stats, "exits") - before;
	/* The host's timer, and the end. */
	if (exits > BENCH_ROUNDS)
		die("%lu exits for %u instructions that need none", exits, BENCH_ROUNDS * OPS);
	return median(&samples) / OPS;
}

static void guest_invlpg(u64 unused)
{
	GUEST_ROUNDS(OPS, invlpg((u64)&samples));
	guest_done();
}

static u64 row_invlpg(void)
{
	return without_exits(guest_invlpg);
}

static void guest_cr3(u64 unused)
{
	u64 cr3 = read_cr3();

	GUEST_ROUNDS(OPS, write_cr3(cr3));
	guest_done();
}

static u64 row_cr3_load(void)
{
	return without_exits(guest_cr3);
}

const struct bench_row exit_rows[] = {
	{ "cpuid", "ticks", "CPUID, leaf 0", row_cpuid },
	{ "rdmsr", "ticks", "RDMSR that the kernel handles (IA32_MISC_ENABLE)", row_rdmsr },
	{ "wrmsr", "ticks", "WRMSR that the kernel handles (IA32_MISC_ENABLE)", row_wrmsr },
	{ "hypercall", "ticks", "VMCALL or VMMCALL (KVM_HC_VAPIC_POLL_IRQ)", row_hypercall },
	{ "pio_user", "ticks", "OUT that user space answers, and back", row_pio_user },
	{ "pio_eventfd", "ticks", "OUT to an ioeventfd", row_pio_eventfd },
	{ "mmio_user", "ticks", "write to MMIO that user space answers, and back", row_mmio_user },
	{ "mmio_eventfd", "ticks", "write to MMIO with an ioeventfd", row_mmio_eventfd },
	{ "mmio_eventfd_any", "ticks", "the same with one for writes of any length",
	  row_mmio_eventfd_any },
	{ "invlpg", "ticks", "INVLPG; fails if it exits", row_invlpg },
	{ "cr3_load", "ticks", "MOV to CR3; fails if it exits", row_cr3_load },
	{ }
};
