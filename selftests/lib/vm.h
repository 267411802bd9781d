/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Host side of the tests: the device, VMs, vCPUs and their threads.
 *
 * Every program is linked statically at a fixed address below 4 GiB and its
 * image is mapped into the guest at that same address, so guest code is plain
 * C of the test, and a pointer to a global means the same on both sides.
 */
#ifndef KEEL_TEST_VM_H
#define KEEL_TEST_VM_H

#include <pthread.h>
#include <stdnoreturn.h>
#include <sys/ioctl.h>
#include <linux/kvm.h>

#include "x86.h"

#define MAX_VCPUS	64
#define LOW_SIZE	(4UL << 20)	/* plain memory at guest address 0 */
#define LOW_FREE	0x10000UL	/* first address that the library leaves alone */
#define HIGH_GPA	(1UL << 28)	/* where tests put further slots, above the image */
#define FIRST_SLOT	2		/* slots 0 and 1: low memory and the image */

/* vm_create() flags */
#define VM_IRQCHIP	BIT(0)
#define VM_SPLIT	BIT(1)
#define VM_PIT		BIT(2)
#define VM_BARE		BIT(3)	/* no memory at all */

/* What guest_run() returns besides KVM exit reasons. */
#define UC_DONE		1000
#define UC_SYNC		1001
#define UC_TRAP32	1002	/* v->sync: address of a struct trap_frame32 */

struct vm {
	int fd;
	u8 *low;
	unsigned int flags;
};

struct vcpu {
	struct vm *vm;
	int fd;
	unsigned int id;
	unsigned int index;	/* which guest_cpu it runs on */
	struct kvm_run *run;
	size_t run_size;
	u64 sync;		/* value of the last guest_sync() */
	pthread_t thread;
	int result;		/* what guest_run() said in the thread */
};

extern const char *dev_path;
extern int dev_fd;
extern unsigned int test_scale;	/* KEEL_TEST_SCALE: how many times slower than usual */
/* KEEL_TEST_BOCHS=svm or vmx: the host's CPU has Bochs's faults, of that half or of both. */
extern bool test_bochs, test_bochs_svm, test_bochs_vmx;

void test_setup(int argc, char **argv);
noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int dev_open(void);
bool file_says(const char *path, const char *text);
bool is_kvm(void);		/* not keel: where the two differ */
bool host_is_tcg(void);		/* QEMU's emulated CPU: where it differs from the manuals */
bool host_is_intel(void);	/* VMX and not SVM: where the manuals differ */
int has_ext(int ext);
int vm_has_ext(struct vm *vm, int ext);

/* The errno of an ioctl, 0 if it worked. */
int err_of(int fd, unsigned long cmd, void *arg);
int err_of_ul(int fd, unsigned long cmd, unsigned long arg);
/* An ioctl that must work, or the test ends here. */
#define must(fd, cmd, arg)	must_ioctl(fd, cmd, (unsigned long)(arg), #cmd, __FILE__, __LINE__)
int must_ioctl(int fd, unsigned long cmd, unsigned long arg, const char *name,
	       const char *file, int line);

struct vm *vm_create(unsigned int flags);
void vm_free(struct vm *vm);
int vm_slot(struct vm *vm, u32 slot, u32 flags, u64 gpa, u64 size, void *mem);
void *vm_add_mem(struct vm *vm, u32 slot, u32 flags, u64 gpa, u64 size);
void *map_anon(size_t size);
void vm_irq_line(struct vm *vm, u32 gsi, u32 level);

/* A counter of KVM_GET_STATS_FD's file, the first value if it has several. */
u64 stat_value(int fd, const char *name);

struct vcpu *vcpu_create(struct vm *vm, unsigned int id);
struct vcpu *vcpu_create_raw(struct vm *vm, unsigned int id);
void vcpu_free(struct vcpu *v);

/* Puts the vCPU at the start of a function in long mode, interrupts off. */
void vcpu_long(struct vcpu *v, void (*fn)(), u64 arg);
/* Flat code at a physical address, in a mode without 64-bit code. */
enum cpu_mode { MODE_REAL, MODE_PROT16, MODE_PROT32, MODE_PG32, MODE_PAE, MODE_COMPAT, MODE_LONG };
void vcpu_mode(struct vcpu *v, enum cpu_mode mode, u64 rip);
#define vm_blob(vm, gpa, name) ({						\
	extern const char name##_start[], name##_end[];				\
	memcpy((vm)->low + (gpa), name##_start, name##_end - name##_start);	\
})

struct kvm_regs vcpu_regs(struct vcpu *v);
struct kvm_sregs vcpu_sregs(struct vcpu *v);
void vcpu_set_regs(struct vcpu *v, struct kvm_regs r);
void vcpu_set_sregs(struct vcpu *v, struct kvm_sregs s);
u64 vcpu_get_msr(struct vcpu *v, u32 msr);
int vcpu_try_set_msr(struct vcpu *v, u32 msr, u64 val);
void vcpu_set_msr(struct vcpu *v, u32 msr, u64 val);
struct kvm_cpuid2 *cpuid_supported(void);
struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *c, u32 leaf, u32 sub);
bool cpuid_has(u32 leaf, u32 sub, int reg, int bit);
void vcpu_set_runnable(struct vcpu *v);
void vcpu_dump(struct vcpu *v);

/* KVM_RUN once: 0 or the errno. */
int vcpu_run(struct vcpu *v);
/* KVM_RUN until something is worth telling: a UC_ code or an exit reason. */
int guest_run(struct vcpu *v);
void vcpu_start(struct vcpu *v);
int vcpu_join(struct vcpu *v);

#endif
