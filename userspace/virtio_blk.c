// SPDX-License-Identifier: GPL-2.0-only
/* virtio-blk (virtio 1.1, "Block Device") on a raw image. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "util.h"
#include "vm.h"

#define SECTOR_SIZE		512
#define DISCARD_MAX_SEGMENTS	16
#define DISCARD_MAX_SECTORS	(1U << 22)

void disk_open(struct disk *disk, const char *path, bool readonly)
{
	struct flock lock = { .l_type = readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };
	struct stat st;
	off_t end;

	disk->path = path;
	disk->readonly = readonly;
	disk->fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (disk->fd < 0)
		fail("%s: %s", path, strerror(errno));
	if (fstat(disk->fd, &st) < 0)
		fail("%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		fail("%s: neither a file nor a block device", path);
	/* Of the open file, not of the process: the same image given twice collides too. */
	if (fcntl(disk->fd, F_OFD_SETLK, &lock) < 0) {
		if (errno == EAGAIN || errno == EACCES)
			fail("%s: already in use", path);
		fail("%s: cannot lock: %s", path, strerror(errno));
	}
	end = lseek(disk->fd, 0, SEEK_END);
	if (end < 0)
		fail("%s: %s", path, strerror(errno));
	if (!end || end % SECTOR_SIZE)
		fail("%s: size %lld is not a multiple of %d bytes, so not a disk image", path,
		     (long long)end, SECTOR_SIZE);
	disk->size = end;
}

bool disk_flush(const struct disk *disk)
{
	if (disk->readonly || !fdatasync(disk->fd))
		return true;
	warn_line("%s: cannot flush: %s", disk->path, strerror(errno));
	return false;
}

static bool in_disk(const struct disk *disk, uint64_t sector, uint64_t len)
{
	uint64_t sectors = disk->size / SECTOR_SIZE;

	return !(len % SECTOR_SIZE) && sector <= sectors && len / SECTOR_SIZE <= sectors - sector;
}

/* All of the iovecs or an error; they are used up. */
static uint8_t transfer(const struct disk *disk, struct iovec *iov, unsigned int nr,
			uint64_t sector, bool write)
{
	uint64_t len = iov_len(iov, nr);
	off_t offset = sector * SECTOR_SIZE;

	if (!in_disk(disk, sector, len))
		return VIRTIO_BLK_S_IOERR;
	while (len) {
		ssize_t n = write ? pwritev(disk->fd, iov, nr, offset) :
				    preadv(disk->fd, iov, nr, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return VIRTIO_BLK_S_IOERR;
		offset += n;
		len -= n;
		nr = iov_slice(iov, nr, n, len);
	}
	return VIRTIO_BLK_S_OK;
}

static uint8_t discard(const struct disk *disk, const struct iovec *iov, unsigned int nr)
{
	struct virtio_blk_discard_write_zeroes range[DISCARD_MAX_SEGMENTS];
	size_t len = iov_len(iov, nr);

	if (!len || len > sizeof(range) || len % sizeof(range[0]))
		return VIRTIO_BLK_S_IOERR;
	iov_read(iov, nr, 0, range, len);
	for (size_t i = 0; i < len / sizeof(range[0]); i++) {
		uint64_t bytes = (uint64_t)range[i].num_sectors * SECTOR_SIZE;

		if (range[i].flags)
			return VIRTIO_BLK_S_UNSUPP;
		if (!in_disk(disk, range[i].sector, bytes))
			return VIRTIO_BLK_S_IOERR;
		if (!bytes)
			continue;
		if (fallocate(disk->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      range[i].sector * SECTOR_SIZE, bytes) < 0)
			return errno == EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
	}
	return VIRTIO_BLK_S_OK;
}

static uint8_t flush(const struct disk *disk)
{
	/* Only when this has returned may the guest hear that its data are safe. */
	return disk->readonly || !fdatasync(disk->fd) ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
}

/* @in has no status byte any more, @out no header. Sets how many bytes were read in. */
static uint8_t execute(struct virtio_dev *dev, const struct virtio_blk_outhdr *header,
		       struct virtq_chain *chain, uint32_t *written)
{
	const struct disk *disk = dev->opaque;
	char id[VIRTIO_BLK_ID_BYTES] = { 0 };
	const char *name;
	uint8_t status;

	switch (header->type) {
	case VIRTIO_BLK_T_IN:
		*written = iov_len(chain->in, chain->nr_in);
		return transfer(disk, chain->in, chain->nr_in, header->sector, false);
	case VIRTIO_BLK_T_OUT:
		if (disk->readonly)
			return VIRTIO_BLK_S_IOERR;
		status = transfer(disk, chain->out, chain->nr_out, header->sector, true);
		/* A driver that knows no flush takes a write's end for durable. */
		if (!status && !virtio_accepted(dev, VIRTIO_BLK_F_FLUSH))
			status = flush(disk);
		return status;
	case VIRTIO_BLK_T_FLUSH:
		return flush(disk);
	case VIRTIO_BLK_T_DISCARD:
		if (disk->readonly)
			return VIRTIO_BLK_S_IOERR;
		return discard(disk, chain->out, chain->nr_out);
	case VIRTIO_BLK_T_GET_ID:
		name = strrchr(disk->path, '/');
		name = name ? name + 1 : disk->path;
		/* A name of full length has no NUL behind it. */
		memcpy(id, name, strnlen(name, sizeof(id)));
		*written = iov_write(chain->in, chain->nr_in, 0, id, sizeof(id));
		return VIRTIO_BLK_S_OK;
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

/* False if the chain has no place for a header and a status. */
static bool serve_request(struct virtio_dev *dev, struct virtq *q, struct virtq_chain *chain)
{
	size_t out = iov_len(chain->out, chain->nr_out);
	size_t in = iov_len(chain->in, chain->nr_in);
	struct virtio_blk_outhdr header;
	uint32_t written = 0;
	struct iovec last;
	uint8_t status;

	if (out < sizeof(header) || !in)
		return false;
	iov_read(chain->out, chain->nr_out, 0, &header, sizeof(header));
	chain->nr_out = iov_slice(chain->out, chain->nr_out, sizeof(header), out - sizeof(header));

	/* The status is the last byte, wherever the driver has put it. */
	last = chain->in[chain->nr_in - 1];
	if (!last.iov_len)
		return false;
	chain->nr_in = iov_slice(chain->in, chain->nr_in, 0, in - 1);

	status = execute(dev, &header, chain, &written);
	((uint8_t *)last.iov_base)[last.iov_len - 1] = status;
	virtq_push(q, chain->head, (status ? 0 : written) + 1);
	return true;
}

static void blk_serve(struct virtio_dev *dev, unsigned int queue)
{
	struct virtq *q = &dev->queue[queue];
	struct virtq_chain chain;
	enum virtq_result result;

	do {
		while ((result = virtq_pop(q, &dev->vm->mem, &chain)) == VIRTQ_CHAIN) {
			if (!serve_request(dev, q, &chain)) {
				virtio_break(dev);
				return;
			}
			virtio_interrupt(dev, queue);
		}
		if (result == VIRTQ_BROKEN) {
			virtio_break(dev);
			return;
		}
	} while (virtq_rearm(q));
}

static const struct virtio_ops blk_ops = {
	.type = VIRTIO_ID_BLOCK,
	.class_code = 0x018000,
	.nr_queues = 1,
	.features = 1ULL << VIRTIO_BLK_F_SEG_MAX | 1ULL << VIRTIO_BLK_F_BLK_SIZE |
		    1ULL << VIRTIO_BLK_F_FLUSH | 1ULL << VIRTIO_BLK_F_DISCARD,
	.serve = blk_serve,
};

struct virtio_dev *virtio_blk_create(struct vm *vm, struct disk *disk)
{
	struct virtio_dev *dev = virtio_create(vm, &blk_ops, disk);
	struct virtio_blk_config config = {
		.capacity = disk->size / SECTOR_SIZE,
		/* A queue's worth, less the header and the status. */
		.seg_max = VIRTQ_MAX_SIZE - 2,
		.blk_size = SECTOR_SIZE,
		.max_discard_sectors = DISCARD_MAX_SECTORS,
		.max_discard_seg = DISCARD_MAX_SEGMENTS,
		.discard_sector_alignment = PAGE_SIZE / SECTOR_SIZE,
	};

	if (disk->readonly) {
		dev->features |= 1ULL << VIRTIO_BLK_F_RO;
		dev->features &= ~(1ULL << VIRTIO_BLK_F_DISCARD);
	}
	_Static_assert(sizeof(config) <= VIRTIO_CONFIG_MAX, "configuration does not fit");
	memcpy(dev->config, &config, sizeof(config));
	dev->config_len = sizeof(config);
	return dev;
}
