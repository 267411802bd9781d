// SPDX-License-Identifier: GPL-2.0-only
/*
 * CR0 and CR4 as the guest wrote them, also where the CPU has to run with other bits: on VMX the
 * real registers have NE and VMXE set, and the guest reads a shadow.
 */
#include "harness.h"

#define X86_CR4_MCE	BIT(6)
#define X86_CR4_VMXE	BIT(13)
#define X86_CR4_SMXE	BIT(14)
#define X86_CR4_PCIDE	BIT(17)

FIXTURE(shadow) {
	struct vcpu *v;
};

FIXTURE_SETUP(shadow)
{
	self->v = vcpu_create(vm_create(VM_IRQCHIP), 0);
}

FIXTURE_TEARDOWN(shadow)
{
}

#define RUN_GUEST(fn) do {		\
	vcpu_long(self->v, fn, 0);	\
	ASSERT_DONE(self->v);		\
} while (0)

/* All of CR0 that may change in long mode, one by one, with an exit between write and read. */
static void guest_cr0_bits(void)
{
	static const u64 bits[] = {
		X86_CR0_MP, X86_CR0_EM, X86_CR0_TS, X86_CR0_NE, X86_CR0_WP, X86_CR0_AM, X86_CR0_CD,
	};
	u64 cr0 = read_cr0();
	u32 i;

	for (i = 0; i < ARRAY_LEN(bits); i++) {
		write_cr0(cr0 ^ bits[i]);
		guest_sync(i);
		G_EQ(read_cr0(), cr0 ^ bits[i]);
		write_cr0(cr0);
		G_EQ(read_cr0(), cr0);
	}
	/* ET is 1 whatever is written. */
	write_cr0(cr0 & ~X86_CR0_ET);
	G_EQ(read_cr0(), cr0);
	guest_done();
}

TEST_F(shadow, cr0_bits)
{
	u64 cr0;
	u32 i;

	vcpu_long(self->v, guest_cr0_bits, 0);
	cr0 = vcpu_sregs(self->v).cr0;
	for (i = 0; i < 7; i++) {
		ASSERT_SYNC(i, self->v);
		EXPECT_NE(cr0, vcpu_sregs(self->v).cr0);
	}
	ASSERT_DONE(self->v);
	EXPECT_EQ(cr0, vcpu_sregs(self->v).cr0);
}

/* SMSW, LMSW and CLTS go past MOV, and must come to the same. */
static void guest_machine_status(void)
{
	u64 cr0 = read_cr0(), v;
	u16 word;

	write_cr0(cr0 & ~X86_CR0_NE);
	asm volatile("smsw %w0" : "=r"(v) : "0"(0UL));
	G_EQ(v & 0xffff, (cr0 & ~X86_CR0_NE) & 0xffff);
	write_cr0(cr0 | X86_CR0_TS);
	asm volatile("smsw %0" : "=m"(word));
	G_EQ(word, (cr0 | X86_CR0_TS) & 0xffff);
	asm volatile("clts");
	G_EQ(read_cr0(), cr0);
	asm volatile("smsw %0" : "=m"(word));
	G_EQ(word, cr0 & 0xffff);
	/* LMSW sets the lowest four bits, without clearing PE, and no other one. */
	asm volatile("lmsw %w0" : : "r"(0xfff8));
	G_EQ(read_cr0(), (cr0 & ~X86_CR0_MP) | X86_CR0_TS);
	word = X86_CR0_MP | X86_CR0_PE;
	asm volatile("lmsw %0" : : "m"(word));
	G_EQ(read_cr0(), cr0);
	/* What CLTS cleared is clear for the FPU as well, and what LMSW set is set. */
	asm volatile("lmsw %w0" : : "r"(X86_CR0_TS | X86_CR0_MP | X86_CR0_PE));
	G_EQ(G_TRY("fwait"), VEC_NM);
	G_EQ(G_TRY("fnop"), VEC_NM);
	asm volatile("clts");
	G_EQ(G_TRY("fnop"), -1);
	guest_done();
}

TEST_F(shadow, machine_status_word)
{
	RUN_GUEST(guest_machine_status);
}

static void guest_cr4_bits(void)
{
	static const u64 bits[] = {
		X86_CR4_TSD, X86_CR4_DE, X86_CR4_PSE, X86_CR4_MCE, X86_CR4_PGE,
		X86_CR4_OSFXSR, X86_CR4_OSXMMEXCPT,
	};
	u64 cr4 = read_cr4();
	u32 i;

	for (i = 0; i < ARRAY_LEN(bits); i++) {
		write_cr4(cr4 ^ bits[i]);
		guest_sync(i);
		G_EQ(read_cr4(), cr4 ^ bits[i]);
		write_cr4(cr4);
		G_EQ(read_cr4(), cr4);
	}
	guest_done();
}

TEST_F(shadow, cr4_bits)
{
	u64 cr4;
	u32 i;

	vcpu_long(self->v, guest_cr4_bits, 0);
	cr4 = vcpu_sregs(self->v).cr4;
	for (i = 0; i < 7; i++) {
		ASSERT_SYNC(i, self->v);
		EXPECT_NE(cr4, vcpu_sregs(self->v).cr4);
	}
	ASSERT_DONE(self->v);
	EXPECT_EQ(cr4, vcpu_sregs(self->v).cr4);
}

/* What this guest's CPUID does not have is reserved, though the CPU may run with it. */
static void guest_cr4_reserved(void)
{
	static const u64 bits[] = {
		X86_CR4_VMXE, X86_CR4_SMXE, BIT(15), BIT(19), BIT(25), BIT(31),
	};
	u64 cr4 = read_cr4();
	u32 i;

	G_EQ(cr4 & X86_CR4_VMXE, 0);
	for (i = 0; i < ARRAY_LEN(bits); i++) {
		G_EQ(G_TRY("mov %1, %%cr4", "r"(cr4 | bits[i])), VEC_GP);
		G_EQ(g_err, 0);
		G_EQ(read_cr4(), cr4);
	}
	guest_done();
}

TEST_F(shadow, cr4_reserved_bits)
{
	RUN_GUEST(guest_cr4_reserved);
	EXPECT_EQ(0, vcpu_sregs(self->v).cr4 & X86_CR4_VMXE);
}

/* What user space may put in is the same. */
TEST_F(shadow, cr4_from_user_space)
{
	struct kvm_sregs s;

	vcpu_long(self->v, guest_cr4_reserved, 0);
	s = vcpu_sregs(self->v);
	s.cr4 |= X86_CR4_VMXE;
	EXPECT_ERR(EINVAL, self->v->fd, KVM_SET_SREGS, &s);
	s.cr4 ^= X86_CR4_VMXE | BIT(15);
	EXPECT_ERR(EINVAL, self->v->fd, KVM_SET_SREGS, &s);
}

/* PCIDs: only in long mode, only from PCID 0, and paging must not end under them. */
static void guest_pcid(void)
{
	u64 cr3 = read_cr3(), cr4 = read_cr4();

	write_cr3(cr3 | 0x18);
	G_EQ(G_TRY("mov %1, %%cr4", "r"(cr4 | X86_CR4_PCIDE)), VEC_GP);
	write_cr3(cr3);
	G_EQ(G_TRY("mov %1, %%cr4", "r"(cr4 | X86_CR4_PCIDE)), -1);
	G_EQ(read_cr4(), cr4 | X86_CR4_PCIDE);
	write_cr3(cr3 | 5);
	G_EQ(read_cr3(), cr3 | 5);
	/* "Keep the entries" is no part of the value. */
	write_cr3(cr3 | 7 | 1ULL << 63);
	G_EQ(read_cr3(), cr3 | 7);
	write_cr3(cr3);
	write_cr4(cr4);
	G_EQ(G_TRY("mov %1, %%cr3", "r"(cr3 | 1ULL << 63)), VEC_GP);
	guest_done();
}

TEST_F(shadow, pcid)
{
	if (!cpuid_has(1, 0, 2, 17) || !host_is_intel())
		SKIP(return, "no PCIDs, or QEMU's TCG, which checks less");
	RUN_GUEST(guest_pcid);
}

/* Real mode: SMSW tells of no protection, LMSW turns it on and cannot turn it off. */
asm(".pushsection .rodata\n.code16\n"
    "msw_start:\n"
    "	smsw %ax\n"
    "	mov %ax, (0x600)\n"
    "	smsw (0x602)\n"
    "	mov $1, %ax\n"
    "	lmsw %ax\n"
    "	smsw (0x604)\n"
    "	xor %ax, %ax\n"
    "	lmsw %ax\n"
    "	smsw (0x606)\n"
    "	mov %cr0, %eax\n"
    "	mov %eax, (0x608)\n"
    "	and $0xfe, %al\n"
    "	mov %eax, %cr0\n"
    "	smsw (0x60c)\n"
    "	hlt\n"
    "msw_end:\n"
    ".code64\n.popsection\n");

TEST_F(shadow, real_mode)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	u16 *result = (u16 *)(v->vm->low + 0x600);

	vm_blob(v->vm, 0x9000, msw);
	vcpu_mode(v, MODE_REAL, 0x9000);
	ASSERT_RUN(KVM_EXIT_HLT, v);
	EXPECT_EQ(X86_CR0_ET, result[0]);
	EXPECT_EQ(X86_CR0_ET, result[1]);
	EXPECT_EQ(X86_CR0_ET | X86_CR0_PE, result[2]);
	EXPECT_EQ(X86_CR0_ET | X86_CR0_PE, result[3]);
	EXPECT_EQ(X86_CR0_ET | X86_CR0_PE, *(u32 *)&result[4]);
	EXPECT_EQ(X86_CR0_ET, result[6]);
	EXPECT_EQ(X86_CR0_ET, vcpu_sregs(v).cr0);
}

TEST_MAIN
