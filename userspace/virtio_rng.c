// SPDX-License-Identifier: GPL-2.0-only
/* virtio-rng (virtio 1.1, "Entropy Device") from the host's own generator. */
#include <linux/virtio_ids.h>
#include <sys/random.h>

#include "vm.h"

/* No driver asks for more at once; a hostile one must not hold the thread. */
#define RNG_MAX		4096

static bool fill(struct virtq *q, struct virtq_chain *chain)
{
	uint8_t buf[RNG_MAX];
	size_t want = iov_len(chain->in, chain->nr_in);
	ssize_t n;

	if (chain->nr_out || !want)
		return false;
	n = getrandom(buf, want < sizeof(buf) ? want : sizeof(buf), 0);
	virtq_push(q, chain->head, n > 0 ? iov_write(chain->in, chain->nr_in, 0, buf, n) : 0);
	return true;
}

static void rng_serve(struct virtio_dev *dev, unsigned int queue)
{
	struct virtq *q = &dev->queue[queue];
	struct virtq_chain chain;
	enum virtq_result result;

	do {
		while ((result = virtq_pop(q, &dev->vm->mem, &chain)) == VIRTQ_CHAIN)
			if (!fill(q, &chain))
				break;
		if (result != VIRTQ_EMPTY) {
			virtio_break(dev);
			return;
		}
	} while (virtq_rearm(q));
	virtio_interrupt(dev, queue);
}

static const struct virtio_ops rng_ops = {
	.type = VIRTIO_ID_RNG,
	.class_code = 0x00ff00,
	.nr_queues = 1,
	.serve = rng_serve,
};

struct virtio_dev *virtio_rng_create(struct vm *vm)
{
	return virtio_create(vm, &rng_ops, NULL);
}
