// SPDX-License-Identifier: GPL-2.0-only
/* IN, OUT, INS and OUTS: what user space sees of them, and what the guest gets. */
#include "harness.h"

#define PORT	0x510
#define N	5000	/* bytes of a long string: more than one page of kvm_run data */

static u8 buf[3 * N];

FIXTURE(port_io) {
	struct vm *vm;
	struct vcpu *v;
};

FIXTURE_SETUP(port_io)
{
	self->vm = vm_create(0);
	self->v = vcpu_create(self->vm, 0);
}

FIXTURE_TEARDOWN(port_io)
{
}

#define IO_DATA(v)	((u8 *)(v)->run + (v)->run->io.data_offset)
#define ASSERT_IO(v, dir, sz, p, n) do {				\
	ASSERT_RUN(KVM_EXIT_IO, v);					\
	ASSERT_EQ(dir, (v)->run->io.direction);				\
	ASSERT_EQ(sz, (v)->run->io.size);				\
	ASSERT_EQ(p, (v)->run->io.port);				\
	ASSERT_EQ(n, (v)->run->io.count);				\
} while (0)

static void guest_sizes(void)
{
	u64 rax = 0x1122334455667788;

	asm volatile("out %%al, $0x80" : : "a"(0xab));
	asm volatile("out %%ax, $0x82" : : "a"(0xabcd));
	asm volatile("out %%eax, $0x84" : : "a"(0xabcdef01));
	outb(PORT, 0x12);
	outw(PORT + 1, 0x1234);
	outl(0xfffc, 0x12345678);
	asm volatile("inb $0x80, %%al" : "+a"(rax));
	G_EQ(rax, 0x11223344556677c1);
	asm volatile("inw $0x82, %%ax" : "+a"(rax));
	G_EQ(rax, 0x112233445566c2c1);
	/* A 32-bit result clears the upper half. */
	asm volatile("inl $0x84, %%eax" : "+a"(rax));
	G_EQ(rax, 0xc4c3c2c1);
	guest_done();
}

TEST_F(port_io, sizes)
{
	static const struct {
		u16 port;
		u8 size;
		u32 val;
	} out[] = {
		{ 0x80, 1, 0xab }, { 0x82, 2, 0xabcd }, { 0x84, 4, 0xabcdef01 },
		{ PORT, 1, 0x12 }, { PORT + 1, 2, 0x1234 }, { 0xfffc, 4, 0x12345678 },
	};
	unsigned int i;
	u32 val;

	vcpu_long(self->v, guest_sizes, 0);
	for (i = 0; i < ARRAY_LEN(out); i++) {
		ASSERT_IO(self->v, KVM_EXIT_IO_OUT, out[i].size, out[i].port, 1);
		val = 0;
		memcpy(&val, IO_DATA(self->v), out[i].size);
		EXPECT_EQ(out[i].val, val);
	}
	for (i = 0; i < 3; i++) {
		ASSERT_IO(self->v, KVM_EXIT_IO_IN, 1 << i, 0x80 + 2 * i, 1);
		memcpy(IO_DATA(self->v), "\xc1\xc2\xc3\xc4", 4);
	}
	ASSERT_DONE(self->v);
}

static void guest_outs(u64 size)
{
	u64 n = N / size, dx = PORT, src = (uintptr_t)buf;

	if (size == 1)
		asm volatile("rep outsb" : "+c"(n), "+S"(src) : "d"(dx) : "memory");
	else if (size == 2)
		asm volatile("rep outsw" : "+c"(n), "+S"(src) : "d"(dx) : "memory");
	else
		asm volatile("rep outsl" : "+c"(n), "+S"(src) : "d"(dx) : "memory");
	G_EQ(n, 0);
	G_EQ(src, (uintptr_t)buf + N / size * size);
	/* No REP, and backwards. */
	src = (uintptr_t)buf + 8;
	asm volatile("std; outsl; cld" : "+S"(src) : "d"(dx) : "memory");
	G_EQ(src, (uintptr_t)buf + 4);
	/* A count of zero does nothing. */
	n = 0;
	asm volatile("rep outsb" : "+c"(n), "+S"(src) : "d"(dx) : "memory");
	G_EQ(src, (uintptr_t)buf + 4);
	guest_done();
}

static void do_outs(struct __test_metadata *_metadata, struct vcpu *v, unsigned int size)
{
	unsigned int got = 0, len, i;

	for (i = 0; i < sizeof(buf); i++)
		buf[i] = i * 7 + i / 256;
	vcpu_long(v, guest_outs, size);
	while (got < N / size * size) {
		ASSERT_RUN(KVM_EXIT_IO, v);
		ASSERT_EQ(KVM_EXIT_IO_OUT, v->run->io.direction);
		ASSERT_EQ(PORT, v->run->io.port);
		ASSERT_EQ(size, v->run->io.size);
		len = v->run->io.count * size;
		ASSERT_LE(got + len, N);
		ASSERT_LE(v->run->io.data_offset + len, v->run_size);
		ASSERT_EQ(0, memcmp(IO_DATA(v), buf + got, len));
		got += len;
	}
	ASSERT_IO(v, KVM_EXIT_IO_OUT, 4, PORT, 1);
	ASSERT_EQ(0, memcmp(IO_DATA(v), buf + 8, 4));
	ASSERT_DONE(v);
}

TEST_F(port_io, rep_outs)
{
	do_outs(_metadata, self->v, 1);
	do_outs(_metadata, self->v, 2);
	do_outs(_metadata, self->v, 4);
}

static void guest_ins(u64 size)
{
	u64 n = N / size, dst = (uintptr_t)buf;

	if (size == 1)
		asm volatile("rep insb" : "+c"(n), "+D"(dst) : "d"(PORT) : "memory");
	else if (size == 2)
		asm volatile("rep insw" : "+c"(n), "+D"(dst) : "d"(PORT) : "memory");
	else
		asm volatile("rep insl" : "+c"(n), "+D"(dst) : "d"(PORT) : "memory");
	G_EQ(n, 0);
	G_EQ(dst, (uintptr_t)buf + N / size * size);
	dst = (uintptr_t)buf + N + 100;
	asm volatile("std; insw; cld" : "+D"(dst) : "d"(PORT + 2) : "memory");
	G_EQ(dst, (uintptr_t)buf + N + 98);
	G_EQ(*(u16 *)&buf[N + 100], 0xbeef);
	guest_done();
}

static void do_ins(struct __test_metadata *_metadata, struct vcpu *v, unsigned int size)
{
	unsigned int given = 0, i;
	u8 *data;

	memset(buf, 0, sizeof(buf));
	vcpu_long(v, guest_ins, size);
	while (given < N / size * size) {
		ASSERT_RUN(KVM_EXIT_IO, v);
		ASSERT_EQ(KVM_EXIT_IO_IN, v->run->io.direction);
		ASSERT_EQ(PORT, v->run->io.port);
		ASSERT_EQ(size, v->run->io.size);
		data = IO_DATA(v);
		/* How many come at once is the hypervisor's choice. */
		for (i = 0; i < v->run->io.count * size; i++, given++)
			data[i] = given * 13 + given / 256;
	}
	ASSERT_IO(v, KVM_EXIT_IO_IN, 2, PORT + 2, 1);
	memcpy(IO_DATA(v), "\xef\xbe", 2);
	ASSERT_DONE(v);
	for (i = 0; i < given; i++)
		ASSERT_EQ((u8)(i * 13 + i / 256), buf[i]);
	ASSERT_EQ(0, buf[given]);
}

TEST_F(port_io, rep_ins)
{
	do_ins(_metadata, self->v, 1);
	do_ins(_metadata, self->v, 2);
	do_ins(_metadata, self->v, 4);
}

#define FAULT_VA	(1ULL << 39)

static void guest_ins_fault(void)
{
	static u8 page[PAGE] __attribute__((aligned(4096)));
	u64 n = 8, dst = FAULT_VA + PAGE - 4;
	register u64 vec asm("r9") = -1;

	guest_map(FAULT_VA, (uintptr_t)page, PAGE, PAGE, PTE_P | PTE_W);
	/* The second page is not there: #PF with four done and four to go. */
	asm volatile("1: rep insb\n2:\n" GUEST_FIXUP
		     : "+r"(vec), "+D"(dst), "+c"(n) : "d"(PORT) : "memory");
	G_EQ(vec, VEC_PF);
	G_EQ(n, 4);
	G_EQ(dst, FAULT_VA + PAGE);
	G_EQ(g_cr2, FAULT_VA + PAGE);
	G_EQ(g_err, PF_W);
	G_EQ(*(u32 *)(page + PAGE - 4), 0x5a5a5a5a);
	guest_done();
}
TEST_F(port_io, ins_page_fault)
{
	int r, given = 0;

	if (test_bochs_svm)
		SKIP(return, "Bochs's VMRUN does not load CR2");

	vcpu_long(self->v, guest_ins_fault, 0);
	while ((r = guest_run(self->v)) == KVM_EXIT_IO) {
		ASSERT_EQ(KVM_EXIT_IO_IN, self->v->run->io.direction);
		given += self->v->run->io.count;
		ASSERT_LE(given, 8);
		memset(IO_DATA(self->v), 0x5a, self->v->run->io.count);
	}
	ASSERT_EQ(UC_DONE, r) vcpu_dump(self->v);
}

/* A string instruction to user space can be left in the middle and gone on with. */
TEST_F(port_io, completion_by_immediate_exit)
{
	struct kvm_regs r;

	vcpu_long(self->v, guest_sizes, 0);
	ASSERT_IO(self->v, KVM_EXIT_IO_OUT, 1, 0x80, 1);
	/* Re-entry completes the instruction even when it may not enter the guest. */
	self->v->run->immediate_exit = 1;
	ASSERT_EQ(EINTR, vcpu_run(self->v));
	self->v->run->immediate_exit = 0;
	r = vcpu_regs(self->v);
	ASSERT_IO(self->v, KVM_EXIT_IO_OUT, 2, 0x82, 1);
	ASSERT_GT(vcpu_regs(self->v).rip, r.rip - 1);
}

static void guest_out_7e(void)
{
	asm volatile("outb %%al, %%dx\n.globl behind_out_7e\nbehind_out_7e: nop"
		     : : "a"(1), "d"(0x7e));
	guest_done();
}
extern const char behind_out_7e[];

/* KVM_X86_QUIRK_OUT_7E_INC_RIP: this one OUT is over when user space sees it. */
TEST(out_7e)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_long(v, guest_out_7e, 0);
	ASSERT_RUN(KVM_EXIT_IO, v);
	EXPECT_EQ(0x7e, v->run->io.port);
	EXPECT_EQ((uintptr_t)behind_out_7e, vcpu_regs(v).rip);
	ASSERT_DONE(v);
}

TEST(out_7e_without_quirk)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_DISABLE_QUIRKS2, .args = { KVM_X86_QUIRK_OUT_7E_INC_RIP },
	};
	struct vm *vm = vm_create(0);
	struct vcpu *v = vcpu_create(vm, 0);

	ASSERT_NE(0, vm_has_ext(vm, KVM_CAP_DISABLE_QUIRKS2) & KVM_X86_QUIRK_OUT_7E_INC_RIP);
	must(vm->fd, KVM_ENABLE_CAP, &cap);
	vcpu_long(v, guest_out_7e, 0);
	ASSERT_RUN(KVM_EXIT_IO, v);
	EXPECT_EQ((uintptr_t)behind_out_7e - 1, vcpu_regs(v).rip);
	ASSERT_DONE(v);
}

TEST_MAIN
