// SPDX-License-Identifier: GPL-2.0-only
/* KVM_GET_STATS_FD: the format of the binary statistics, and a counter that counts. */
#include "harness.h"

static void check_format(struct __test_metadata *_metadata, int fd)
{
	struct kvm_stats_header h;
	struct kvm_stats_desc *d;
	size_t size, data = 0;
	char *names;
	u64 val;
	u32 i, n, type, unit, base;

	ASSERT_EQ(sizeof(h), pread(fd, &h, sizeof(h), 0));
	ASSERT_LT(0, h.num_desc);
	ASSERT_LT(0, h.name_size);
	EXPECT_EQ(0, h.id_offset & 7);
	EXPECT_EQ(0, h.desc_offset & 7);
	EXPECT_EQ(0, h.data_offset & 7);
	size = sizeof(*d) + h.name_size;
	names = calloc(h.num_desc, size);
	ASSERT_EQ(h.num_desc * size, pread(fd, names, h.num_desc * size, h.desc_offset));
	for (i = 0; i < h.num_desc; i++) {
		d = (struct kvm_stats_desc *)(names + i * size);
		type = d->flags & KVM_STATS_TYPE_MASK;
		unit = d->flags & KVM_STATS_UNIT_MASK;
		base = d->flags & KVM_STATS_BASE_MASK;
		EXPECT_LE(type, KVM_STATS_TYPE_MAX);
		EXPECT_LE(unit, KVM_STATS_UNIT_MAX);
		EXPECT_LE(base, KVM_STATS_BASE_MAX);
		EXPECT_LT(0, strnlen(d->name, h.name_size));
		EXPECT_GT(h.name_size, strnlen(d->name, h.name_size));
		EXPECT_LT(0, d->size);
		for (n = 0; n < d->size; n++)
			EXPECT_EQ(8, pread(fd, &val, 8, h.data_offset + d->offset + n * 8));
		data += d->size * 8;
	}
	/* Nothing behind the last value. */
	EXPECT_EQ(0, pread(fd, &val, 8, h.data_offset + data));
}

TEST(format_of_vm)
{
	struct vm *vm = vm_create(0);

	check_format(_metadata, must(vm->fd, KVM_GET_STATS_FD, 0));
}

TEST(format_of_vcpu)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	check_format(_metadata, must(v->fd, KVM_GET_STATS_FD, 0));
}

static void guest_exits(void)
{
	u32 i;

	for (i = 0; i < 10; i++)
		cpuid(0, 0, (u32[4]) {});
	guest_done();
}

TEST(exits_are_counted)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	int fd = must(v->fd, KVM_GET_STATS_FD, 0);
	u64 before = stat_value(fd, "exits");

	vcpu_long(v, guest_exits, 0);
	ASSERT_DONE(v);
	EXPECT_LE(before + 11, stat_value(fd, "exits"));
}

TEST(two_files)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	int a = must(v->fd, KVM_GET_STATS_FD, 0), b = must(v->fd, KVM_GET_STATS_FD, 0);

	EXPECT_NE(a, b);
	close(a);
	check_format(_metadata, b);
}

/* The file keeps the vCPU alive, and may be read to the end. */
TEST(outlives_the_vm)
{
	struct vm *vm = vm_create(0);
	struct vcpu *v = vcpu_create(vm, 0);
	int fd = must(v->fd, KVM_GET_STATS_FD, 0);

	vcpu_free(v);
	vm_free(vm);
	check_format(_metadata, fd);
}

TEST(read_only)
{
	struct vm *vm = vm_create(0);
	int fd = must(vm->fd, KVM_GET_STATS_FD, 0);

	EXPECT_EQ(-1, write(fd, "x", 1));
}

TEST_MAIN
