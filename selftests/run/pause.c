// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loops around PAUSE: they end runs of the guest so that others get the CPU, rarely where nobody
 * else wants it, and not at all where the client has said so.
 */
#include "harness.h"

#define PAUSES	(400 * 1000)

/* There are only the host's own, which are as many as it is slow. */
#define NEEDS_EXITS do {							\
	if (host_is_tcg())							\
		SKIP(return, "QEMU's TCG has no exits for loops around PAUSE");	\
} while (0)

FIXTURE(pause) {
	struct vm *vm;
};

FIXTURE_SETUP(pause)
{
	self->vm = vm_create(0);
}

FIXTURE_TEARDOWN(pause)
{
}

static void guest_spins(u64 arg)
{
	u32 i;

	for (i = 0; i < PAUSES; i++)
		cpu_pause();
	guest_done();
}

/* Exits of a guest that spins for long; the host's timer brings some as well. */
static void spin(struct __test_metadata *_metadata, struct vm *vm, u64 *exits)
{
	struct vcpu *v = vcpu_create(vm, 0);
	int fd = must(v->fd, KVM_GET_STATS_FD, 0);

	vcpu_long(v, guest_spins, 0);
	ASSERT_DONE(v);
	*exits = stat_value(fd, "exits");
	ksft_print_msg("note: %lu exits\n", *exits);
}

/* One each 4096 ticks (Intel) or 3000 PAUSEs (AMD) would be more than a hundred. */
TEST_F(pause, alone)
{
	u64 n;

	NEEDS_EXITS;
	spin(_metadata, self->vm, &n);
	EXPECT_LE(n, 60);
}

TEST_F(pause, without_exits)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_DISABLE_EXITS, .args[0] = KVM_X86_DISABLE_EXITS_PAUSE,
	};
	u64 n;

	NEEDS_EXITS;
	ASSERT_EQ(0, err_of(self->vm->fd, KVM_ENABLE_CAP, &cap));
	spin(_metadata, self->vm, &n);
	EXPECT_LE(n, 30);
}

TEST_MAIN
