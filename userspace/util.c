// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "terminal.h"
#include "util.h"

static void print_line(const char *fmt, va_list ap)
{
	char text[512];
	int len;

	len = vsnprintf(text, sizeof(text), fmt, ap);
	if (len < 0)
		return;
	/* One write, so that lines of two threads do not mix. */
	fprintf(stderr, "keel: %s%s\n", text, terminal_is_raw() ? "\r" : "");
}

void fail(const char *fmt, ...)
{
	va_list ap;

	/* First, so that the line stands as the person's terminal expects it. */
	terminal_restore();
	va_start(ap, fmt);
	print_line(fmt, ap);
	va_end(ap);
	exit(STATUS_ERROR);
}

void warn_line(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_line(fmt, ap);
	va_end(ap);
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		fail("out of memory");
	return p;
}

int xeventfd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		fail("cannot make an eventfd: %s", strerror(errno));
	return fd;
}

void event_signal(int fd)
{
	uint64_t one = 1;

	/* EAGAIN means that the counter is full, so the reader wakes anyway. */
	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

bool event_clear(int fd)
{
	uint64_t count;
	ssize_t n;

	do {
		n = read(fd, &count, sizeof(count));
	} while (n < 0 && errno == EINTR);
	return n == sizeof(count);
}

uint64_t align_up(uint64_t value, uint64_t align)
{
	return (value + align - 1) & ~(align - 1);
}

uint64_t align_down(uint64_t value, uint64_t align)
{
	return value & ~(align - 1);
}

void file_map_open(struct file_map *map, const char *path)
{
	struct stat st;
	void *data;
	int fd;

	memset(map, 0, sizeof(*map));
	map->path = path;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail("%s: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0)
		fail("%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		fail("%s: not a regular file", path);
	map->size = st.st_size;
	if (map->size) {
		data = mmap(NULL, map->size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (data == MAP_FAILED)
			fail("%s: cannot map: %s", path, strerror(errno));
		map->data = data;
	}
	close(fd);
}

void file_map_close(struct file_map *map)
{
	if (map->data)
		munmap((void *)map->data, map->size);
	map->data = NULL;
	map->size = 0;
}
