// SPDX-License-Identifier: GPL-2.0-only
/* INIT and SIPI: application processors started by the guest itself. */
#include "harness.h"
#include "apic.h"

static volatile u32 arrived, go;
static volatile u64 ap_mask;

static void run_all(struct __test_metadata *_metadata, struct vcpu **v, unsigned int n)
{
	unsigned int i;

	for (i = 1; i < n; i++)
		vcpu_start(v[i]);
	ASSERT_DONE(v[0]);
	for (i = 1; i < n; i++)
		ASSERT_EQ(UC_DONE, vcpu_join(v[i]));
}

static void delay_us(u64 us)
{
	u64 t = rdtsc();

	G_WAIT(rdtsc() - t > us * guest_tsc_khz / 1000);
}

static void ap_main(u64 id)
{
	/* A vCPU's own id, its own stack, and CR0 as the trampoline left it. */
	G_EQ(apic_id(), id);
	__atomic_fetch_or(&ap_mask, 1ULL << id, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST);
	G_WAIT(go);
	guest_done();
}

static void guest_boot(u64 n)
{
	apic_enable();
	guest_ap_main = ap_main;
	apic_icr(0, ICR_OTHERS | ICR_ASSERT | DM_INIT);
	delay_us(200);
	apic_icr(0, ICR_OTHERS | ICR_ASSERT | DM_STARTUP | TRAMPOLINE >> 12);
	delay_us(200);
	/* The second one is for hardware that missed the first: it changes nothing. */
	apic_icr(0, ICR_OTHERS | ICR_ASSERT | DM_STARTUP | TRAMPOLINE >> 12);
	G_WAIT(arrived == n - 1);
	delay_us(1000);
	G_EQ(arrived, n - 1);
	go = 1;
	guest_done();
}

static void boot(struct __test_metadata *_metadata, unsigned int n, void (*guest)(u64))
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *v[MAX_VCPUS];
	unsigned int i;

	vm_add_trampoline(vm);
	for (i = 0; i < n; i++) {
		v[i] = vcpu_create(vm, i);
		guest_init_cpu(i);
	}
	vcpu_long(v[0], guest, n);
	run_all(_metadata, v, n);
	EXPECT_EQ((n == 64 ? 0 : BIT(n)) - 2, ap_mask);
}

TEST(two)
{
	boot(_metadata, 2, guest_boot);
}

TEST(four)
{
	boot(_metadata, 4, guest_boot);
}

TEST(sixty_four)
{
	boot(_metadata, 64, guest_boot);
}

/* One by one, by physical destination. */
static void guest_boot_each(u64 n)
{
	u32 i;

	apic_enable();
	guest_ap_main = ap_main;
	for (i = 1; i < n; i++) {
		apic_icr(i, ICR_ASSERT | DM_INIT);
		delay_us(100);
		apic_icr(i, ICR_ASSERT | DM_STARTUP | TRAMPOLINE >> 12);
		G_WAIT(arrived == i);
	}
	go = 1;
	guest_done();
}

TEST(one_by_one)
{
	boot(_metadata, 4, guest_boot_each);
}

/* INIT takes a running processor back to the start. */
static void ap_again(u64 id)
{
	__atomic_fetch_or(&ap_mask, 1ULL << id, __ATOMIC_SEQ_CST);
	if (++arrived == 1) {
		write_dr0(0x1234);
		for (;;)
			cpu_pause();
	}
	G_WAIT(go);
	guest_done();
}

static void guest_restart(u64 n)
{
	apic_enable();
	guest_ap_main = ap_again;
	apic_icr(1, ICR_ASSERT | DM_INIT);
	apic_icr(1, ICR_ASSERT | DM_STARTUP | TRAMPOLINE >> 12);
	G_WAIT(arrived == 1);
	/* SIPI alone does nothing to a running one. */
	apic_icr(1, ICR_ASSERT | DM_STARTUP | TRAMPOLINE >> 12);
	delay_us(2000);
	G_EQ(arrived, 1);
	apic_icr(1, ICR_ASSERT | DM_INIT);
	delay_us(200);
	apic_icr(1, ICR_ASSERT | DM_STARTUP | TRAMPOLINE >> 12);
	G_WAIT(arrived == 2);
	go = 1;
	guest_done();
}

TEST(init_again)
{
	boot(_metadata, 2, guest_restart);
}

/* The start address is the SIPI's vector times 4096, CS:IP = vector00:0. */
asm(".pushsection .rodata\n.code16\n"
    "where_start: mov %cs, %ax; mov %ax, %cs:(0x100); 1: hlt; jmp 1b\n"
    "where_end: .code64\n.popsection\n");

static void guest_where(u64 page)
{
	apic_enable();
	apic_icr(1, ICR_ASSERT | DM_INIT);
	delay_us(100);
	apic_icr(1, ICR_ASSERT | DM_STARTUP | page);
	G_WAIT(MMIO(u16, (page << 12) + 0x100));
	G_EQ(MMIO(u16, (page << 12) + 0x100), page << 8);
	guest_done();
}

TEST(start_address)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *bsp = vcpu_create(vm, 0), *ap = vcpu_create(vm, 1);

	vm_blob(vm, 0x9a000, where);
	vcpu_long(bsp, guest_where, 0x9a);
	vcpu_start(ap);
	ASSERT_DONE(bsp);
	/* The AP sleeps in the kernel for good; the end of the process takes it out. */
}

TEST_MAIN
