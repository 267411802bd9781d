// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an exit costs where nothing is done about it: the ticks of the TSC from one VM entry to the
 * next, with the general registers switched and no more.  The benchmark compares hypervisors with
 * it, since none can go below.
 *
 * It measures while it is loaded, on the CPU that loads it; then it holds nothing but the result:
 * insmod floor.ko; cat /sys/module/floor/parameters/ticks; rmmod floor
 */
#define pr_fmt(fmt) "floor: " fmt

#include <linux/errno.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/smp.h>
#include <linux/sort.h>
#include <linux/workqueue.h>

#include "floor.h"

#define BATCHES		64
#define TRIES		(2 * BATCHES)

static unsigned int ticks;
module_param(ticks, uint, 0444);
MODULE_PARM_DESC(ticks, "ticks of the TSC a round, the median (read only)");
static unsigned int ticks_min;
module_param(ticks_min, uint, 0444);
MODULE_PARM_DESC(ticks_min, "the least of all batches (read only)");

static unsigned int results[BATCHES];

static int by_size(const void *a, const void *b)
{
	unsigned int x = *(const unsigned int *)a, y = *(const unsigned int *)b;

	return x < y ? -1 : x > y;
}

/* In the difference, what is outside of the rounds goes away; SMIs may make it nonsense. */
static unsigned int per_round(const struct floor_ticks *t)
{
	return t->twice > t->once ? (t->twice - t->once + FLOOR_ROUNDS / 2) / FLOOR_ROUNDS : 0;
}

/*
 * In a kernel thread of one CPU: its selectors are null, so that exits bring them back.  The
 * extension is on with interrupts off only, so nobody can come and find it so.
 */
static long measure(void *arg)
{
	const struct floor_cpu *cpu = arg;
	struct floor_ticks t;
	unsigned long flags;
	int n = 0, tries, ret;

	for (tries = 0; n < BATCHES && tries < TRIES; tries++) {
		local_irq_save(flags);
		ret = cpu->batch(&t);
		local_irq_restore(flags);
		if (ret && ret != -EAGAIN)
			return ret;
		if (!ret && per_round(&t))
			results[n++] = per_round(&t);
		cond_resched();
	}
	return n == BATCHES ? 0 : -EAGAIN;
}

static int __init floor_init(void)
{
	const struct floor_cpu *cpu;
	int ret;

	if (floor_vmx.supported())
		cpu = &floor_vmx;
	else if (floor_svm.supported())
		cpu = &floor_svm;
	else
		return -EOPNOTSUPP;
	ret = cpu->setup();
	if (ret)
		return ret;
	ret = work_on_cpu(raw_smp_processor_id(), measure, (void *)cpu);
	cpu->teardown();
	if (ret) {
		pr_err("%s: no result (%d)\n", cpu->name, ret);
		return ret;
	}
	sort(results, BATCHES, sizeof(results[0]), by_size, NULL);
	ticks = results[BATCHES / 2];
	ticks_min = results[0];
	pr_info("%s: %u ticks a round, at least %u\n", cpu->name, ticks, ticks_min);
	return 0;
}

static void __exit floor_exit(void)
{
}

module_init(floor_init);
module_exit(floor_exit);

MODULE_DESCRIPTION("What a VM entry and exit cost with nothing done about them");
MODULE_LICENSE("GPL");
