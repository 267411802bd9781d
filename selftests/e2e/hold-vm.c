// SPDX-License-Identifier: GPL-2.0-only
/*
 * hold-vm DEVICE VCPUS: a VM that lives until SIGTERM, for tests of what the module does
 * meanwhile. Each vCPU counts in real mode and writes the count's low byte to a port from time
 * to time, so that it both stays in guest mode and comes back to user space. On SIGUSR1 it
 * prints whether every vCPU has come on since the last time, and on SIGTERM it ends with 0.
 * Status 1 and a line on stderr if a VM cannot be made.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_VCPUS	64

/* inc %ax; jnz .-1 (65,536 rounds); out %al,$0x80; jmp to the start */
static const unsigned char code[] = { 0x40, 0x75, 0xfd, 0xe6, 0x80, 0xeb, 0xf9 };

static volatile unsigned long rounds[MAX_VCPUS];
static int run_size;

static void fail(const char *what)
{
	fprintf(stderr, "hold-vm: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int call(int fd, unsigned long cmd, unsigned long arg, const char *what)
{
	int ret = ioctl(fd, cmd, arg);

	if (ret < 0)
		fail(what);
	return ret;
}

struct vcpu_arg {
	int fd;
	int id;
	struct kvm_run *run;
};

/* Whatever else than a port write the code ends with: all that tells why. */
static void print_exit(const struct vcpu_arg *v)
{
	const struct kvm_run *run = v->run;
	struct kvm_sregs sregs = { 0 };
	struct kvm_regs regs = { 0 };
	unsigned int i;

	ioctl(v->fd, KVM_GET_REGS, &regs);
	ioctl(v->fd, KVM_GET_SREGS, &sregs);
	fprintf(stderr, "hold-vm: exit %u, cs:rip %#llx:%#llx rflags %#llx rax %#llx cr0 %#llx\n",
		run->exit_reason, sregs.cs.base, regs.rip, regs.rflags, regs.rax, sregs.cr0);
	if (run->exit_reason != KVM_EXIT_INTERNAL_ERROR)
		return;
	fprintf(stderr, "hold-vm: suberror %u:", run->internal.suberror);
	for (i = 0; i < run->internal.ndata && i < 16; i++)
		fprintf(stderr, " %#llx", run->internal.data[i]);
	fprintf(stderr, "\n");
}

static void *vcpu_main(void *p)
{
	struct vcpu_arg *v = p;

	for (;;) {
		if (ioctl(v->fd, KVM_RUN, 0) < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			fail("KVM_RUN");
		}
		if (v->run->exit_reason != KVM_EXIT_IO) {
			print_exit(v);
			exit(1);
		}
		rounds[v->id]++;
	}
	return NULL;
}

static void make_vcpu(int vm, int id)
{
	struct vcpu_arg *v = calloc(1, sizeof(*v));
	struct kvm_sregs sregs;
	struct kvm_regs regs = { .rip = 0, .rflags = 2 };
	pthread_t thread;

	if (!v)
		fail("memory");
	v->id = id;
	v->fd = call(vm, KVM_CREATE_VCPU, id, "KVM_CREATE_VCPU");
	v->run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED)
		fail("mmap");
	call(v->fd, KVM_GET_SREGS, (unsigned long)&sregs, "KVM_GET_SREGS");
	sregs.cs.base = sregs.cs.selector = 0;
	call(v->fd, KVM_SET_SREGS, (unsigned long)&sregs, "KVM_SET_SREGS");
	call(v->fd, KVM_SET_REGS, (unsigned long)&regs, "KVM_SET_REGS");
	if (pthread_create(&thread, NULL, vcpu_main, v))
		fail("thread");
}

static void make_vm(const char *device, int vcpus)
{
	struct kvm_userspace_memory_region slot = { .memory_size = 65536 };
	int fd, vm, i;
	void *mem;

	fd = open(device, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		fail(device);
	run_size = call(fd, KVM_GET_VCPU_MMAP_SIZE, 0, "KVM_GET_VCPU_MMAP_SIZE");
	vm = call(fd, KVM_CREATE_VM, 0, "KVM_CREATE_VM");
	mem = mmap(NULL, slot.memory_size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		fail("mmap");
	/* HLTs, which no vector and no stray RIP gets past unseen. */
	memset(mem, 0xf4, slot.memory_size);
	memcpy(mem, code, sizeof(code));
	slot.userspace_addr = (unsigned long)mem;
	call(vm, KVM_SET_USER_MEMORY_REGION, (unsigned long)&slot, "KVM_SET_USER_MEMORY_REGION");
	for (i = 0; i < vcpus; i++)
		make_vcpu(vm, i);
}

static void say_progress(int vcpus)
{
	static unsigned long seen[MAX_VCPUS];
	int i, on = 0;

	for (i = 0; i < vcpus; i++) {
		on += rounds[i] != seen[i];
		seen[i] = rounds[i];
	}
	printf(on == vcpus ? "moving\n" : "stuck: %d of %d vCPUs move\n", on, vcpus);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int vcpus, sig;
	sigset_t set;

	vcpus = argc == 3 ? atoi(argv[2]) : -1;
	if (vcpus < 0 || vcpus > MAX_VCPUS) {
		fprintf(stderr, "usage: hold-vm DEVICE VCPUS\n");
		return 1;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	make_vm(argv[1], vcpus);
	printf("ready\n");
	fflush(stdout);
	while (!sigwait(&set, &sig) && sig != SIGTERM)
		say_progress(vcpus);
	return 0;
}
