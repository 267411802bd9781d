// SPDX-License-Identifier: GPL-2.0-only
/* Guest side of the tests, long mode: tables, traps, mappings. */
#include <string.h>

#include "guest.h"

#define PD_COUNT	4	/* GiB of identity mapping */
#define POOL_PAGES	64

struct gate64 {
	u16 off0, sel, flags, off1;
	u32 off2, zero;
};

struct gate32 {
	u16 off0, sel, flags, off1;
};

struct guest_cpu guest_cpus[MAX_VCPUS];
u64 guest_pml4[512] __attribute__((aligned(4096)));
static u64 guest_pdpt[512] __attribute__((aligned(4096)));
static u64 guest_pd[PD_COUNT][512] __attribute__((aligned(4096)));
static u64 pool[POOL_PAGES][512] __attribute__((aligned(4096)));
static unsigned int pool_used;
static struct gate64 idt[256] __attribute__((aligned(16)));
static struct gate32 idt32[256] __attribute__((aligned(16)));

void (*guest_handlers[256])(struct trap_frame *f);
volatile u32 guest_irqs[256];
volatile u64 g_err, g_cr2;
u64 guest_tsc_khz;
void (*guest_ap_main)(u64 cpu);

extern const char guest_stubs64[256][16], guest_stubs32[256][16];	/* entry.S */
/* What entry.S must know of struct guest_cpu. */
const u64 guest_cpu_size = sizeof(struct guest_cpu);
const u64 guest_cpu_stack_end = __builtin_offsetof(struct guest_cpu, stack) +
				sizeof(guest_cpus[0].stack);
extern const struct guest_fixup __start_guest_fixups[] __attribute__((weak));
extern const struct guest_fixup __stop_guest_fixups[] __attribute__((weak));

void guest_fail(const char *file, int line, const char *expr, u64 a, u64 b)
{
	struct guest_failure f = { file, expr, line, a, b };

	for (;;)
		asm volatile("outl %0, %1" : : "a"((u32)(uintptr_t)&f),
			     "Nd"((u16)PORT_FAIL), "m"(f) : "memory");
}

/* Where a guest function of vcpu_long() returns to. */
void guest_returned(void);
void guest_returned(void)
{
	for (;;)
		guest_done();
}

void guest_trap(struct trap_frame *f);
void guest_trap(struct trap_frame *f)
{
	const struct guest_fixup *x;

	if (f->vec < 32) {
		for (x = __start_guest_fixups; x < __stop_guest_fixups; x++) {
			if (x->from != f->rip)
				continue;
			g_err = f->err;
			g_cr2 = read_cr2();
			f->r9 = f->vec;
			f->rip = x->to;
			return;
		}
	}
	__atomic_fetch_add(&guest_irqs[f->vec], 1, __ATOMIC_SEQ_CST);
	if (guest_handlers[f->vec])
		guest_handlers[f->vec](f);
	else if (f->vec < 32)
		guest_fail("unexpected exception", f->vec, "error code, rip", f->err, f->rip);
	else
		guest_fail("unexpected interrupt", f->vec, "flags, rip", f->flags, f->rip);
}

void guest_init_tables(void)
{
	unsigned int i, j;

	guest_pml4[0] = (uintptr_t)guest_pdpt | PTE_P | PTE_W | PTE_U;
	for (i = 0; i < PD_COUNT; i++) {
		guest_pdpt[i] = (uintptr_t)guest_pd[i] | PTE_P | PTE_W | PTE_U;
		for (j = 0; j < 512; j++)
			guest_pd[i][j] = (i * PAGE_1G + j * PAGE_2M) | PTE_P | PTE_W | PTE_PS;
	}
	for (i = 0; i < 256; i++) {
		u64 at = (uintptr_t)guest_stubs64[i];
		u32 at32 = (uintptr_t)guest_stubs32[i];

		idt[i] = (struct gate64) {
			.off0 = at, .off1 = at >> 16, .off2 = at >> 32, .sel = SEL_CODE64,
			/* Vectors 3 and 4 from user mode too; #DF on a stack of its own. */
			.flags = 0x8e00 | (i == VEC_BP || i == VEC_OF ? 0x6000 : 0) |
				 (i == VEC_DF),
		};
		idt32[i] = (struct gate32) {
			.off0 = at32, .off1 = at32 >> 16, .sel = SEL_CODE32, .flags = 0x8e00,
		};
	}
}

void guest_idt(struct kvm_dtable *t)
{
	t->base = (uintptr_t)idt;
	t->limit = sizeof(idt) - 1;
}

void guest_idt32(struct kvm_dtable *t)
{
	t->base = (uintptr_t)idt32;
	t->limit = sizeof(idt32) - 1;
}

void guest_init_cpu(unsigned int index)
{
	struct guest_cpu *c = &guest_cpus[index];
	u64 tss = (uintptr_t)&c->tss;

	c->index = index;
	c->gdt[SEL_CODE64 / 8] = 0x00af9b000000ffff;
	c->gdt[SEL_DATA / 8] = 0x00cf93000000ffff;
	c->gdt[SEL_CODE32 / 8] = 0x00cf9b000000ffff;
	c->gdt[SEL_CODE16 / 8] = 0x008f9b000000ffff;
	c->gdt[SEL_DATA16 / 8] = 0x008f93000000ffff;
	c->gdt[SEL_UCODE64 / 8] = 0x00affb000000ffff;
	c->gdt[SEL_UDATA / 8] = 0x00cff3000000ffff;
	c->gdt[SEL_ABSENT / 8] = 0x00cf13000000ffff;
	c->gdt[SEL_TSS / 8] = 0x0000890000000000 | (sizeof(c->tss) - 1) |
			      (tss & 0xffffff) << 16 | (tss >> 24 & 0xff) << 56;
	c->gdt[SEL_TSS / 8 + 1] = tss >> 32;
	c->tss.rsp[0] = (uintptr_t)c->stack0 + sizeof(c->stack0);
	c->tss.ist[0] = (uintptr_t)c->ist1 + sizeof(c->ist1);
	c->tss.iomap = sizeof(c->tss);
}

static u64 *next_table(u64 *entry)
{
	if (!(*entry & PTE_P)) {
		if (pool_used == POOL_PAGES)
			guest_fail(__FILE__, __LINE__, "page tables left", 0, 0);
		*entry = (uintptr_t)pool[pool_used++] | PTE_P | PTE_W | PTE_U;
	}
	return (u64 *)(uintptr_t)(*entry & 0xffffffffff000);
}

/* The entry that maps va at a level: 0 for 4K pages, 1 for 2M, 2 for 1G. */
static u64 *walk_to(u64 va, int level)
{
	u64 *table = guest_pml4;
	int l;

	for (l = 3; l > level; l--)
		table = next_table(&table[va >> (12 + 9 * l) & 511]);
	return &table[va >> (12 + 9 * level) & 511];
}

void guest_map(u64 va, u64 pa, u64 size, u64 page, u64 flags)
{
	int level = page == PAGE ? 0 : page == PAGE_2M ? 1 : 2;
	u64 off;

	for (off = 0; off < size; off += page)
		*walk_to(va + off, level) = (pa + off) | flags | (level ? PTE_PS : 0);
}

u64 *guest_pte(u64 va)
{
	return walk_to(va, 0);
}

extern const char trampoline_start[], trampoline_end[];

void vm_add_trampoline(struct vm *vm)
{
	memcpy(vm->low + TRAMPOLINE, trampoline_start, trampoline_end - trampoline_start);
}

/* The trampoline calls it, on the AP's own stack, with its APIC id. */
void guest_ap_start(u64 apic_id);
void guest_ap_start(u64 apic_id)
{
	struct guest_cpu *c = &guest_cpus[apic_id % MAX_VCPUS];
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) desc = { sizeof(idt) - 1, (uintptr_t)idt };

	asm volatile("lidt %0" : : "m"(desc));
	desc.limit = sizeof(c->gdt) - 1;
	desc.base = (uintptr_t)c->gdt;
	asm volatile("lgdt %0" : : "m"(desc));
	c->gdt[SEL_TSS / 8] &= ~BIT(41);	/* busy, if it was here before */
	asm volatile("ltr %w0" : : "r"(SEL_TSS) : "memory");
	guest_ap_main(apic_id);
	for (;;)
		hlt();
}
