// SPDX-License-Identifier: GPL-2.0-only
/* The PCI transport (virtio 1.1, "Virtio Over PCI Bus"), modern interface only. */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <string.h>
#include <sys/ioctl.h>

#include "util.h"
#include "vm.h"

#define VIRTIO_VENDOR		0x1af4
#define VIRTIO_DEVICE_BASE	0x1040

/* All of a device's registers lie in one BAR, a page for each kind. */
#define BAR_SIZE		0x8000
#define BAR_COMMON		0x0000
#define BAR_ISR			0x1000
#define BAR_CONFIG		0x2000
#define BAR_NOTIFY		0x3000
#define BAR_MSIX_TABLE		0x4000
#define BAR_MSIX_PBA		0x5000
#define BAR_PAGE		0x1000
#define NOTIFY_MULTIPLIER	4

#define COMMON(field)		offsetof(struct virtio_pci_common_cfg, field)

static struct virtio_dev *from_pci(struct pci_dev *pci)
{
	return (struct virtio_dev *)((char *)pci - offsetof(struct virtio_dev, pci));
}

static void msix_send(struct virtio_dev *dev, unsigned int vector)
{
	struct virtio_msix *entry = &dev->msix[vector];

	if (dev->msix_masked || (entry->control & PCI_MSIX_ENTRY_CTRL_MASKBIT)) {
		entry->pending = true;
		return;
	}
	event_signal(entry->fd);
}

void virtio_pci_interrupt(struct virtio_dev *dev, uint16_t vector)
{
	/* No INTx here: a driver without MSI-X may only poll. */
	if (dev->msix_enabled && vector <= dev->ops->nr_queues)
		msix_send(dev, vector);
}

/* After any change to the entry or to the masks above it. */
static void msix_update(struct virtio_dev *dev, unsigned int vector)
{
	struct virtio_msix *entry = &dev->msix[vector];

	if (!dev->msix_enabled || dev->msix_masked ||
	    (entry->control & PCI_MSIX_ENTRY_CTRL_MASKBIT))
		return;
	irq_route_msi(&dev->vm->irq, entry->gsi, entry->addr, entry->data);
	if (!entry->attached) {
		irq_attach_fd(&dev->vm->irq, entry->gsi, entry->fd);
		entry->attached = true;
	}
	if (entry->pending) {
		entry->pending = false;
		event_signal(entry->fd);
	}
}

static void msix_table_write(struct virtio_dev *dev, uint64_t offset, unsigned int size,
			     uint64_t value)
{
	unsigned int vector = offset / PCI_MSIX_ENTRY_SIZE;
	struct virtio_msix *entry;

	if (size == 8) {
		msix_table_write(dev, offset, 4, (uint32_t)value);
		msix_table_write(dev, offset + 4, 4, value >> 32);
		return;
	}
	if (vector > dev->ops->nr_queues || size != 4)
		return;
	entry = &dev->msix[vector];
	switch (offset % PCI_MSIX_ENTRY_SIZE) {
	case PCI_MSIX_ENTRY_LOWER_ADDR:
		entry->addr = (entry->addr & ~0xffffffffULL) | (value & ~3ULL);
		break;
	case PCI_MSIX_ENTRY_UPPER_ADDR:
		entry->addr = (uint32_t)entry->addr | value << 32;
		break;
	case PCI_MSIX_ENTRY_DATA:
		entry->data = value;
		break;
	case PCI_MSIX_ENTRY_VECTOR_CTRL:
		entry->control = value & PCI_MSIX_ENTRY_CTRL_MASKBIT;
		break;
	default:
		return;
	}
	msix_update(dev, vector);
}

static uint64_t msix_table_read(struct virtio_dev *dev, uint64_t offset, unsigned int size)
{
	unsigned int vector = offset / PCI_MSIX_ENTRY_SIZE;
	unsigned int at = offset % PCI_MSIX_ENTRY_SIZE;
	uint8_t raw[PCI_MSIX_ENTRY_SIZE];
	uint64_t value = 0;

	if (vector > dev->ops->nr_queues || at + size > sizeof(raw))
		return 0;
	memcpy(raw + PCI_MSIX_ENTRY_LOWER_ADDR, &dev->msix[vector].addr, 8);
	memcpy(raw + PCI_MSIX_ENTRY_DATA, &dev->msix[vector].data, 4);
	memcpy(raw + PCI_MSIX_ENTRY_VECTOR_CTRL, &dev->msix[vector].control, 4);
	memcpy(&value, raw + at, size);
	return value;
}

static uint64_t msix_pending(const struct virtio_dev *dev)
{
	uint64_t bits = 0;

	for (unsigned int i = 0; i < VIRTIO_MAX_VECTORS; i++)
		bits |= (uint64_t)dev->msix[i].pending << i;
	return bits;
}

static uint64_t common_read(struct virtio_dev *dev, uint64_t offset, unsigned int size)
{
	struct virtio_pci_common_cfg cfg = { 0 };
	uint64_t value = 0;

	if (offset + size > sizeof(cfg))
		return 0;
	cfg.device_feature_select = dev->feature_select;
	if (dev->feature_select < 2)
		cfg.device_feature = dev->features >> (32 * dev->feature_select);
	cfg.guest_feature_select = dev->driver_feature_select;
	if (dev->driver_feature_select < 2)
		cfg.guest_feature = dev->accepted >> (32 * dev->driver_feature_select);
	cfg.msix_config = dev->config_vector;
	cfg.num_queues = dev->ops->nr_queues;
	cfg.device_status = dev->status;
	cfg.config_generation = dev->generation;
	cfg.queue_select = dev->queue_select;
	if (dev->queue_select < dev->ops->nr_queues) {
		const struct virtq *q = &dev->queue[dev->queue_select];

		cfg.queue_size = q->size;
		cfg.queue_msix_vector = q->vector;
		cfg.queue_enable = q->ready;
		cfg.queue_notify_off = dev->queue_select;
		cfg.queue_desc_lo = (uint32_t)q->desc_gpa;
		cfg.queue_desc_hi = q->desc_gpa >> 32;
		cfg.queue_avail_lo = (uint32_t)q->avail_gpa;
		cfg.queue_avail_hi = q->avail_gpa >> 32;
		cfg.queue_used_lo = (uint32_t)q->used_gpa;
		cfg.queue_used_hi = q->used_gpa >> 32;
	}
	memcpy(&value, (const char *)&cfg + offset, size);
	return value;
}

static void set_half(uint64_t *whole, bool high, uint64_t value)
{
	if (high)
		*whole = (uint32_t)*whole | value << 32;
	else
		*whole = (*whole & ~0xffffffffULL) | (uint32_t)value;
}

static void write_status(struct virtio_dev *dev, uint8_t value)
{
	bool was_running = virtio_running(dev);

	if (!value) {
		virtio_reset(dev);
		return;
	}
	/* Bits are only ever added; a driver that asks for too much is told by FEATURES_OK. */
	if ((value & VIRTIO_CONFIG_S_FEATURES_OK) &&
	    ((dev->accepted & ~dev->features) || !virtio_accepted(dev, VIRTIO_F_VERSION_1)))
		value &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	dev->status |= value & ~VIRTIO_CONFIG_S_NEEDS_RESET;
	if (was_running || !virtio_running(dev))
		return;
	/* Buffers may have been put into the queues before DRIVER_OK. */
	for (unsigned int i = 0; i < dev->ops->nr_queues; i++)
		event_signal(dev->queue[i].kick_fd);
}

static void write_queue(struct virtio_dev *dev, struct virtq *q, uint64_t offset, uint64_t value)
{
	/* What the driver may set is fixed once the queue runs. */
	if (q->ready)
		return;
	switch (offset) {
	case COMMON(queue_size):
		if (value && value <= VIRTQ_MAX_SIZE && !(value & (value - 1)))
			q->size = value;
		break;
	case COMMON(queue_msix_vector):
		q->vector = value <= dev->ops->nr_queues ? value : VIRTIO_NO_VECTOR;
		break;
	case COMMON(queue_enable):
		if (value == 1 && !virtq_enable(q, &dev->vm->mem,
						virtio_accepted(dev, VIRTIO_RING_F_EVENT_IDX)))
			virtio_break(dev);
		break;
	case COMMON(queue_desc_lo):
	case COMMON(queue_desc_hi):
		set_half(&q->desc_gpa, offset == COMMON(queue_desc_hi), value);
		break;
	case COMMON(queue_avail_lo):
	case COMMON(queue_avail_hi):
		set_half(&q->avail_gpa, offset == COMMON(queue_avail_hi), value);
		break;
	case COMMON(queue_used_lo):
	case COMMON(queue_used_hi):
		set_half(&q->used_gpa, offset == COMMON(queue_used_hi), value);
		break;
	default:
		break;
	}
}

static void common_write(struct virtio_dev *dev, uint64_t offset, uint64_t value)
{
	switch (offset) {
	case COMMON(device_feature_select):
		dev->feature_select = value;
		break;
	case COMMON(guest_feature_select):
		dev->driver_feature_select = value;
		break;
	case COMMON(guest_feature):
		if (dev->driver_feature_select < 2 && !(dev->status & VIRTIO_CONFIG_S_FEATURES_OK))
			set_half(&dev->accepted, dev->driver_feature_select, value);
		break;
	case COMMON(msix_config):
		dev->config_vector = value <= dev->ops->nr_queues ? value : VIRTIO_NO_VECTOR;
		break;
	case COMMON(device_status):
		write_status(dev, value);
		break;
	case COMMON(queue_select):
		dev->queue_select = value;
		break;
	default:
		if (dev->queue_select < dev->ops->nr_queues)
			write_queue(dev, &dev->queue[dev->queue_select], offset, value);
		break;
	}
}

static uint64_t config_read(const struct virtio_dev *dev, uint64_t offset, unsigned int size)
{
	uint64_t value = 0;

	if (offset < dev->config_len && size <= dev->config_len - offset)
		memcpy(&value, dev->config + offset, size);
	return value;
}

static uint64_t bar_read(void *ctx, uint64_t offset, unsigned int size)
{
	struct virtio_dev *dev = ctx;
	uint64_t at = offset % BAR_PAGE;
	uint64_t value = 0;

	pthread_mutex_lock(&dev->lock);
	switch (offset - at) {
	case BAR_COMMON:
		value = common_read(dev, at, size);
		break;
	case BAR_ISR:
		value = at ? 0 : dev->isr;
		dev->isr = at ? dev->isr : 0;
		break;
	case BAR_CONFIG:
		value = config_read(dev, at, size);
		break;
	case BAR_MSIX_TABLE:
		value = msix_table_read(dev, at, size);
		break;
	case BAR_MSIX_PBA:
		value = at ? 0 : msix_pending(dev);
		break;
	default:
		break;
	}
	pthread_mutex_unlock(&dev->lock);
	return value;
}

static void bar_write(void *ctx, uint64_t offset, unsigned int size, uint64_t value)
{
	struct virtio_dev *dev = ctx;
	uint64_t at = offset % BAR_PAGE;

	pthread_mutex_lock(&dev->lock);
	switch (offset - at) {
	case BAR_COMMON:
		common_write(dev, at, value);
		break;
	case BAR_NOTIFY:
		/* Kicks come through KVM_IOEVENTFD; this one had another width. */
		if (at / NOTIFY_MULTIPLIER < dev->ops->nr_queues)
			event_signal(dev->queue[at / NOTIFY_MULTIPLIER].kick_fd);
		break;
	case BAR_MSIX_TABLE:
		msix_table_write(dev, at, size, value);
		break;
	default:
		break;
	}
	pthread_mutex_unlock(&dev->lock);
}

static const struct bus_ops bar_ops = { bar_read, bar_write };

static void set_ioeventfd(struct virtio_dev *dev, uint64_t bar, unsigned int queue, uint32_t flags)
{
	struct kvm_ioeventfd io = {
		.addr = bar + BAR_NOTIFY + queue * NOTIFY_MULTIPLIER,
		.len = 2,
		.fd = dev->queue[queue].kick_fd,
		.flags = flags,
	};

	if (ioctl(dev->vm->fd, KVM_IOEVENTFD, &io) < 0)
		fail("KVM_IOEVENTFD: %s", strerror(errno));
}

/* Only kept by the bus's lock: the old address is the one given here last. */
static void bar_moved(struct pci_dev *pci, uint64_t addr)
{
	struct virtio_dev *dev = from_pci(pci);

	for (unsigned int i = 0; i < dev->ops->nr_queues; i++) {
		if (dev->notify_addr)
			set_ioeventfd(dev, dev->notify_addr, i, KVM_IOEVENTFD_FLAG_DEASSIGN);
		if (addr)
			set_ioeventfd(dev, addr, i, 0);
	}
	dev->notify_addr = addr;
}

static void update_msix_control(struct virtio_dev *dev)
{
	uint16_t control = pci_get16(&dev->pci, dev->msix_cap + PCI_MSIX_FLAGS);

	pthread_mutex_lock(&dev->lock);
	dev->msix_enabled = control & PCI_MSIX_FLAGS_ENABLE;
	dev->msix_masked = control & PCI_MSIX_FLAGS_MASKALL;
	for (unsigned int i = 0; i <= dev->ops->nr_queues; i++)
		msix_update(dev, i);
	pthread_mutex_unlock(&dev->lock);
}

/*
 * The window that VIRTIO_PCI_CAP_PCI_CFG opens into the BAR, for software that
 * cannot map it. False if the driver has aimed it at nothing.
 */
static bool window(const struct virtio_dev *dev, uint32_t *offset, uint32_t *len)
{
	*offset = pci_get32(&dev->pci, dev->window_cap + VIRTIO_PCI_CAP_OFFSET);
	*len = pci_get32(&dev->pci, dev->window_cap + VIRTIO_PCI_CAP_LENGTH);
	return !dev->pci.config[dev->window_cap + VIRTIO_PCI_CAP_BAR] &&
	       (*len == 1 || *len == 2 || *len == 4) && !(*offset % *len) &&
	       *offset <= BAR_SIZE - *len;
}

static bool touches(unsigned int offset, unsigned int size, unsigned int at, unsigned int len)
{
	return offset < at + len && at < offset + size;
}

static void virtio_config_read(struct pci_dev *pci, unsigned int offset, unsigned int size)
{
	struct virtio_dev *dev = from_pci(pci);
	unsigned int data = dev->window_cap + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);
	uint32_t at = 0, len = 0;

	if (touches(offset, size, data, 4) && window(dev, &at, &len))
		pci_set32(pci, data, bar_read(dev, at, len));
}

static void virtio_config_written(struct pci_dev *pci, unsigned int offset, unsigned int size)
{
	struct virtio_dev *dev = from_pci(pci);
	unsigned int data = dev->window_cap + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);
	uint32_t at = 0, len = 0;

	if (touches(offset, size, dev->msix_cap + PCI_MSIX_FLAGS, 2))
		update_msix_control(dev);
	if (touches(offset, size, data, 4) && window(dev, &at, &len))
		bar_write(dev, at, len, pci_get32(pci, data) & bus_mask(len));
}

static const struct pci_dev_ops pci_ops = {
	.config_read = virtio_config_read,
	.config_written = virtio_config_written,
	.bar_moved = bar_moved,
};

static void add_virtio_cap(struct virtio_dev *dev, uint8_t type, uint32_t offset, uint32_t length)
{
	struct virtio_pci_cap cap = {
		.cap_vndr = PCI_CAP_ID_VNDR,
		.cap_len = sizeof(cap),
		.cfg_type = type,
		.offset = offset,
		.length = length,
	};

	pci_add_capability(&dev->pci, &cap, sizeof(cap));
}

static void add_notify_cap(struct virtio_dev *dev)
{
	struct virtio_pci_notify_cap cap = {
		.cap.cap_vndr = PCI_CAP_ID_VNDR,
		.cap.cap_len = sizeof(cap),
		.cap.cfg_type = VIRTIO_PCI_CAP_NOTIFY_CFG,
		.cap.offset = BAR_NOTIFY,
		.cap.length = BAR_PAGE,
		.notify_off_multiplier = NOTIFY_MULTIPLIER,
	};

	pci_add_capability(&dev->pci, &cap, sizeof(cap));
}

static void add_window_cap(struct virtio_dev *dev)
{
	struct virtio_pci_cfg_cap cap = {
		.cap.cap_vndr = PCI_CAP_ID_VNDR,
		.cap.cap_len = sizeof(cap),
		.cap.cfg_type = VIRTIO_PCI_CAP_PCI_CFG,
	};
	uint8_t *writable = dev->pci.writable;
	uint8_t at = pci_add_capability(&dev->pci, &cap, sizeof(cap));

	dev->window_cap = at;
	writable[at + VIRTIO_PCI_CAP_BAR] = 0xff;
	memset(writable + at + VIRTIO_PCI_CAP_OFFSET, 0xff,
	       sizeof(cap) - VIRTIO_PCI_CAP_OFFSET);
}

static void add_msix_cap(struct virtio_dev *dev)
{
	uint8_t cap[PCI_CAP_MSIX_SIZEOF] = { PCI_CAP_ID_MSIX };
	uint8_t at = pci_add_capability(&dev->pci, cap, sizeof(cap));

	dev->msix_cap = at;
	/* One vector for the configuration and one for each queue. */
	pci_set16(&dev->pci, at + PCI_MSIX_FLAGS, dev->ops->nr_queues);
	pci_set32(&dev->pci, at + PCI_MSIX_TABLE, BAR_MSIX_TABLE);
	pci_set32(&dev->pci, at + PCI_MSIX_PBA, BAR_MSIX_PBA);
	dev->pci.writable[at + PCI_MSIX_FLAGS + 1] =
		(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) >> 8;
}

void virtio_pci_init(struct virtio_dev *dev)
{
	for (unsigned int i = 0; i <= dev->ops->nr_queues; i++) {
		dev->msix[i].control = PCI_MSIX_ENTRY_CTRL_MASKBIT;
		dev->msix[i].fd = xeventfd();
		dev->msix[i].gsi = irq_alloc_msi(&dev->vm->irq);
	}
	pci_setup(&dev->pci, VIRTIO_VENDOR, VIRTIO_DEVICE_BASE + dev->ops->type,
		  dev->ops->class_code);
	dev->pci.ops = &pci_ops;
	dev->pci.bar_ops = &bar_ops;
	dev->pci.bar_size = BAR_SIZE;
	dev->pci.ctx = dev;
	add_virtio_cap(dev, VIRTIO_PCI_CAP_COMMON_CFG, BAR_COMMON, BAR_PAGE);
	add_virtio_cap(dev, VIRTIO_PCI_CAP_ISR_CFG, BAR_ISR, BAR_PAGE);
	add_virtio_cap(dev, VIRTIO_PCI_CAP_DEVICE_CFG, BAR_CONFIG, BAR_PAGE);
	add_notify_cap(dev);
	add_window_cap(dev);
	add_msix_cap(dev);
	pci_add(&dev->vm->pci, &dev->pci);
}
