// SPDX-License-Identifier: GPL-2.0-only
/*
 * The launcher's virtqueues against drivers that keep to the rules and drivers
 * that do not. Built from the launcher's own sources, with the sanitizers; needs
 * no device. virtq [SEED [ROUNDS]]. TAP.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "virtio.h"

#define RAM_SIZE	0x20000
#define DESC_AT		0x1000
#define AVAIL_AT	0x3000
#define USED_AT		0x4000
#define TABLE_AT	0x6000
#define DATA_AT		0x10000
#define SIZE		8

static struct guest_mem mem;
static uint8_t *ram;
static struct vring_desc *desc, *table;
static struct vring_avail *avail;
static struct vring_used *used;
static struct virtq q;
static struct virtq_chain chain;
static int count, failures;

static void result(bool ok, const char *name)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++count, name);
	failures += !ok;
}

static void reset_queue(bool event_idx)
{
	memset(ram, 0, RAM_SIZE);
	memset(&q, 0, sizeof(q));
	q.size = SIZE;
	q.desc_gpa = DESC_AT;
	q.avail_gpa = AVAIL_AT;
	q.used_gpa = USED_AT;
	if (!virtq_enable(&q, &mem, event_idx))
		abort();
}

static void set_desc(struct vring_desc *d, uint64_t addr, uint32_t len, uint16_t flags,
		     uint16_t next)
{
	*d = (struct vring_desc) { addr, len, flags, next };
}

static void make_available(uint16_t head)
{
	avail->ring[avail->idx % SIZE] = head;
	avail->idx++;
}

static enum virtq_result pop_one(void)
{
	make_available(0);
	return virtq_pop(&q, &mem, &chain);
}

static void test_good(void)
{
	reset_queue(false);
	result(virtq_pop(&q, &mem, &chain) == VIRTQ_EMPTY, "an empty queue is empty");

	set_desc(&desc[0], DATA_AT, 16, VRING_DESC_F_NEXT, 3);
	set_desc(&desc[3], DATA_AT + 0x100, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 5);
	set_desc(&desc[5], DATA_AT + 0x400, 1, VRING_DESC_F_WRITE, 0);
	result(pop_one() == VIRTQ_CHAIN && chain.head == 0 && chain.nr_out == 1 &&
	       chain.nr_in == 2 && chain.out[0].iov_base == ram + DATA_AT &&
	       chain.in[1].iov_base == ram + DATA_AT + 0x400 && iov_len(chain.in, 2) == 513,
	       "a chain of three");
	virtq_push(&q, chain.head, 513);
	result(used->idx == 1 && used->ring[0].id == 0 && used->ring[0].len == 513,
	       "it is given back");

	set_desc(&desc[0], TABLE_AT, 2 * sizeof(*table), VRING_DESC_F_INDIRECT, 0);
	set_desc(&table[0], DATA_AT, 4, VRING_DESC_F_NEXT, 1);
	set_desc(&table[1], DATA_AT + 4, 4, VRING_DESC_F_WRITE, 0);
	result(pop_one() == VIRTQ_CHAIN && chain.nr_out == 1 && chain.nr_in == 1,
	       "an indirect table");
}

static void test_interrupts(void)
{
	uint16_t *event, *kick = (void *)(used->ring + SIZE);

	reset_queue(false);
	virtq_push(&q, 0, 0);
	result(virtq_wants_interrupt(&q) && !virtq_wants_interrupt(&q),
	       "one interrupt for what was pushed");
	avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	virtq_push(&q, 0, 0);
	result(!virtq_wants_interrupt(&q), "none if the driver polls");

	reset_queue(true);
	event = &avail->ring[SIZE];
	*event = 1;
	virtq_push(&q, 0, 0);
	result(!virtq_wants_interrupt(&q), "none before the event index");
	virtq_push(&q, 0, 0);
	result(virtq_wants_interrupt(&q), "one when the event index is passed");
	make_available(0);
	result(virtq_rearm(&q), "more to take is seen when kicks are asked for");
	virtq_pop(&q, &mem, &chain);
	result(!virtq_rearm(&q) && *kick == 1,
	       "the kick is asked for at the next entry");
}

static void test_bad(void)
{
	static const struct {
		const char *name;
		struct vring_desc desc;
	} bad[] = {
		{ "a buffer outside RAM", { 0x100000000, 16, 0, 0 } },
		{ "a buffer across the end of RAM", { RAM_SIZE - 8, 16, 0, 0 } },
		{ "a buffer that wraps around", { 0xfffffffffffffff8, 16, 0, 0 } },
		{ "a chain to itself", { DATA_AT, 16, VRING_DESC_F_NEXT, 0 } },
		{ "a successor outside the table", { DATA_AT, 16, VRING_DESC_F_NEXT, SIZE } },
		{ "an indirect table of no size", { TABLE_AT, 0, VRING_DESC_F_INDIRECT, 0 } },
		{ "an indirect table of an odd size", { TABLE_AT, 17, VRING_DESC_F_INDIRECT, 0 } },
		{ "an indirect table outside RAM", { RAM_SIZE, 16, VRING_DESC_F_INDIRECT, 0 } },
		{ "an indirect table too long", { TABLE_AT, 0x8000, VRING_DESC_F_INDIRECT, 0 } },
		{ "an indirect table with a successor",
		  { TABLE_AT, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1 } },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		reset_queue(false);
		desc[0] = bad[i].desc;
		set_desc(&table[0], DATA_AT, 4, 0, 0);
		result(pop_one() == VIRTQ_BROKEN, bad[i].name);
	}
	reset_queue(false);
	set_desc(&desc[0], TABLE_AT, 16, VRING_DESC_F_INDIRECT, 0);
	set_desc(&table[0], TABLE_AT, 16, VRING_DESC_F_INDIRECT, 0);
	result(pop_one() == VIRTQ_BROKEN, "an indirect table in an indirect table");
	reset_queue(false);
	set_desc(&desc[0], DATA_AT, 16, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
	set_desc(&desc[1], DATA_AT, 16, 0, 0);
	result(pop_one() == VIRTQ_BROKEN, "a readable buffer behind a writable one");
	reset_queue(false);
	make_available(SIZE);
	result(virtq_pop(&q, &mem, &chain) == VIRTQ_BROKEN, "a head outside the table");
	reset_queue(false);
	avail->idx = SIZE + 1;
	result(virtq_pop(&q, &mem, &chain) == VIRTQ_BROKEN, "more available than the queue holds");

	reset_queue(false);
	q.ready = false;
	q.avail_gpa = RAM_SIZE - 8;
	result(!virtq_enable(&q, &mem, false), "a ring across the end of RAM");
	q.avail_gpa = AVAIL_AT + 1;
	result(!virtq_enable(&q, &mem, false), "a ring that is not aligned");
}

static bool in_ram(const struct iovec *iov, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		const uint8_t *p = iov[i].iov_base;

		if (p < ram || p > ram + RAM_SIZE || iov[i].iov_len > (size_t)(ram + RAM_SIZE - p))
			return false;
	}
	return true;
}

/* Fields that are mostly plausible: noise alone would fail at the first check. */
static void scramble(struct vring_desc *d)
{
	uint64_t addr = (uint64_t)random() << 33;
	uint32_t len = (uint32_t)random() * 2;
	uint16_t flags = random();

	if (random() % 4)
		addr = random() % (RAM_SIZE + 64);
	if (random() % 8)
		len = random() % 300;
	if (random() % 16)
		flags %= 8;
	if (flags & VRING_DESC_F_INDIRECT && random() % 4) {
		flags = VRING_DESC_F_INDIRECT;
		addr = TABLE_AT;
		len = sizeof(*d) * (random() % SIZE);
	}
	set_desc(d, addr, len, flags, random() % (SIZE + 2));
}

/* Takes what there is; false if a buffer is not in RAM or there is no end to them. */
static bool drain(void)
{
	for (unsigned int i = 0; i <= SIZE; i++) {
		if (virtq_pop(&q, &mem, &chain) != VIRTQ_CHAIN)
			return true;
		if (chain.nr_out + chain.nr_in > VIRTQ_MAX_SIZE ||
		    !in_ram(chain.out, chain.nr_out) || !in_ram(chain.in, chain.nr_in))
			return false;
		virtq_push(&q, chain.head, random());
	}
	return false;
}

static void test_random(unsigned int rounds)
{
	unsigned int i;

	for (i = 0; i < rounds; i++) {
		reset_queue(i & 1);
		for (unsigned int j = 0; j < SIZE; j++) {
			scramble(&desc[j]);
			scramble(&table[j]);
			avail->ring[j] = random() % (SIZE + 1);
		}
		avail->idx = random() % (SIZE + 2);
		if (!drain())
			break;
	}
	result(i == rounds, "random rings yield only buffers in RAM");
}

static void test_iov(void)
{
	uint8_t a[4] = "abcd", b[3] = "efg", out[8] = { 0 };
	struct iovec iov[3] = { { a, 4 }, { NULL, 0 }, { b, 3 } };

	result(iov_read(iov, 3, 2, out, 4) == 4 && !memcmp(out, "cdef", 4), "a copy from iovecs");
	result(iov_write(iov, 3, 3, "XYZ!!", 5) == 4 && a[3] == 'X' && !memcmp(b, "YZ!", 3),
	       "a copy to iovecs ends where they end");
	result(iov_slice(iov, 3, 5, 1) == 1 && iov[0].iov_base == b + 1 && iov[0].iov_len == 1,
	       "a slice of iovecs");
}

int main(int argc, char **argv)
{
	setbuf(stdout, NULL);
	/* Exactly as large as the guest thinks: a step outside is the sanitizer's to see. */
	ram = calloc(1, RAM_SIZE);
	mem.region[mem.nr++] = (struct mem_region) { 0, RAM_SIZE, ram };
	desc = (void *)(ram + DESC_AT);
	avail = (void *)(ram + AVAIL_AT);
	used = (void *)(ram + USED_AT);
	table = (void *)(ram + TABLE_AT);
	srandom(argc > 1 ? atoi(argv[1]) : 1);
	test_good();
	test_interrupts();
	test_bad();
	test_iov();
	test_random(argc > 2 ? atoi(argv[2]) : 200000);
	free(ram);
	printf("1..%d\n", count);
	return failures ? 1 : 0;
}
