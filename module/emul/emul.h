/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The x86 instruction emulator: completes what the CPU could not, a memory
 * access to a device above all. It knows no vcpu: state and callbacks are in
 * struct emul_ctxt and struct emul_ops.
 *
 * One instruction, from the caller's side:
 *
 *	emul_init(c, ops, opaque, mode, cpl, va_bits);
 *	fill c->gpr, c->rip, c->rflags (and emul_supply_bytes(), if the CPU gave them);
 *	switch (emul_run(c)) {
 *	case EMUL_CONTINUE:	take c->gpr, c->rip, c->rflags, c->shadow, c->single_step
 *	case EMUL_EXCEPTION:	inject c->fault; registers are in c as well (REP may have moved)
 *	case EMUL_IO_NEEDED:	go to user space for what the callback left pending;
 *				later emul_io_done(c, data, len) and emul_run(c) again
 *	case EMUL_NO_PAGE:	go to user space with an error; later emul_run(c) again
 *	case EMUL_UNHANDLEABLE:	report c->insn.bytes, c->insn.fetched
 *	}
 *
 * Replay. A run that ends in EMUL_IO_NEEDED or EMUL_NO_PAGE has changed no register. It starts
 * again from the first step, but each access that was made before is answered
 * from a log in the context, reads and writes, RAM and devices alike: a device
 * sees each access once, and memory that another CPU changes in between cannot
 * lead the second run another way. A repeated string instruction commits after
 * each iteration and begins a new log.
 *
 * Not here: x87, MMX, VEX, loads of segment registers in protected mode, far
 * branches, IRET and INT (but their lengths are known). These, and forms that
 * the manuals leave undefined or the vendors do differently, end in
 * EMUL_UNHANDLEABLE. Alignment checks (#AC) and breakpoints on data or ports
 * are not made.
 */
#ifndef KEEL_EMUL_H
#define KEEL_EMUL_H

#include "emul_env.h"

struct emul_ctxt;

#define EMUL_INSN_MAX		15	/* bytes of an instruction: SDM vol. 2, "Instruction Format" */
#define EMUL_LOG_MAX		16	/* accesses of one instruction (POPA: 8; PUSH m over two pages: 4) */
#define EMUL_PIO_BUF		1024	/* bytes of string port I/O handed over in one piece */
#define EMUL_REP_MAX		1024	/* iterations before interrupts get their turn */

/**
 * enum emul_result - what became of an instruction, or of one callback
 * @EMUL_CONTINUE: done
 * @EMUL_EXCEPTION: the guest gets the exception in &emul_ctxt.fault
 * @EMUL_IO_NEEDED: user space must finish an access first
 * @EMUL_NO_PAGE: memory of the guest's could not be reached now: an error of the machine
 *	below, which the guest does not see; an answer of read, write, cmpxchg and probe
 * @EMUL_UNHANDLEABLE: not emulated, or the callback cannot do it
 * @EMUL_RETRY: memory changed under a locked access; only inside the emulator,
 *	emul_run() turns it into EMUL_CONTINUE with rip unmoved
 */
enum emul_result {
	EMUL_CONTINUE,
	EMUL_EXCEPTION,
	EMUL_IO_NEEDED,
	EMUL_NO_PAGE,
	EMUL_UNHANDLEABLE,
	EMUL_RETRY,
};

/* Order of the register numbers in instructions. */
enum emul_gpr {
	EMUL_RAX, EMUL_RCX, EMUL_RDX, EMUL_RBX, EMUL_RSP, EMUL_RBP, EMUL_RSI, EMUL_RDI,
	EMUL_R8, EMUL_R9, EMUL_R10, EMUL_R11, EMUL_R12, EMUL_R13, EMUL_R14, EMUL_R15,
};

/* The first six in the order of the segment register numbers in instructions. */
enum emul_segreg {
	EMUL_ES, EMUL_CS, EMUL_SS, EMUL_DS, EMUL_FS, EMUL_GS, EMUL_TR,
	EMUL_NR_SEGS,
};

/**
 * enum emul_mode - how the CPU reads instructions and addresses
 * @EMUL_MODE_REAL: CR0.PE clear
 * @EMUL_MODE_VM86: RFLAGS.VM set
 * @EMUL_MODE_PROT16: protected or compatibility mode, CS.D clear
 * @EMUL_MODE_PROT32: protected or compatibility mode, CS.D set
 * @EMUL_MODE_LONG64: EFER.LMA and CS.L set
 */
enum emul_mode {
	EMUL_MODE_REAL,
	EMUL_MODE_VM86,
	EMUL_MODE_PROT16,
	EMUL_MODE_PROT32,
	EMUL_MODE_LONG64,
	EMUL_NR_MODES,
};

/**
 * enum emul_access - kind of a memory access, for the caller's page walk
 * @EMUL_ACC_READ: data read at the current privilege level
 * @EMUL_ACC_WRITE: data write; on a read: the same bytes will be written later,
 *	so check for write permission now
 * @EMUL_ACC_FETCH: instruction fetch
 * @EMUL_ACC_IMPLICIT: supervisor access whatever the CPL (TSS); excludes SMAP's AC rule
 * @EMUL_ACC_STACK: push or pop (shadow-stack-free; informative)
 */
enum emul_access {
	EMUL_ACC_READ = 0,
	EMUL_ACC_WRITE = 1,
	EMUL_ACC_FETCH = 2,
	EMUL_ACC_IMPLICIT = 4,
	EMUL_ACC_STACK = 8,
};

/**
 * struct emul_seg - a segment register with its hidden part
 * @base: linear base
 * @limit: last valid offset, in bytes (granularity applied)
 * @selector: visible part
 * @type: descriptor type field, bits 3:0
 * @s: code or data (not system)
 * @dpl: descriptor privilege level
 * @present: P bit
 * @db: default size, B of SS and D of CS
 * @l: 64-bit code
 * @unusable: loaded with a null selector
 */
struct emul_seg {
	u64 base;
	u32 limit;
	u16 selector;
	u8 type;
	u8 dpl;
	bool s;
	bool present;
	bool db;
	bool l;
	bool unusable;
};

/* Register files behind emul_ops.get and emul_ops.set, and what the index is. */
enum emul_file {
	EMUL_FILE_CR,		/* control register number */
	EMUL_FILE_DR,		/* debug register number; 4 and 5 as the guest wrote them */
	EMUL_FILE_MSR,		/* MSR number; refused with #GP(0) by the callback */
	EMUL_FILE_XCR,		/* extended control register number */
	EMUL_FILE_PMC,		/* RDPMC index */
	EMUL_FILE_TSC,		/* 0: the guest's time-stamp counter, 1: its TSC_AUX */
};

/* Operations behind emul_ops.system. The argument is 0 where none is named. */
enum emul_sysop {
	EMUL_SYS_HLT,
	EMUL_SYS_INVLPG,	/* linear address */
	EMUL_SYS_INVD,
	EMUL_SYS_WBINVD,
	EMUL_SYS_HYPERCALL,	/* operands and result in c->gpr */
	EMUL_SYS_PAUSE,
	EMUL_SYS_MONITOR,	/* linear address */
	EMUL_SYS_MWAIT,
};

/**
 * struct emul_ops - what the emulator asks of its caller
 *
 * Addresses are linear: segmentation is done, translation is not. No access
 * crosses a 4K page; reads and writes of data are of 1 to 8 bytes, fetches of
 * 1 to 15. A callback that returns EMUL_EXCEPTION has filled in c->fault, see
 * emul_raise(). EMUL_IO_NEEDED is an answer of read, write, cmpxchg, pio and
 * system alone; buffers given to them stay where they are until emul_io_done().
 *
 * @read: read memory; @access has EMUL_ACC_WRITE when the bytes are written later
 * @write: write memory
 * @cmpxchg: atomically: if memory equals *@old, store *@new, else put what is
 *	there into *@old. Length 1, 2, 4, 8 or 16, possibly misaligned. On
 *	a device it is a write of *@new, the read has been made before.
 * @probe: would this access fault? No device is touched. @len is at most 4096
 *	and stays in a page.
 * @pio: @count port accesses of @size bytes each from or to @buf; @out gives
 *	the direction. Permission has been checked.
 * @get_seg: read a segment register. In 64-bit mode, asked only for FS, GS, TR
 *	and for selectors.
 * @set_seg: write a segment register (real mode loads only)
 * @xmm: copy an XMM register to @buf, or from it if @write
 * @get: read a register of a file
 * @set: write a register of a file; reserved bits and #GP are the callback's to
 *	check, the privilege level is not
 * @cpuid: @regs holds EAX, EBX, ECX, EDX, in and out
 * @system: see &enum emul_sysop
 */
struct emul_ops {
	enum emul_result (*read)(struct emul_ctxt *c, u64 linear, void *buf, unsigned int len,
				 unsigned int access);
	enum emul_result (*write)(struct emul_ctxt *c, u64 linear, const void *buf,
				  unsigned int len, unsigned int access);
	enum emul_result (*cmpxchg)(struct emul_ctxt *c, u64 linear, void *old, const void *new,
				    unsigned int len);
	enum emul_result (*probe)(struct emul_ctxt *c, u64 linear, unsigned int len,
				  unsigned int access);
	enum emul_result (*pio)(struct emul_ctxt *c, bool out, u16 port, unsigned int size,
				void *buf, unsigned int count);
	enum emul_result (*get_seg)(struct emul_ctxt *c, enum emul_segreg reg,
				    struct emul_seg *seg);
	enum emul_result (*set_seg)(struct emul_ctxt *c, enum emul_segreg reg,
				    const struct emul_seg *seg);
	enum emul_result (*xmm)(struct emul_ctxt *c, unsigned int reg, u8 buf[16], bool write);
	enum emul_result (*get)(struct emul_ctxt *c, enum emul_file file, u32 index, u64 *val);
	enum emul_result (*set)(struct emul_ctxt *c, enum emul_file file, u32 index, u64 val);
	enum emul_result (*cpuid)(struct emul_ctxt *c, u32 regs[4]);
	enum emul_result (*system)(struct emul_ctxt *c, enum emul_sysop op, u64 arg);
};

/**
 * enum emul_class - instructions that a CPU may intercept by name
 *
 * What emul_insn_length() compares with, so that a back end whose CPU gives
 * no next instruction pointer can step over what it has handled.
 */
enum emul_class {
	EMUL_CLS_OTHER,
	EMUL_CLS_CPUID, EMUL_CLS_RDTSC, EMUL_CLS_RDTSCP, EMUL_CLS_RDPMC,
	EMUL_CLS_RDMSR, EMUL_CLS_WRMSR, EMUL_CLS_XSETBV, EMUL_CLS_XGETBV,
	EMUL_CLS_HLT, EMUL_CLS_PAUSE, EMUL_CLS_MONITOR, EMUL_CLS_MWAIT,
	EMUL_CLS_HYPERCALL,	/* VMMCALL and VMCALL */
	EMUL_CLS_INVLPG, EMUL_CLS_INVLPGA, EMUL_CLS_INVD, EMUL_CLS_WBINVD, EMUL_CLS_INVPCID,
	EMUL_CLS_MOV_TO_CR, EMUL_CLS_MOV_FROM_CR, EMUL_CLS_CLTS, EMUL_CLS_LMSW, EMUL_CLS_SMSW,
	EMUL_CLS_MOV_TO_DR, EMUL_CLS_MOV_FROM_DR,
	EMUL_CLS_IN, EMUL_CLS_OUT, EMUL_CLS_INS, EMUL_CLS_OUTS,
	EMUL_CLS_INT3, EMUL_CLS_INTN, EMUL_CLS_INTO, EMUL_CLS_ICEBP, EMUL_CLS_IRET,
	EMUL_CLS_PUSHF, EMUL_CLS_POPF, EMUL_CLS_RSM,
	EMUL_CLS_VMRUN, EMUL_CLS_VMLOAD, EMUL_CLS_VMSAVE, EMUL_CLS_STGI, EMUL_CLS_CLGI,
	EMUL_CLS_SKINIT,
	EMUL_CLS_SGDT, EMUL_CLS_SIDT, EMUL_CLS_LGDT, EMUL_CLS_LIDT,
	EMUL_CLS_SLDT, EMUL_CLS_STR, EMUL_CLS_LLDT, EMUL_CLS_LTR,
	EMUL_CLS_ANY,		/* in emul_insn_length(): whatever it is */
};

/**
 * struct emul_fault - the exception an instruction ends in
 * @vector: exception vector
 * @has_error: an error code goes with it
 * @error: error code
 * @address: linear address, for #PF
 */
struct emul_fault {
	u8 vector;
	bool has_error;
	u32 error;
	u64 address;
};

/* &emul_ctxt.shadow: events that the next instruction boundary holds back. */
#define EMUL_SHADOW_STI		1
#define EMUL_SHADOW_MOV_SS	2

struct emul_opcode;

/**
 * struct emul_insn - a decoded instruction
 * @op: its entry in the opcode tables
 * @bytes: the instruction
 * @fetched: how many of @bytes are known; may be past the end of the instruction
 * @len: length, once decoded
 * @decoded: decoding is done and is not repeated
 * @map: opcode map, 0: one byte, 1: 0F, 2: 0F 38
 * @opcode: last opcode byte
 * @modrm: the byte; @mod, @reg and @rm are its fields with REX applied
 * @rex: REX prefix, or 0
 * @rep: F3 or F2 prefix, or 0
 * @opsize_pfx: 66 prefix seen
 * @lock: F0 prefix seen
 * @op_bytes: operand size, 1, 2, 4, 8 (or 16)
 * @addr_bytes: address size, 2, 4, 8
 * @seg: segment of the memory operand
 * @flags: decode flags of @op and of the groups that led to it
 * @imm: immediate, displacement of a branch (sign extended) or moffs address
 * @imm2: second immediate (ENTER)
 * @disp: displacement, sign extended
 * @base: base register, or EMUL_NOREG; EMUL_RIP_BASE for RIP-relative
 * @index: index register, or EMUL_NOREG
 * @scale: shift for @index
 */
struct emul_insn {
	const struct emul_opcode *op;
	u8 bytes[EMUL_INSN_MAX + 8];	/* numbers are read as eight bytes and cut */
	u8 fetched;
	u8 len;
	bool decoded;
	u8 map;
	u8 opcode;
	u8 modrm;
	u8 mod;
	u8 reg;
	u8 rm;
	u8 rex;
	u8 rep;
	bool opsize_pfx;
	bool lock;
	u8 op_bytes;
	u8 addr_bytes;
	u8 seg;
	u8 base;
	u8 index;
	u8 scale;
	u8 imm2;
	u32 flags;
	u64 imm;
	u64 disp;
};

#define EMUL_NOREG	0xff
#define EMUL_RIP_BASE	0xfe

/* An operand while the instruction runs. */
struct emul_operand {
	u8 kind;		/* enum emul_operand_kind, emul_priv.h */
	u8 size;
	u8 reg;
	u64 linear;
	u64 val;
	u64 orig;
};

/* One access of the instruction, kept for the replay. */
struct emul_log_entry {
	u64 linear;		/* or the port */
	u8 kind;
	u8 len;
	bool done;
	u8 data[16];
};

/**
 * struct emul_ctxt - one instruction on its way
 * @ops: callbacks
 * @opaque: the caller's own
 * @gpr: general registers, in and out
 * @rip: instruction pointer (an offset in CS), in and out
 * @rflags: flags, in and out; bit 1 always set
 * @mode: how instructions and addresses are read
 * @cpl: current privilege level
 * @va_bits: 48, or 57 with CR4.LA57
 * @fault: filled when the result is EMUL_EXCEPTION
 * @shadow: out: EMUL_SHADOW_*; a completed instruction ends the shadow before it
 * @single_step: out: RFLAGS.TF was set, so a completed instruction is
 *	followed by #DB with DR6.BS
 * @insn: the instruction
 *
 * The rest belongs to the emulator.
 */
struct emul_ctxt {
	const struct emul_ops *ops;
	void *opaque;

	u64 gpr[16];
	u64 rip;
	u64 rflags;

	enum emul_mode mode;
	u8 cpl;
	u8 va_bits;

	u8 shadow;
	bool single_step;
	struct emul_fault fault;

	struct emul_insn insn;

	/* private */
	struct emul_operand dst;
	struct emul_operand src;
	u64 mem_off;			/* offset of the memory operand in its segment */
	u64 next_rip;
	u64 saved_gpr[16];		/* those of changed, at the last commit */
	u64 saved_rflags;
	u16 changed;
	u8 segs_valid;
	struct emul_seg segs[EMUL_NR_SEGS];

	u8 log_pos;			/* next entry of this run */
	u8 log_len;			/* entries there are */
	void *pending_buf;		/* where emul_io_done() puts what was read */
	u16 pending_len;
	bool pending;
	bool pending_in;
	struct emul_log_entry log[EMUL_LOG_MAX];

	u16 rep_left;			/* iterations before interrupts get their turn */
	bool branched;			/* a branch was taken */
	u64 probed;			/* page whose probe need not be repeated */

	/* String port I/O: items latched between port and memory. */
	u16 pio_fill;			/* items in pio_data */
	u16 pio_pos;			/* next item to use */
	bool pio_done;			/* the port has seen them */
	bool io_allowed;		/* port permission was checked */
	u8 pio_data[EMUL_PIO_BUF];
};

/**
 * emul_init() - begin a new instruction
 * @c: context
 * @ops: callbacks
 * @opaque: kept in the context for the callbacks
 * @mode: CPU mode, see emul_mode_of()
 * @cpl: privilege level
 * @va_bits: width of a linear address in 64-bit mode, 48 or 57
 *
 * Registers, instruction pointer and flags are left for the caller to fill.
 */
void emul_init(struct emul_ctxt *c, const struct emul_ops *ops, void *opaque, enum emul_mode mode,
	       unsigned int cpl, unsigned int va_bits);

/* The mode that these bits make. */
static inline enum emul_mode emul_mode_of(bool pe, bool vm, bool lma, bool cs_l, bool cs_d)
{
	if (!pe)
		return EMUL_MODE_REAL;
	if (lma && cs_l)
		return EMUL_MODE_LONG64;
	if (vm && !lma)
		return EMUL_MODE_VM86;
	return cs_d ? EMUL_MODE_PROT32 : EMUL_MODE_PROT16;
}

/**
 * emul_supply_bytes() - give the bytes at the instruction pointer
 * @c: context, after emul_init()
 * @bytes: what the CPU reported with the exit
 * @n: how many, at most 15 are taken; more are fetched when they are not enough
 */
void emul_supply_bytes(struct emul_ctxt *c, const void *bytes, unsigned int n);

/**
 * emul_decode() - fetch and decode the instruction at c->rip, without running it
 * @c: context
 *
 * Return: EMUL_CONTINUE with c->insn valid; EMUL_EXCEPTION for a fetch that
 * faults, an instruction over 15 bytes, or a combination that is #UD; or
 * EMUL_UNHANDLEABLE.
 */
enum emul_result emul_decode(struct emul_ctxt *c);

/**
 * emul_insn_length() - length of an intercepted instruction
 * @c: context, after emul_init() with rip (and, if known, the bytes) filled in
 * @cls: what the exit says it is, or EMUL_CLS_ANY
 * @len: out: length with all prefixes
 *
 * Return: as emul_decode(); EMUL_UNHANDLEABLE too when the bytes are another
 * instruction than @cls (another CPU has changed them since).
 */
enum emul_result emul_insn_length(struct emul_ctxt *c, enum emul_class cls, unsigned int *len);

/**
 * emul_next_rip() - where the CPU goes on after a decoded instruction
 * @c: context after emul_insn_length() or emul_decode()
 */
u64 emul_next_rip(const struct emul_ctxt *c);

/**
 * emul_run() - run the instruction, or go on with it
 * @c: context
 *
 * One instruction, or up to EMUL_REP_MAX iterations of a repeated one (those
 * before an exit to user space counted in). With
 * EMUL_CONTINUE and rip unmoved, the instruction is to be entered again (by
 * the CPU or by a new emul_init() and emul_run()): a repeated one that has
 * iterations left, or a locked one whose memory changed under it.
 *
 * Return: as the description at the top says.
 */
enum emul_result emul_run(struct emul_ctxt *c);

/**
 * emul_io_done() - finish the access that was left pending
 * @c: context whose last run gave EMUL_IO_NEEDED
 * @data: what was read; not looked at for a write
 * @len: its length
 *
 * Return: true; false if nothing was pending or the length of a read is
 * another than the one asked for.
 */
bool emul_io_done(struct emul_ctxt *c, const void *data, unsigned int len);

/**
 * emul_raise() - name the exception that a callback answers with
 * @c: context
 * @vector: exception vector; whether it carries an error code follows from it
 *	and from the mode
 * @error: error code
 *
 * Return: EMUL_EXCEPTION
 */
enum emul_result emul_raise(struct emul_ctxt *c, u8 vector, u32 error);

/**
 * emul_raise_pf() - emul_raise() for a page fault
 * @c: context
 * @linear: faulting linear address
 * @error: error code
 *
 * Return: EMUL_EXCEPTION
 */
enum emul_result emul_raise_pf(struct emul_ctxt *c, u64 linear, u32 error);

/**
 * struct emul_mov - a plain MOV between memory and a register or from an immediate
 * @len: of the instruction
 * @store: to memory, else from it
 * @from_imm: what is stored is @imm
 * @sign: what is loaded is sign extended, else zero extended
 * @high: the register is bits 15:8 of @reg
 * @reg: register
 * @reg_bytes: its size
 * @mem_bytes: size in memory, not larger
 * @base: base register, as in &struct emul_insn
 * @index: index register
 * @scale: shift for @index
 * @addr_bytes: address size
 * @disp: displacement, or the whole address
 * @imm: see @from_imm
 */
struct emul_mov {
	u8 len;
	bool store, from_imm, sign, high;
	u8 reg, reg_bytes, mem_bytes;
	u8 base, index, scale, addr_bytes;
	u64 disp;
	u64 imm;
};

/**
 * emul_mov_of() - is the decoded instruction a plain MOV in 64-bit mode, without a segment base?
 * @c: context whose insn was decoded; it may have run since
 * @m: out: what can be made again for the same bytes
 */
bool emul_mov_of(const struct emul_ctxt *c, struct emul_mov *m);

/* Its linear address, which need not be canonical. */
u64 emul_mov_address(const struct emul_mov *m, const u64 gpr[16], u64 rip);
/* What it writes to memory. */
u64 emul_mov_stored(const struct emul_mov *m, const u64 gpr[16]);
/* What it does with @val, read from memory. */
void emul_mov_load(const struct emul_mov *m, u64 gpr[16], u64 val);

#endif /* KEEL_EMUL_H */
