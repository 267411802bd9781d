// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "util.h"
#include "worker.h"

void worker_init(struct worker *w)
{
	memset(w, 0, sizeof(*w));
	w->stop_fd = xeventfd();
}

void worker_add(struct worker *w, int fd, void (*fn)(void *ctx, int fd), void *ctx)
{
	if (w->nr == WORKER_MAX_FDS)
		fail("too many descriptors for one device thread");
	w->fd[w->nr++] = (struct worker_fd) { fd, POLLIN, fn, ctx };
}

void worker_listen(struct worker *w, int fd, bool on)
{
	for (unsigned int i = 0; i < w->nr; i++)
		if (w->fd[i].fd == fd)
			w->fd[i].events = on ? POLLIN : 0;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct pollfd p[WORKER_MAX_FDS + 1];

	for (;;) {
		p[w->nr] = (struct pollfd) { .fd = w->stop_fd, .events = POLLIN };
		for (unsigned int i = 0; i < w->nr; i++) {
			/* A negative descriptor also keeps POLLHUP from spinning. */
			p[i].fd = w->fd[i].events ? w->fd[i].fd : -1;
			p[i].events = w->fd[i].events;
			p[i].revents = 0;
		}
		if (poll(p, w->nr + 1, -1) < 0) {
			if (errno == EINTR)
				continue;
			fail("cannot wait for a device: %s", strerror(errno));
		}
		if (p[w->nr].revents)
			return NULL;
		for (unsigned int i = 0; i < w->nr; i++)
			if (p[i].revents)
				w->fd[i].fn(w->fd[i].ctx, w->fd[i].fd);
	}
}

void worker_start(struct worker *w)
{
	int err = pthread_create(&w->thread, NULL, worker_main, w);

	if (err)
		fail("cannot start a device thread: %s", strerror(err));
	w->running = true;
}

void worker_stop(struct worker *w)
{
	if (w->running) {
		event_signal(w->stop_fd);
		pthread_join(w->thread, NULL);
		w->running = false;
	}
	close(w->stop_fd);
}
