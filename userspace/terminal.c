// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "terminal.h"
#include "util.h"
#include "worker.h"

#define ESCAPE_KEY	0x01	/* Ctrl-A */
#define ESCAPE_QUIT	'x'
#define INPUT_SIZE	4096
#define OUTPUT_CHUNK	512
#define OUTPUT_WAIT_MS	100

/* A process has one terminal, and a signal handler must find it: hence static. */
static struct {
	pthread_mutex_t lock;		/* the input ring, the ports */
	pthread_mutex_t out_lock;	/* one port's bytes at a time */
	struct worker worker;
	struct termios saved;
	volatile sig_atomic_t raw;
	bool is_tty;
	bool escaped;			/* the escape key was the last key; worker only */
	atomic_bool closing;
	atomic_int event;
	atomic_int active;		/* the port that gets the input */
	int event_fd;
	int room_fd;
	int wake_fd[CONSOLE_PORTS];
	uint8_t ring[INPUT_SIZE];
	size_t head;
	size_t count;
} term = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.out_lock = PTHREAD_MUTEX_INITIALIZER,
	.event_fd = -1,
	.wake_fd = { -1, -1 },
};

bool terminal_is_raw(void)
{
	return term.raw;
}

void terminal_restore(void)
{
	if (!term.raw)
		return;
	term.raw = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &term.saved);
}

static void fatal_signal(int sig)
{
	/* SA_RESETHAND has put the default back: raised again, it ends the process. */
	terminal_restore();
	raise(sig);
}

static void catch_fatal_signals(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP };
	struct sigaction sa = { .sa_handler = fatal_signal, .sa_flags = SA_RESETHAND };

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &sa, NULL);
}

static void post_event(enum terminal_event event)
{
	atomic_store(&term.event, event);
	event_signal(term.event_fd);
}

static void wake_active(void)
{
	int fd = term.wake_fd[atomic_load(&term.active)];

	if (fd >= 0)
		event_signal(fd);
}

static void ring_put(uint8_t c)
{
	if (term.count == INPUT_SIZE)
		return;
	term.ring[(term.head + term.count++) % INPUT_SIZE] = c;
}

/* Returns whether the person wants to quit. Called with the lock held. */
static bool type_key(uint8_t c)
{
	if (!term.escaped) {
		term.escaped = term.is_tty && c == ESCAPE_KEY;
		if (!term.escaped)
			ring_put(c);
		return false;
	}
	term.escaped = false;
	if (c == ESCAPE_QUIT)
		return true;
	ring_put(ESCAPE_KEY);
	if (c != ESCAPE_KEY)
		ring_put(c);
	return false;
}

static void input_ready(void *ctx, int fd)
{
	uint8_t buf[256];
	size_t room;
	ssize_t n;
	bool quit = false;

	(void)ctx;
	pthread_mutex_lock(&term.lock);
	room = INPUT_SIZE - term.count;
	pthread_mutex_unlock(&term.lock);
	/*
	 * The escape key must work while the guest reads nothing, so a person's
	 * keys beyond the ring are dropped. A pipe waits instead.
	 */
	if (!term.is_tty && room < sizeof(buf)) {
		worker_listen(&term.worker, fd, false);
		return;
	}
	n = read(fd, buf, sizeof(buf));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		worker_listen(&term.worker, fd, false);
		/* The end of a file only means that nobody types. */
		if (term.is_tty)
			post_event(TERMINAL_LOST);
		return;
	}
	pthread_mutex_lock(&term.lock);
	for (ssize_t i = 0; i < n && !quit; i++)
		quit = type_key(buf[i]);
	wake_active();
	pthread_mutex_unlock(&term.lock);
	if (quit)
		post_event(TERMINAL_QUIT);
}

static void input_room(void *ctx, int fd)
{
	(void)ctx;
	event_clear(fd);
	worker_listen(&term.worker, STDIN_FILENO, true);
}

static void make_raw(void)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &term.saved) < 0)
		return;
	raw = term.saved;
	cfmakeraw(&raw);
	/* Set first: a fatal signal between the two lines must still restore. */
	term.raw = 1;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	fprintf(stderr, "keel: press Ctrl-A x to quit, Ctrl-A Ctrl-A to send Ctrl-A\r\n");
}

void terminal_open(void)
{
	term.is_tty = isatty(STDIN_FILENO);
	term.event_fd = xeventfd();
	term.room_fd = xeventfd();
	atexit(terminal_restore);
	catch_fatal_signals();
	if (term.is_tty)
		make_raw();
	worker_init(&term.worker);
	worker_add(&term.worker, STDIN_FILENO, input_ready, NULL);
	worker_add(&term.worker, term.room_fd, input_room, NULL);
	worker_start(&term.worker);
}

void terminal_close(void)
{
	atomic_store(&term.closing, true);
	worker_stop(&term.worker);
	terminal_restore();
}

int terminal_event_fd(void)
{
	return term.event_fd;
}

enum terminal_event terminal_take_event(void)
{
	event_clear(term.event_fd);
	return atomic_exchange(&term.event, TERMINAL_NOTHING);
}

void terminal_attach(enum console_port port, int wake_fd)
{
	pthread_mutex_lock(&term.lock);
	term.wake_fd[port] = wake_fd;
	pthread_mutex_unlock(&term.lock);
}

void terminal_detach(enum console_port port)
{
	pthread_mutex_lock(&term.lock);
	term.wake_fd[port] = -1;
	if (port == CONSOLE_VIRTIO)
		atomic_store(&term.active, CONSOLE_SERIAL);
	pthread_mutex_unlock(&term.lock);
}

size_t terminal_take(enum console_port port, uint8_t *buf, size_t max)
{
	size_t n = 0;

	pthread_mutex_lock(&term.lock);
	if (atomic_load(&term.active) == (int)port) {
		for (; n < max && term.count; n++, term.count--) {
			buf[n] = term.ring[term.head];
			term.head = (term.head + 1) % INPUT_SIZE;
		}
	}
	pthread_mutex_unlock(&term.lock);
	if (n)
		event_signal(term.room_fd);
	return n;
}

static void activate(enum console_port port)
{
	if (port != CONSOLE_VIRTIO || atomic_load(&term.active) == CONSOLE_VIRTIO)
		return;
	pthread_mutex_lock(&term.lock);
	atomic_store(&term.active, CONSOLE_VIRTIO);
	if (term.count)
		wake_active();
	pthread_mutex_unlock(&term.lock);
}

/*
 * Writes what surely does not block, so that a reader that sleeps, or has gone,
 * cannot keep a thread here that is to stop.
 */
static ssize_t write_some(const uint8_t *p, size_t len)
{
	struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };

	if (poll(&out, 1, OUTPUT_WAIT_MS) <= 0)
		return 0;
	return write(STDOUT_FILENO, p, len < OUTPUT_CHUNK ? len : OUTPUT_CHUNK);
}

void terminal_write(enum console_port port, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	activate(port);
	pthread_mutex_lock(&term.out_lock);
	while (len && !atomic_load(&term.closing)) {
		ssize_t n = write_some(p, len);

		if (n >= 0) {
			p += n;
			len -= n;
		} else if (errno != EINTR && errno != EAGAIN) {
			post_event(TERMINAL_LOST);
			break;
		}
	}
	pthread_mutex_unlock(&term.out_lock);
}

void terminal_size(uint16_t *cols, uint16_t *rows)
{
	struct winsize ws;

	*cols = 80;
	*rows = 25;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) < 0 || !ws.ws_col || !ws.ws_row)
		return;
	*cols = ws.ws_col;
	*rows = ws.ws_row;
}

void terminal_resized(void)
{
	pthread_mutex_lock(&term.lock);
	if (term.wake_fd[CONSOLE_VIRTIO] >= 0)
		event_signal(term.wake_fd[CONSOLE_VIRTIO]);
	pthread_mutex_unlock(&term.lock);
}
