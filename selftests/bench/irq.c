// SPDX-License-Identifier: GPL-2.0-only
/* Interrupts, from what causes them to the end of the guest's handler. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bench.h"
#include "apic.h"

#define OPS		16
#define VEC		0x61
#define VEC_ANSWER	0x62
#define PORT		0x500		/* nobody's */
#define GSI		30		/* of no chip's */

/* Between rounds that must find a vCPU asleep: longer than hypervisors poll before they sleep. */
#define SETTLE_US	2000

static volatile u64 count, handled_at;

static void on_irq(struct trap_frame *f)
{
	handled_at = rdtsc();
	count++;
	apic_eoi();
}

static void enable(void)
{
	guest_handlers[VEC] = on_irq;
	apic_enable_x2();
	sti();
}

/*
 * No pause: it may exit.  Where the interrupt is not there as soon as it should, a host with
 * Bochs's faults needs wait_step().
 */
static void wait_count(u64 n)
{
	u32 i;

	for (i = 0; i < 1000000 && count != n; i++)
		;
	G_WAIT(count == n);
}

static struct vcpu *irq_vcpu(struct vm *vm, unsigned int id, void (*fn)())
{
	struct vcpu *v = vcpu_create(vm, id);

	vcpu_set_runnable(v);
	vcpu_long(v, fn, 0);
	return v;
}

/* ---- of the guest's own ----------------------------------------------------------- */

static void self_ipi(void)
{
	u64 n = count + 1;

	apic_write(APIC_SELF_IPI, VEC);
	wait_count(n);
}

static void guest_self_ipi(u64 unused)
{
	enable();
	GUEST_ROUNDS(OPS, self_ipi());
	guest_done();
}

static u64 row_self_ipi(void)
{
	return bench_guest(VM_IRQCHIP, guest_self_ipi, 0) / OPS;
}

/* Far enough that the timer is still to be armed when the guest goes on. */
#define MIN_DELAY	30000
#define DELAY_US	50

static void guest_deadline(u64 delay)
{
	u64 set_at, armed_at, late;
	u32 r;

	enable();
	apic_write(APIC_LVTT, LVT_DEADLINE | VEC);
	for (r = 0; r < BENCH_ROUNDS; r++) {
		magic(r);
		set_at = rdtsc();
		wrmsr(MSR_TSC_DEADLINE, set_at + delay);
		armed_at = rdtsc();
		wait_count(r + 1);
		magic(r);
		G_CMP(handled_at, >=, set_at + delay);
		late = handled_at - (set_at + delay);
		if (r >= WARM_UP)
			sample(armed_at - set_at + late);
	}
	guest_done();
}

static u64 row_tsc_deadline(void)
{
	struct vcpu *v = irq_vcpu(vm_create(VM_IRQCHIP), 0, guest_deadline);
	u64 delay = guest_tsc_khz * DELAY_US / 1000;

	vcpu_long(v, guest_deadline, delay > MIN_DELAY ? delay : MIN_DELAY);
	bench_run(v);
	return median(&samples);
}

/* ---- from one vCPU to another ----------------------------------------------------- */

static volatile bool ready, stop, halt;

/*
 * Threads of real time run as soon as they can: on one CPU the order of things is then the same
 * in each round.
 */
static bool real_time(pthread_t thread)
{
	struct sched_param p = { .sched_priority = 1 };
	int e = pthread_setschedparam(thread, SCHED_FIFO, &p);

	if (e)
		fprintf(stderr, "bench: SCHED_FIFO: %s\n", strerror(e));
	return !e;
}

static void on_ping(struct trap_frame *f)
{
	apic_eoi();
	apic_icr(0, ICR_ASSERT | VEC_ANSWER);
}

static void guest_target(u64 unused)
{
	guest_handlers[VEC] = on_ping;
	apic_enable_x2();
	ready = true;
	while (halt && !stop) {
		sti_hlt();
		cli();
	}
	sti();
	while (!stop)
		;
	guest_done();
}

static void guest_sender(u64 unused)
{
	u64 t;
	u32 r;

	guest_handlers[VEC_ANSWER] = on_irq;
	apic_enable_x2();
	for (r = 0; r < BENCH_ROUNDS; r++) {
		guest_sync(r);
		magic(r);
		t = rdtsc();
		apic_icr(1, ICR_ASSERT | VEC);
		while (count == r) {
			sti_hlt();
			cli();
		}
		t = rdtsc() - t;
		magic(r);
		if (r >= WARM_UP)
			sample(t);
	}
	stop = true;
	apic_icr(1, ICR_ASSERT | VEC);
	guest_done();
}

static u64 ipi(bool halted)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *sender = irq_vcpu(vm, 0, guest_sender);
	struct vcpu *target = irq_vcpu(vm, 1, guest_target);
	int reason;

	halt = halted;
	vcpu_start(target);
	while (!ready)
		usleep(SETTLE_US);
	if (!real_time(pthread_self()))
		return NOT_HERE;
	/* Between rounds the target comes out of its handler, and to sleep if it should. */
	while ((reason = guest_run(sender)) == UC_SYNC)
		usleep(SETTLE_US);
	if (reason != UC_DONE || vcpu_join(target) != UC_DONE)
		die("the guest stopped: %d", reason);
	return median(&samples);
}

static u64 row_ipi_running(void)
{
	return ipi(false);
}

static u64 row_ipi_halted(void)
{
	return ipi(true);
}

/* ---- from the host ---------------------------------------------------------------- */

static void signal_fd(int fd)
{
	u64 one = 1;

	if (write(fd, &one, 8) != 8)
		die("eventfd: %s", strerror(errno));
}

/* An eventfd that is VEC to vCPU 0. */
static int irqfd(struct vm *vm)
{
	struct {
		struct kvm_irq_routing h;
		struct kvm_irq_routing_entry e;
	} r = {
		.h.nr = 1, .e = { .gsi = GSI, .type = KVM_IRQ_ROUTING_MSI,
				  .u.msi = { .address_lo = 0xfee00000, .data = VEC } },
	};
	struct kvm_irqfd i = { .fd = eventfd(0, EFD_NONBLOCK), .gsi = GSI };

	must(vm->fd, KVM_SET_GSI_ROUTING, &r);
	must(vm->fd, KVM_IRQFD, &i);
	return i.fd;
}

static void ask_for_irq(void)
{
	u64 n = count + 1;

	outb(PORT, 0);
	wait_count(n);
}

static void guest_irqfd(u64 unused)
{
	enable();
	GUEST_ROUNDS(OPS, ask_for_irq());
	guest_done();
}

static u64 row_irqfd(void)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *v = irq_vcpu(vm, 0, guest_irqfd);
	int fd = irqfd(vm), reason;

	while ((reason = guest_run(v)) == KVM_EXIT_IO)
		signal_fd(fd);
	if (reason != UC_DONE)
		die("the guest stopped: %d", reason);
	return median(&samples) / OPS;
}

static volatile u64 halts;

static void guest_halt(u64 unused)
{
	enable();
	cli();
	while (!stop) {
		halts = count + 1;
		sti_hlt();
		cli();
	}
	guest_done();
}

static u64 row_halt_wake(void)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *v = irq_vcpu(vm, 0, guest_halt);
	int fd = irqfd(vm);
	u64 t;
	u32 r;

	vcpu_start(v);
	if (!real_time(v->thread))
		return NOT_HERE;
	for (r = 0; r < BENCH_ROUNDS; r++) {
		while (halts != r + 1)
			usleep(SETTLE_US);
		usleep(SETTLE_US);
		magic(r);
		t = rdtsc();
		signal_fd(fd);
		while (count == r)
			;
		t = rdtsc() - t;
		magic(r);
		if (r >= WARM_UP)
			sample(t);
	}
	stop = true;
	signal_fd(fd);
	vcpu_join(v);
	return median(&samples);
}

const struct bench_row irq_rows[] = {
	{ "self_ipi", "ticks", "x2APIC self IPI, its handler included", row_self_ipi },
	{ "ipi_running", "ticks",
	  "IPI to a vCPU in its guest (on one CPU: preempted there), and one back that ends a HLT",
	  row_ipi_running },
	{ "ipi_halted", "ticks", "the same to a vCPU that sleeps in HLT", row_ipi_halted },
	{ "tsc_deadline", "ticks",
	  "WRMSR of TSC_DEADLINE, and from the deadline until the handler has begun",
	  row_tsc_deadline },
	{ "irqfd", "ticks",
	  "OUT to user space, which signals an irqfd with an MSI, until its handler has run",
	  row_irqfd },
	{ "halt_wake", "ticks",
	  "from the signal of an irqfd until the handler of a vCPU that slept in HLT has run, as "
	  "seen by the one who signals (on one CPU: until the vCPU sleeps again)",
	  row_halt_wake },
	{ }
};
