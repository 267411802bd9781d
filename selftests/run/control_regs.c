// SPDX-License-Identifier: GPL-2.0-only
/* Control registers, EFER and MSRs: what the guest may write, and #GP for the rest. */
#include "harness.h"

FIXTURE(control) {
	struct vcpu *v;
};

FIXTURE_SETUP(control)
{
	self->v = vcpu_create(vm_create(VM_IRQCHIP), 0);
}

FIXTURE_TEARDOWN(control)
{
}

/* #GP by the manual, and nothing at all in QEMU's TCG, which checks less. */
#define G_GP_OR_TCG(expr) do {			\
	int vec_ = (expr);			\
						\
	G_ASSERT(vec_ == VEC_GP || vec_ == -1);	\
} while (0)

#define RUN_GUEST(fn) do {		\
	vcpu_long(self->v, fn, 0);	\
	ASSERT_DONE(self->v);		\
} while (0)

static void guest_cr0(void)
{
	u64 cr0 = read_cr0();

	G_EQ(G_TRY("mov %1, %%cr0", "r"(cr0 & ~X86_CR0_PE)), VEC_GP);	/* PG without PE */
	G_EQ(G_TRY("mov %1, %%cr0", "r"(cr0 | X86_CR0_NW)), VEC_GP);	/* NW without CD */
	G_GP_OR_TCG(G_TRY("mov %1, %%cr0", "r"(cr0 | 1ULL << 32)));
	G_EQ(read_cr0(), cr0);
	write_cr0(cr0 | X86_CR0_CD);
	G_EQ(read_cr0(), cr0 | X86_CR0_CD);
	write_cr0(cr0 | X86_CR0_TS | X86_CR0_AM);
	G_EQ(read_cr0(), cr0 | X86_CR0_TS | X86_CR0_AM);
	asm volatile("clts");
	G_EQ(read_cr0(), cr0 | X86_CR0_AM);
	asm volatile("lmsw %w0" : : "r"(0xb));
	G_EQ(read_cr0(), cr0 | X86_CR0_AM | X86_CR0_TS);
	guest_done();
}

TEST_F(control, cr0)
{
	RUN_GUEST(guest_cr0);
}

static void guest_cr4(void)
{
	u64 cr4 = read_cr4();

	G_EQ(G_TRY("mov %1, %%cr4", "r"(cr4 & ~X86_CR4_PAE)), VEC_GP);
	G_EQ(G_TRY("mov %1, %%cr4", "r"(cr4 | BIT(15))), VEC_GP);
	G_GP_OR_TCG(G_TRY("mov %1, %%cr4", "r"(cr4 | 1ULL << 40)));
	G_EQ(read_cr4(), cr4);
	write_cr4(cr4 | X86_CR4_PGE | X86_CR4_DE | X86_CR4_TSD);
	G_EQ(read_cr4(), cr4 | X86_CR4_PGE | X86_CR4_DE | X86_CR4_TSD);
	/* With DE, DR4 and DR5 are not aliases any more. */
	G_EQ(G_TRY("mov %%db4, %%rax"), VEC_UD);
	write_cr4(cr4);
	G_EQ(G_TRY("mov %%db4, %%rax"), -1);
	guest_done();
}

TEST_F(control, cr4)
{
	RUN_GUEST(guest_cr4);
}

static void guest_cr3(void)
{
	u64 cr3 = read_cr3();

	write_cr3(cr3);
	G_EQ(read_cr3(), cr3);
	write_cr3(cr3 | 0x18);	/* PWT, PCD */
	G_EQ(read_cr3(), cr3 | 0x18);
	write_cr3(cr3);
	write_cr2(0x123456789abc);
	G_EQ(read_cr2(), 0x123456789abc);
	guest_sync(1);
	G_EQ(read_cr2(), 0x123456789abc);
	guest_done();
}

TEST_F(control, cr2_and_cr3)
{
	if (test_bochs_svm)
		SKIP(return, "Bochs's VMRUN does not load CR2");
	vcpu_long(self->v, guest_cr3, 0);
	ASSERT_SYNC(1, self->v);
	EXPECT_EQ(0x123456789abc, vcpu_sregs(self->v).cr2);
	ASSERT_DONE(self->v);
}

static void guest_cr8(void)
{
	u32 i;

	for (i = 0; i < 16; i++) {
		write_cr8(i);
		G_EQ(read_cr8(), i);
	}
	G_GP_OR_TCG(G_TRY("mov %1, %%cr8", "r"(16UL)));
	write_cr8(15);
	guest_done();
}

TEST_F(control, cr8)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	RUN_GUEST(guest_cr8);
	/* Without controllers in the kernel CR8 is user space's to see. */
	vcpu_long(v, guest_cr8, 0);
	ASSERT_DONE(v);
	EXPECT_EQ(15, v->run->cr8);
}

static void guest_efer(void)
{
	u64 efer = rdmsr(MSR_EFER);

	G_EQ(try_wrmsr(MSR_EFER, efer & ~EFER_LME), VEC_GP);	/* while paging is on */
	G_EQ(try_wrmsr(MSR_EFER, efer | BIT(2)), VEC_GP);
	/* No nested virtualisation: no SVME. */
	G_EQ(try_wrmsr(MSR_EFER, efer | EFER_SVME), VEC_GP);
	G_EQ(rdmsr(MSR_EFER), efer);
	wrmsr(MSR_EFER, efer & ~EFER_SCE);
	G_EQ(rdmsr(MSR_EFER), efer & ~EFER_SCE);
	G_EQ(G_TRY("syscall"), VEC_UD);
	guest_done();
}

TEST_F(control, efer)
{
	RUN_GUEST(guest_efer);
}

static void guest_msrs(void)
{
	static const u32 plain[] = {
		MSR_STAR, MSR_SFMASK, MSR_SYSENTER_CS,
	};
	static const u32 addresses[] = {
		MSR_LSTAR, MSR_CSTAR, MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
		MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
	};
	u64 v;
	u32 i;

	for (i = 0; i < ARRAY_LEN(plain); i++) {
		wrmsr(plain[i], 0x1230 + i);
		G_EQ(rdmsr(plain[i]), 0x1230 + i);
	}
	for (i = 0; i < ARRAY_LEN(addresses); i++) {
		wrmsr(addresses[i], 0xffff800000001000 + i);
		guest_sync(i);
		G_EQ(rdmsr(addresses[i]), 0xffff800000001000 + i);
	}
	for (i = 0; i < 5; i++)
		G_GP_OR_TCG(try_wrmsr(addresses[i], 1ULL << 60));
	/* What no processor has. */
	G_EQ(try_rdmsr(0x12345678, &v), VEC_GP);
	G_EQ(try_wrmsr(0x12345678, 0), VEC_GP);
	G_EQ(try_rdmsr(0xc0001fff, &v), VEC_GP);
	/* PAT: only types that exist. */
	wrmsr(MSR_PAT, 0x0007010600070106);
	G_EQ(rdmsr(MSR_PAT), 0x0007010600070106);
	G_EQ(try_wrmsr(MSR_PAT, 0x02), VEC_GP);
	G_EQ(rdmsr(MSR_PAT), 0x0007010600070106);
	guest_done();
}

TEST_F(control, msrs)
{
	unsigned int i;

	vcpu_long(self->v, guest_msrs, 0);
	for (i = 0; i < 7; i++) {
		ASSERT_SYNC(i, self->v);
		vcpu_sregs(self->v);
	}
	ASSERT_DONE(self->v);
}

static void guest_swapgs(void)
{
	wrmsr(MSR_GS_BASE, 0x1111);
	wrmsr(MSR_KERNEL_GS_BASE, 0x2222);
	asm volatile("swapgs");
	guest_sync(1);
	G_EQ(rdmsr(MSR_GS_BASE), 0x2222);
	G_EQ(rdmsr(MSR_KERNEL_GS_BASE), 0x1111);
	guest_done();
}

TEST_F(control, swapgs)
{
	vcpu_long(self->v, guest_swapgs, 0);
	ASSERT_SYNC(1, self->v);
	EXPECT_EQ(0x2222, vcpu_sregs(self->v).gs.base);
	EXPECT_EQ(0x1111, vcpu_get_msr(self->v, MSR_KERNEL_GS_BASE));
	ASSERT_DONE(self->v);
}

static volatile u32 syscalls;

asm(".text\nsyscall_entry: incl syscalls(%rip); mov %rcx, %rdx; jmp *%r8\n");
extern const char syscall_entry[];

static void guest_syscall(void)
{
	wrmsr(MSR_STAR, (u64)SEL_CODE64 << 32);
	wrmsr(MSR_LSTAR, (uintptr_t)syscall_entry);
	wrmsr(MSR_SFMASK, FLAG_IF);
	asm volatile("lea 1f(%%rip), %%r8; syscall\n1:"
		     : : : "rcx", "r11", "r8", "rdx", "memory");
	G_EQ(syscalls, 1);
	guest_done();
}

TEST_F(control, syscall)
{
	RUN_GUEST(guest_syscall);
}

TEST_MAIN
