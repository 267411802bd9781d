// SPDX-License-Identifier: GPL-2.0-only
/* virtio-net (virtio 1.1, "Network Device") on a tap interface. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util.h"
#include "vm.h"

#define TUN_DEVICE	"/dev/net/tun"
#define QUEUE_RX	0
#define QUEUE_TX	1
/* Frames taken from the tap in one go, so that a flood cannot starve sending. */
#define RX_BURST	64

int tap_open(const char *name)
{
	int header = sizeof(struct virtio_net_hdr_v1);
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd;

	if (!*name || strlen(name) >= sizeof(ifr.ifr_name))
		fail("--net: '%s' is not the name of an interface", name);
	strcpy(ifr.ifr_name, name);
	fd = open(TUN_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		fail("%s: %s", TUN_DEVICE, strerror(errno));
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		fail("--net: cannot use tap interface '%s': %s", name,
		     errno == EBUSY ? "already in use" : strerror(errno));
	if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
		fail("--net: tap interface '%s': %s", name, strerror(errno));
	return fd;
}

/**
 * struct net - a network device's own state
 * @tap_fd: the tap
 * @offload: what the tap was last told that the guest can do
 */
struct net {
	int tap_fd;
	long offload;
};

static int tap_of(const struct virtio_dev *dev)
{
	const struct net *net = dev->opaque;

	return net->tap_fd;
}

/*
 * Fills one chain with one frame. The tap's header is the device's own, but
 * for the buffer count, which the kernel leaves to whoever hands it on.
 */
static bool receive_frame(struct virtio_dev *dev, struct virtq *q, struct virtq_chain *chain)
{
	const uint16_t one = 1;
	size_t room = iov_len(chain->in, chain->nr_in);
	ssize_t n;

	n = readv(tap_of(dev), chain->in, chain->nr_in);
	if (n <= 0)
		return false;
	if ((size_t)n > room)
		n = room;
	iov_write(chain->in, chain->nr_in, offsetof(struct virtio_net_hdr_v1, num_buffers),
		  &one, sizeof(one));
	virtq_push(q, chain->head, n);
	return true;
}

static void serve_rx(struct virtio_dev *dev)
{
	struct virtq *q = &dev->queue[QUEUE_RX];
	struct virtq_chain chain;

	for (unsigned int i = 0; i < RX_BURST; i++) {
		enum virtq_result result = virtq_pop(q, &dev->vm->mem, &chain);

		if (result == VIRTQ_EMPTY && virtq_rearm(q))
			continue;
		if (result == VIRTQ_EMPTY) {
			/* No buffers: leave frames in the tap until there are. */
			worker_listen(&dev->worker, tap_of(dev), false);
			break;
		}
		if (result == VIRTQ_BROKEN || chain.nr_out ||
		    iov_len(chain.in, chain.nr_in) < sizeof(struct virtio_net_hdr_v1)) {
			virtio_break(dev);
			break;
		}
		if (!receive_frame(dev, q, &chain)) {
			virtq_unpop(q);
			break;
		}
	}
	virtio_interrupt(dev, QUEUE_RX);
}

static void serve_tx(struct virtio_dev *dev)
{
	struct virtq *q = &dev->queue[QUEUE_TX];
	struct virtq_chain chain;
	enum virtq_result result;

	do {
		while ((result = virtq_pop(q, &dev->vm->mem, &chain)) == VIRTQ_CHAIN) {
			/* A frame that the tap will not have is lost, as on any wire. */
			if (writev(tap_of(dev), chain.out, chain.nr_out) < 0 && errno == EBADFD)
				warn_line("network: the tap interface is gone or down");
			virtq_push(q, chain.head, 0);
		}
		if (result == VIRTQ_BROKEN) {
			virtio_break(dev);
			return;
		}
	} while (virtq_rearm(q));
	virtio_interrupt(dev, QUEUE_TX);
}

static void tap_ready(void *ctx, int fd)
{
	struct virtio_dev *dev = ctx;

	pthread_mutex_lock(&dev->lock);
	if (virtio_running(dev) && dev->queue[QUEUE_RX].ready)
		serve_rx(dev);
	else
		worker_listen(&dev->worker, fd, false);
	pthread_mutex_unlock(&dev->lock);
}

/* Whether frames may come without checksums is the driver's to choose. */
static void update_offload(struct virtio_dev *dev)
{
	struct net *net = dev->opaque;
	long offload = virtio_accepted(dev, VIRTIO_NET_F_GUEST_CSUM) ? TUN_F_CSUM : 0;

	if (offload == net->offload)
		return;
	if (!ioctl(net->tap_fd, TUNSETOFFLOAD, offload))
		net->offload = offload;
}

static void net_destroy(struct virtio_dev *dev)
{
	free(dev->opaque);
}

static void net_serve(struct virtio_dev *dev, unsigned int queue)
{
	if (queue == QUEUE_TX) {
		serve_tx(dev);
		return;
	}
	update_offload(dev);
	worker_listen(&dev->worker, tap_of(dev), true);
	serve_rx(dev);
}

static const struct virtio_ops net_ops = {
	.type = VIRTIO_ID_NET,
	.class_code = 0x020000,
	.nr_queues = 2,
	.features = 1ULL << VIRTIO_NET_F_MAC | 1ULL << VIRTIO_NET_F_CSUM |
		    1ULL << VIRTIO_NET_F_GUEST_CSUM | 1ULL << VIRTIO_NET_F_HOST_TSO4 |
		    1ULL << VIRTIO_NET_F_HOST_TSO6,
	.serve = net_serve,
	.destroy = net_destroy,
};

struct virtio_dev *virtio_net_create(struct vm *vm, int tap_fd, const uint8_t mac[6])
{
	struct net *net = xcalloc(1, sizeof(*net));
	struct virtio_dev *dev = virtio_create(vm, &net_ops, net);

	net->tap_fd = tap_fd;
	net->offload = -1;
	memcpy(dev->config, mac, 6);
	dev->config_len = sizeof(struct virtio_net_config);
	_Static_assert(sizeof(struct virtio_net_config) <= VIRTIO_CONFIG_MAX, "does not fit");
	worker_add(&dev->worker, tap_fd, tap_ready, dev);
	return dev;
}
