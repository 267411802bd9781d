// SPDX-License-Identifier: GPL-2.0-only
/* Walks of the guest's page tables by the hypervisor: KVM_TRANSLATE and MMIO. */
#include "harness.h"

#define VA		(1ULL << 39)
#define DEV_GPA		0xd0000000UL

FIXTURE(translate) {
	struct vcpu *v;
};

FIXTURE_SETUP(translate)
{
	self->v = vcpu_create(vm_create(0), 0);
}

FIXTURE_TEARDOWN(translate)
{
}

static struct kvm_translation translate(struct vcpu *v, u64 va)
{
	struct kvm_translation t = { .linear_address = va };

	must(v->fd, KVM_TRANSLATE, &t);
	return t;
}

static void guest_nothing(void)
{
	guest_done();
}

TEST_F(translate, long_mode)
{
	struct kvm_translation t;

	vcpu_long(self->v, guest_nothing, 0);
	guest_map(VA, 0x123000, PAGE, PAGE, PTE_P | PTE_W);
	guest_map(VA + PAGE_2M, PAGE_2M, PAGE_2M, PAGE_2M, PTE_P | PTE_W);
	guest_map(VA + 2 * PAGE_1G, PAGE_1G, PAGE_1G, PAGE_1G, PTE_P | PTE_W);
	t = translate(self->v, 0x1234567);
	EXPECT_EQ(1, t.valid);
	EXPECT_EQ(0x1234567, t.physical_address);
	t = translate(self->v, VA + 0x456);
	EXPECT_EQ(1, t.valid);
	EXPECT_EQ(0x123456, t.physical_address);
	EXPECT_EQ(0, translate(self->v, VA + PAGE).valid);
	t = translate(self->v, VA + PAGE_2M + 0x12345);
	EXPECT_EQ(PAGE_2M + 0x12345, t.physical_address);
	t = translate(self->v, VA + 2 * PAGE_1G + 0x1234567);
	EXPECT_EQ(PAGE_1G + 0x1234567, t.physical_address);
	EXPECT_EQ(0, translate(self->v, 5ULL << 39).valid);
}

TEST_F(translate, without_paging)
{
	vcpu_mode(self->v, MODE_PROT32, 0x9000);
	EXPECT_EQ(1, translate(self->v, 0x87654321).valid);
	EXPECT_EQ(0x87654321, translate(self->v, 0x87654321).physical_address);
}

TEST_F(translate, paging_32bit)
{
	u32 *pd = (u32 *)(self->v->vm->low + 0x100000);
	struct kvm_sregs s;

	pd[0] = PTE_P | PTE_W | PTE_PS;
	pd[3] = 0x101000 | PTE_P;
	pd[1024 + 7] = 0x55000 | PTE_P;
	/* PSE-36: bits 13 to 20 are the address's bits 32 and up. */
	pd[4] = 0x10000000 | 1 << 13 | PTE_P | PTE_PS;
	vcpu_mode(self->v, MODE_PG32, 0x9000);
	s = vcpu_sregs(self->v);
	s.cr3 = 0x100000;
	s.cr0 |= X86_CR0_PG;
	vcpu_set_sregs(self->v, s);
	EXPECT_EQ(0x3fffff, translate(self->v, 0x3fffff).physical_address);
	EXPECT_EQ(0x55123, translate(self->v, 0xc07123).physical_address);
	EXPECT_EQ(0, translate(self->v, 0xc08123).valid);
	EXPECT_EQ(0x110000123, translate(self->v, 0x1000123).physical_address);
}

TEST_F(translate, paging_pae)
{
	u64 *pdpt = (u64 *)(self->v->vm->low + 0x100000);
	struct kvm_sregs s;

	pdpt[0] = 0x101000 | PTE_P;
	pdpt[512] = PTE_P | PTE_W | PTE_PS;
	pdpt[513] = 0x102000 | PTE_P;
	pdpt[1024 + 9] = 0x755000 | PTE_P;
	vcpu_mode(self->v, MODE_PAE, 0x9000);
	s = vcpu_sregs(self->v);
	s.cr3 = 0x100000;
	s.cr0 |= X86_CR0_PG;
	vcpu_set_sregs(self->v, s);
	EXPECT_EQ(0x1fffff, translate(self->v, 0x1fffff).physical_address);
	EXPECT_EQ(0x755321, translate(self->v, 0x209321).physical_address);
	EXPECT_EQ(0, translate(self->v, 0x20a321).valid);
	EXPECT_EQ(0, translate(self->v, 0x40000000).valid);
}

/*
 * An instruction whose operand is a device's has to be walked by software, with
 * the same faults as the processor gives.  MOVS reads memory and writes the
 * device, so that either end can be at fault.
 */
static u8 page[PAGE] __attribute__((aligned(4096)));

static int movs(u64 to, u64 from)
{
	register u64 vec asm("r9") = -1;

	asm volatile("1: movsl\n2:\n" GUEST_FIXUP
		     : "+r"(vec), "+D"(to), "+S"(from) : : "memory");
	return vec;
}

static void guest_mmio_faults(void)
{
	guest_map(VA, DEV_GPA, PAGE, PAGE, PTE_P | PTE_W);
	guest_map(VA + PAGE, (uintptr_t)page, PAGE, PAGE, PTE_P);
	*(u32 *)page = 0x11223344;

	/* To the device, from memory that is there. */
	G_EQ(movs(VA, VA + PAGE), -1);
	/* From what is not mapped: the fault is the source's. */
	G_EQ(movs(VA, VA + 2 * PAGE + 8), VEC_PF);
	G_EQ(g_cr2, VA + 2 * PAGE + 8);
	G_EQ(g_err, 0);
	/* From the device to a page that may not be written. */
	G_EQ(movs(VA + PAGE, VA), VEC_PF);
	G_EQ(g_cr2, VA + PAGE);
	G_EQ(g_err, PF_P | PF_W);
	/* Non-canonical. */
	G_EQ(movs(1ULL << 60, VA), VEC_GP);
	/* The device's own page without write permission. */
	*guest_pte(VA) &= ~PTE_W;
	invlpg(VA);
	G_EQ(movs(VA, VA + PAGE), VEC_PF);
	G_EQ(g_cr2, VA);
	G_EQ(g_err, PF_P | PF_W);
	guest_done();
}

TEST_F(translate, faults_of_device_accesses)
{
	struct kvm_run *run = self->v->run;
	unsigned int writes = 0;
	int r;

	if (test_bochs_svm)
		SKIP(return, "Bochs's VMRUN does not load CR2");

	vcpu_long(self->v, guest_mmio_faults, 0);
	while ((r = guest_run(self->v)) == KVM_EXIT_MMIO) {
		ASSERT_EQ(DEV_GPA, run->mmio.phys_addr);
		if (run->mmio.is_write) {
			ASSERT_EQ(0x11223344, *(u32 *)run->mmio.data);
			writes++;
		}
	}
	ASSERT_EQ(UC_DONE, r) vcpu_dump(self->v);
	EXPECT_EQ(1, writes);
}

/* Accessed and dirty bits come by either way of access. */
static void guest_accessed(void)
{
	guest_map(VA, (uintptr_t)page, PAGE, PAGE, PTE_P | PTE_W);
	guest_map(VA + PAGE, DEV_GPA, PAGE, PAGE, PTE_P | PTE_W);
	G_EQ(*guest_pte(VA) & (PTE_A | PTE_D), 0);
	(void)MMIO(u32, VA);
	G_EQ(*guest_pte(VA) & (PTE_A | PTE_D), PTE_A);
	MMIO(u32, VA) = 1;
	G_EQ(*guest_pte(VA) & (PTE_A | PTE_D), PTE_A | PTE_D);
	(void)MMIO(u32, VA + PAGE);
	G_EQ(*guest_pte(VA + PAGE) & (PTE_A | PTE_D), PTE_A);
	MMIO(u32, VA + PAGE) = 1;
	G_EQ(*guest_pte(VA + PAGE) & (PTE_A | PTE_D), PTE_A | PTE_D);
	guest_done();
}

TEST_F(translate, accessed_and_dirty)
{
	int r;

	vcpu_long(self->v, guest_accessed, 0);
	while ((r = guest_run(self->v)) == KVM_EXIT_MMIO)
		;
	ASSERT_EQ(UC_DONE, r) vcpu_dump(self->v);
}

static void guest_smap(u64 features)
{
	guest_map(VA, (uintptr_t)page, PAGE, PAGE, PTE_P | PTE_W | PTE_U);
	if (features & 1) {
		write_cr4(read_cr4() | X86_CR4_SMAP);
		G_EQ(G_TRY("mov (%1), %%rax", "r"(VA)), VEC_PF);
		G_EQ(g_err, PF_P);
		asm volatile("stac");
		G_EQ(G_TRY("mov (%1), %%rax", "r"(VA)), -1);
		asm volatile("clac");
		write_cr4(read_cr4() & ~X86_CR4_SMAP);
		G_EQ(G_TRY("mov (%1), %%rax", "r"(VA)), -1);
	}
	guest_done();
}

TEST_F(translate, smap)
{
	if (!cpuid_has(7, 0, 1, 20))
		SKIP(return, "the processor has no SMAP");
	vcpu_long(self->v, guest_smap, 1);
	ASSERT_DONE(self->v);
}

static volatile u64 resume_at, fault_err, fault_cr2;

static void on_fault(struct trap_frame *f)
{
	fault_err = f->err;
	fault_cr2 = read_cr2();
	f->rip = resume_at;
}

static void guest_smep(void)
{
	guest_map(VA, (uintptr_t)page, PAGE, PAGE, PTE_P | PTE_U);
	page[0] = 0xc3;
	guest_handlers[VEC_PF] = on_fault;
	asm volatile("call *%0" : : "r"(VA) : "memory");
	write_cr4(read_cr4() | X86_CR4_SMEP);
	asm volatile("lea 1f(%%rip), %%rax; mov %%rax, resume_at(%%rip); push %%rax; jmp *%0\n"
		     "1: pop %%rax" : : "r"(VA) : "rax", "memory");
	G_EQ(fault_cr2, VA);
	G_EQ(fault_err, PF_P | PF_I);
	guest_done();
}

TEST_F(translate, smep)
{
	if (!cpuid_has(7, 0, 1, 7))
		SKIP(return, "the processor has no SMEP");
	vcpu_long(self->v, guest_smep, 0);
	ASSERT_DONE(self->v);
}

TEST_MAIN
