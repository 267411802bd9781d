/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kselftest harness with what these tests add: the device as the first
 * argument, time limits that follow KEEL_TEST_SCALE.  To be included by the
 * test program itself, once.
 */
#ifndef KEEL_TEST_HARNESS_H
#define KEEL_TEST_HARNESS_H

#include "kselftest_harness.h"
#include "guest.h"

/* Runs the guest and checks how it stopped; tells where it stood if not so. */
#define ASSERT_RUN(expected, v)	ASSERT_EQ(expected, guest_run(v)) vcpu_dump(v)
#define ASSERT_DONE(v)		ASSERT_RUN(UC_DONE, v)
#define ASSERT_SYNC(val, v) do {	\
	ASSERT_RUN(UC_SYNC, v);		\
	ASSERT_EQ((u64)(val), (v)->sync);	\
} while (0)
#define EXPECT_ERR(e, fd, cmd, arg)	EXPECT_EQ(e, err_of(fd, cmd, arg))

#define TEST_MAIN								\
int main(int argc, char **argv)							\
{										\
	struct __fixture_metadata *f;						\
	struct __test_metadata *t;						\
										\
	test_setup(argc, argv);							\
	for (f = __fixture_list; f; f = f->next)				\
		for (t = f->tests; t; t = t->next)				\
			t->timeout *= test_scale;				\
	return test_harness_run(argc, argv);					\
}

#endif
