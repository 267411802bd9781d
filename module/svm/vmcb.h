/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The virtual machine control block (APM vol. 2, appendix 'Layout of VMCB').
 */
#ifndef KEEL_SVM_VMCB_H
#define KEEL_SVM_VMCB_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

/* intercept_misc1 */
#define ICPT_INTR		BIT(0)
#define ICPT_NMI		BIT(1)
#define ICPT_SMI		BIT(2)
#define ICPT_INIT		BIT(3)
#define ICPT_VINTR		BIT(4)
#define ICPT_CR0_SEL_WRITE	BIT(5)
#define ICPT_RDPMC		BIT(15)
#define ICPT_CPUID		BIT(18)
#define ICPT_IRET		BIT(20)
#define ICPT_INVD		BIT(22)
#define ICPT_PAUSE		BIT(23)
#define ICPT_HLT		BIT(24)
#define ICPT_INVLPGA		BIT(26)
#define ICPT_IOIO		BIT(27)
#define ICPT_MSR		BIT(28)
#define ICPT_SHUTDOWN		BIT(31)

/* intercept_misc2 */
#define ICPT_VMRUN		BIT(0)
#define ICPT_VMMCALL		BIT(1)
#define ICPT_VMLOAD		BIT(2)
#define ICPT_VMSAVE		BIT(3)
#define ICPT_STGI		BIT(4)
#define ICPT_CLGI		BIT(5)
#define ICPT_SKINIT		BIT(6)
#define ICPT_RDTSCP		BIT(7)
#define ICPT_WBINVD		BIT(9)
#define ICPT_MONITOR		BIT(10)
#define ICPT_MWAIT		BIT(11)
#define ICPT_MWAIT_ARMED	BIT(12)
#define ICPT_XSETBV		BIT(13)
#define ICPT_RDPRU		BIT(14)

/* intercept_misc3 */
#define ICPT_INVLPGB		BIT(0)
#define ICPT_INVLPGB_ILLEGAL	BIT(1)
#define ICPT_INVPCID		BIT(2)
#define ICPT_MCOMMIT		BIT(3)
#define ICPT_TLBSYNC		BIT(4)

/* tlb_control */
#define TLB_CTL_NONE		0
#define TLB_CTL_FLUSH_ALL		1	/* every ASID, the host's too */
#define TLB_CTL_FLUSH_ASID		3	/* the guest's own; needs FlushByAsid */

/* int_ctl */
#define INT_V_TPR		GENMASK(7, 0)
#define INT_V_IRQ		BIT(8)
#define INT_V_PRIO		GENMASK(19, 16)
#define INT_V_IGN_TPR		BIT(20)
#define INT_V_MASKING		BIT(24)

/* int_state */
#define INT_STATE_SHADOW	BIT(0)

/* event_inj and exit_int_info */
#define EVENT_VECTOR		GENMASK(7, 0)
#define EVENT_TYPE		GENMASK(10, 8)
#define EVENT_HAS_ERROR		BIT(11)
#define EVENT_VALID		BIT(31)
enum { EVENT_INTR = 0, EVENT_NMI = 2, EVENT_EXCEPTION = 3, EVENT_SOFT = 4 };

/* np_ctl, lbr_ctl */
#define NP_ENABLE		BIT(0)
#define LBR_ENABLE		BIT(0)

/* The clean field: a set bit says that the group has not changed since the last exit. */
#define CLEAN_INTERCEPTS	BIT(0)	/* and TSC offset, pause filter */
#define CLEAN_IOPM		BIT(1)	/* addresses and contents of both permission maps */
#define CLEAN_ASID		BIT(2)
#define CLEAN_TPR		BIT(3)	/* all of int_ctl, int_vector */
#define CLEAN_NP		BIT(4)	/* NP_ENABLE, N_CR3, G_PAT */
#define CLEAN_CRX		BIT(5)	/* CR0, CR3, CR4, EFER */
#define CLEAN_DRX		BIT(6)
#define CLEAN_DT		BIT(7)	/* GDTR, IDTR */
#define CLEAN_SEG		BIT(8)	/* CS, DS, SS, ES, CPL */
#define CLEAN_CR2		BIT(9)
#define CLEAN_LBR		BIT(10)
#define CLEAN_ALL		GENMASK(10, 0)

/* Exit codes (APM, appendix 'SVM Intercept Exit Codes'). */
enum svm_exit_code {
	VMEXIT_CR0_READ		= 0x000,
	VMEXIT_CR15_READ	= 0x00f,
	VMEXIT_CR0_WRITE	= 0x010,
	VMEXIT_CR15_WRITE	= 0x01f,
	VMEXIT_DR0_READ		= 0x020,
	VMEXIT_DR15_READ	= 0x02f,
	VMEXIT_DR0_WRITE	= 0x030,
	VMEXIT_DR15_WRITE	= 0x03f,
	VMEXIT_EXCP0		= 0x040,
	VMEXIT_EXCP31		= 0x05f,
	VMEXIT_INTR		= 0x060,
	VMEXIT_NMI		= 0x061,
	VMEXIT_SMI		= 0x062,
	VMEXIT_INIT		= 0x063,
	VMEXIT_VINTR		= 0x064,
	VMEXIT_CR0_SEL_WRITE	= 0x065,
	VMEXIT_RDPMC		= 0x06f,
	VMEXIT_CPUID		= 0x072,
	VMEXIT_IRET		= 0x074,
	VMEXIT_INVD		= 0x076,
	VMEXIT_PAUSE		= 0x077,
	VMEXIT_HLT		= 0x078,
	VMEXIT_INVLPGA		= 0x07a,
	VMEXIT_IOIO		= 0x07b,
	VMEXIT_MSR		= 0x07c,
	VMEXIT_SHUTDOWN		= 0x07f,
	VMEXIT_VMRUN		= 0x080,
	VMEXIT_VMMCALL		= 0x081,
	VMEXIT_VMLOAD		= 0x082,
	VMEXIT_VMSAVE		= 0x083,
	VMEXIT_STGI		= 0x084,
	VMEXIT_CLGI		= 0x085,
	VMEXIT_SKINIT		= 0x086,
	VMEXIT_RDTSCP		= 0x087,
	VMEXIT_WBINVD		= 0x089,
	VMEXIT_MONITOR		= 0x08a,
	VMEXIT_MWAIT		= 0x08b,
	VMEXIT_MWAIT_COND	= 0x08c,
	VMEXIT_XSETBV		= 0x08d,
	VMEXIT_RDPRU		= 0x08e,
	VMEXIT_INVLPGB		= 0x0a0,
	VMEXIT_INVLPGB_ILLEGAL	= 0x0a1,
	VMEXIT_INVPCID		= 0x0a2,
	VMEXIT_MCOMMIT		= 0x0a3,
	VMEXIT_TLBSYNC		= 0x0a4,
	VMEXIT_NPF		= 0x400,
};
#define VMEXIT_INVALID		(~0U)	/* of the lower half of exit_code */

/* exit_info_1 of an IOIO exit */
#define IOIO_IN			BIT(0)
#define IOIO_STRING		BIT(2)
#define IOIO_REP		BIT(3)
#define IOIO_SIZE		GENMASK(6, 4)	/* the bytes, as a number */
#define IOIO_PORT		GENMASK(31, 16)

/* exit_info_1 of a CR access, with decode assists: MOV, and from which register */
#define CR_INFO_MOV		BIT_ULL(63)
#define CR_INFO_GPR		GENMASK_ULL(3, 0)

/* exit_info_1 of a nested page fault, above the error code of a page fault */
#define NPF_GUEST_WALK		BIT_ULL(33)

struct vmcb_seg {
	u16 selector;
	u16 attrib;
	u32 limit;
	u64 base;
};

struct vmcb_control {
	u16 intercept_cr_read, intercept_cr_write;	/* 000h */
	u16 intercept_dr_read, intercept_dr_write;
	u32 intercept_exceptions;
	u32 intercept_misc1, intercept_misc2, intercept_misc3;
	u8 reserved_018[0x3c - 0x18];
	u16 pause_threshold, pause_count;
	u64 iopm_pa;					/* 040h */
	u64 msrpm_pa;
	u64 tsc_offset;
	u32 asid;
	u8 tlb_control;
	u8 reserved_05d[3];
	u32 int_ctl;					/* 060h */
	u32 int_vector;
	u64 int_state;
	u64 exit_code;
	u64 exit_info_1, exit_info_2;
	u32 exit_int_info, exit_int_error;
	u64 np_ctl;					/* 090h */
	u64 avic_bar;
	u64 ghcb_pa;
	u32 event_inj, event_inj_error;
	u64 n_cr3;
	u64 lbr_ctl;
	u32 clean;					/* 0c0h */
	u32 reserved_0c4;
	u64 next_rip;
	u8 insn_len;
	u8 insn_bytes[15];
	u8 reserved_0e0[0x400 - 0xe0];
};

struct vmcb_save {
	struct vmcb_seg es, cs, ss, ds, fs, gs;		/* 400h */
	struct vmcb_seg gdtr, ldtr, idtr, tr;
	u8 reserved_0a0[0xcb - 0xa0];
	u8 cpl;
	u32 reserved_0cc;
	u64 efer;					/* 4d0h */
	u8 reserved_0d8[0x148 - 0xd8];
	u64 cr4, cr3, cr0;				/* 548h */
	u64 dr7, dr6;
	u64 rflags, rip;
	u8 reserved_180[0x1d8 - 0x180];
	u64 rsp;					/* 5d8h */
	u64 s_cet, ssp, isst_addr;
	u64 rax;
	u64 star, lstar, cstar, sfmask;			/* 600h */
	u64 kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 cr2;
	u8 reserved_248[0x268 - 0x248];
	u64 g_pat;					/* 668h */
	u64 dbgctl;
	u64 br_from, br_to, last_excp_from, last_excp_to;
	u8 reserved_298[0x2e0 - 0x298];
	u64 spec_ctrl;					/* 6e0h */
	u8 reserved_2e8[0xc00 - 0x2e8];
};

struct vmcb {
	struct vmcb_control control;
	struct vmcb_save save;
};

#define VMCB_AT(field, offset)	static_assert(offsetof(struct vmcb, field) == (offset))
VMCB_AT(control.intercept_exceptions, 0x008);
VMCB_AT(control.pause_threshold, 0x03c);
VMCB_AT(control.iopm_pa, 0x040);
VMCB_AT(control.tsc_offset, 0x050);
VMCB_AT(control.tlb_control, 0x05c);
VMCB_AT(control.int_ctl, 0x060);
VMCB_AT(control.int_vector, 0x064);
VMCB_AT(control.int_state, 0x068);
VMCB_AT(control.exit_code, 0x070);
VMCB_AT(control.exit_int_info, 0x088);
VMCB_AT(control.np_ctl, 0x090);
VMCB_AT(control.event_inj, 0x0a8);
VMCB_AT(control.n_cr3, 0x0b0);
VMCB_AT(control.lbr_ctl, 0x0b8);
VMCB_AT(control.clean, 0x0c0);
VMCB_AT(control.next_rip, 0x0c8);
VMCB_AT(control.insn_len, 0x0d0);
VMCB_AT(save.es, 0x400);
VMCB_AT(save.gdtr, 0x460);
VMCB_AT(save.tr, 0x490);
VMCB_AT(save.cpl, 0x4cb);
VMCB_AT(save.efer, 0x4d0);
VMCB_AT(save.cr4, 0x548);
VMCB_AT(save.dr7, 0x560);
VMCB_AT(save.rip, 0x578);
VMCB_AT(save.rsp, 0x5d8);
VMCB_AT(save.rax, 0x5f8);
VMCB_AT(save.star, 0x600);
VMCB_AT(save.kernel_gs_base, 0x620);
VMCB_AT(save.sysenter_eip, 0x638);
VMCB_AT(save.cr2, 0x640);
VMCB_AT(save.g_pat, 0x668);
VMCB_AT(save.dbgctl, 0x670);
VMCB_AT(save.last_excp_to, 0x690);
VMCB_AT(save.spec_ctrl, 0x6e0);
static_assert(sizeof(struct vmcb) == 0x1000);

#endif
