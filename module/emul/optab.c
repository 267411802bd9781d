// SPDX-License-Identifier: GPL-2.0-only
/*
 * Opcode tables (SDM vol. 2, "Opcode Map"). An empty entry is not emulated;
 * one with a class but no handler is known by its length only.
 */
#include "emul_priv.h"

#define I(fl, fn)		{ .flags = (fl), .exec = emul_op_##fn }
#define IP(fl, fn, p)		{ .flags = (fl), .exec = emul_op_##fn, .param = (p) }
#define IC(fl, fn, c)		{ .flags = (fl), .exec = emul_op_##fn, .cls = EMUL_CLS_##c }
#define ICP(fl, fn, c, p)	{ .flags = (fl), .exec = emul_op_##fn, .cls = EMUL_CLS_##c, \
				  .param = (p) }
#define LEN(fl, c)		{ .flags = (fl), .cls = EMUL_CLS_##c }
#define SUB(fl, tab)		{ .flags = (fl), .sub = (tab) }

/* Byte form and full form of one instruction. */
#define I2(fl, fn)		I((fl) | F_BYTE, fn), I(fl, fn)
#define IP2(fl, fn, p)		IP((fl) | F_BYTE, fn, p), IP(fl, fn, p)
#define IC2(fl, fn, c)		IC((fl) | F_BYTE, fn, c), IC(fl, fn, c)

#define RM_REG		(F_MODRM | F_D_RM | F_S_REG)
#define REG_RM		(F_MODRM | F_D_REG | F_S_RM)
#define RM_IMM8		(F_MODRM | F_D_RM | F_S_IMM | F_I_8)
#define RM_IMMZ		(F_MODRM | F_D_RM | F_S_IMM | F_I_Z)
#define ACC_IMM		(F_D_ACC | F_S_IMM | F_I_Z)
#define REL8		(F_D64 | F_NEAR | F_I_8)
#define RELZ		(F_D64 | F_NEAR | F_I_Z)
#define MEM_ADDR	(F_MODRM | F_D_RM | F_NOACCESS)

#define ROW8(x)		x, x, x, x, x, x, x, x

/* The eight arithmetic operations have six forms each. */
#define ALU_ROW(op, lock, nowb)						\
	IP2(RM_REG | (lock) | (nowb), alu2, op),			\
	IP2(REG_RM | (nowb), alu2, op),					\
	IP(ACC_IMM | F_BYTE | (nowb), alu2, op), IP(ACC_IMM | (nowb), alu2, op)

#define ALU_GROUP(fl)							\
	IP((fl) | F_LOCKABLE, alu2, ALU_ADD), IP((fl) | F_LOCKABLE, alu2, ALU_OR),	\
	IP((fl) | F_LOCKABLE, alu2, ALU_ADC), IP((fl) | F_LOCKABLE, alu2, ALU_SBB),	\
	IP((fl) | F_LOCKABLE, alu2, ALU_AND), IP((fl) | F_LOCKABLE, alu2, ALU_SUB),	\
	IP((fl) | F_LOCKABLE, alu2, ALU_XOR), IP((fl) | F_NOWB, alu2, ALU_CMP)

static const struct emul_opcode group1[8] = { ALU_GROUP(0) };

static const struct emul_opcode group1a[9] = {
	[0] = I(F_D64 | F_NOACCESS, pop_rm),	/* the others are XOP prefixes */
};

static const struct emul_opcode group2[8] = {
	IP(0, shift, SH_ROL), IP(0, shift, SH_ROR), IP(0, shift, SH_RCL), IP(0, shift, SH_RCR),
	IP(0, shift, SH_SHL), IP(0, shift, SH_SHR), IP(0, shift, SH_SAL), IP(0, shift, SH_SAR),
};

#define GROUP3(imm)							\
	I(F_D_RM | F_S_IMM | (imm) | F_NOWB, test),			\
	I(F_D_RM | F_S_IMM | (imm) | F_NOWB, test),			\
	I(F_D_RM | F_LOCKABLE, not), I(F_D_RM | F_LOCKABLE, neg),		\
	IP(F_S_RM, mul, 0), IP(F_S_RM, mul, 1), IP(F_S_RM, div, 0), IP(F_S_RM, div, 1)

static const struct emul_opcode group3[8] = { GROUP3(F_I_Z) };

static const struct emul_opcode group4[8] = {
	IP(F_D_RM | F_LOCKABLE, incdec, 0), IP(F_D_RM | F_LOCKABLE, incdec, 1),
};

static const struct emul_opcode group5[8] = {
	[0] = IP(F_D_RM | F_LOCKABLE, incdec, 0),
	[1] = IP(F_D_RM | F_LOCKABLE, incdec, 1),
	[2] = I(F_S_RM | F_D64 | F_NEAR, call_rm),
	[4] = I(F_S_RM | F_D64 | F_NEAR, jmp_rm),
	[6] = I(F_D_RM | F_NOACCESS | F_D64, push_rm),
};

static const struct emul_opcode group11[8] = {
	[0] = I(F_D_RM | F_S_IMM | F_I_Z | F_MOV, mov),
};

/* F3 90 is PAUSE, other prefixes make XCHG with rAX, which without REX.B is NOP. */
static const struct emul_opcode pfx_90[4] = {
	I(F_D_ACC | F_S_OPREG, xchg),
	I(F_D_ACC | F_S_OPREG, xchg),
	ICP(0, sysop, PAUSE, EMUL_SYS_PAUSE),
	I(F_D_ACC | F_S_OPREG, xchg),
};

const struct emul_opcode emul_map_1byte[256] = {
	[0x00] = ALU_ROW(ALU_ADD, F_LOCKABLE, 0),
	[0x06] = IP(F_NO64, push_sreg, EMUL_ES), IP(F_NO64, pop_sreg, EMUL_ES),
	[0x08] = ALU_ROW(ALU_OR, F_LOCKABLE, 0),
	[0x0e] = IP(F_NO64, push_sreg, EMUL_CS),
	[0x10] = ALU_ROW(ALU_ADC, F_LOCKABLE, 0),
	[0x16] = IP(F_NO64, push_sreg, EMUL_SS), IP(F_NO64, pop_sreg, EMUL_SS),
	[0x18] = ALU_ROW(ALU_SBB, F_LOCKABLE, 0),
	[0x1e] = IP(F_NO64, push_sreg, EMUL_DS), IP(F_NO64, pop_sreg, EMUL_DS),
	[0x20] = ALU_ROW(ALU_AND, F_LOCKABLE, 0),
	[0x28] = ALU_ROW(ALU_SUB, F_LOCKABLE, 0),
	[0x30] = ALU_ROW(ALU_XOR, F_LOCKABLE, 0),
	[0x38] = ALU_ROW(ALU_CMP, 0, F_NOWB),
	[0x40] = ROW8(IP(F_D_OPREG | F_NO64, incdec, 0)),
	[0x48] = ROW8(IP(F_D_OPREG | F_NO64, incdec, 1)),
	[0x50] = ROW8(I(F_S_OPREG | F_D64, push)),
	[0x58] = ROW8(I(F_D_OPREG | F_D64 | F_MOV, pop)),
	[0x60] = I(F_NO64, pusha), I(F_NO64, popa),
	[0x63] = I(REG_RM | F_MOV | F_SRC32 | F_ONLY64, movsx),	/* ARPL elsewhere */
	[0x68] = I(F_S_IMM | F_I_Z | F_D64, push),
	[0x69] = I(F_MODRM | F_D_REG | F_S_RM | F_I_Z, imul3),
	[0x6a] = I(F_S_IMM | F_I_8 | F_D64, push),
	[0x6b] = I(F_MODRM | F_D_REG | F_S_RM | F_I_8, imul3),
	[0x6c] = IC2(F_STRING, ins, INS),
	[0x6e] = IC2(F_STRING, outs, OUTS),
	[0x70] = ROW8(I(REL8, jcc)), ROW8(I(REL8, jcc)),
	[0x80] = SUB(RM_IMM8 | F_GROUP | F_BYTE, group1),
	[0x81] = SUB(RM_IMMZ | F_GROUP, group1),
	[0x82] = SUB(RM_IMM8 | F_GROUP | F_BYTE | F_NO64, group1),
	[0x83] = SUB(RM_IMM8 | F_GROUP, group1),
	[0x84] = I2(RM_REG | F_NOWB, test),
	[0x86] = I2(RM_REG | F_LOCKABLE | F_XLOCK, xchg),
	[0x88] = I2(RM_REG | F_MOV, mov),
	[0x8a] = I2(REG_RM | F_MOV, mov),
	[0x8c] = I(MEM_ADDR, mov_from_sreg),
	[0x8d] = I(MEM_ADDR | F_MEMONLY, lea),
	[0x8e] = I(MEM_ADDR, mov_to_sreg),
	[0x8f] = SUB(F_MODRM | F_GROUP, group1a),
	[0x90] = SUB(F_PFX, pfx_90),
	[0x91] = I(F_D_ACC | F_S_OPREG, xchg), I(F_D_ACC | F_S_OPREG, xchg),
		 I(F_D_ACC | F_S_OPREG, xchg), I(F_D_ACC | F_S_OPREG, xchg),
		 I(F_D_ACC | F_S_OPREG, xchg), I(F_D_ACC | F_S_OPREG, xchg),
		 I(F_D_ACC | F_S_OPREG, xchg),
	[0x98] = I(F_D_ACC, cbw), I(0, cwd),
	[0x9c] = IC(F_D64, pushf, PUSHF), IC(F_D64, popf, POPF), I(0, sahf), I(0, lahf),
	[0xa0] = I2(F_D_ACC | F_S_MOFFS | F_I_MOFFS | F_MOV, mov),
	[0xa2] = I2(F_D_MOFFS | F_S_ACC | F_I_MOFFS | F_MOV, mov),
	[0xa4] = I2(F_STRING, movs),
	[0xa6] = I2(F_STRING, cmps),
	[0xa8] = I2(ACC_IMM | F_NOWB, test),
	[0xaa] = I2(F_STRING, stos),
	[0xac] = I2(F_STRING, lods),
	[0xae] = I2(F_STRING, scas),
	[0xb0] = ROW8(I(F_D_OPREG | F_S_IMM | F_I_8 | F_MOV | F_BYTE, mov)),
	[0xb8] = ROW8(I(F_D_OPREG | F_S_IMM | F_I_V | F_MOV, mov)),
	[0xc0] = SUB(F_MODRM | F_D_RM | F_S_IMM | F_I_8U | F_GROUP | F_BYTE, group2),
	[0xc1] = SUB(F_MODRM | F_D_RM | F_S_IMM | F_I_8U | F_GROUP, group2),
	[0xc2] = I(F_D64 | F_NEAR | F_I_16, ret), I(F_D64 | F_NEAR, ret),
	[0xc6] = SUB(F_MODRM | F_GROUP | F_BYTE, group11),
	[0xc7] = SUB(F_MODRM | F_GROUP, group11),
	[0xc8] = I(F_D64 | F_I_ENTER, enter), I(F_D64, leave),
	[0xcc] = LEN(0, INT3),
	[0xcd] = LEN(F_I_8U, INTN),
	[0xce] = LEN(F_NO64, INTO),
	[0xcf] = LEN(0, IRET),
	[0xd0] = SUB(F_MODRM | F_D_RM | F_S_ONE | F_GROUP | F_BYTE, group2),
	[0xd1] = SUB(F_MODRM | F_D_RM | F_S_ONE | F_GROUP, group2),
	[0xd2] = SUB(F_MODRM | F_D_RM | F_S_CL | F_GROUP | F_BYTE, group2),
	[0xd3] = SUB(F_MODRM | F_D_RM | F_S_CL | F_GROUP, group2),
	[0xd7] = I(F_BYTE, xlat),
	[0xe0] = I(REL8, loop), I(REL8, loop), I(REL8, loop), I(REL8, jcxz),
	[0xe4] = IC2(F_I_8U, in, IN),
	[0xe6] = IC2(F_I_8U, out, OUT),
	[0xe8] = I(RELZ, call), I(RELZ, jmp),
	[0xeb] = I(REL8, jmp),
	[0xec] = IC2(0, in, IN),
	[0xee] = IC2(0, out, OUT),
	[0xf1] = LEN(0, ICEBP),
	[0xf4] = ICP(F_PRIV, sysop, HLT, EMUL_SYS_HLT), I(0, cmc),
	[0xf6] = SUB(F_MODRM | F_GROUP | F_BYTE, group3),
	[0xf7] = SUB(F_MODRM | F_GROUP, group3),
	[0xf8] = I(0, flag), I(0, flag), I(0, cli), I(0, sti), I(0, flag), I(0, flag),
	[0xfe] = SUB(F_MODRM | F_GROUP | F_BYTE, group4),
	[0xff] = SUB(F_MODRM | F_GROUP, group5),
};

static const struct emul_opcode group6[8] = {
	LEN(MEM_ADDR, SLDT), LEN(MEM_ADDR, STR), LEN(MEM_ADDR, LLDT), LEN(MEM_ADDR, LTR),
};

/* 0F 01 with a register: an instruction of its own for each ModRM */
static const struct emul_opcode group7_rm0[9] = {
	[1] = ICP(0, sysop, HYPERCALL, EMUL_SYS_HYPERCALL),	/* VMCALL */
	[8] = LEN(MEM_ADDR, SGDT),
};

static const struct emul_opcode group7_rm1[9] = {
	[0] = IC(F_PRIV, monitor, MONITOR),
	[1] = IC(F_PRIV, mwait, MWAIT),
	[8] = LEN(MEM_ADDR, SIDT),
};

static const struct emul_opcode group7_rm2[9] = {
	[0] = IC(0, xgetbv, XGETBV),
	[1] = IC(0, xsetbv, XSETBV),
	[8] = LEN(MEM_ADDR, LGDT),
};

static const struct emul_opcode group7_rm3[9] = {
	[0] = LEN(0, VMRUN),
	[1] = ICP(0, sysop, HYPERCALL, EMUL_SYS_HYPERCALL),	/* VMMCALL */
	[2] = LEN(0, VMLOAD),
	[3] = LEN(0, VMSAVE),
	[4] = LEN(0, STGI),
	[5] = LEN(0, CLGI),
	[6] = LEN(0, SKINIT),
	[7] = LEN(0, INVLPGA),
	[8] = LEN(MEM_ADDR, LIDT),
};

static const struct emul_opcode group7_rm7[9] = {
	[1] = ICP(0, rdtsc, RDTSCP, 1),
	[8] = IC(MEM_ADDR | F_PRIV, invlpg, INVLPG),
};

static const struct emul_opcode group7[8] = {
	[0] = SUB(F_GROUPRM, group7_rm0),
	[1] = SUB(F_GROUPRM, group7_rm1),
	[2] = SUB(F_GROUPRM, group7_rm2),
	[3] = SUB(F_GROUPRM, group7_rm3),
	[4] = IC(MEM_ADDR, smsw, SMSW),
	[6] = IC(F_S_RM | F_SRC16 | F_PRIV, lmsw, LMSW),
	[7] = SUB(F_GROUPRM, group7_rm7),
};

static const struct emul_opcode group8[8] = {
	[4] = IP(F_NOWB, bt, 0), IP(F_LOCKABLE, bt, 1), IP(F_LOCKABLE, bt, 2), IP(F_LOCKABLE, bt, 3),
};

static const struct emul_opcode group9_1[9] = {
	[8] = I(MEM_ADDR | F_LOCKABLE, cmpxchg8b),
};

static const struct emul_opcode group9[8] = {
	[1] = SUB(F_GROUPRM, group9_1),
};

static const struct emul_opcode nop_mem[9] = { [8] = I(MEM_ADDR, nop) };

/* 0F AE: fences are registers, flushes memory; the rest is state saving. */
static const struct emul_opcode group15_lfence[9] = { ROW8(I(0, nop)) };
static const struct emul_opcode group15_clflush[9] = { ROW8(I(0, nop)), [8] = I(MEM_ADDR, nop) };
static const struct emul_opcode group15_none[8] = {
	[5] = SUB(F_GROUPRM, group15_lfence),
	[6] = SUB(F_GROUPRM, group15_lfence),
	[7] = SUB(F_GROUPRM, group15_clflush),
};

static const struct emul_opcode group15_66[8] = {
	[6] = SUB(F_GROUPRM, nop_mem),	/* CLWB */
	[7] = SUB(F_GROUPRM, nop_mem),	/* CLFLUSHOPT */
};

static const struct emul_opcode group15[4] = {
	SUB(F_GROUP, group15_none), SUB(F_GROUP, group15_66),
};

#define XMM_RM		(F_MODRM)

static const struct emul_opcode pfx_10[4] = { I(0, sse_load), I(0, sse_load) };
static const struct emul_opcode pfx_11[4] = { I(0, sse_store), I(0, sse_store) };
static const struct emul_opcode pfx_28[4] = { I(F_ALIGN, sse_load), I(F_ALIGN, sse_load) };
static const struct emul_opcode pfx_29[4] = { I(F_ALIGN, sse_store), I(F_ALIGN, sse_store) };
static const struct emul_opcode pfx_2b[4] = {
	I(F_ALIGN | F_MEMONLY, sse_store), I(F_ALIGN | F_MEMONLY, sse_store),
};
static const struct emul_opcode pfx_6e[4] = { [1] = I(0, movd_load) };
static const struct emul_opcode pfx_6f[4] = {
	[1] = I(F_ALIGN, sse_load), [2] = I(0, sse_load),
};
static const struct emul_opcode pfx_7e[4] = { [1] = I(0, movd_store), [2] = I(0, movq_load) };
static const struct emul_opcode pfx_7f[4] = {
	[1] = I(F_ALIGN, sse_store), [2] = I(0, sse_store),
};
static const struct emul_opcode pfx_d6[4] = { [1] = I(0, movq_store) };
static const struct emul_opcode pfx_e7[4] = { [1] = I(F_ALIGN | F_MEMONLY, sse_store) };
static const struct emul_opcode pfx_2a[4] = { [1] = I(F_ALIGN | F_MEMONLY, sse_load) };

/* F3 makes TZCNT and LZCNT of these, on CPUs that have them. */
static const struct emul_opcode pfx_bc[4] = {
	IP(F_D_REG | F_S_RM, bsf, 0), IP(F_D_REG | F_S_RM, bsf, 0),
};
static const struct emul_opcode pfx_bd[4] = {
	IP(F_D_REG | F_S_RM, bsf, 1), IP(F_D_REG | F_S_RM, bsf, 1),
};

static const struct emul_opcode pfx_c3[4] = {
	[0] = I(F_D_RM | F_S_REG | F_MOV | F_MEMONLY, mov),	/* MOVNTI */
};

#define CR_MOVE		(F_MODRM | F_REGS)

const struct emul_opcode emul_map_0f[256] = {
	[0x00] = SUB(F_MODRM | F_GROUP, group6),
	[0x01] = SUB(F_MODRM | F_GROUP, group7),
	[0x06] = IC(F_PRIV, clts, CLTS),
	[0x08] = ICP(F_PRIV, sysop, INVD, EMUL_SYS_INVD),
	[0x09] = ICP(F_PRIV, sysop, WBINVD, EMUL_SYS_WBINVD),
	[0x0d] = SUB(F_MODRM | F_GROUPRM, nop_mem),	/* PREFETCHW */
	[0x10] = SUB(XMM_RM | F_PFX, pfx_10),
	[0x11] = SUB(XMM_RM | F_PFX, pfx_11),
	[0x18] = I(MEM_ADDR, nop), I(MEM_ADDR, nop),
	[0x1d] = I(MEM_ADDR, nop), I(MEM_ADDR, nop), I(MEM_ADDR, nop),
	[0x20] = IC(CR_MOVE | F_LOCKABLE, mov_from_cr, MOV_FROM_CR),
	[0x21] = IC(CR_MOVE, mov_from_dr, MOV_FROM_DR),
	[0x22] = IC(CR_MOVE | F_LOCKABLE, mov_to_cr, MOV_TO_CR),
	[0x23] = IC(CR_MOVE, mov_to_dr, MOV_TO_DR),
	[0x28] = SUB(XMM_RM | F_PFX, pfx_28),
	[0x29] = SUB(XMM_RM | F_PFX, pfx_29),
	[0x2b] = SUB(XMM_RM | F_PFX, pfx_2b),
	[0x30] = IC(F_PRIV, wrmsr, WRMSR),
	[0x31] = IC(0, rdtsc, RDTSC),
	[0x32] = IC(F_PRIV, rdmsr, RDMSR),
	[0x33] = IC(0, rdpmc, RDPMC),
	[0x40] = ROW8(I(REG_RM, cmov)), ROW8(I(REG_RM, cmov)),
	[0x6e] = SUB(XMM_RM | F_PFX, pfx_6e),
	[0x6f] = SUB(XMM_RM | F_PFX, pfx_6f),
	[0x7e] = SUB(XMM_RM | F_PFX, pfx_7e),
	[0x7f] = SUB(XMM_RM | F_PFX, pfx_7f),
	[0x80] = ROW8(I(RELZ, jcc)), ROW8(I(RELZ, jcc)),
	[0x90] = ROW8(I(F_MODRM | F_D_RM | F_MOV | F_BYTE, setcc)),
		 ROW8(I(F_MODRM | F_D_RM | F_MOV | F_BYTE, setcc)),
	[0xa0] = IP(F_D64, push_sreg, EMUL_FS), IP(F_D64, pop_sreg, EMUL_FS),
	[0xa2] = IC(0, cpuid, CPUID),
	[0xa3] = IP(RM_REG | F_NOWB | F_BITSTR, bt, 0),
	[0xa4] = IP(RM_REG | F_I_8U, shld, 0), IP(RM_REG, shld, 0),
	[0xa8] = IP(F_D64, push_sreg, EMUL_GS), IP(F_D64, pop_sreg, EMUL_GS),
	[0xaa] = LEN(0, RSM),
	[0xab] = IP(RM_REG | F_LOCKABLE | F_BITSTR, bt, 1),
	[0xac] = IP(RM_REG | F_I_8U, shld, 1), IP(RM_REG, shld, 1),
	[0xae] = SUB(F_MODRM | F_PFX, group15),
	[0xaf] = I(REG_RM, imul2),
	[0xb0] = I2(RM_REG | F_LOCKABLE, cmpxchg),
	[0xb3] = IP(RM_REG | F_LOCKABLE | F_BITSTR, bt, 2),
	[0xb6] = I(REG_RM | F_MOV | F_SRC8, mov), I(REG_RM | F_MOV | F_SRC16, mov),
	[0xba] = SUB(F_MODRM | F_GROUP | F_D_RM | F_S_IMM | F_I_8U, group8),
	[0xbb] = IP(RM_REG | F_LOCKABLE | F_BITSTR, bt, 3),
	[0xbc] = SUB(F_MODRM | F_PFX, pfx_bc),
	[0xbd] = SUB(F_MODRM | F_PFX, pfx_bd),
	[0xbe] = I(REG_RM | F_MOV | F_SRC8, movsx), I(REG_RM | F_MOV | F_SRC16, movsx),
	[0xc0] = I2(RM_REG | F_LOCKABLE, xadd),
	[0xc3] = SUB(F_MODRM | F_PFX, pfx_c3),
	[0xc7] = SUB(F_MODRM | F_GROUP, group9),
	[0xc8] = ROW8(I(F_D_OPREG, bswap)),
	[0xd6] = SUB(XMM_RM | F_PFX, pfx_d6),
	[0xe7] = SUB(XMM_RM | F_PFX, pfx_e7),
};

static const struct emul_opcode movbe_load[9] = {
	[8] = I(F_D_REG | F_S_RM | F_MOV, movbe),
};

static const struct emul_opcode movbe_store[9] = {
	[8] = I(F_D_RM | F_S_REG | F_MOV, movbe),
};

/* With F2 these are CRC32. */
static const struct emul_opcode pfx_f0[4] = {
	SUB(F_GROUPRM, movbe_load), SUB(F_GROUPRM, movbe_load),
};

static const struct emul_opcode pfx_f1[4] = {
	SUB(F_GROUPRM, movbe_store), SUB(F_GROUPRM, movbe_store),
};

static const struct emul_opcode pfx_invpcid[4] = {
	[1] = LEN(MEM_ADDR | F_MEMONLY, INVPCID),
};

const struct emul_opcode emul_map_0f38[256] = {
	[0x2a] = SUB(XMM_RM | F_PFX, pfx_2a),
	[0x82] = SUB(F_MODRM | F_PFX, pfx_invpcid),
	[0xf0] = SUB(F_MODRM | F_PFX, pfx_f0),
	[0xf1] = SUB(F_MODRM | F_PFX, pfx_f1),
};
