// SPDX-License-Identifier: GPL-2.0-only
/*
 * TSC-deadline mode in detail: while the guest runs and while it is halted, with the TSC moved,
 * changed while it is armed. Emulators run slow and jerky: bounds are on one side only, and how
 * late it came is told.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "harness.h"
#include "apic.h"

#define VEC	0x70

static volatile u32 ticks;
static volatile u64 tick_tsc, worst;

static void on_tick(struct trap_frame *f)
{
	tick_tsc = rdtsc();
	ticks++;
	apic_eoi();
}

static void start(u64 x2)
{
	if (x2)
		apic_enable_x2();
	else
		apic_enable();
	guest_handlers[VEC] = on_tick;
	apic_write(APIC_LVTT, LVT_DEADLINE | VEC);
}

static void arm(u64 deadline)
{
	wrmsr(MSR_TSC_DEADLINE, deadline);
}

#define TRACING	"/sys/kernel/tracing/instances/keel-test"

FIXTURE(deadline) {
	struct vcpu *v;
};

FIXTURE_SETUP(deadline)
{
	self->v = vcpu_create(vm_create(VM_IRQCHIP), 0);
}

FIXTURE_TEARDOWN(deadline)
{
	rmdir(TRACING);
}

#define RUN_GUEST(fn, arg) do {		\
	vcpu_long(self->v, fn, arg);	\
	ASSERT_DONE(self->v);		\
} while (0)

static void tell_worst(void)
{
	ksft_print_msg("note: at worst %lu us late\n", worst * 1000 / guest_tsc_khz);
}

static void note_lateness(u64 deadline)
{
	G_CMP(tick_tsc, >=, deadline);
	if (tick_tsc - deadline > worst)
		worst = tick_tsc - deadline;
}

/* Never early, for spans of a few microseconds up to some milliseconds; no exit while it waits. */
static void guest_running(u64 x2)
{
	u64 deadline;
	u32 i;

	start(x2);
	for (i = 0; i < 12; i++) {
		ticks = 0;
		deadline = rdtsc() + (tsc_ms(8) >> i);
		arm(deadline);
		sti();
		while (!ticks)
			asm volatile("" : : : "memory");
		cli();
		G_EQ(ticks, 1);
		note_lateness(deadline);
		G_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	}
	guest_done();
}

TEST_F(deadline, running)
{
	if (test_bochs_svm)
		SKIP(return, "Bochs loses interrupt windows");
	RUN_GUEST(guest_running, 0);
	tell_worst();
}

TEST_F(deadline, running_x2)
{
	if (test_bochs_svm)
		SKIP(return, "Bochs loses interrupt windows");
	RUN_GUEST(guest_running, 1);
	tell_worst();
}

static void guest_halted(u64 x2)
{
	u64 deadline;
	u32 i;

	start(x2);
	for (i = 0; i < 12; i++) {
		ticks = 0;
		deadline = rdtsc() + (tsc_ms(8) >> i);
		arm(deadline);
		sti_hlt();
		cli();
		G_EQ(ticks, 1);
		note_lateness(deadline);
	}
	guest_done();
}

TEST_F(deadline, halted)
{
	RUN_GUEST(guest_halted, 0);
	tell_worst();
}

/* It fires while interrupts are off, and is taken when they are on again. */
static void guest_interrupts_off(u64 arg)
{
	u64 deadline;

	start(0);
	deadline = rdtsc() + tsc_ms(1);
	arm(deadline);
	while (!apic_bit(APIC_IRR, VEC))
		cpu_pause();
	G_CMP(rdtsc(), >=, deadline);
	G_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	G_EQ(ticks, 0);
	sti_nop_cli();
	G_EQ(ticks, 1);
	guest_done();
}

TEST_F(deadline, interrupts_off)
{
	RUN_GUEST(guest_interrupts_off, 0);
}

/* ---- what ends the guest's run ------------------------------------------------------ */

static bool trace_exits(bool on)
{
	const char *file = is_kvm() ? TRACING "/events/kvm/kvm_exit/enable" :
				      TRACING "/events/keel/keel_exit/enable";
	int fd = open(file, O_WRONLY);
	bool ok = fd >= 0 && write(fd, on ? "1" : "0", 1) == 1;

	close(fd);
	return ok;
}

/*
 * Where Intel's CPU can end a guest's run at a time, no interrupt of the host's has to.  A kernel
 * with all debugging takes its time over a trace instance.
 */
TEST_F_TIMEOUT(deadline, by_cpu_timer, 200)
{
	const char *param = is_kvm() ? "/sys/module/kvm_intel/parameters/preemption_timer" :
				       "/sys/module/keel/parameters/preemption_timer";
	bool seen;

	if (!host_is_intel() || !file_says(param, "Y"))
		SKIP(return, "no VMX-preemption timer in use");
	/* Of a test that was broken off: it would hold the module. */
	rmdir(TRACING);
	mkdir(TRACING, 0700);
	if (!trace_exits(true))
		SKIP(return, "no tracepoints here");
	vcpu_long(self->v, guest_running, 0);
	EXPECT_EQ(UC_DONE, guest_run(self->v));
	trace_exits(false);
	seen = file_says(TRACING "/trace", is_kvm() ? "PREEMPTION_TIMER" : "reason timer");
	EXPECT_TRUE(seen);
}

/* ---- RFLAGS.IF ---------------------------------------------------------------------- */

static volatile u32 with_if_off;

static void on_quick_tick(struct trap_frame *f)
{
	with_if_off += !(f->flags & FLAG_IF);
	ticks++;
	apic_eoi();
}

/* Its time comes with interrupts off, among exits and fresh pages. */
static void guest_flag(u64 x2)
{
	u32 i, r[4];

	start(x2);
	guest_handlers[VEC] = on_quick_tick;
	for (i = 0; i < 512; i++) {
		arm(rdtsc() + 1000 + i * 16);
		MMIO(u64, HIGH_GPA + i * PAGE) = i;
		cpuid(0, 0, r);
		G_EQ(MMIO(u64, HIGH_GPA + i * PAGE), i);
		sti_nop_cli();
		G_EQ(with_if_off, 0);
	}
	G_ASSERT(ticks);
	guest_done();
}

static void flag(struct __test_metadata *_metadata, struct vcpu *v, u64 x2)
{
	u8 *mem = vm_add_mem(v->vm, FIRST_SLOT, 0, HIGH_GPA, 512 * PAGE);

	madvise(mem, 512 * PAGE, MADV_NOHUGEPAGE);
	vcpu_long(v, guest_flag, x2);
	ASSERT_DONE(v);
	ksft_print_msg("note: %u interrupts\n", ticks);
}

TEST_F(deadline, waits_for_flag)
{
	flag(_metadata, self->v, 0);
}

TEST_F(deadline, waits_for_flag_x2)
{
	flag(_metadata, self->v, 1);
}

/* ---- more than one deadline --------------------------------------------------------- */

/* The last write counts, be it earlier or later. */
static void guest_changed(u64 arg)
{
	u64 t, later;

	start(0);
	t = rdtsc();
	arm(t + tsc_ms(20000));
	arm(t + tsc_ms(2));
	sti_hlt();
	cli();
	G_EQ(ticks, 1);
	G_CMP(tick_tsc, >=, t + tsc_ms(2));
	t = rdtsc();
	later = t + tsc_ms(30);
	arm(t + tsc_ms(10));
	arm(later);
	sti_hlt();
	cli();
	/* Unless the first one had passed before the second was written. */
	if (tick_tsc < later)
		G_CMP(tick_tsc, >=, t + tsc_ms(10));
	guest_done();
}

TEST_F(deadline, changed)
{
	RUN_GUEST(guest_changed, 0);
}

/*
 * Masked, it passes unheard: what KVM keeps until the mask is gone, the SDM has not ("Local Vector
 * Table": the mask inhibits reception).
 */
static void guest_masked(u64 arg)
{
	u64 t;

	start(0);
	apic_write(APIC_LVTT, LVT_DEADLINE | LVT_MASKED | VEC);
	t = rdtsc() + tsc_ms(2);
	arm(t);
	G_WAIT(rdtsc() > t + tsc_ms(2));
	sti_nop_cli();
	G_EQ(ticks, 0);
	guest_sync(1);
	apic_write(APIC_LVTT, LVT_DEADLINE | VEC);
	sti_nop_cli();
	G_EQ(ticks, 0);
	guest_done();
}

TEST_F(deadline, masked)
{
	vcpu_long(self->v, guest_masked, 0);
	ASSERT_SYNC(1, self->v);
	if (is_kvm())
		SKIP(return, "KVM delivers it when it is unmasked");
	ASSERT_DONE(self->v);
}

/* Another mode disarms it. */
static void guest_other_mode(u64 arg)
{
	start(0);
	arm(rdtsc() + tsc_ms(20000));
	apic_write(APIC_LVTT, VEC);
	G_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	sti_nop_cli();
	G_EQ(ticks, 0);
	apic_write(APIC_LVTT, LVT_DEADLINE | VEC);
	G_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	sti_nop_cli();
	G_EQ(ticks, 0);
	guest_done();
}

TEST_F(deadline, other_mode_disarms)
{
	RUN_GUEST(guest_other_mode, 0);
}

/* The deadline is one of the guest's TSC, also where that is far from the host's. */
static void guest_moved_tsc(u64 to)
{
	u64 deadline;

	start(0);
	wrmsr(MSR_TSC, to);
	deadline = rdtsc() + tsc_ms(3);
	arm(deadline);
	sti_hlt();
	cli();
	G_EQ(ticks, 1);
	note_lateness(deadline);
	G_CMP(tick_tsc, <, to + tsc_ms(60000));
	guest_done();
}

TEST_F(deadline, tsc_moved_back)
{
	RUN_GUEST(guest_moved_tsc, 0);
	tell_worst();
}

TEST_F(deadline, tsc_moved_forward)
{
	RUN_GUEST(guest_moved_tsc, 1ULL << 52);
	tell_worst();
}

/* User space takes its time while the deadline passes. */
static void guest_in_user_space(u64 arg)
{
	u64 deadline;

	start(0);
	deadline = rdtsc() + tsc_ms(1);
	arm(deadline);
	guest_sync(1);
	G_CMP(rdtsc(), >=, deadline);
	sti_nop_cli();
	G_EQ(ticks, 1);
	guest_done();
}

TEST_F(deadline, passes_in_user_space)
{
	vcpu_long(self->v, guest_in_user_space, 0);
	ASSERT_SYNC(1, self->v);
	usleep(30000);
	ASSERT_DONE(self->v);
}

TEST_MAIN
