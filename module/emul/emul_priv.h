/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by the emulator's own files only. */
#ifndef KEEL_EMUL_PRIV_H
#define KEEL_EMUL_PRIV_H

#include "emul.h"

/* Decode flags of an opcode: fields first, then single bits. */
enum {
	/* destination, bits 2:0 */
	F_DST		= 7,
	F_D_RM		= 1,		/* ModRM.rm, register or memory */
	F_D_REG		= 2,		/* ModRM.reg */
	F_D_ACC		= 3,		/* AL, AX, EAX, RAX */
	F_D_OPREG	= 4,		/* low bits of the opcode */
	F_D_MOFFS	= 5,		/* memory at an absolute offset */

	/* source, bits 6:3 */
	F_SRC		= 0xf << 3,
	F_S_RM		= 1 << 3,
	F_S_REG		= 2 << 3,
	F_S_ACC		= 3 << 3,
	F_S_OPREG	= 4 << 3,
	F_S_MOFFS	= 5 << 3,
	F_S_IMM		= 6 << 3,
	F_S_CL		= 7 << 3,
	F_S_ONE		= 8 << 3,

	/* immediate, bits 10:7 */
	F_IMM		= 0xf << 7,
	F_I_8		= 1 << 7,	/* one byte, sign extended */
	F_I_8U		= 2 << 7,	/* one byte, zero extended */
	F_I_16		= 3 << 7,
	F_I_Z		= 4 << 7,	/* operand size, at most 4, sign extended */
	F_I_V		= 5 << 7,	/* operand size, 8 too */
	F_I_MOFFS	= 6 << 7,	/* address size */
	F_I_ENTER	= 7 << 7,	/* two bytes and one */

	/* size of the source where it is not the operand size, bits 12:11 */
	F_SRCSZ		= 3 << 11,
	F_SRC8		= 1 << 11,
	F_SRC16		= 2 << 11,
	F_SRC32		= 3 << 11,

	F_MODRM		= 1 << 13,
	F_BYTE		= 1 << 14,	/* operands of one byte */
	F_MOV		= 1 << 15,	/* destination is not read */
	F_NOWB		= 1 << 16,	/* destination is not written */
	F_LOCKABLE	= 1 << 17,	/* LOCK is allowed on memory */
	F_XLOCK		= 1 << 18,	/* locked on memory even without the prefix */
	F_D64		= 1 << 19,	/* operand size is 64 bits in 64-bit mode, or 16 */
	F_NEAR		= 1 << 20,	/* near branch: vendors differ over 66 in 64-bit mode */
	F_NO64		= 1 << 21,	/* #UD in 64-bit mode */
	F_PRIV		= 1 << 22,	/* CPL 0 only */
	F_MEMONLY	= 1 << 23,	/* #UD with a register */
	F_REGS		= 1 << 24,	/* ModRM.mod is ignored: always registers */
	F_NOACCESS	= 1 << 25,	/* only the address of the memory operand counts */
	F_BITSTR	= 1 << 26,	/* bit number in a register may lead out of the operand */
	F_GROUP		= 1 << 27,	/* sub: eight entries by ModRM.reg */
	F_GROUPRM	= 1 << 28,	/* sub: registers: eight by ModRM.rm; memory: 8 is #UD */
	F_PFX		= 1 << 29,	/* sub: four entries by mandatory prefix: none, 66, F3, F2 */
	F_ALIGN		= 1 << 30,	/* 16-byte operand must be aligned */
};

#define F_ONLY64	(1u << 31)	/* another instruction outside 64-bit mode */

#define F_STRING	F_NOACCESS	/* the handler makes the accesses */

typedef enum emul_result (*emul_exec_fn)(struct emul_ctxt *c);

/*
 * struct emul_opcode - one opcode
 * @flags: F_*
 * @cls: what an intercept calls it
 * @param: for the handler
 * @exec: handler; NULL: decoded for its length alone
 * @sub: next table for F_GROUP, F_GROUPRM, F_PFX
 */
struct emul_opcode {
	u32 flags;
	u8 cls;
	u8 param;
	emul_exec_fn exec;
	const struct emul_opcode *sub;
};

extern const struct emul_opcode emul_map_1byte[256];
extern const struct emul_opcode emul_map_0f[256];
extern const struct emul_opcode emul_map_0f38[256];

enum emul_operand_kind {
	EMUL_OPND_NONE,
	EMUL_OPND_REG,
	EMUL_OPND_MEM,
	EMUL_OPND_IMM,
};

enum emul_log_kind {
	EMUL_LOG_READ,
	EMUL_LOG_WRITE,
	EMUL_LOG_CMPXCHG,
	EMUL_LOG_IN,
	EMUL_LOG_OUT,
	EMUL_LOG_SYSTEM,
};

/* RFLAGS */
#define FL_CF		(1u << 0)
#define FL_PF		(1u << 2)
#define FL_AF		(1u << 4)
#define FL_ZF		(1u << 6)
#define FL_SF		(1u << 7)
#define FL_TF		(1u << 8)
#define FL_IF		(1u << 9)
#define FL_DF		(1u << 10)
#define FL_OF		(1u << 11)
#define FL_IOPL		(3u << 12)
#define FL_NT		(1u << 14)
#define FL_RF		(1u << 16)
#define FL_VM		(1u << 17)
#define FL_AC		(1u << 18)
#define FL_VIF		(1u << 19)
#define FL_VIP		(1u << 20)
#define FL_ID		(1u << 21)
#define FL_ARITH	(FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

/* Exception vectors */
#define XV_DE	0
#define XV_DB	1
#define XV_UD	6
#define XV_NM	7
#define XV_SS	12
#define XV_GP	13
#define XV_PF	14

/* Control register bits */
#define CR0_EM	(1u << 2)
#define CR0_TS	(1u << 3)
#define CR4_PVI	(1u << 1)
#define CR4_TSD	(1u << 2)
#define CR4_PCE	(1u << 8)
#define CR4_OSFXSR (1u << 9)
#define CR4_UMIP (1u << 11)
#define CR4_OSXSAVE (1u << 18)

static inline u64 emul_mask(unsigned int size)
{
	return ~0ULL >> (64 - 8 * (size & 15));
}

static inline u64 emul_sext(u64 val, unsigned int size)
{
	unsigned int sh = 64 - 8 * size;

	return (u64)((s64)(val << sh) >> sh);
}

static inline bool emul_long(const struct emul_ctxt *c)
{
	return c->mode == EMUL_MODE_LONG64;
}

static inline bool emul_prot(const struct emul_ctxt *c)
{
	return c->mode >= EMUL_MODE_PROT16;
}

static inline bool emul_canonical(const struct emul_ctxt *c, u64 la)
{
	unsigned int sh = 64 - c->va_bits;

	return (u64)((s64)(la << sh) >> sh) == la;
}

/* decode.c */
u64 emul_effective_address(const struct emul_ctxt *c);

/* mem.c */
enum emul_result emul_segment(struct emul_ctxt *c, unsigned int reg, const struct emul_seg **seg);
enum emul_result emul_linear(struct emul_ctxt *c, unsigned int seg, u64 off, unsigned int len,
			     unsigned int access, u64 *linear);
enum emul_result emul_mem_read(struct emul_ctxt *c, u64 linear, void *buf, unsigned int len,
			       unsigned int access);
enum emul_result emul_mem_write(struct emul_ctxt *c, u64 linear, const void *buf, unsigned int len,
				unsigned int access);
enum emul_result emul_mem_cmpxchg(struct emul_ctxt *c, u64 linear, const void *old,
				  const void *new, unsigned int len);
enum emul_result emul_probe(struct emul_ctxt *c, u64 linear, unsigned int len,
			    unsigned int access);
enum emul_result emul_port(struct emul_ctxt *c, bool out, u16 port, unsigned int size, u64 *val);
enum emul_result emul_port_string(struct emul_ctxt *c, bool out, u16 port, unsigned int size,
				  unsigned int count);
enum emul_result emul_system(struct emul_ctxt *c, enum emul_sysop op, u64 arg);
unsigned int emul_stack_bytes(struct emul_ctxt *c, enum emul_result *res);
enum emul_result emul_push(struct emul_ctxt *c, u64 val, unsigned int size);
enum emul_result emul_pop(struct emul_ctxt *c, u64 *val, unsigned int size);
void emul_commit(struct emul_ctxt *c);

/* exec.c */
u64 emul_reg_read(const struct emul_ctxt *c, unsigned int reg, unsigned int size);
void emul_reg_write(struct emul_ctxt *c, unsigned int reg, unsigned int size, u64 val);

/* exec_flow.c */
enum emul_result emul_store_word(struct emul_ctxt *c, u64 val);

/* alu.c: arithmetic alone; flags in and out through the pointer */
enum emul_alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };
enum emul_shift { SH_ROL, SH_ROR, SH_RCL, SH_RCR, SH_SHL, SH_SHR, SH_SAL, SH_SAR };
u64 emul_alu2(unsigned int op, u64 d, u64 s, unsigned int size, u64 *flags);
u64 emul_incdec(bool dec, u64 d, unsigned int size, u64 *flags);
u64 emul_shift(unsigned int op, u64 d, unsigned int count, unsigned int size, u64 *flags);
u64 emul_shift_double(bool right, u64 d, u64 s, unsigned int count, unsigned int size,
		      u64 *flags);
void emul_mul(bool is_signed, u64 a, u64 b, unsigned int size, u64 *lo, u64 *hi, u64 *flags);
bool emul_div(bool is_signed, u64 *lo, u64 *hi, u64 by, unsigned int size);
bool emul_condition(unsigned int cc, u64 flags);

/* Handlers, named in the opcode tables. */
#define EMUL_HANDLERS(X)							\
	X(alu2) X(test) X(incdec) X(not) X(neg) X(shift) X(shld)		\
	X(mul) X(div) X(imul2) X(imul3) X(mov) X(movsx) X(bswap) X(xchg) X(xadd)\
	X(cmpxchg) X(cmpxchg8b) X(bt) X(bsf) X(setcc) X(cmov) X(cbw) X(cwd)	\
	X(lea) X(movbe) X(xlat) X(nop) X(mov_from_sreg) X(mov_to_sreg)		\
	X(push) X(pop) X(pop_rm) X(push_rm) X(push_sreg) X(pop_sreg) X(pusha) X(popa)	\
	X(pushf) X(popf) X(enter) X(leave) X(call) X(call_rm) X(jmp) X(jmp_rm)	\
	X(ret) X(jcc) X(loop) X(jcxz) X(flag) X(cmc) X(cli) X(sti) X(lahf) X(sahf)\
	X(movs) X(stos) X(lods) X(cmps) X(scas) X(ins) X(outs) X(in) X(out)	\
	X(mov_from_cr) X(mov_to_cr) X(mov_from_dr) X(mov_to_dr) X(clts) X(lmsw)	\
	X(smsw) X(rdmsr) X(wrmsr) X(cpuid) X(rdtsc) X(rdpmc) X(xgetbv) X(xsetbv)	\
	X(sysop) X(invlpg) X(monitor) X(mwait)			\
	X(sse_load) X(sse_store) X(movd_load) X(movd_store) X(movq_load) X(movq_store)

#define EMUL_DECLARE_HANDLER(name) enum emul_result emul_op_##name(struct emul_ctxt *c);
EMUL_HANDLERS(EMUL_DECLARE_HANDLER)
#undef EMUL_DECLARE_HANDLER

#endif /* KEEL_EMUL_PRIV_H */
