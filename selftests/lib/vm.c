// SPDX-License-Identifier: GPL-2.0-only
/* Host side of the tests: the device, VMs, vCPUs and their threads. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest.h"
#include "guest.h"

const char *dev_path = "/dev/keel";
int dev_fd = -1;
unsigned int test_scale = 1;
bool test_bochs, test_bochs_svm, test_bochs_vmx;

static struct kvm_cpuid2 *supported;

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "# ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	abort();
}

int dev_open(void)
{
	int fd = open(dev_path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("%s: %s", dev_path, strerror(errno));
	return fd;
}

void test_setup(int argc, char **argv)
{
	const char *env;

	env = getenv("KEEL_DEVICE");
	if (env)
		dev_path = env;
	if (argc > 1)
		dev_path = argv[1];
	env = getenv("KEEL_TEST_SCALE");
	if (env && atoi(env) > 0)
		test_scale = atoi(env);
	env = getenv("KEEL_TEST_BOCHS");
	test_bochs = env;
	test_bochs_vmx = env && !strcmp(env, "vmx");
	test_bochs_svm = env && !test_bochs_vmx;

	dev_fd = open(dev_path, O_RDWR | O_CLOEXEC);
	if (dev_fd < 0) {
		ksft_print_header();
		ksft_exit_skip("%s: %s\n", dev_path, strerror(errno));
	}
	guest_init_tables();
}

/* A line of a file, such as a module's parameter, has @text in it. */
bool file_says(const char *path, const char *text)
{
	char line[512];
	bool found = false;
	FILE *f = fopen(path, "r");

	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, text);
	if (f)
		fclose(f);
	return found;
}

/* By KEEL_GET_INFO of <linux/keel.h>, which these programs are built without. */
bool is_kvm(void)
{
	u8 info[64];

	return ioctl(dev_fd, _IOC(_IOC_READ, 0xb7, 0xf0, sizeof(info)), info) < 0;
}

bool host_is_intel(void)
{
	u32 r[4];

	cpuid(0, 0, r);
	return r[1] == 0x756e6547;	/* "Genu" */
}

bool host_is_tcg(void)
{
	u32 r[4];

	cpuid(0x40000000, 0, r);
	return r[1] == 0x54474354;	/* "TCGT" */
}

int err_of(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) < 0 ? errno : 0;
}

int err_of_ul(int fd, unsigned long cmd, unsigned long arg)
{
	return ioctl(fd, cmd, arg) < 0 ? errno : 0;
}

int must_ioctl(int fd, unsigned long cmd, unsigned long arg, const char *name,
	       const char *file, int line)
{
	int r = ioctl(fd, cmd, arg);

	if (r < 0)
		die("%s:%d: %s: %s", file, line, name, strerror(errno));
	return r;
}

int has_ext(int ext)
{
	return ioctl(dev_fd, KVM_CHECK_EXTENSION, (long)ext);
}

int vm_has_ext(struct vm *vm, int ext)
{
	return ioctl(vm->fd, KVM_CHECK_EXTENSION, (long)ext);
}

void *map_anon(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		die("mmap of %zu bytes: %s", size, strerror(errno));
	return p;
}

int vm_slot(struct vm *vm, u32 slot, u32 flags, u64 gpa, u64 size, void *mem)
{
	struct kvm_userspace_memory_region r = {
		.slot = slot, .flags = flags, .guest_phys_addr = gpa,
		.memory_size = size, .userspace_addr = (uintptr_t)mem,
	};

	return err_of(vm->fd, KVM_SET_USER_MEMORY_REGION, &r);
}

void *vm_add_mem(struct vm *vm, u32 slot, u32 flags, u64 gpa, u64 size)
{
	void *mem = map_anon(size);
	int e = vm_slot(vm, slot, flags, gpa, size, mem);

	if (e)
		die("slot %u at %#lx: %s", slot, gpa, strerror(e));
	return mem;
}

struct vm *vm_create(unsigned int flags)
{
	extern char __executable_start[], _end[];
	u64 from = (uintptr_t)__executable_start & ~(PAGE - 1);
	u64 to = ((uintptr_t)_end + PAGE - 1) & ~(PAGE - 1);
	struct vm *vm = calloc(1, sizeof(*vm));
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };

	vm->flags = flags;
	vm->fd = must(dev_fd, KVM_CREATE_VM, 0);
	if (flags & VM_BARE)
		return vm;
	/* What Intel hosts need; set first, as a VMM would. */
	must(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000);
	vm->low = vm_add_mem(vm, 0, 0, 0, LOW_SIZE);
	if (from < LOW_SIZE || to > HIGH_GPA)
		die("the program's image is not where the guest expects it");
	if (vm_slot(vm, 1, 0, from, to - from, (void *)(uintptr_t)from))
		die("cannot map the program's image: %s", strerror(errno));
	if (flags & VM_IRQCHIP)
		must(vm->fd, KVM_CREATE_IRQCHIP, 0);
	if (flags & VM_PIT)
		must(vm->fd, KVM_CREATE_PIT2, &pit);
	if (flags & VM_SPLIT)
		must(vm->fd, KVM_ENABLE_CAP, &split);
	return vm;
}

void vm_free(struct vm *vm)
{
	close(vm->fd);
	if (vm->low)
		munmap(vm->low, LOW_SIZE);
	free(vm);
}

void vm_irq_line(struct vm *vm, u32 gsi, u32 level)
{
	struct kvm_irq_level l = { .irq = gsi, .level = level };

	must(vm->fd, KVM_IRQ_LINE, &l);
}

u64 stat_value(int fd, const char *name)
{
	struct kvm_stats_header h;
	struct kvm_stats_desc *d;
	u64 val = 0;
	u32 i;

	if (pread(fd, &h, sizeof(h), 0) != sizeof(h))
		die("statistics: %s", strerror(errno));
	d = calloc(1, sizeof(*d) + h.name_size);
	for (i = 0; i < h.num_desc; i++) {
		if (pread(fd, d, sizeof(*d) + h.name_size,
			  h.desc_offset + i * (sizeof(*d) + h.name_size)) < 0)
			break;
		if (!strcmp(d->name, name)) {
			if (pread(fd, &val, 8, h.data_offset + d->offset) != 8)
				break;
			free(d);
			return val;
		}
	}
	die("no counter '%s'", name);
}

struct kvm_cpuid2 *cpuid_supported(void)
{
	if (!supported) {
		supported = calloc(1, sizeof(*supported) +
				   256 * sizeof(supported->entries[0]));
		supported->nent = 256;
		must(dev_fd, KVM_GET_SUPPORTED_CPUID, supported);
	}
	return supported;
}

struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *c, u32 leaf, u32 sub)
{
	struct kvm_cpuid_entry2 *e;

	for (e = c->entries; e < c->entries + c->nent; e++) {
		if (e->function == leaf && (e->index == sub ||
		    !(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)))
			return e;
	}
	return NULL;
}

bool cpuid_has(u32 leaf, u32 sub, int reg, int bit)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(cpuid_supported(), leaf, sub);
	u32 regs[4];

	if (!e)
		return false;
	regs[0] = e->eax;
	regs[1] = e->ebx;
	regs[2] = e->ecx;
	regs[3] = e->edx;
	return regs[reg] >> bit & 1;
}

struct vcpu *vcpu_create_raw(struct vm *vm, unsigned int id)
{
	struct vcpu *v = calloc(1, sizeof(*v));

	v->vm = vm;
	v->id = id;
	v->index = id % MAX_VCPUS;
	v->fd = must(vm->fd, KVM_CREATE_VCPU, id);
	v->run_size = must(dev_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	v->run = mmap(NULL, v->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED)
		die("mmap of vCPU %u: %s", id, strerror(errno));
	return v;
}

/* Everything that is supported, no nested virtualisation, an APIC id of its own. */
static void set_default_cpuid(struct vcpu *v)
{
	struct kvm_cpuid2 *s = cpuid_supported();
	size_t size = sizeof(*s) + s->nent * sizeof(s->entries[0]);
	struct kvm_cpuid2 *c = malloc(size);
	struct kvm_cpuid_entry2 *e;

	memcpy(c, s, size);
	for (e = c->entries; e < c->entries + c->nent; e++) {
		if (e->function == 1) {
			e->ebx = (e->ebx & 0x00ffffff) | v->id << 24;
			e->ecx &= ~BIT(5);
			e->ecx |= BIT(24);
		} else if (e->function == 0xb) {
			e->edx = v->id;
		} else if (e->function == 0x80000001) {
			e->ecx &= ~BIT(2);
		}
	}
	must(v->fd, KVM_SET_CPUID2, c);
	free(c);
}

struct vcpu *vcpu_create(struct vm *vm, unsigned int id)
{
	struct vcpu *v = vcpu_create_raw(vm, id);

	set_default_cpuid(v);
	guest_tsc_khz = must(v->fd, KVM_GET_TSC_KHZ, 0);
	return v;
}

void vcpu_free(struct vcpu *v)
{
	munmap(v->run, v->run_size);
	close(v->fd);
	free(v);
}

struct kvm_regs vcpu_regs(struct vcpu *v)
{
	struct kvm_regs r;

	must(v->fd, KVM_GET_REGS, &r);
	return r;
}

struct kvm_sregs vcpu_sregs(struct vcpu *v)
{
	struct kvm_sregs s;

	must(v->fd, KVM_GET_SREGS, &s);
	return s;
}

void vcpu_set_regs(struct vcpu *v, struct kvm_regs r)
{
	must(v->fd, KVM_SET_REGS, &r);
}

void vcpu_set_sregs(struct vcpu *v, struct kvm_sregs s)
{
	must(v->fd, KVM_SET_SREGS, &s);
}

struct one_msr {
	struct kvm_msrs h;
	struct kvm_msr_entry e;
};

u64 vcpu_get_msr(struct vcpu *v, u32 msr)
{
	struct one_msr m = { { .nmsrs = 1 }, { .index = msr } };

	if (must(v->fd, KVM_GET_MSRS, &m) != 1)
		die("MSR %#x cannot be read", msr);
	return m.e.data;
}

int vcpu_try_set_msr(struct vcpu *v, u32 msr, u64 val)
{
	struct one_msr m = { { .nmsrs = 1 }, { .index = msr, .data = val } };

	return must(v->fd, KVM_SET_MSRS, &m);
}

void vcpu_set_msr(struct vcpu *v, u32 msr, u64 val)
{
	if (vcpu_try_set_msr(v, msr, val) != 1)
		die("MSR %#x cannot be set to %#lx", msr, val);
}

void vcpu_set_runnable(struct vcpu *v)
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };

	must(v->fd, KVM_SET_MP_STATE, &mp);
}

static struct kvm_segment flat_seg(u16 sel, u8 type, bool l, bool db)
{
	return (struct kvm_segment) {
		.selector = sel, .limit = 0xffffffff, .type = type, .present = 1,
		.s = 1, .g = 1, .l = l, .db = db,
	};
}

static struct kvm_segment real_seg(u16 sel, u8 type)
{
	return (struct kvm_segment) {
		.selector = sel, .base = sel << 4, .limit = 0xffff, .type = type,
		.present = 1, .s = 1,
	};
}

static void set_data_segs(struct kvm_sregs *s, struct kvm_segment seg)
{
	s->ds = s->es = s->fs = s->gs = s->ss = seg;
}

void vcpu_long(struct vcpu *v, void (*fn)(), u64 arg)
{
	struct guest_cpu *cpu = &guest_cpus[v->index];
	struct kvm_sregs s = vcpu_sregs(v);
	struct kvm_regs r = {
		.rip = (uintptr_t)fn, .rdi = arg, .rflags = FLAG_FIXED,
		/* as a call leaves it: 8 short of a multiple of 16 */
		.rsp = (uintptr_t)cpu->stack + sizeof(cpu->stack) - 8,
	};
	extern void guest_returned(void);

	guest_init_cpu(v->index);
	*(u64 *)(uintptr_t)r.rsp = (uintptr_t)guest_returned;
	s.cs = flat_seg(SEL_CODE64, 11, true, false);
	set_data_segs(&s, flat_seg(SEL_DATA, 3, false, true));
	s.tr = (struct kvm_segment) {
		.selector = SEL_TSS, .base = (uintptr_t)&cpu->tss,
		.limit = sizeof(cpu->tss) - 1, .type = 11, .present = 1,
	};
	s.ldt = (struct kvm_segment) { .unusable = 1 };
	s.gdt = (struct kvm_dtable) { (uintptr_t)cpu->gdt, sizeof(cpu->gdt) - 1, {} };
	guest_idt(&s.idt);
	s.cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_PG;
	s.cr3 = (uintptr_t)guest_pml4;
	s.cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;
	s.efer = EFER_LME | EFER_LMA | EFER_NX | EFER_SCE;
	vcpu_set_sregs(v, s);
	vcpu_set_regs(v, r);
}

void vcpu_mode(struct vcpu *v, enum cpu_mode mode, u64 rip)
{
	struct guest_cpu *cpu = &guest_cpus[v->index];
	struct kvm_sregs s;
	struct kvm_regs r;

	vcpu_long(v, NULL, 0);	/* tables, and what the modes have in common */
	s = vcpu_sregs(v);
	r = vcpu_regs(v);
	r.rip = rip;
	/* A stack that 16-bit code reaches as well. */
	r.rsp = 0x7ff0;
	if (mode < MODE_COMPAT)
		s.efer = 0;
	switch (mode) {
	case MODE_REAL:
		s.cr0 = X86_CR0_ET;
		s.cr4 = 0;
		s.cs = real_seg(0, 11);
		set_data_segs(&s, real_seg(0, 3));
		s.gdt = (struct kvm_dtable) { 0, 0xffff, {} };
		s.idt = (struct kvm_dtable) { 0, 0x3ff, {} };
		s.tr = (struct kvm_segment) { .limit = 0xffff, .type = 11, .present = 1 };
		break;
	case MODE_PROT16:
	case MODE_PROT32:
	case MODE_PG32:
	case MODE_PAE:
		s.cs = flat_seg(mode == MODE_PROT16 ? SEL_CODE16 : SEL_CODE32, 11, false,
				mode != MODE_PROT16);
		s.cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE;
		s.cr4 = mode == MODE_PG32 ? X86_CR4_PSE : mode == MODE_PAE ? X86_CR4_PAE : 0;
		guest_idt32(&s.idt);
		break;
	case MODE_COMPAT:
		s.cs = flat_seg(SEL_CODE32, 11, false, true);
		break;
	case MODE_LONG:
		r.rsp = (uintptr_t)cpu->stack + sizeof(cpu->stack) - 16;
		break;
	}
	vcpu_set_sregs(v, s);
	vcpu_set_regs(v, r);
}

int vcpu_run(struct vcpu *v)
{
	return ioctl(v->fd, KVM_RUN, 0) < 0 ? errno : 0;
}

static noreturn void report_failure(struct vcpu *v, u32 where)
{
	/* On a stack in low memory when a trap came out of code that is not the program's own. */
	struct guest_failure *f = where < LOW_SIZE ? (void *)(v->vm->low + where) :
						     (void *)(uintptr_t)where;

	die("vCPU %u: %s:%lu: %s (%#lx, %#lx)", v->id, f->file, f->line, f->expr, f->a, f->b);
}

int guest_run(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	u32 data;
	int e;

	for (;;) {
		e = vcpu_run(v);
		if (e == EINTR && run->exit_reason == KVM_EXIT_INTR)
			continue;
		/* A processor that waited for SIPI comes back like this when it got one. */
		if (e == EAGAIN)
			continue;
		if (e)
			die("vCPU %u: KVM_RUN: %s", v->id, strerror(e));
		if (run->exit_reason != KVM_EXIT_IO || run->io.direction != KVM_EXIT_IO_OUT ||
		    run->io.size != 4 || run->io.count != 1)
			return run->exit_reason;
		memcpy(&data, (u8 *)run + run->io.data_offset, sizeof(data));
		switch (run->io.port) {
		case PORT_DONE:
			return UC_DONE;
		case PORT_SYNC:
			if (data & SYNC_LINE) {
				vm_irq_line(v->vm, (data & ~SYNC_LINE) >> 1, data & 1);
				continue;
			}
			v->sync = data;
			return UC_SYNC;
		case PORT_TRAP32:
			v->sync = data;
			return UC_TRAP32;
		case PORT_FAIL:
			report_failure(v, data);
		default:
			return KVM_EXIT_IO;
		}
	}
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *v = arg;

	v->result = guest_run(v);
	return NULL;
}

void vcpu_start(struct vcpu *v)
{
	int e = pthread_create(&v->thread, NULL, vcpu_thread, v);

	if (e)
		die("thread for vCPU %u: %s", v->id, strerror(e));
}

int vcpu_join(struct vcpu *v)
{
	pthread_join(v->thread, NULL);
	return v->result;
}

void vcpu_dump(struct vcpu *v)
{
	struct kvm_regs r = vcpu_regs(v);
	struct kvm_sregs s = vcpu_sregs(v);
	struct kvm_run *run = v->run;

	fprintf(stderr, "# vCPU %u: exit %u, sync %#lx\n", v->id, run->exit_reason, v->sync);
	if (run->exit_reason == KVM_EXIT_IO)
		fprintf(stderr, "#  io %s port %#x size %u count %u\n",
			run->io.direction ? "out" : "in", run->io.port, run->io.size,
			run->io.count);
	if (run->exit_reason == KVM_EXIT_MMIO)
		fprintf(stderr, "#  mmio %s %#llx size %u\n", run->mmio.is_write ? "write" :
			"read", run->mmio.phys_addr, run->mmio.len);
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		fprintf(stderr, "#  internal error %u\n", run->internal.suberror);
	if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		fprintf(stderr, "#  entry failed, reason %#llx\n",
			run->fail_entry.hardware_entry_failure_reason);
	fprintf(stderr, "#  rip %#llx rsp %#llx flags %#llx cs %#x rax %#llx rbx %#llx rcx %#llx\n",
		r.rip, r.rsp, r.rflags, s.cs.selector, r.rax, r.rbx, r.rcx);
	fprintf(stderr, "#  rdx %#llx rsi %#llx rdi %#llx cr0 %#llx cr2 %#llx cr3 %#llx cr4 %#llx efer %#llx\n",
		r.rdx, r.rsi, r.rdi, s.cr0, s.cr2, s.cr3, s.cr4, s.efer);
}
