// SPDX-License-Identifier: GPL-2.0-only
/* x87, SSE and AVX registers live through exits, and belong to one vCPU each. */
#include "harness.h"

static u64 result[MAX_VCPUS][4] __attribute__((aligned(32)));

/* Fills XMM0..15 with the seed, leaves by an exit, and looks again. */
static void guest_sse(u64 seed)
{
	u64 in[2] __attribute__((aligned(16))) = { seed, ~seed }, out[2] __attribute__((aligned(16)));
	u32 i, mxcsr = 0x1f80 | (seed & 3) << 13, got;
	u16 cw = 0x37f & ~((seed & 3) << 8), cw2;

	asm volatile("fninit; fldcw %0; ldmxcsr %1; fildl %2"
		     : : "m"(cw), "m"(mxcsr), "m"(*(u32 *)&seed));
	asm volatile("movdqa %0, %%xmm0; movdqa %%xmm0, %%xmm7; movdqa %%xmm0, %%xmm15"
		     : : "m"(in));
	for (i = 0; i < 10; i++) {
		guest_sync(i);
		asm volatile("movdqa %%xmm7, %0" : "=m"(out));
		G_EQ(out[0], in[0]);
		asm volatile("movdqa %%xmm15, %0" : "=m"(out));
		G_EQ(out[1], in[1]);
		asm volatile("stmxcsr %0; fnstcw %1" : "=m"(got), "=m"(cw2));
		G_EQ(got, mxcsr);
		G_EQ(cw2, cw);
	}
	asm volatile("fistpl %0" : "=m"(got));
	G_EQ(got, (u32)seed);
	guest_done();
}

/* The host's own use of the registers, in between. */
static void spoil(void)
{
	static const u64 junk[2] __attribute__((aligned(16))) = { 0xdead, 0xbeef };

	asm volatile("movdqa %0, %%xmm7; movdqa %0, %%xmm15; movdqa %0, %%xmm0; fninit"
		     : : "m"(junk));
}

TEST(two_vcpus_in_turn)
{
	struct vm *vm = vm_create(0);
	struct vcpu *v[2] = { vcpu_create(vm, 0), vcpu_create(vm, 1) };
	unsigned int i;

	vcpu_long(v[0], guest_sse, 0x1234567);
	vcpu_long(v[1], guest_sse, 0x7654322);
	for (i = 0; i < 10; i++) {
		ASSERT_SYNC(i, v[0]);
		spoil();
		ASSERT_SYNC(i, v[1]);
		spoil();
	}
	ASSERT_DONE(v[0]);
	ASSERT_DONE(v[1]);
}

/* The other way round: the guest must not touch what the host holds. */
static void guest_spoil(void)
{
	u32 i;

	for (i = 0; i < 5; i++) {
		asm volatile("pcmpeqd %xmm0, %xmm0; movdqa %xmm0, %xmm7; movdqa %xmm0, %xmm15");
		asm volatile("fninit; fld1; fldl2e");
		guest_sync(i);
	}
	guest_done();
}

TEST(host_registers)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	u64 in[2] __attribute__((aligned(16))) = { 0x1122, 0x3344 }, out[2] __attribute__((aligned(16)));
	u16 cw = 0x27f, cw2;
	unsigned int i;

	vcpu_long(v, guest_spoil, 0);
	for (i = 0; i < 5; i++) {
		asm volatile("movdqa %0, %%xmm7; movdqa %0, %%xmm15; fldcw %1"
			     : : "m"(in), "m"(cw));
		ASSERT_EQ(0, vcpu_run(v));
		asm volatile("movdqa %%xmm7, %0; fnstcw %1" : "=m"(out), "=m"(cw2));
		ASSERT_EQ(0x1122, out[0]);
		ASSERT_EQ(0x3344, out[1]);
		ASSERT_EQ(0x27f, cw2);
	}
}

static void *sse_thread(void *arg)
{
	struct vcpu *v = arg;

	while ((v->result = guest_run(v)) == UC_SYNC)
		spoil();
	return NULL;
}

TEST(many_threads)
{
	struct vm *vm = vm_create(0);
	struct vcpu *v[6];
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(v); i++) {
		v[i] = vcpu_create(vm, i);
		vcpu_long(v[i], guest_sse, 0x1111 * i);
		pthread_create(&v[i]->thread, NULL, sse_thread, v[i]);
	}
	for (i = 0; i < ARRAY_LEN(v); i++) {
		pthread_join(v[i]->thread, NULL);
		EXPECT_EQ(UC_DONE, v[i]->result);
	}
}

static void guest_avx(u64 seed)
{
	u64 *r = result[seed % MAX_VCPUS], i;

	G_EQ(xgetbv(0), 7);
	r[0] = r[1] = r[2] = r[3] = seed * 0x0101010101010101;
	asm volatile("vmovdqa %0, %%ymm9" : : "m"(result[seed % MAX_VCPUS]));
	for (i = 0; i < 8; i++) {
		guest_sync(i);
		r[0] = r[1] = r[2] = r[3] = 0;
		asm volatile("vmovdqa %%ymm9, %0" : "=m"(result[seed % MAX_VCPUS]));
		G_EQ(READ_ONCE(r[3]), seed * 0x0101010101010101);
		G_EQ(READ_ONCE(r[0]), seed * 0x0101010101010101);
	}
	guest_done();
}

static void vcpu_osxsave(struct vcpu *v)
{
	struct kvm_sregs s = vcpu_sregs(v);

	s.cr4 |= X86_CR4_OSXSAVE;
	vcpu_set_sregs(v, s);
}

TEST(avx)
{
	struct kvm_xcrs x = { .nr_xcrs = 1, .xcrs[0].value = 7 };
	struct vm *vm = vm_create(0);
	struct vcpu *v[2] = { vcpu_create(vm, 0), vcpu_create(vm, 1) };
	unsigned int i;

	if (!cpuid_has(1, 0, 2, 28))
		SKIP(return, "the processor has no AVX");
	for (i = 0; i < 2; i++) {
		vcpu_long(v[i], guest_avx, i + 5);
		vcpu_osxsave(v[i]);
		must(v[i]->fd, KVM_SET_XCRS, &x);
	}
	for (i = 0; i < 8; i++) {
		ASSERT_SYNC(i, v[0]);
		spoil();
		ASSERT_SYNC(i, v[1]);
	}
	ASSERT_DONE(v[0]);
	ASSERT_DONE(v[1]);
}

static int try_xsetbv(u32 i, u64 val)
{
	register u64 vec asm("r9") = -1;

	asm volatile("1: xsetbv\n2:\n" GUEST_FIXUP
		     : "+r"(vec) : "c"(i), "a"((u32)val), "d"((u32)(val >> 32)));
	return vec;
}

static void guest_bad_xcr0(u64 arg)
{
	u32 r[4];

	G_EQ(try_xsetbv(0, 1), -1);
	G_EQ(try_xsetbv(0, 3), -1);
	guest_sync(0);
	guest_sync(xgetbv(0));
	G_EQ(try_xsetbv(0, 0), VEC_GP);		/* x87 is always on */
	G_EQ(try_xsetbv(0, 5), VEC_GP);		/* AVX without SSE */
	G_EQ(try_xsetbv(0, 1ULL << 63), VEC_GP);
	/* AVX-512's three go together, and on top of AVX; MPX's two as well. */
	G_EQ(try_xsetbv(0, 0x27), VEC_GP);
	G_EQ(try_xsetbv(0, 0xc7), VEC_GP);
	G_EQ(try_xsetbv(0, 0xe3), VEC_GP);
	G_EQ(try_xsetbv(0, 0xb), VEC_GP);
	G_EQ(try_xsetbv(1, 3), VEC_GP);
	G_EQ(xgetbv(0), 3);
	/* CPUID follows CR4 and XCR0. */
	cpuid(1, 0, r);
	G_EQ(r[2] >> 27 & 1, 1);
	cpuid(0xd, 0, r);
	G_EQ(r[1], 576);
	write_cr4(read_cr4() & ~X86_CR4_OSXSAVE);
	cpuid(1, 0, r);
	G_EQ(r[2] >> 27 & 1, 0);
	G_EQ(try_xsetbv(0, 3), VEC_UD);
	guest_done();
}

TEST(xsetbv)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	if (!cpuid_has(1, 0, 2, 26))
		SKIP(return, "the processor has no XSAVE");
	vcpu_long(v, guest_bad_xcr0, 0);
	vcpu_osxsave(v);
	ASSERT_SYNC(0, v);
	ASSERT_RUN(UC_SYNC, v);
	if (v->sync == 1)
		SKIP(return, "XSETBV is not intercepted (QEMU's TCG), so that nobody knows of it");
	ASSERT_EQ(3, v->sync);
	ASSERT_DONE(v);
}

TEST_MAIN
