/* SPDX-License-Identifier: GPL-2.0-only */
/* virtio 1.x: split virtqueues, and devices over PCI with MSI-X. */
#ifndef KEEL_VIRTIO_H
#define KEEL_VIRTIO_H

#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "mem.h"
#include "pci.h"
#include "worker.h"

struct vm;
struct virtio_dev;

#define VIRTQ_MAX_SIZE		256
#define VIRTIO_MAX_QUEUES	2
#define VIRTIO_MAX_VECTORS	(VIRTIO_MAX_QUEUES + 1)
#define VIRTIO_NO_VECTOR	0xffff
#define VIRTIO_CONFIG_MAX	128

/**
 * struct virtq - one split virtqueue
 * @size: entries, a power of two; the guest may lower it
 * @ready: the guest has enabled it and its rings lie in RAM
 * @event_idx: VIRTIO_RING_F_EVENT_IDX was negotiated
 * @desc_gpa: where the guest has put the descriptor table
 * @avail_gpa: the available ring
 * @used_gpa: the used ring
 * @desc: the rings as the launcher sees them; the guest may write them any
 *	time, so each field is read once and checked after
 * @last_avail: the next available entry to take
 * @used_idx: the next used entry to fill
 * @signalled: @used_idx when the guest was last looked at for an interrupt
 * @vector: MSI-X vector, or VIRTIO_NO_VECTOR
 * @kick_fd: signalled through KVM_IOEVENTFD when the guest kicks
 */
struct virtq {
	uint16_t size;
	bool ready;
	bool event_idx;
	uint64_t desc_gpa;
	uint64_t avail_gpa;
	uint64_t used_gpa;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t last_avail;
	uint16_t used_idx;
	uint16_t signalled;
	uint16_t vector;
	int kick_fd;
};

/**
 * struct virtq_chain - one request, checked, as host memory
 * @head: names it when it is given back
 * @out: what the device reads
 * @in: what the device writes
 */
struct virtq_chain {
	uint16_t head;
	struct iovec *out;
	unsigned int nr_out;
	struct iovec *in;
	unsigned int nr_in;
	struct iovec iov[VIRTQ_MAX_SIZE];
};

/** enum virtq_result - what virtq_pop() found */
enum virtq_result {
	VIRTQ_EMPTY,
	VIRTQ_CHAIN,
	VIRTQ_BROKEN,
};

/** virtq_enable() - find the rings in RAM; false if the guest's addresses are bad */
bool virtq_enable(struct virtq *q, const struct guest_mem *mem, bool event_idx);
enum virtq_result virtq_pop(struct virtq *q, const struct guest_mem *mem,
			    struct virtq_chain *chain);
/** virtq_unpop() - put the chain back that was taken last */
void virtq_unpop(struct virtq *q);
/** virtq_push() - give a chain back, with @len bytes written into it */
void virtq_push(struct virtq *q, uint16_t head, uint32_t len);
/** virtq_rearm() - ask for a kick; true if there is more to take already */
bool virtq_rearm(struct virtq *q);
/** virtq_wants_interrupt() - whether what was pushed since the last call needs one */
bool virtq_wants_interrupt(struct virtq *q);

/* Bytes in a run of iovecs, and copies between them and a flat buffer. */
size_t iov_len(const struct iovec *iov, unsigned int nr);
size_t iov_read(const struct iovec *iov, unsigned int nr, size_t offset, void *buf, size_t len);
size_t iov_write(const struct iovec *iov, unsigned int nr, size_t offset, const void *buf,
		 size_t len);
/** iov_slice() - cut iovecs in place to @len bytes from @offset; returns how many are left */
unsigned int iov_slice(struct iovec *iov, unsigned int nr, size_t offset, size_t len);

/**
 * struct virtio_ops - what makes a device what it is
 * @type: virtio device ID
 * @class_code: PCI class
 * @nr_queues: how many virtqueues
 * @features: offered beyond those of every device here
 * @serve: take what is in a queue; called in the worker with the lock held
 * @reset: the guest has reset the device; lock held; may be NULL
 * @destroy: free what is the device's own; may be NULL
 */
struct virtio_ops {
	uint16_t type;
	uint32_t class_code;
	unsigned int nr_queues;
	uint64_t features;
	void (*serve)(struct virtio_dev *dev, unsigned int queue);
	void (*reset)(struct virtio_dev *dev);
	void (*destroy)(struct virtio_dev *dev);
};

/**
 * struct virtio_msix - one MSI-X table entry
 * @gsi: its input in the VM's routing table
 * @fd: raises it, through KVM_IRQFD
 * @attached: @fd has been given to the device
 * @pending: asked for while masked
 */
struct virtio_msix {
	uint64_t addr;
	uint32_t data;
	uint32_t control;
	unsigned int gsi;
	int fd;
	bool attached;
	bool pending;
};

/**
 * struct virtio_dev - a device
 * @lock: guards everything the guest can change; the worker holds it while it
 *	serves a queue, a vCPU thread while it touches a register
 * @features: offered
 * @accepted: what the driver took of them
 * @status: device status
 * @notify_addr: the BAR for which KVM_IOEVENTFD is set; guarded by the bus
 * @config: device-specific configuration, read-only to the guest
 * @opaque: the device's own
 */
struct virtio_dev {
	struct vm *vm;
	const struct virtio_ops *ops;
	pthread_mutex_t lock;
	struct worker worker;
	struct pci_dev pci;
	uint64_t features;
	uint64_t accepted;
	uint32_t feature_select;
	uint32_t driver_feature_select;
	uint16_t queue_select;
	uint8_t status;
	uint8_t isr;
	uint8_t generation;
	uint16_t config_vector;
	uint8_t msix_cap;
	uint8_t window_cap;
	uint64_t notify_addr;
	bool msix_enabled;
	bool msix_masked;
	struct virtio_msix msix[VIRTIO_MAX_VECTORS];
	struct virtq queue[VIRTIO_MAX_QUEUES];
	uint8_t config[VIRTIO_CONFIG_MAX];
	uint32_t config_len;
	void *opaque;
};

/** virtio_create() - make a device and put it on the PCI bus, not yet running */
struct virtio_dev *virtio_create(struct vm *vm, const struct virtio_ops *ops, void *opaque);
void virtio_start(struct virtio_dev *dev);
void virtio_destroy(struct virtio_dev *dev);

/** virtio_running() - the driver has said DRIVER_OK, and the device is not broken */
bool virtio_running(const struct virtio_dev *dev);
bool virtio_accepted(const struct virtio_dev *dev, unsigned int feature);
/** virtio_interrupt() - tell the guest of used buffers, if it wants to know */
void virtio_interrupt(struct virtio_dev *dev, unsigned int queue);
/** virtio_config_changed() - tell the guest that @config has changed */
void virtio_config_changed(struct virtio_dev *dev);
/** virtio_break() - the driver broke the rules: stop until it resets the device */
void virtio_break(struct virtio_dev *dev);

/* The transport's side of the device, virtio_pci.c. */
void virtio_pci_init(struct virtio_dev *dev);
void virtio_pci_interrupt(struct virtio_dev *dev, uint16_t vector);
void virtio_reset(struct virtio_dev *dev);

/**
 * struct disk - a disk image, open for as long as the launcher runs
 * @path: its file
 * @fd: open and locked
 * @size: length in bytes
 * @readonly: the guest may not write
 */
struct disk {
	const char *path;
	int fd;
	uint64_t size;
	bool readonly;
};

/** disk_open() - open, check and lock an image, or fail() */
void disk_open(struct disk *disk, const char *path, bool readonly);
/** disk_flush() - write what the host still holds of it; false, with a warning, if it cannot */
bool disk_flush(const struct disk *disk);
/** tap_open() - open a tap interface for virtio-net, or fail() */
int tap_open(const char *name);

struct virtio_dev *virtio_blk_create(struct vm *vm, struct disk *disk);
struct virtio_dev *virtio_net_create(struct vm *vm, int tap_fd, const uint8_t mac[6]);
struct virtio_dev *virtio_console_create(struct vm *vm);
struct virtio_dev *virtio_rng_create(struct vm *vm);

#endif
