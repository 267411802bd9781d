// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exit.h"
#include "util.h"
#include "vm.h"

#define CR0_PE			(1ULL << 0)
#define CR0_MP			(1ULL << 1)
#define CR0_ET			(1ULL << 4)
#define CR0_PG			(1ULL << 31)
#define CR4_PAE			(1ULL << 5)
#define EFER_LME		(1ULL << 8)
#define EFER_LMA		(1ULL << 10)
#define RFLAGS_FIXED		0x2

#define SELECTOR_CODE		0x10
#define SELECTOR_DATA		0x18
#define TYPE_CODE		0xb
#define TYPE_DATA		0x3
#define TYPE_TSS32_BUSY		0xb

#define MSR_MISC_ENABLE		0x1a0
#define MISC_ENABLE_FAST_STRING	0x1
#define MSR_MTRR_DEF_TYPE	0x2ff
#define MTRR_ENABLE_WRITE_BACK	0xc06

#define APIC_LVT_LINT0		0x350
#define APIC_LVT_LINT1		0x360
#define APIC_DM_NMI		0x400
#define APIC_DM_EXTINT		0x700

static void kick_handler(int sig)
{
	(void)sig;
}

void vcpu_setup_signals(void)
{
	/* No SA_RESTART: the signal is sent to interrupt a system call. */
	struct sigaction sa = { .sa_handler = kick_handler };

	sigaction(VCPU_KICK_SIGNAL, &sa, NULL);
}

static void vcpu_ioctl(struct vcpu *vcpu, unsigned long request, void *arg, const char *name)
{
	if (ioctl(vcpu->fd, request, arg) < 0)
		fail("%s: %s", name, strerror(errno));
}

/*
 * What firmware leaves behind. The memory type matters to nobody but a guest
 * that looks: without it, Linux thinks that all memory is uncached.
 */
static void set_msrs(struct vcpu *vcpu)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry[2];
	} msrs = { 0 };

	msrs.entry[msrs.head.nmsrs++] = (struct kvm_msr_entry) {
		.index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLE_WRITE_BACK,
	};
	if (cpuid_is_intel())
		msrs.entry[msrs.head.nmsrs++] = (struct kvm_msr_entry) {
			.index = MSR_MISC_ENABLE, .data = MISC_ENABLE_FAST_STRING,
		};
	/* The count of those that took is returned; a guest runs without them too. */
	vcpu_ioctl(vcpu, KVM_SET_MSRS, &msrs, "KVM_SET_MSRS");
}

static void set_lvt(struct kvm_lapic_state *lapic, unsigned int reg, uint32_t mode)
{
	memcpy(lapic->regs + reg, &mode, sizeof(mode));
}

/* The local interrupt pins as the MADT says: PIC on LINT0, NMI on LINT1. */
static void set_local_pins(struct vcpu *vcpu)
{
	struct kvm_lapic_state lapic;

	vcpu_ioctl(vcpu, KVM_GET_LAPIC, &lapic, "KVM_GET_LAPIC");
	set_lvt(&lapic, APIC_LVT_LINT0, APIC_DM_EXTINT);
	set_lvt(&lapic, APIC_LVT_LINT1, APIC_DM_NMI);
	vcpu_ioctl(vcpu, KVM_SET_LAPIC, &lapic, "KVM_SET_LAPIC");
}

void vcpu_create(struct vcpu *vcpu, struct vm *vm, unsigned int id)
{
	int size;

	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)id);
	if (vcpu->fd < 0)
		fail("cannot make CPU %u: %s", id, strerror(errno));
	size = ioctl(vm->config->device_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(*vcpu->run))
		fail("KVM_GET_VCPU_MMAP_SIZE: %s", size < 0 ? strerror(errno) : "too small");
	vcpu->run_size = size;
	vcpu->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		fail("cannot map the state of CPU %u: %s", id, strerror(errno));
	cpuid_setup(vm->config->device_fd, vcpu->fd, id, vm->config->nr_vcpus);
	set_msrs(vcpu);
	set_local_pins(vcpu);
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type, bool long_mode)
{
	return (struct kvm_segment) {
		.selector = selector,
		.limit = 0xffffffff,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.db = !long_mode,
		.l = long_mode,
	};
}

/* The descriptors behind the selectors, for a kernel that reloads one. */
static void write_gdt(struct vm *vm, struct kvm_sregs *sregs, bool long_mode)
{
	const uint64_t gdt[4] = {
		0, 0, long_mode ? 0x00af9b000000ffff : 0x00cf9b000000ffff, 0x00cf93000000ffff,
	};

	memcpy(mem_ptr(&vm->mem, MEM_GDT, sizeof(gdt)), gdt, sizeof(gdt));
	sregs->gdt.base = MEM_GDT;
	sregs->gdt.limit = sizeof(gdt) - 1;
	sregs->idt.base = 0;
	sregs->idt.limit = 0;
}

void vcpu_set_entry(struct vcpu *vcpu, const struct boot_entry *entry)
{
	struct kvm_regs regs = { .rip = entry->rip, .rflags = RFLAGS_FIXED };
	struct kvm_sregs sregs;

	vcpu_ioctl(vcpu, KVM_GET_SREGS, &sregs, "KVM_GET_SREGS");
	sregs.cs = flat_segment(SELECTOR_CODE, TYPE_CODE, entry->long_mode);
	sregs.ds = flat_segment(SELECTOR_DATA, TYPE_DATA, false);
	sregs.es = sregs.ds;
	sregs.fs = sregs.ds;
	sregs.gs = sregs.ds;
	sregs.ss = sregs.ds;
	sregs.tr = (struct kvm_segment) { .limit = 0x67, .type = TYPE_TSS32_BUSY, .present = 1 };
	write_gdt(vcpu->vm, &sregs, entry->long_mode);
	sregs.cr0 = CR0_PE | CR0_ET;
	if (entry->long_mode) {
		sregs.cr0 |= CR0_MP | CR0_PG;
		sregs.cr3 = MEM_PAGE_TABLES;
		sregs.cr4 = CR4_PAE;
		sregs.efer = EFER_LME | EFER_LMA;
		regs.rsi = entry->info;
	} else {
		regs.rbx = entry->info;
	}
	vcpu_ioctl(vcpu, KVM_SET_SREGS, &sregs, "KVM_SET_SREGS");
	vcpu_ioctl(vcpu, KVM_SET_REGS, &regs, "KVM_SET_REGS");
}

#define REPORT_REGISTERS \
	"rip %016llx rflags %08llx cs %04x\n" \
	"rax %016llx rbx %016llx rcx %016llx rdx %016llx\n" \
	"rsi %016llx rdi %016llx rbp %016llx rsp %016llx\n" \
	"r8  %016llx r9  %016llx r10 %016llx r11 %016llx\n" \
	"r12 %016llx r13 %016llx r14 %016llx r15 %016llx\n" \
	"cr0 %016llx cr2 %016llx cr3 %016llx cr4 %016llx\n" \
	"efer %08llx gdt %016llx/%04x idt %016llx/%04x\n"

/* What happened, on one line, and the registers under it. */
static void report_stop(struct vcpu *vcpu, enum vm_stop why, const char *text)
{
	struct kvm_sregs s = { 0 };
	struct kvm_regs r = { 0 };
	char report[2048];
	int n;

	n = snprintf(report, sizeof(report), "keel: the guest stopped: CPU %u: %s\n",
		     vcpu->id, text);
	if (!ioctl(vcpu->fd, KVM_GET_REGS, &r) && !ioctl(vcpu->fd, KVM_GET_SREGS, &s))
		snprintf(report + n, sizeof(report) - n, REPORT_REGISTERS,
			 r.rip, r.rflags, s.cs.selector, r.rax, r.rbx, r.rcx, r.rdx,
			 r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11,
			 r.r12, r.r13, r.r14, r.r15, s.cr0, s.cr2, s.cr3, s.cr4, s.efer,
			 s.gdt.base, s.gdt.limit, s.idt.base, s.idt.limit);
	vm_stop(vcpu->vm, why, report);
}

static void handle_run_error(struct vcpu *vcpu, int error)
{
	char text[256];

	if (error == EINTR || error == EAGAIN)
		return;
	snprintf(text, sizeof(text), "KVM_RUN: %s", strerror(error));
	report_stop(vcpu, VM_GUEST_ERROR, text);
}

static void handle_exit(struct vcpu *vcpu)
{
	enum exit_result result = exit_handle(vcpu->run, &vcpu->vm->pio, &vcpu->vm->mmio);
	char text[256];

	if (result == EXIT_RESUME)
		return;
	exit_describe(vcpu->run, text, sizeof(text));
	report_stop(vcpu, result == EXIT_TRIPLE_FAULT ? VM_TRIPLE_FAULT : VM_GUEST_ERROR, text);
}

static void *vcpu_main(void *arg)
{
	struct vcpu *vcpu = arg;

	while (!vm_stopping(vcpu->vm)) {
		if (ioctl(vcpu->fd, KVM_RUN, 0) < 0)
			handle_run_error(vcpu, errno);
		else
			handle_exit(vcpu);
	}
	return NULL;
}

void vcpu_start(struct vcpu *vcpu)
{
	int err = pthread_create(&vcpu->thread, NULL, vcpu_main, vcpu);

	if (err)
		fail("cannot start CPU %u: %s", vcpu->id, strerror(err));
	vcpu->running = true;
}

void vcpu_stop(struct vcpu *vcpu)
{
	if (!vcpu->running)
		return;
	/*
	 * A signal that comes just before KVM_RUN would be lost; immediate_exit
	 * makes that KVM_RUN return at once, and the thread then looks.
	 */
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(vcpu->thread, VCPU_KICK_SIGNAL);
	pthread_join(vcpu->thread, NULL);
	vcpu->running = false;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	munmap(vcpu->run, vcpu->run_size);
	close(vcpu->fd);
}
