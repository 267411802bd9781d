// SPDX-License-Identifier: GPL-2.0-only
/*
 * The launcher's exit handler and its devices against a guest that does anything:
 * any port, any register, any bytes in the rings; and what the disk promises to a
 * guest that keeps to the rules. Linked with the launcher's own objects, built with
 * the sanitizers; ioctl() is replaced, so there is no device behind it, and
 * fdatasync(), so that it is seen what is on the disk. hostile [SEED [ROUNDS]]. TAP.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "exit.h"
#include "vm.h"

#define RAM_SIZE	0x40000
#define RING_SIZE	8
#define DESC_AT		0x1000
#define AVAIL_AT	0x2000
#define USED_AT		0x3000
#define DATA_AT		0x8000
#define REQUEST_AT	0x4000
#define QUEUE_STRIDE	0x4000
#define BAR_BASE	0xc0000000ULL
#define BAR_STRIDE	0x8000
#define BAR_ISR		0x1000
#define BAR_NOTIFY	0x3000
#define NR_DEVICES	4
#define BLK		0
#define DISK_SIZE	0x100000
#define COMMON(field)	offsetof(struct virtio_pci_common_cfg, field)

static struct vm vm;
static struct vm_config config;
static struct disk disk;
static uint8_t *ram;
static int wire;	/* the other end of the network */
static FILE *tap_out;
static int count, failures;

/* What a power failure would leave of the disk. */
static uint8_t stable[DISK_SIZE];
static bool sync_watched, sync_fails;

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_fdatasync(int fd);

/* Everything works, but that nobody knows the size of the window. */
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	(void)fd;
	if (request == TIOCGWINSZ) {
		errno = ENOTTY;
		return -1;
	}
	return 0;
}

/* A slow disk: who does not wait for it is early by far. */
int __wrap_fdatasync(int fd)
{
	const struct timespec pause = { .tv_nsec = 50000000 };

	if (!sync_watched)
		return 0;
	nanosleep(&pause, NULL);
	if (!sync_fails && pread(fd, stable, DISK_SIZE, 0) == DISK_SIZE)
		return 0;
	errno = EIO;
	return -1;
}

static void result(bool ok, const char *name)
{
	fprintf(tap_out, "%sok %d - %s\n", ok ? "" : "not ", ++count, name);
	failures += !ok;
}

static union {
	struct kvm_run run;
	uint8_t page[8192];
} shared;

static enum exit_result port_exit(bool out, uint16_t port, uint8_t size, uint32_t n)
{
	memset(&shared.run.io, 0, sizeof(shared.run.io));
	shared.run.exit_reason = KVM_EXIT_IO;
	shared.run.io.direction = out ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
	shared.run.io.port = port;
	shared.run.io.size = size;
	shared.run.io.count = n;
	shared.run.io.data_offset = 4096;
	return exit_handle(&shared.run, &vm.pio, &vm.mmio);
}

static void test_exits(void)
{
	uint8_t *data = shared.page + 4096;
	char text[128];
	uint32_t id;

	memset(data, 0, 16);
	result(port_exit(false, 0x1234, 2, 3) == EXIT_RESUME && data[5] == 0xff && !data[6],
	       "a string read of a port with nothing behind it: all ones, no further");
	id = 0x80000000;
	memcpy(data, &id, 4);
	port_exit(true, 0xcf8, 4, 1);
	port_exit(false, 0xcfc, 4, 1);
	memcpy(&id, data, 4);
	result(id == 0x00081b36, "the host bridge is found by configuration mechanism #1");
	port_exit(false, 0xcfe, 2, 1);
	result(data[0] == 0x08 && data[1] == 0, "half of a configuration register");
	data[0] = 0x5a;
	port_exit(true, 0x3ff, 1, 1);
	data[0] = 0;
	port_exit(false, 0x3ff, 1, 1);
	result(data[0] == 0x5a, "a register of the serial line keeps its value");

	shared.run.exit_reason = KVM_EXIT_MMIO;
	shared.run.mmio.phys_addr = 0xdeadbeef000;
	shared.run.mmio.len = 8;
	shared.run.mmio.is_write = 0;
	memset(shared.run.mmio.data, 0, 8);
	exit_handle(&shared.run, &vm.pio, &vm.mmio);
	result(shared.run.mmio.data[7] == 0xff, "memory with nothing behind it: all ones");

	shared.run.exit_reason = KVM_EXIT_SHUTDOWN;
	result(exit_handle(&shared.run, &vm.pio, &vm.mmio) == EXIT_TRIPLE_FAULT,
	       "a shutdown is a triple fault");
	shared.run.exit_reason = KVM_EXIT_FAIL_ENTRY;
	shared.run.fail_entry.hardware_entry_failure_reason = 0x80000021;
	exit_describe(&shared.run, text, sizeof(text));
	result(exit_handle(&shared.run, &vm.pio, &vm.mmio) == EXIT_GUEST_ERROR &&
	       strstr(text, "0x80000021"), "a failed entry is decoded");
	shared.run.exit_reason = 9999;
	exit_describe(&shared.run, text, sizeof(text));
	result(exit_handle(&shared.run, &vm.pio, &vm.mmio) == EXIT_GUEST_ERROR &&
	       strstr(text, "9999"), "an exit that nobody knows is named");
}

static void common_write(unsigned int dev, uint64_t field, unsigned int size, uint64_t value)
{
	bus_write(&vm.mmio, BAR_BASE + dev * BAR_STRIDE + field, size, value);
}

static void config_write(unsigned int slot, unsigned int offset, unsigned int size,
			 uint32_t value)
{
	bus_write(&vm.pio, 0xcf8, 4, 0x80000000 | slot << 11 | (offset & 0xfc));
	bus_write(&vm.pio, 0xcfc + (offset & 3), size, value);
}

/* What a driver does: BAR, features, queues, DRIVER_OK. */
static void set_up(unsigned int dev, uint64_t features)
{
	config_write(dev + 1, PCI_BASE_ADDRESS_0, 4, BAR_BASE + dev * BAR_STRIDE);
	config_write(dev + 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	common_write(dev, COMMON(device_status), 1, 0);
	common_write(dev, COMMON(guest_feature_select), 4, 0);
	common_write(dev, COMMON(guest_feature), 4, features);
	common_write(dev, COMMON(guest_feature_select), 4, 1);
	common_write(dev, COMMON(guest_feature), 4, 1);
	common_write(dev, COMMON(device_status), 1, VIRTIO_CONFIG_S_FEATURES_OK);
	for (unsigned int q = 0; q < VIRTIO_MAX_QUEUES; q++) {
		uint64_t at = (2 * dev + q) * QUEUE_STRIDE;

		memset(ram + at, 0, QUEUE_STRIDE);
		common_write(dev, COMMON(queue_select), 2, q);
		common_write(dev, COMMON(queue_size), 2, RING_SIZE);
		common_write(dev, COMMON(queue_desc_lo), 4, at + DESC_AT);
		common_write(dev, COMMON(queue_avail_lo), 4, at + AVAIL_AT);
		common_write(dev, COMMON(queue_used_lo), 4, at + USED_AT);
		common_write(dev, COMMON(queue_enable), 2, 1);
	}
	common_write(dev, COMMON(device_status), 1,
		     VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
}

static void kick(unsigned int dev, unsigned int queue)
{
	/* Of another width than KVM_IOEVENTFD takes, so that it comes here. */
	bus_write(&vm.mmio, BAR_BASE + dev * BAR_STRIDE + BAR_NOTIFY + 4 * queue, 4, queue);
}

static uint64_t any_value(void)
{
	static const uint64_t favourites[] = { 0, 1, 2, 4, 7, 8, 0xf, 0xff, 0x100, 0xffff,
					       0x1000, 0x10000, 0xffffffff, ~0ULL };

	if (random() % 2)
		return favourites[random() % ARRAY_SIZE(favourites)];
	return (uint64_t)random() << (random() % 33);
}

static void any_port(void)
{
	static const uint16_t ports[] = { 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff,
					  0x70, 0x71, 0x64, 0x600, 0x602, 0x604, 0x608, 0xcf8,
					  0xcf9, 0xcfc, 0xcfd, 0xcfe, 0xcff };
	uint16_t port = random() % 8 ? ports[random() % ARRAY_SIZE(ports)] : random();
	unsigned int size = 1U << (random() % 3);

	if (random() % 2)
		bus_write(&vm.pio, port, size, any_value());
	else
		bus_read(&vm.pio, port, size);
}

static void any_register(void)
{
	uint64_t addr = BAR_BASE + (random() % NR_DEVICES) * BAR_STRIDE +
			(random() % 8) * 0x1000 + random() % 0x48;
	unsigned int size = 1U << (random() % 4);

	/* Fields have their own width; the odd ones stay. */
	if (random() % 4)
		addr &= ~(uint64_t)(size - 1);
	if (random() % 2)
		bus_write(&vm.mmio, addr, size, any_value());
	else
		bus_read(&vm.mmio, addr, size);
}

static void any_config(void)
{
	unsigned int size = 1U << (random() % 3);
	unsigned int offset = random() % 0x100 & ~(size - 1);

	config_write(random() % (NR_DEVICES + 2), offset, size, any_value());
	bus_read(&vm.pio, 0xcfc + (offset & 3), size);
}

/* A disk's request of a header, and for a discard one range. */
static void any_request(struct vring_desc *desc)
{
	static const uint32_t types[] = { VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_FLUSH,
					  VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_GET_ID, 99 };
	struct virtio_blk_outhdr header = { .type = types[random() % ARRAY_SIZE(types)] };
	struct virtio_blk_discard_write_zeroes range = {
		.num_sectors = any_value() % 64, .flags = random() % 8 == 0,
	};

	header.sector = random() % 4 ? any_value() % 2048 : any_value();
	range.sector = random() % 4 ? any_value() % 2048 : any_value();
	memcpy(ram + REQUEST_AT, &header, sizeof(header));
	memcpy(ram + REQUEST_AT + sizeof(header), &range, sizeof(range));
	desc[0] = (struct vring_desc) { REQUEST_AT, sizeof(header), VRING_DESC_F_NEXT, 1 };
	if (header.type == VIRTIO_BLK_T_DISCARD)
		desc[0].len += random() % 8 ? sizeof(range) : any_value() % 64;
	desc[1].addr = DATA_AT;
	desc[1].len = 1 + 512 * (any_value() % 8);
	desc[1].flags = VRING_DESC_F_WRITE;
	if (header.type == VIRTIO_BLK_T_OUT && random() % 8) {
		desc[1].len--;
		desc[1].flags = VRING_DESC_F_NEXT;
		desc[2] = (struct vring_desc) { DATA_AT, 1, VRING_DESC_F_WRITE, 0 };
	}
}

/* Mostly plausible chains, so that they come far, while the device looks at them. */
static void any_rings(unsigned int dev)
{
	unsigned int queue = random() % VIRTIO_MAX_QUEUES;
	uint8_t *at = ram + (2 * dev + queue) * QUEUE_STRIDE;
	struct vring_desc *desc = (void *)(at + DESC_AT);
	struct vring_avail *avail = (void *)(at + AVAIL_AT);

	for (unsigned int i = 0; i < RING_SIZE; i++) {
		desc[i].addr = random() % 8 ? (uint64_t)random() % RAM_SIZE : any_value();
		desc[i].len = random() % 8 ? (uint32_t)random() % 1024 : any_value();
		desc[i].flags = random() % 4 ? (i < 4 ? VRING_DESC_F_NEXT :
						VRING_DESC_F_WRITE) : random() % 8;
		desc[i].next = random() % 8 ? i + 1 : random();
		avail->ring[i] = random() % 16 ? random() % RING_SIZE : random();
	}
	if (dev == BLK && random() % 8)
		any_request(desc);
	avail->idx += random() % 16 ? 1 : random() % 10;
	kick(dev, queue);
}

static void test_random(unsigned int rounds)
{
	for (unsigned int i = 0; i < rounds; i++) {
		if (random() % 64 == 0)
			set_up(random() % NR_DEVICES, random() % 2 ? any_value() & 0x30000000 : 0);
		if (random() % 16 == 0 && send(wire, ram, random() % 2000, 0) < 0 && errno != EAGAIN)
			fprintf(tap_out, "# cannot send a frame\n");
		switch (random() % 8) {
		case 0:
			any_port();
			break;
		case 1:
		case 2:
			any_register();
			break;
		case 3:
			any_config();
			break;
		default:
			any_rings(random() % NR_DEVICES);
			break;
		}
	}
	result(true, "any port, any register, any ring: the devices live on");
}

/* Waits for the used ring, a moment at most. */
static bool used_up_to(const struct vring_used *used, uint16_t idx)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	for (unsigned int i = 0; i < 5000; i++) {
		if (__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) == idx)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

/* After all that, a driver that keeps to the rules resets the disk and reads a sector. */
static void test_recovery(void)
{
	uint8_t *at = ram + 2 * BLK * QUEUE_STRIDE;
	struct vring_desc *desc = (void *)(at + DESC_AT);
	struct vring_avail *avail = (void *)(at + AVAIL_AT);
	struct vring_used *used = (void *)(at + USED_AT);
	struct virtio_blk_outhdr header = { .type = VIRTIO_BLK_T_IN, .sector = 3 };
	uint8_t sector[512];

	memset(sector, 0xa5, sizeof(sector));
	if (pwrite(disk.fd, sector, sizeof(sector), 3 * 512) != sizeof(sector))
		fprintf(tap_out, "# cannot write the disk\n");
	set_up(BLK, 0);
	memset(ram + DATA_AT, 0, 1024);
	memcpy(ram + DATA_AT, &header, sizeof(header));
	desc[0] = (struct vring_desc) { DATA_AT, sizeof(header), VRING_DESC_F_NEXT, 1 };
	desc[1] = (struct vring_desc) { DATA_AT + 64, 513, VRING_DESC_F_WRITE, 0 };
	ram[DATA_AT + 64 + 512] = 0xff;
	avail->ring[0] = 0;
	__atomic_store_n(&avail->idx, 1, __ATOMIC_RELEASE);
	kick(BLK, 0);
	result(used_up_to(used, 1) && used->ring[0].len == 513 &&
	       !memcmp(ram + DATA_AT + 64, sector, 512) && !ram[DATA_AT + 64 + 512],
	       "the disk works again after a reset");

	header.type = VIRTIO_BLK_T_OUT;
	header.sector = DISK_SIZE / 512 - 1;
	memcpy(ram + DATA_AT, &header, sizeof(header));
	desc[1] = (struct vring_desc) { DATA_AT + 64, 1024, VRING_DESC_F_NEXT, 2 };
	desc[2] = (struct vring_desc) { DATA_AT + 32, 1, VRING_DESC_F_WRITE, 0 };
	__atomic_store_n(&avail->idx, 2, __ATOMIC_RELEASE);
	kick(BLK, 0);
	result(used_up_to(used, 2) && ram[DATA_AT + 32] == VIRTIO_BLK_S_IOERR,
	       "a write across the end of the disk is an error");
	result(lseek(disk.fd, 0, SEEK_END) == DISK_SIZE, "no write made the disk larger");
}

/* One request of a header, @len bytes at DATA_AT for the disk, and a status byte. */
static void put_request(unsigned int slot, uint32_t type, uint64_t sector, uint32_t len)
{
	uint8_t *at = ram + 2 * BLK * QUEUE_STRIDE;
	struct vring_desc *desc = (struct vring_desc *)(at + DESC_AT) + 4 * slot;
	struct vring_avail *avail = (void *)(at + AVAIL_AT);
	uint64_t header_at = REQUEST_AT + 64 * slot, status_at = header_at + 32;
	struct virtio_blk_outhdr header = { .type = type, .sector = sector };
	unsigned int n = 4 * slot;

	memcpy(ram + header_at, &header, sizeof(header));
	ram[status_at] = 0xff;
	*desc++ = (struct vring_desc) { header_at, sizeof(header), VRING_DESC_F_NEXT, ++n };
	if (len)
		*desc++ = (struct vring_desc) { DATA_AT, len, VRING_DESC_F_NEXT, ++n };
	*desc = (struct vring_desc) { status_at, 1, VRING_DESC_F_WRITE, 0 };
	avail->ring[avail->idx % RING_SIZE] = 4 * slot;
	__atomic_store_n(&avail->idx, avail->idx + 1, __ATOMIC_RELEASE);
}

static uint8_t status_of(unsigned int slot)
{
	return ram[REQUEST_AT + 64 * slot + 32];
}

/* Kicks, and waits until all that was put has come back. */
static bool all_done(void)
{
	uint8_t *at = ram + 2 * BLK * QUEUE_STRIDE;
	struct vring_avail *avail = (void *)(at + AVAIL_AT);

	kick(BLK, 0);
	return used_up_to((struct vring_used *)(at + USED_AT), avail->idx);
}

/* Has a power failure right now the sector that was written? */
static bool on_disk(uint64_t sector, uint8_t byte)
{
	uint8_t want[512];

	memset(want, byte, sizeof(want));
	return !memcmp(stable + sector * 512, want, sizeof(want));
}

static void test_durability(void)
{
	sync_watched = true;
	set_up(BLK, 1ULL << VIRTIO_BLK_F_FLUSH);
	memset(ram + DATA_AT, 0x11, 512);
	put_request(0, VIRTIO_BLK_T_OUT, 7, 512);
	result(all_done() && status_of(0) == VIRTIO_BLK_S_OK && !on_disk(7, 0x11),
	       "a write alone does not wait for the disk");
	put_request(0, VIRTIO_BLK_T_FLUSH, 0, 0);
	result(all_done() && status_of(0) == VIRTIO_BLK_S_OK && on_disk(7, 0x11),
	       "a write before a completed flush is on the disk");
	memset(ram + DATA_AT, 0x22, 512);
	put_request(0, VIRTIO_BLK_T_OUT, 8, 512);
	put_request(1, VIRTIO_BLK_T_FLUSH, 0, 0);
	result(all_done() && status_of(1) == VIRTIO_BLK_S_OK && on_disk(8, 0x22),
	       "so is one that was kicked together with the flush");

	sync_fails = true;
	put_request(0, VIRTIO_BLK_T_FLUSH, 0, 0);
	result(all_done() && status_of(0) == VIRTIO_BLK_S_IOERR,
	       "a flush that fails says so to the guest");
	result(!disk_flush(&disk), "a flush that fails at the end is told");
	sync_fails = false;
	put_request(0, VIRTIO_BLK_T_FLUSH, 0, 0);
	result(all_done() && status_of(0) == VIRTIO_BLK_S_OK, "the next flush works again");

	set_up(BLK, 0);
	memset(ram + DATA_AT, 0x33, 512);
	put_request(0, VIRTIO_BLK_T_OUT, 9, 512);
	result(all_done() && status_of(0) == VIRTIO_BLK_S_OK && on_disk(9, 0x33),
	       "without the feature, a completed write is on the disk");
	sync_fails = true;
	put_request(0, VIRTIO_BLK_T_OUT, 10, 512);
	result(all_done() && status_of(0) == VIRTIO_BLK_S_IOERR,
	       "without the feature, a write that cannot be flushed fails");
	sync_fails = false;
}

static void make_machine(void)
{
	int pair[2];
	char name[] = "/tmp/hostile.XXXXXX";

	disk = (struct disk) { .path = "hostile", .fd = mkstemp(name), .size = DISK_SIZE };
	unlink(name);
	if (disk.fd < 0 || ftruncate(disk.fd, DISK_SIZE) ||
	    socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair))
		exit(1);
	config.disks = &disk;
	vm.config = &config;
	vm.stop_fd = xeventfd();
	pthread_mutex_init(&vm.stop_lock, NULL);
	/* Exactly as large as the guest thinks: a step outside is the sanitizer's to see. */
	ram = calloc(1, RAM_SIZE);
	vm.mem.region[vm.mem.nr++] = (struct mem_region) { 0, RAM_SIZE, ram };
	bus_init(&vm.pio);
	bus_init(&vm.mmio);
	irq_init(&vm.irq, -1);
	pm_init(&vm.pm, &vm);
	pci_init(&vm.pci, &vm.pio, &vm.mmio);
	serial_init(&vm.serial, &vm);
	virtio_blk_create(&vm, &disk);
	wire = pair[1];
	virtio_net_create(&vm, pair[0], (const uint8_t[6]) { 2 });
	virtio_console_create(&vm);
	virtio_rng_create(&vm);
	for (unsigned int i = 0; i < vm.nr_devices; i++)
		virtio_start(vm.devices[i]);
}

int main(int argc, char **argv)
{
	/* The guest's consoles write to standard output, which is not ours to mix with. */
	tap_out = fdopen(dup(STDOUT_FILENO), "w");
	setbuf(tap_out, NULL);
	if (!freopen("/dev/null", "w", stdout))
		return 1;
	srandom(argc > 1 ? atoi(argv[1]) : 1);
	make_machine();
	test_exits();
	test_random(argc > 2 ? atoi(argv[2]) : 100000);
	test_recovery();
	test_durability();
	while (vm.nr_devices)
		virtio_destroy(vm.devices[--vm.nr_devices]);
	serial_destroy(&vm.serial);
	free(ram);
	fprintf(tap_out, "1..%d\n", count);
	return failures ? 1 : 0;
}
