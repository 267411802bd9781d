// SPDX-License-Identifier: GPL-2.0-only
/* virtio-console (virtio 1.1, "Console Device"): one port, the guest's hvc0. */
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "terminal.h"
#include "util.h"
#include "vm.h"

#define QUEUE_RX	0
#define QUEUE_TX	1

/**
 * struct console - the console's own state
 * @wake_fd: the terminal has input or a new size
 * @in_use: the guest has written since it reset the device
 */
struct console {
	int wake_fd;
	bool in_use;
};

/* Moves what was typed into the guest's buffers, while there is both. */
static void serve_rx(struct virtio_dev *dev)
{
	struct virtq *q = &dev->queue[QUEUE_RX];
	struct virtq_chain chain;
	uint8_t buf[256];

	for (;;) {
		enum virtq_result result = virtq_pop(q, &dev->vm->mem, &chain);
		size_t room, n;

		if (result == VIRTQ_EMPTY && virtq_rearm(q))
			continue;
		if (result == VIRTQ_EMPTY)
			break;
		room = result == VIRTQ_CHAIN ? iov_len(chain.in, chain.nr_in) : 0;
		if (!room) {
			virtio_break(dev);
			break;
		}
		n = terminal_take(CONSOLE_VIRTIO, buf, room < sizeof(buf) ? room : sizeof(buf));
		if (!n) {
			virtq_unpop(q);
			break;
		}
		iov_write(chain.in, chain.nr_in, 0, buf, n);
		virtq_push(q, chain.head, n);
	}
	virtio_interrupt(dev, QUEUE_RX);
}

/*
 * Linux looks at the size only when the configuration changes, and only once its
 * port exists is it safe to say so: its handler takes the port for granted. A
 * guest that writes has the port.
 */
static void first_use(struct virtio_dev *dev)
{
	struct console *console = dev->opaque;

	if (console->in_use)
		return;
	console->in_use = true;
	virtio_config_changed(dev);
}

static void serve_tx(struct virtio_dev *dev)
{
	struct virtq *q = &dev->queue[QUEUE_TX];
	struct virtq_chain chain;
	enum virtq_result result;

	do {
		while ((result = virtq_pop(q, &dev->vm->mem, &chain)) == VIRTQ_CHAIN) {
			for (unsigned int i = 0; i < chain.nr_out; i++)
				terminal_write(CONSOLE_VIRTIO, chain.out[i].iov_base,
					       chain.out[i].iov_len);
			virtq_push(q, chain.head, 0);
			first_use(dev);
			/* The driver waits for each write: do not save interrupts up. */
			virtio_interrupt(dev, QUEUE_TX);
		}
		if (result == VIRTQ_BROKEN) {
			virtio_break(dev);
			return;
		}
	} while (virtq_rearm(q));
}

static void console_serve(struct virtio_dev *dev, unsigned int queue)
{
	if (queue == QUEUE_RX)
		serve_rx(dev);
	else
		serve_tx(dev);
}

/* Returns whether the window has another size than the guest was told. */
static bool update_size(struct virtio_dev *dev)
{
	struct virtio_console_config config = { 0 };
	uint16_t cols, rows;

	terminal_size(&cols, &rows);
	config.cols = cols;
	config.rows = rows;
	if (!memcmp(dev->config, &config, sizeof(config)))
		return false;
	memcpy(dev->config, &config, sizeof(config));
	return true;
}

static void terminal_ready(void *ctx, int fd)
{
	struct virtio_dev *dev = ctx;
	struct console *console = dev->opaque;

	event_clear(fd);
	pthread_mutex_lock(&dev->lock);
	if (update_size(dev) && console->in_use)
		virtio_config_changed(dev);
	if (virtio_running(dev) && dev->queue[QUEUE_RX].ready)
		serve_rx(dev);
	pthread_mutex_unlock(&dev->lock);
}

static void console_reset(struct virtio_dev *dev)
{
	struct console *console = dev->opaque;

	console->in_use = false;
}

static void console_destroy(struct virtio_dev *dev)
{
	struct console *console = dev->opaque;

	terminal_detach(CONSOLE_VIRTIO);
	close(console->wake_fd);
	free(console);
}

static const struct virtio_ops console_ops = {
	.type = VIRTIO_ID_CONSOLE,
	.class_code = 0x078000,
	.nr_queues = 2,
	.features = 1ULL << VIRTIO_CONSOLE_F_SIZE,
	.serve = console_serve,
	.reset = console_reset,
	.destroy = console_destroy,
};

struct virtio_dev *virtio_console_create(struct vm *vm)
{
	struct console *console = xcalloc(1, sizeof(*console));
	struct virtio_dev *dev = virtio_create(vm, &console_ops, console);

	console->wake_fd = xeventfd();
	dev->config_len = sizeof(struct virtio_console_config);
	update_size(dev);
	worker_add(&dev->worker, console->wake_fd, terminal_ready, dev);
	terminal_attach(CONSOLE_VIRTIO, console->wake_fd);
	return dev;
}
