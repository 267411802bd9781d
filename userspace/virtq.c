// SPDX-License-Identifier: GPL-2.0-only
/*
 * Split virtqueues (virtio 1.1, "Split Virtqueues"). The rings are the guest's
 * memory and the guest is not trusted: everything is read once into a local,
 * checked, and only then used; every walk has an end that the guest does not
 * choose.
 */
#include <string.h>

#include "virtio.h"

#define LOAD(p)			__atomic_load_n(&(p), __ATOMIC_RELAXED)
#define LOAD_ACQUIRE(p)		__atomic_load_n(&(p), __ATOMIC_ACQUIRE)
#define STORE(p, v)		__atomic_store_n(&(p), (v), __ATOMIC_RELAXED)
#define STORE_RELEASE(p, v)	__atomic_store_n(&(p), (v), __ATOMIC_RELEASE)

bool virtq_enable(struct virtq *q, const struct guest_mem *mem, bool event_idx)
{
	/* Two bytes more in each ring for the event index. */
	uint64_t avail_len = sizeof(*q->avail) + (uint64_t)q->size * sizeof(q->avail->ring[0]) + 2;
	uint64_t used_len = sizeof(*q->used) + (uint64_t)q->size * sizeof(q->used->ring[0]) + 2;

	if (q->desc_gpa % VRING_DESC_ALIGN_SIZE || q->avail_gpa % VRING_AVAIL_ALIGN_SIZE ||
	    q->used_gpa % VRING_USED_ALIGN_SIZE)
		return false;
	q->desc = mem_ptr(mem, q->desc_gpa, (uint64_t)q->size * sizeof(*q->desc));
	q->avail = mem_ptr(mem, q->avail_gpa, avail_len);
	q->used = mem_ptr(mem, q->used_gpa, used_len);
	if (!q->desc || !q->avail || !q->used)
		return false;
	q->event_idx = event_idx;
	q->last_avail = 0;
	q->used_idx = 0;
	q->signalled = 0;
	q->ready = true;
	return true;
}

/*
 * An indirect table may have any alignment. The barrier keeps the compiler from
 * reading the guest's memory again where the copy is used.
 */
static void copy_desc(struct vring_desc *to, const uint8_t *from)
{
	memcpy(to, from, sizeof(*to));
	__asm__ volatile("" : : : "memory");
}

/* Adds one buffer; false if it is not RAM, out of order, or one too many. */
static bool add_buffer(struct virtq_chain *chain, const struct guest_mem *mem,
		       const struct vring_desc *desc)
{
	bool in = desc->flags & VRING_DESC_F_WRITE;
	unsigned int n = chain->nr_out + chain->nr_in;
	void *host;

	if (n == VIRTQ_MAX_SIZE || (!in && chain->nr_in))
		return false;
	host = mem_ptr(mem, desc->addr, desc->len);
	if (!host)
		return false;
	chain->iov[n] = (struct iovec) { host, desc->len };
	if (in)
		chain->nr_in++;
	else
		chain->nr_out++;
	return true;
}

/* Walks a table of @nr descriptors from @index, at most once around. */
static bool walk_table(struct virtq_chain *chain, const struct guest_mem *mem,
		       const uint8_t *table, unsigned int nr, unsigned int index,
		       struct vring_desc *indirect)
{
	struct vring_desc desc;

	for (unsigned int steps = 0; steps < nr; steps++) {
		if (index >= nr)
			return false;
		copy_desc(&desc, table + index * sizeof(desc));
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			/* Neither within an indirect table nor with a successor. */
			if (!indirect || (desc.flags & VRING_DESC_F_NEXT))
				return false;
			*indirect = desc;
			return true;
		}
		if (!add_buffer(chain, mem, &desc))
			return false;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return true;
		index = desc.next;
	}
	return false;
}

static bool walk_chain(struct virtq *q, const struct guest_mem *mem, struct virtq_chain *chain)
{
	struct vring_desc indirect = { 0 };
	const uint8_t *table;
	unsigned int nr;

	if (!walk_table(chain, mem, (const uint8_t *)q->desc, q->size, chain->head, &indirect))
		return false;
	if (!(indirect.flags & VRING_DESC_F_INDIRECT))
		return true;
	nr = indirect.len / sizeof(indirect);
	if (!nr || indirect.len % sizeof(indirect) || nr > VIRTQ_MAX_SIZE)
		return false;
	table = mem_ptr(mem, indirect.addr, indirect.len);
	return table && walk_table(chain, mem, table, nr, 0, NULL);
}

enum virtq_result virtq_pop(struct virtq *q, const struct guest_mem *mem,
			    struct virtq_chain *chain)
{
	uint16_t waiting;

	/* Pairs with the driver's barrier between its ring entry and its index. */
	waiting = LOAD_ACQUIRE(q->avail->idx) - q->last_avail;
	if (!waiting)
		return VIRTQ_EMPTY;
	if (waiting > q->size)
		return VIRTQ_BROKEN;
	chain->head = LOAD(q->avail->ring[q->last_avail & (q->size - 1)]);
	chain->nr_out = 0;
	chain->nr_in = 0;
	if (!walk_chain(q, mem, chain))
		return VIRTQ_BROKEN;
	chain->out = chain->iov;
	chain->in = chain->iov + chain->nr_out;
	q->last_avail++;
	return VIRTQ_CHAIN;
}

void virtq_unpop(struct virtq *q)
{
	q->last_avail--;
}

void virtq_push(struct virtq *q, uint16_t head, uint32_t len)
{
	struct vring_used_elem *elem = &q->used->ring[q->used_idx & (q->size - 1)];

	STORE(elem->id, head);
	STORE(elem->len, len);
	/* The entry and the data before the index that publishes them. */
	STORE_RELEASE(q->used->idx, ++q->used_idx);
}

/* The event indices stand behind the rings (virtio 1.1, "The Virtqueue Available Ring"). */
static uint16_t *avail_event(struct virtq *q)
{
	return (uint16_t *)&q->used->ring[q->size];
}

static uint16_t *used_event(struct virtq *q)
{
	return &q->avail->ring[q->size];
}

bool virtq_rearm(struct virtq *q)
{
	if (q->event_idx)
		STORE(*avail_event(q), q->last_avail);
	/* Ask first, look again after: else a kick between the two is lost. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return LOAD(q->avail->idx) != q->last_avail;
}

bool virtq_wants_interrupt(struct virtq *q)
{
	uint16_t old = q->signalled;

	if (old == q->used_idx)
		return false;
	q->signalled = q->used_idx;
	/* Publish first, look after, as the driver does the other way round. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (q->event_idx)
		return vring_need_event(LOAD(*used_event(q)), q->used_idx, old);
	return !(LOAD(q->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
}

size_t iov_len(const struct iovec *iov, unsigned int nr)
{
	size_t len = 0;

	for (unsigned int i = 0; i < nr; i++)
		len += iov[i].iov_len;
	return len;
}

unsigned int iov_slice(struct iovec *iov, unsigned int nr, size_t offset, size_t len)
{
	unsigned int left = 0;

	for (unsigned int i = 0; i < nr && len; i++) {
		size_t skip = offset < iov[i].iov_len ? offset : iov[i].iov_len;
		size_t part = iov[i].iov_len - skip;

		offset -= skip;
		if (part > len)
			part = len;
		if (!part)
			continue;
		iov[left].iov_base = (uint8_t *)iov[i].iov_base + skip;
		iov[left++].iov_len = part;
		len -= part;
	}
	return left;
}

size_t iov_read(const struct iovec *iov, unsigned int nr, size_t offset, void *buf, size_t len)
{
	size_t done = 0;

	for (unsigned int i = 0; i < nr && done < len; i++) {
		size_t skip = offset < iov[i].iov_len ? offset : iov[i].iov_len;
		size_t part = iov[i].iov_len - skip;

		offset -= skip;
		if (part > len - done)
			part = len - done;
		if (!part)
			continue;
		memcpy((uint8_t *)buf + done, (uint8_t *)iov[i].iov_base + skip, part);
		done += part;
	}
	return done;
}

size_t iov_write(const struct iovec *iov, unsigned int nr, size_t offset, const void *buf,
		 size_t len)
{
	size_t done = 0;

	for (unsigned int i = 0; i < nr && done < len; i++) {
		size_t skip = offset < iov[i].iov_len ? offset : iov[i].iov_len;
		size_t part = iov[i].iov_len - skip;

		offset -= skip;
		if (part > len - done)
			part = len - done;
		if (!part)
			continue;
		memcpy((uint8_t *)iov[i].iov_base + skip, (const uint8_t *)buf + done, part);
		done += part;
	}
	return done;
}
