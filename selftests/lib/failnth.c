// SPDX-License-Identifier: GPL-2.0-only
/*
 * With KEEL_TEST_FAIL_NTH in the environment, every system call of a test on the device's files
 * is made again and again: first its first allocation or copy from or to user space fails, then
 * its second, until a call comes through without.  The test goes on with what that one
 * returned, so it passes only if the failed ones have changed nothing.  The linker puts these
 * wrappers before libc's functions (--wrap); testhost/run-list sets the kernel up for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

/* No call has so many allocations; it would go on for ever. */
#define MAX_NTH		100000
/* Where no test expects a descriptor. */
#define HIGH_FD		900

/* struct kind.id of what is no ioctl */
enum { CLOSE = 1, MMAP, READ, PREAD };

#define MAX_KINDS	256

/**
 * struct kind - calls with the same number: one ioctl, or one other function
 * @id: which
 * @next: the first allocation that fails in the next of them: after one that succeeded all the
 *	same, the allocations behind that one have their turn
 * @ended: some call came to its end with no failure left to come
 */
struct kind {
	unsigned long id, next;
	bool ended;
};

/* Shared with the processes that the harness makes. */
static struct {
	unsigned long calls, failed, passed, worst;
	struct kind kinds[MAX_KINDS];
} *stats;

static __thread int nth_fd = -1;
static pthread_key_t nth_key;
static pid_t main_pid;

int __real_ioctl(int fd, unsigned long cmd, ...);
int __real_close(int fd);
void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off);
ssize_t __real_read(int fd, void *buf, size_t len);
ssize_t __real_pread(int fd, void *buf, size_t len, off_t off);
int __real_sigaction(int sig, const struct sigaction *act, struct sigaction *old);

static void count(unsigned long *p)
{
	__atomic_fetch_add(p, 1, __ATOMIC_RELAXED);
}

/* The file is the thread's that opened it, for good. */
static int open_nth(void)
{
	int fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);

	if (high < 0)
		die("/proc/thread-self/fail-nth: %s", strerror(errno));
	__real_close(fd);
	pthread_setspecific(nth_key, (void *)(long)high);
	return high;
}

static void close_nth(void *fd)
{
	__real_close((long)fd);
}

static void in_child(void)
{
	if (nth_fd >= 0)
		__real_close(nth_fd);
	nth_fd = -1;
}

static bool set_nth(unsigned long n)
{
	char buf[24];
	int len = snprintf(buf, sizeof(buf), "%lu", n);

	return pwrite(nth_fd, buf, len, 0) == len;
}

static void arm(unsigned long n)
{
	if (nth_fd < 0)
		nth_fd = open_nth();
	if (!set_nth(n))
		die("fail-nth: %s", strerror(errno));
}

/*
 * Has the armed failure come?  errno is the call's.  The two accesses to the file copy, and what
 * is still armed may hit them; then it is over as well.
 */
static bool disarm(void)
{
	char buf[24] = "";
	bool fired = false;
	int e = errno;

	if (__real_pread(nth_fd, buf, sizeof(buf) - 1, 0) > 0) {
		fired = atoi(buf) == 0;
		if (!fired && !set_nth(0) && errno != EFAULT)
			die("fail-nth: %s", strerror(errno));
	} else if (errno != EFAULT) {
		die("fail-nth: %s", strerror(errno));
	}
	errno = e;
	return fired;
}

static struct kind *kind_of(unsigned long id)
{
	struct kind *k;

	for (k = stats->kinds; k < stats->kinds + MAX_KINDS; k++) {
		unsigned long none = 0;

		if (k->id == id || __atomic_compare_exchange_n(&k->id, &none, id, false,
							       __ATOMIC_RELAXED, __ATOMIC_RELAXED) ||
		    none == id)
			return k;
	}
	die("too many kinds of calls");
}

static unsigned long first_nth(struct kind *k)
{
	count(&stats->calls);
	return k->next ?: 1;
}

/*
 * One call with its nth allocation failing.  True: its result stands.  KVM_RUN that ends for
 * another reason than memory has had an effect, like all that succeeded.
 */
static bool stands(struct kind *k, unsigned long n, bool failed, bool once, int *other)
{
	bool fired = disarm();
	bool memory = errno == ENOMEM || errno == EFAULT;

	if (fired)
		count(failed ? &stats->failed : &stats->passed);
	else
		k->ended = true;
	if (n > stats->worst)
		stats->worst = n;
	k->next = fired ? n + 1 : 1;
	if (fired && failed && (memory || !once)) {
		if (!memory && !*other)
			*other = errno;
		if (n == MAX_NTH)
			die("a call that always allocates more");
		return false;
	}
	if (*other && (!failed || errno != *other))
		die("a failed allocation made a call fail with '%s'", strerror(*other));
	return true;
}

#define REPEAT(id, call, bad, once) ({						\
	struct kind *k_ = kind_of(id);						\
	unsigned long n_ = first_nth(k_);					\
	__typeof__(call) r_;							\
	int other_ = 0;								\
										\
	for (;; n_++) {								\
		arm(n_);							\
		r_ = (call);							\
		if (stands(k_, n_, r_ == (bad), once, &other_))			\
			break;							\
	}									\
	r_;									\
})

/* The device's own files: others have errors of their own when memory is short. */
static bool is_device_file(int fd)
{
	char link[32], name[64];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, name, sizeof(name) - 1);
	if (len < 0)
		return false;
	name[len] = 0;
	return !strcmp(name, dev_path) || strstr(name, "anon_inode:keel") ||
	       strstr(name, "anon_inode:kvm");
}

static bool is_device_ioctl(unsigned long cmd)
{
	return _IOC_TYPE(cmd) == KVMIO || _IOC_TYPE(cmd) == 0xb7;
}

/*
 * Signals come to their handlers on the way out of a system call, and with the signal's frame
 * goes a copy, which must not be the one that fails: it would end the process.  KVM_RUN, which
 * signals are to interrupt, is left alone while there is a handler.
 */
static unsigned long handled;

int __wrap_sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	int r = __real_sigaction(sig, act, old);

	if (r || !act)
		return r;
	if (act->sa_handler == SIG_DFL || act->sa_handler == SIG_IGN)
		handled &= ~BIT(sig);
	else
		handled |= BIT(sig);
	return r;
}

int __wrap_ioctl(int fd, unsigned long cmd, ...)
{
	unsigned long arg;
	va_list ap;

	va_start(ap, cmd);
	arg = va_arg(ap, unsigned long);
	va_end(ap);
	if (!stats || !is_device_ioctl(cmd) || (cmd == KVM_RUN && handled))
		return __real_ioctl(fd, cmd, arg);
	return REPEAT(cmd, __real_ioctl(fd, cmd, arg), -1, cmd == KVM_RUN);
}

/* What it closes is gone, whatever it returns: so its result always stands. */
int __wrap_close(int fd)
{
	return stats && is_device_file(fd) ? REPEAT(CLOSE, __real_close(fd), -2, true) :
					     __real_close(fd);
}

void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	return stats && is_device_file(fd) ?
	       REPEAT(MMAP, __real_mmap(addr, len, prot, flags, fd, off), MAP_FAILED, false) :
	       __real_mmap(addr, len, prot, flags, fd, off);
}

ssize_t __wrap_read(int fd, void *buf, size_t len)
{
	return stats && is_device_file(fd) ? REPEAT(READ, __real_read(fd, buf, len), -1, false) :
					     __real_read(fd, buf, len);
}

ssize_t __wrap_pread(int fd, void *buf, size_t len, off_t off)
{
	return stats && is_device_file(fd) ?
	       REPEAT(PREAD, __real_pread(fd, buf, len, off), -1, false) :
	       __real_pread(fd, buf, len, off);
}

static void report(void)
{
	unsigned int kinds = 0, ended = 0;

	if (getpid() != main_pid)
		return;
	for (; kinds < MAX_KINDS && stats->kinds[kinds].id; kinds++)
		ended += stats->kinds[kinds].ended;
	printf("# note: fail-nth: %lu calls of %u kinds, %u of them to the last failure; "
	       "failed %lu times, did without %lu times; up to %lu failures a call\n",
	       stats->calls, kinds, ended, stats->failed, stats->passed, stats->worst - 1);
	/* What made a VM has allocated; who skips has made few calls. */
	if (stats->calls > 20 && !stats->failed)
		printf("not ok - fail-nth: no allocation failed\n");
	fflush(stdout);
}

static __attribute__((constructor)) void fail_nth_init(void)
{
	if (!getenv("KEEL_TEST_FAIL_NTH"))
		return;
	stats = __real_mmap(NULL, sizeof(*stats), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stats == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	main_pid = getpid();
	pthread_key_create(&nth_key, close_nth);
	pthread_atfork(NULL, NULL, in_child);
	atexit(report);
}
