// SPDX-License-Identifier: GPL-2.0-only
/* What a task switch needs of memory: descriptors and segments by them, and its stack. */
#include <linux/kvm.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "task.h"

/* How often a descriptor may change between the look at it and its accessed bit. */
#define SEGMENT_TRIES	16

/* ---- linear addresses ------------------------------------------------------------------- */

/**
 * task_find() - translate linear addresses; a page fault is queued if need be
 * @t: the task switch
 * @linear: the first
 * @len: how many, at most a page
 * @access: KEEL_ACC_WRITE, _USER, _IMPLICIT
 * @area: the result, by the CR3 there is now
 */
int task_find(struct task_switch *t, u64 linear, unsigned int len, u32 access,
	      struct task_area *area)
{
	struct keel_gwalk_fault fault;
	struct keel_gwalk walk;
	int i, res;

	keel_gwalk_init(&walk, t->vcpu);
	area->len[0] = min_t(unsigned int, len, PAGE_SIZE - offset_in_page(linear));
	area->len[1] = len - area->len[0];
	for (i = 0; i < 2 && area->len[i]; i++) {
		res = keel_gwalk(&walk, linear, access, &area->gpa[i], NULL, &fault);
		if (res < 0)
			return res;
		if (res) {
			keel_queue_page_fault(t->vcpu, fault.address, fault.error);
			return TASK_STOP;
		}
		linear += area->len[i];
	}
	return TASK_OK;
}

/* Of keel_gpa_read() and its kind: what is not memory is nothing to keep a task in. */
static int access_result(int ret)
{
	return !ret ? TASK_OK : ret == -EFAULT ? ret : TASK_FAIL;
}

/* task_read(): all of an area */
int task_read(struct task_switch *t, const struct task_area *area, void *buf)
{
	struct keel_vm *vm = t->vcpu->vm;
	int ret;

	ret = keel_gpa_read(vm, area->gpa[0], buf, area->len[0]);
	if (!ret && area->len[1])
		ret = keel_gpa_read(vm, area->gpa[1], buf + area->len[0], area->len[1]);
	return access_result(ret);
}

/* task_write(): all of an area */
int task_write(struct task_switch *t, const struct task_area *area, const void *buf)
{
	int ret;

	ret = keel_gpa_write(t->vcpu, area->gpa[0], buf, area->len[0]);
	if (!ret && area->len[1])
		ret = keel_gpa_write(t->vcpu, area->gpa[1], buf + area->len[0], area->len[1]);
	return access_result(ret);
}

/* task_replace(): a byte, if nobody has changed it since; TASK_CHANGED if so */
int task_replace(struct task_switch *t, const struct task_area *area, u8 old, u8 new)
{
	bool ok;
	int ret;

	ret = keel_gpa_cmpxchg(t->vcpu, area->gpa[0], &old, &new, sizeof(new), &ok);
	if (!ret && !ok)
		return TASK_CHANGED;
	return access_result(ret);
}

/* ---- descriptors ------------------------------------------------------------------------ */

/**
 * task_locate() - where is a selector's descriptor?
 * @t: the task switch
 * @selector: in the GDT, or the LDT there is now
 * @linear: its address, also beyond the table's end
 * Return: false if the selector is null or beyond its table.
 */
bool task_locate(struct task_switch *t, u16 selector, u64 *linear)
{
	const struct keel_vcpu *vcpu = t->vcpu;
	bool local = selector & 4;
	u32 limit = local ? vcpu->ldt.limit : vcpu->gdt.limit;

	*linear = (local ? vcpu->ldt.base : vcpu->gdt.base) + (selector & ~7);
	return (selector & ~3) && (selector | 7) <= limit && !(local && vcpu->ldt.unusable);
}

/* task_read_descriptor(): into the form of a segment register */
int task_read_descriptor(struct task_switch *t, u64 linear, u16 selector,
			 struct kvm_segment *seg)
{
	struct task_area area;
	int res;
	u64 d;

	res = task_find(t, linear, sizeof(d), KEEL_ACC_IMPLICIT, &area);
	if (res == TASK_OK)
		res = task_read(t, &area, &d);
	if (res != TASK_OK)
		return res;
	*seg = (struct kvm_segment) {
		.selector = selector,
		.base = (d >> 16 & 0xffffff) | (d >> 56) << 24,
		.limit = (d & 0xffff) | (d >> 32 & 0xf0000),
		.type = d >> 40 & 0xf,
		.s = d >> 44 & 1,
		.dpl = d >> 45 & 3,
		.present = d >> 47 & 1,
		.avl = d >> 52 & 1,
		.db = d >> 54 & 1,
		.g = d >> 55 & 1,
	};
	if (seg->g)
		seg->limit = seg->limit << 12 | 0xfff;
	return TASK_OK;
}

/* ---- segments --------------------------------------------------------------------------- */

static struct kvm_segment *segment(struct keel_vcpu *v, int i)
{
	struct kvm_segment *const segs[] = { &v->es, &v->cs, &v->ss, &v->ds, &v->fs, &v->gs };

	return segs[i];
}

/**
 * task_clear_segments() - what a fault finds in place of segments that could not be loaded
 * @t: the task switch
 * @new: what its TSS has
 *
 * The selectors, and CPL 3, so that a handler gets a stack from the TSS and not this one.  The
 * code segment is of the conforming kind, which goes with any RPL.  In virtual-8086 mode the
 * segments are good already.
 */
void task_clear_segments(struct task_switch *t, const struct tss32 *new)
{
	struct keel_vcpu *vcpu = t->vcpu;
	bool vm = new->eflags & X86_EFLAGS_VM;
	int i;

	for (i = 0; i < TASK_NR_SEGS; i++) {
		struct kvm_segment *seg = segment(vcpu, i);

		*seg = (struct kvm_segment) {
			.selector = new->sel[i], .type = TYPE_RW | TYPE_ACCESSED, .s = 1, .dpl = 3,
		};
		if (vm) {
			seg->base = seg->selector << 4;
			seg->limit = 0xffff;
			seg->present = 1;
		} else if (i == TASK_CS) {
			seg->type |= TYPE_CODE | TYPE_CONFORMING;
			seg->dpl = 0;
			seg->present = 1;
		} else {
			seg->unusable = 1;
		}
	}
	vcpu->ldt = (struct kvm_segment) { .selector = new->ldt, .type = TYPE_LDT, .unusable = 1 };
	vcpu->guest_cpl = 3;
	keel_dirty(vcpu, KEEL_R_CS | KEEL_R_SS | KEEL_R_SEGS | KEEL_R_TABLES);
}

static int load_ldt(struct task_switch *t, u16 selector)
{
	struct kvm_segment seg;
	int res;
	u64 linear;

	if (!(selector & ~3))
		return TASK_OK;
	if ((selector & 4) || !task_locate(t, selector, &linear))
		return task_raise(t, X86_TRAP_TS, selector);
	res = task_read_descriptor(t, linear, selector, &seg);
	if (res != TASK_OK)
		return res;
	if (seg.s || seg.type != TYPE_LDT || !seg.present)
		return task_raise(t, X86_TRAP_TS, selector);
	t->vcpu->ldt = seg;
	return TASK_OK;
}

/* May it go into segment register @i at this CPL, if it is present? */
static bool fits(const struct kvm_segment *seg, int i, u8 cpl)
{
	bool code = seg->type & TYPE_CODE, conforming = code && (seg->type & TYPE_CONFORMING);
	u8 rpl = seg->selector & 3;

	if (!seg->s)
		return false;
	if (i == TASK_CS)
		return code && (conforming ? seg->dpl <= rpl : seg->dpl == rpl);
	if (i == TASK_SS)
		return !code && (seg->type & TYPE_RW) && seg->dpl == cpl && rpl == cpl;
	return (!code || (seg->type & TYPE_RW)) &&
	       (conforming || (seg->dpl >= cpl && seg->dpl >= rpl));
}

/* Locked ('Automatic Locking'): what the checks have seen is what becomes accessed. */
static int set_accessed(struct task_switch *t, u64 linear, struct kvm_segment *seg)
{
	u8 type = task_type_byte(seg);
	struct task_area area;
	int res;

	if (seg->type & TYPE_ACCESSED)
		return TASK_OK;
	seg->type |= TYPE_ACCESSED;
	res = task_find(t, linear + TYPE_BYTE, 1, KEEL_ACC_IMPLICIT | KEEL_ACC_WRITE, &area);
	return res == TASK_OK ? task_replace(t, &area, type, type | TYPE_ACCESSED) : res;
}

static int try_segment(struct task_switch *t, int i, u16 selector, u8 cpl)
{
	struct kvm_segment seg;
	int res;
	u64 linear;

	if (!(selector & ~3) && i != TASK_CS && i != TASK_SS)
		return TASK_OK;
	if (!task_locate(t, selector, &linear))
		return task_raise(t, X86_TRAP_TS, selector);
	res = task_read_descriptor(t, linear, selector, &seg);
	if (res != TASK_OK)
		return res;
	if (!fits(&seg, i, cpl))
		return task_raise(t, X86_TRAP_TS, selector);
	if (!seg.present)
		return task_raise(t, i == TASK_SS ? X86_TRAP_SS : X86_TRAP_NP, selector);
	res = set_accessed(t, linear, &seg);
	if (res == TASK_OK)
		*segment(t->vcpu, i) = seg;
	return res;
}

static int load_segment(struct task_switch *t, int i, u16 selector, u8 cpl)
{
	int tries, res;

	for (tries = 0; tries < SEGMENT_TRIES; tries++) {
		res = try_segment(t, i, selector, cpl);
		if (res != TASK_CHANGED)
			return res;
	}
	return TASK_FAIL;
}

/**
 * task_load_segments() - LDTR and the segment registers, with all their checks
 * @t: the task switch
 * @new: what its TSS has
 */
int task_load_segments(struct task_switch *t, const struct tss32 *new)
{
	static const u8 rest[] = { TASK_DS, TASK_ES, TASK_FS, TASK_GS };
	struct keel_vcpu *vcpu = t->vcpu;
	struct kvm_segment none = vcpu->cs;
	u8 cpl = new->sel[TASK_CS] & 3;
	int i, res;

	res = load_ldt(t, new->ldt);
	if (res != TASK_OK || (new->eflags & X86_EFLAGS_VM))
		return res;
	res = load_segment(t, TASK_CS, new->sel[TASK_CS], cpl);
	if (res != TASK_OK)
		return res;
	res = load_segment(t, TASK_SS, new->sel[TASK_SS], cpl);
	if (res != TASK_OK) {
		/* The two go together. */
		vcpu->cs = none;
		return res;
	}
	vcpu->guest_cpl = cpl;
	for (i = 0; i < ARRAY_SIZE(rest) && res == TASK_OK; i++)
		res = load_segment(t, rest[i], new->sel[rest[i]], cpl);
	return res;
}

/* ---- the stack -------------------------------------------------------------------------- */

/* Do @len bytes at @off lie within the stack segment? */
static bool in_stack(const struct kvm_segment *ss, u32 off, unsigned int len)
{
	u64 last = (u64)off + len - 1;

	if (ss->type & TYPE_DOWN)
		return off > ss->limit && last <= (ss->db ? U32_MAX : U16_MAX);
	return last <= ss->limit;
}

/**
 * task_push_error() - the event's error code onto the new task's stack
 * @t: the task switch
 */
int task_push_error(struct task_switch *t)
{
	struct keel_vcpu *vcpu = t->vcpu;
	unsigned int len = t->tr.type & TYPE_32 ? sizeof(u32) : sizeof(u16);
	u32 mask = vcpu->ss.db ? U32_MAX : U16_MAX;
	u32 esp = vcpu->gpr[KEEL_RSP], off = (esp - len) & mask;
	struct task_area area;
	int res;

	if (!in_stack(&vcpu->ss, off, len))
		return task_raise(t, X86_TRAP_SS, 0);
	res = task_find(t, vcpu->ss.base + off, len,
			KEEL_ACC_WRITE | (vcpu->guest_cpl == 3 ? KEEL_ACC_USER : 0), &area);
	if (res == TASK_OK)
		res = task_write(t, &area, &t->event->error);
	if (res == TASK_OK)
		keel_gpr_set(vcpu, KEEL_RSP, (esp & ~mask) | off);
	return res;
}
