// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest in the middle of work is stopped, read out and put into a new VM on
 * other threads, again and again, and must not notice: sums in integer and SSE
 * registers, control and debug registers, MSRs, a periodic and a TSC-deadline
 * timer, interrupts that are pending or in service, HLT, two vCPUs.
 */
#include <signal.h>
#include "harness.h"
#include "apic.h"
#include "state.h"

#define VEC_PERIODIC	0x51
#define VEC_DEADLINE	0x52
#define VEC_IPI		0x61
#define VEC_SELF	0x43
#define TSC_START	(1ULL << 44)

static volatile u32 ticks[2], ipis, selfs, in_handler, stop_guest;
static u32 iterations;
static volatile u64 progress, last_tsc[2];

static void check_tsc(u32 cpu)
{
	u64 now = rdtsc();

	/*
	 * vCPUs are read and written one after the other, and KVM matches their
	 * TSCs to each other: a small step is allowed, a fresh start is not.
	 */
	G_CMP(now + tsc_ms(2000), >=, last_tsc[cpu]);
	last_tsc[cpu] = now;
}

static void on_periodic(struct trap_frame *f)
{
	ticks[0]++;
	G_EQ(apic_id(), 0);
	check_tsc(0);
	apic_eoi();
}

static void on_deadline(struct trap_frame *f)
{
	ticks[1]++;
	G_EQ(apic_id(), 1);
	check_tsc(1);
	apic_icr(0, ICR_ASSERT | VEC_IPI);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + tsc_ms(2));
	apic_eoi();
}

static void on_ipi(struct trap_frame *f)
{
	ipis++;
	apic_eoi();
}

/* Stays in service for a while, so that some stops fall inside. */
static void on_self(struct trap_frame *f)
{
	u32 i;

	in_handler = 1;
	for (i = 0; i < 3000; i++)
		cpu_pause();
	G_EQ(apic_bit(APIC_ISR, VEC_SELF), 1);
	selfs++;
	in_handler = 0;
	apic_eoi();
}

static void check_registers(u64 cr8)
{
	u32 aux;

	G_EQ(read_dr0(), 0x1000);
	G_EQ(read_dr3(), 0x4000);
	G_EQ(read_cr8(), cr8);
	G_EQ(rdmsr(MSR_LSTAR), 0xffffffff81234567);
	G_EQ(rdmsr(MSR_STAR), 0x0023001000000000);
	G_EQ(rdmsr(MSR_KERNEL_GS_BASE), 0x123456789000);
	G_EQ(rdmsr(MSR_GS_BASE), 0x1000);
	G_EQ(rdmsr(MSR_SYSENTER_EIP), 0x8888);
	G_EQ(rdmsr(MSR_PAT), 0x0007040600070406);
	rdtscp(&aux);
	G_EQ(aux, 0x77);
	G_EQ(read_cr4() & X86_CR4_OSFXSR, X86_CR4_OSFXSR);
}

static void set_registers(void)
{
	write_dr0(0x1000);
	write_dr3(0x4000);
	wrmsr(MSR_LSTAR, 0xffffffff81234567);
	wrmsr(MSR_STAR, 0x0023001000000000);
	wrmsr(MSR_KERNEL_GS_BASE, 0x123456789000);
	wrmsr(MSR_GS_BASE, 0x1000);
	wrmsr(MSR_SYSENTER_EIP, 0x8888);
	wrmsr(MSR_TSC_AUX, 0x77);
}

static void guest_worker(u64 n)
{
	u64 i, a = 1, sum = 0, sse[2] __attribute__((aligned(16))) = {};
	u16 cw = 0x27f;

	set_registers();
	apic_enable();
	write_cr8(2);
	asm volatile("fninit; fldcw %0; fldpi; pxor %%xmm7, %%xmm7" : : "m"(cw));
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, LVT_PERIODIC | VEC_PERIODIC);
	apic_write(APIC_TMICT, 3000000);
	sti();
	for (i = 0; i < n; i++) {
		a = a * 6364136223846793005 + 1442695040888963407;
		sum += a;
		sse[0] = a;
		asm volatile("movdqa %0, %%xmm6; paddq %%xmm6, %%xmm7" : : "m"(sse));
		progress = i;
		if (i % 64 == 0)
			apic_icr(0, ICR_SELF | ICR_ASSERT | VEC_SELF);
		if (i % 256 == 0) {
			check_registers(2);
			/* The periodic timer ends it. */
			hlt();
		}
	}
	cli();
	asm volatile("movdqa %%xmm7, %0; fnstcw %1" : "=m"(sse), "=m"(cw));
	G_EQ(sse[0], sum);
	G_EQ(cw, 0x27f);
	for (i = 0, a = 1; i < n; i++) {
		a = a * 6364136223846793005 + 1442695040888963407;
		sum -= a;
	}
	G_EQ(sum, 0);
	stop_guest = 1;
	guest_done();
}

static void guest_timekeeper(u64 arg)
{
	u32 seen;

	set_registers();
	apic_enable();
	apic_write(APIC_LVTT, LVT_DEADLINE | VEC_DEADLINE);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + tsc_ms(2));
	while (!stop_guest) {
		check_registers(0);
		seen = ticks[1];
		/* Only the deadline may end this one: a lost timer hangs here. */
		while (ticks[1] == seen) {
			sti_hlt();
			cli();
		}
	}
	guest_done();
}

static volatile bool stopping;

static void on_kick(int sig)
{
}

static void *thread(void *arg)
{
	struct vcpu *v = arg;
	int e;

	for (;;) {
		e = vcpu_run(v);
		if (e == EINTR) {
			v->result = UC_SYNC;
			if (stopping)
				return NULL;
			continue;
		}
		if (e)
			die("vCPU %u: %s", v->id, strerror(e));
		if (v->run->exit_reason == KVM_EXIT_IO && v->run->io.port == PORT_DONE) {
			v->result = UC_DONE;
			return NULL;
		}
		if (v->run->exit_reason == KVM_EXIT_IO && v->run->io.port == PORT_FAIL) {
			struct guest_failure *f = (void *)(uintptr_t)
				*(u32 *)((u8 *)v->run + v->run->io.data_offset);

			die("vCPU %u: %s:%lu: %s (%#lx, %#lx)", v->id, f->file, f->line,
			    f->expr, f->a, f->b);
		}
		vcpu_dump(v);
		die("vCPU %u: unexpected exit", v->id);
	}
}

static void run_for(struct vcpu **v, bool *done, unsigned int ms)
{
	unsigned int i;

	stopping = false;
	for (i = 0; i < 2; i++) {
		if (!done[i] && pthread_create(&v[i]->thread, NULL, thread, v[i]))
			die("thread");
	}
	usleep(ms * 1000);
	stopping = true;
	for (i = 0; i < 2; i++) {
		if (done[i])
			continue;
		v[i]->run->immediate_exit = 1;
		pthread_kill(v[i]->thread, SIGUSR1);
		pthread_join(v[i]->thread, NULL);
		v[i]->run->immediate_exit = 0;
		done[i] = v[i]->result == UC_DONE;
	}
}

/* The same memory, everything else new. */
static struct vm *move(struct vm *old, struct vcpu **v)
{
	struct vm *vm = vm_create(old->flags);
	struct vcpu_state vs[2];
	struct vm_state s;
	unsigned int i;
	u8 *low = vm->low;

	for (i = 0; i < 2; i++)
		vcpu_complete_io(v[i]);
	vm_save(old, &s);
	for (i = 0; i < 2; i++) {
		vcpu_save(v[i], &vs[i]);
		vcpu_free(v[i]);
	}
	/* Low memory is the VM's own: hand it over. */
	must(vm->fd, KVM_SET_USER_MEMORY_REGION, &(struct kvm_userspace_memory_region) {});
	vm->low = old->low;
	old->low = low;
	if (vm_slot(vm, 0, 0, 0, LOW_SIZE, vm->low))
		die("cannot hand the memory over");
	vm_free(old);

	for (i = 0; i < 2; i++)
		v[i] = vcpu_create_raw(vm, i);
	vm_restore(vm, &s);
	for (i = 0; i < 2; i++) {
		vcpu_restore(v[i], &vs[i]);
		vcpu_state_free(&vs[i]);
	}
	return vm;
}

static void migrate(struct __test_metadata *_metadata, unsigned int ms, unsigned int rounds)
{
	struct sigaction sa = { .sa_handler = on_kick };
	struct vm *vm = vm_create(VM_IRQCHIP | VM_PIT);
	struct vcpu *v[2];
	bool done[2] = {};
	unsigned int i, n = 0, in_service = 0;

	sigaction(SIGUSR1, &sa, NULL);
	for (i = 0; i < 2; i++) {
		v[i] = vcpu_create(vm, i);
		vcpu_long(v[i], i ? (void (*)())guest_timekeeper : guest_worker, iterations);
		vcpu_set_runnable(v[i]);
		vcpu_set_msr(v[i], MSR_TSC, TSC_START);
		last_tsc[i] = TSC_START;
	}
	guest_handlers[VEC_PERIODIC] = on_periodic;
	guest_handlers[VEC_DEADLINE] = on_deadline;
	guest_handlers[VEC_IPI] = on_ipi;
	guest_handlers[VEC_SELF] = on_self;
	while (!done[0] || !done[1]) {
		run_for(v, done, n < rounds ? ms : 200);
		in_service += in_handler;
		if (n++ < rounds)
			vm = move(vm, v);
	}
	TH_LOG("%u moves (%u with an interrupt in service), %u + %u ticks, %u IPIs",
	       n < rounds ? n : rounds, in_service, ticks[0], ticks[1], ipis);
	EXPECT_LT(0, ticks[0]);
	EXPECT_LT(0, ticks[1]);
	EXPECT_LT(0, ipis);
	EXPECT_LT(0, selfs);
	EXPECT_LE(3, n);
}

TEST(often)
{
	iterations = 12000 / test_scale;
	migrate(_metadata, 15, 40 / test_scale);
}

TEST(at_short_intervals)
{
	iterations = 4000 / test_scale;
	migrate(_metadata, 1, 60 / test_scale);
}

TEST_MAIN
