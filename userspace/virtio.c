// SPDX-License-Identifier: GPL-2.0-only
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"
#include "vm.h"

#define COMMON_FEATURES	(1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_INDIRECT_DESC | \
			 1ULL << VIRTIO_RING_F_EVENT_IDX)

bool virtio_running(const struct virtio_dev *dev)
{
	return (dev->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
	       !(dev->status & VIRTIO_CONFIG_S_NEEDS_RESET);
}

bool virtio_accepted(const struct virtio_dev *dev, unsigned int feature)
{
	return dev->accepted & (1ULL << feature);
}

void virtio_interrupt(struct virtio_dev *dev, unsigned int queue)
{
	if (!virtq_wants_interrupt(&dev->queue[queue]))
		return;
	dev->isr |= 1;
	virtio_pci_interrupt(dev, dev->queue[queue].vector);
}

void virtio_config_changed(struct virtio_dev *dev)
{
	dev->generation++;
	if (!virtio_running(dev))
		return;
	dev->isr |= 2;
	virtio_pci_interrupt(dev, dev->config_vector);
}

void virtio_break(struct virtio_dev *dev)
{
	if (dev->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	/* "Device Status Field": set the bit, then a configuration change. */
	virtio_config_changed(dev);
	dev->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
}

void virtio_reset(struct virtio_dev *dev)
{
	dev->accepted = 0;
	dev->feature_select = 0;
	dev->driver_feature_select = 0;
	dev->queue_select = 0;
	dev->status = 0;
	dev->isr = 0;
	dev->config_vector = VIRTIO_NO_VECTOR;
	for (unsigned int i = 0; i < dev->ops->nr_queues; i++) {
		struct virtq *q = &dev->queue[i];
		int kick_fd = q->kick_fd;

		memset(q, 0, sizeof(*q));
		q->kick_fd = kick_fd;
		q->size = VIRTQ_MAX_SIZE;
		q->vector = VIRTIO_NO_VECTOR;
	}
	if (dev->ops->reset)
		dev->ops->reset(dev);
}

/* The guest has kicked a queue; also called when the driver says DRIVER_OK. */
static void queue_kicked(void *ctx, int fd)
{
	struct virtio_dev *dev = ctx;

	event_clear(fd);
	pthread_mutex_lock(&dev->lock);
	for (unsigned int i = 0; i < dev->ops->nr_queues; i++)
		if (dev->queue[i].kick_fd == fd && dev->queue[i].ready && virtio_running(dev))
			dev->ops->serve(dev, i);
	pthread_mutex_unlock(&dev->lock);
}

struct virtio_dev *virtio_create(struct vm *vm, const struct virtio_ops *ops, void *opaque)
{
	struct virtio_dev *dev = xcalloc(1, sizeof(*dev));

	dev->vm = vm;
	dev->ops = ops;
	dev->opaque = opaque;
	dev->features = ops->features | COMMON_FEATURES;
	pthread_mutex_init(&dev->lock, NULL);
	worker_init(&dev->worker);
	for (unsigned int i = 0; i < ops->nr_queues; i++) {
		dev->queue[i].kick_fd = xeventfd();
		worker_add(&dev->worker, dev->queue[i].kick_fd, queue_kicked, dev);
	}
	virtio_reset(dev);
	virtio_pci_init(dev);
	if (vm->nr_devices == VM_MAX_DEVICES)
		fail("too many devices");
	vm->devices[vm->nr_devices++] = dev;
	return dev;
}

void virtio_start(struct virtio_dev *dev)
{
	worker_start(&dev->worker);
}

void virtio_destroy(struct virtio_dev *dev)
{
	worker_stop(&dev->worker);
	if (dev->ops->destroy)
		dev->ops->destroy(dev);
	for (unsigned int i = 0; i < dev->ops->nr_queues; i++)
		close(dev->queue[i].kick_fd);
	for (unsigned int i = 0; i <= dev->ops->nr_queues; i++)
		close(dev->msix[i].fd);
	pthread_mutex_destroy(&dev->lock);
	free(dev);
}
