/* SPDX-License-Identifier: GPL-2.0-only */
/* Small helpers that every part of the launcher uses. */
#ifndef KEEL_UTIL_H
#define KEEL_UTIL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEEL_VERSION	"0.1"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define KIB		1024ULL
#define MIB		(1024 * KIB)
#define GIB		(1024 * MIB)
#define PAGE_SIZE	4096ULL

/**
 * enum exit_status - what the launcher's exit status means
 * @STATUS_OK: the guest powered off, or the person quit with the escape key
 * @STATUS_ERROR: bad usage, or the host could not give what was asked for
 * @STATUS_TRIPLE_FAULT: the guest shut its CPU down by a triple fault
 * @STATUS_GUEST_ERROR: the device gave the guest up (failed entry, internal error)
 * @STATUS_SIGNAL: added to the number of the signal that ended the launcher
 */
enum exit_status {
	STATUS_OK		= 0,
	STATUS_ERROR		= 1,
	STATUS_TRIPLE_FAULT	= 3,
	STATUS_GUEST_ERROR	= 4,
	STATUS_SIGNAL		= 128,
};

/**
 * fail() - print one line on standard error and leave with STATUS_ERROR
 * @fmt: what is wrong, beginning with the name of the thing
 */
void fail(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/** warn_line() - print one line on standard error and go on */
void warn_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

void *xcalloc(size_t n, size_t size);

/** xeventfd() - a new non-blocking eventfd, or fail() */
int xeventfd(void);
void event_signal(int fd);
/** event_clear() - take what is in an eventfd; true if there was something */
bool event_clear(int fd);

uint64_t align_up(uint64_t value, uint64_t align);
uint64_t align_down(uint64_t value, uint64_t align);

/**
 * struct file_map - a whole file, mapped for reading
 * @path: its name, for messages
 * @data: where it is mapped; NULL for an empty file
 * @size: length in bytes
 */
struct file_map {
	const char *path;
	const uint8_t *data;
	size_t size;
};

/** file_map_open() - map @path whole, or fail() with a line that names it */
void file_map_open(struct file_map *map, const char *path);
void file_map_close(struct file_map *map);

#endif
