/* SPDX-License-Identifier: GPL-2.0-only */
/* A device's own thread: waits for file descriptors and calls the device back. */
#ifndef KEEL_WORKER_H
#define KEEL_WORKER_H

#include <pthread.h>
#include <stdbool.h>

#define WORKER_MAX_FDS	6

struct worker_fd {
	int fd;
	short events;
	void (*fn)(void *ctx, int fd);
	void *ctx;
};

/**
 * struct worker - one thread and what it waits for
 * @fd: the descriptors; fixed once the thread runs, but for their events
 * @nr: how many there are
 * @stop_fd: eventfd that ends the thread
 * @running: the thread has been started and not been joined
 */
struct worker {
	pthread_t thread;
	struct worker_fd fd[WORKER_MAX_FDS];
	unsigned int nr;
	int stop_fd;
	bool running;
};

void worker_init(struct worker *w);
/** worker_add() - call @fn in the thread whenever @fd is readable; before worker_start() */
void worker_add(struct worker *w, int fd, void (*fn)(void *ctx, int fd), void *ctx);
/** worker_listen() - look at @fd, or stop looking; from the worker's own thread */
void worker_listen(struct worker *w, int fd, bool on);
void worker_start(struct worker *w);
/** worker_stop() - end the thread and wait for it; the callback it is in finishes */
void worker_stop(struct worker *w);

#endif
