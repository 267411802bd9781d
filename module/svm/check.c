// SPDX-License-Identifier: GPL-2.0-only
/*
 * Why VMRUN refused: the conditions of APM vol. 2, 'Canonicalization and Consistency
 * Checks', one by one, in words for the log.
 */
#include <linux/kernel.h>
#include <asm/processor-flags.h>
#include <asm/processor.h>

#include "svm.h"

#define EFER_KNOWN	(EFER_SCE | EFER_LME | EFER_LMA | EFER_NX | EFER_SVME | EFER_LMSLE | \
			 EFER_FFXSR | BIT_ULL(15) | BIT_ULL(17) | BIT_ULL(18) | BIT_ULL(20) | \
			 BIT_ULL(21))
#define SEG_L		BIT(9)
#define SEG_DB		BIT(10)

static bool long_paging(const struct vmcb_save *s)
{
	return (s->efer & EFER_LME) && (s->cr0 & X86_CR0_PG);
}

static bool no_svme(const struct vmcb *v)
{
	return !(v->save.efer & EFER_SVME);
}

static bool bad_cr0(const struct vmcb *v)
{
	return (v->save.cr0 & (X86_CR0_CD | X86_CR0_NW)) == X86_CR0_NW;
}

static bool high_cr0(const struct vmcb *v)
{
	return v->save.cr0 >> 32;
}

static bool bad_cr3(const struct vmcb *v)
{
	return long_paging(&v->save) && (v->save.cr3 >> boot_cpu_data.x86_phys_bits);
}

static bool bad_cr4(const struct vmcb *v)
{
	return v->save.cr4 & ~(u64)GENMASK(24, 0);
}

static bool high_dr6(const struct vmcb *v)
{
	return v->save.dr6 >> 32;
}

static bool high_dr7(const struct vmcb *v)
{
	return v->save.dr7 >> 32;
}

static bool bad_efer(const struct vmcb *v)
{
	return v->save.efer & ~EFER_KNOWN;
}

static bool no_pae(const struct vmcb *v)
{
	return long_paging(&v->save) && !(v->save.cr4 & X86_CR4_PAE);
}

static bool no_pe(const struct vmcb *v)
{
	return long_paging(&v->save) && !(v->save.cr0 & X86_CR0_PE);
}

static bool bad_cs(const struct vmcb *v)
{
	return long_paging(&v->save) && (v->save.cr4 & X86_CR4_PAE) &&
	       (v->save.cs.attrib & (SEG_L | SEG_DB)) == (SEG_L | SEG_DB);
}

static bool no_vmrun(const struct vmcb *v)
{
	return !(v->control.intercept_misc2 & ICPT_VMRUN);
}

static bool no_asid(const struct vmcb *v)
{
	return !v->control.asid;
}

static bool bad_event(const struct vmcb *v)
{
	u32 info = v->control.event_inj & EVENT_VALID ? v->control.event_inj :
		   v->control.exit_int_info;

	/* Types 1, 5, 6 and 7 are not defined, and vector 2 is no exception. */
	return (info & EVENT_VALID) &&
	       ((BIT((info & EVENT_TYPE) >> 8) & ~(BIT(EVENT_INTR) | BIT(EVENT_NMI) |
						   BIT(EVENT_EXCEPTION) | BIT(EVENT_SOFT))) ||
		((info & EVENT_TYPE) >> 8 == EVENT_EXCEPTION &&
		 ((info & EVENT_VECTOR) == 2 || (info & EVENT_VECTOR) > 31)));
}

static bool bad_ncr3(const struct vmcb *v)
{
	return (v->control.np_ctl & NP_ENABLE) &&
	       ((v->control.n_cr3 & ~sme_me_mask) >> boot_cpu_data.x86_phys_bits ||
		(v->control.n_cr3 & ~PAGE_MASK));
}

/* Each of the eight types must be one of PAT's. */
static bool bad_pat(const struct vmcb *v)
{
	int i;

	for (i = 0; i < 64; i += 8) {
		u8 type = v->save.g_pat >> i;

		if (type > 7 || type == 2 || type == 3)
			return true;
	}
	return false;
}

static const struct {
	bool (*broken)(const struct vmcb *v);
	const char *text;
} checks[] = {
	{ no_svme,	"EFER.SVME is 0" },
	{ bad_cr0,	"CR0.CD is 0 and CR0.NW is 1" },
	{ high_cr0,	"CR0[63:32] are not 0" },
	{ bad_cr3,	"CR3 has bits above the physical address width" },
	{ bad_cr4,	"CR4 has reserved bits" },
	{ high_dr6,	"DR6[63:32] are not 0" },
	{ high_dr7,	"DR7[63:32] are not 0" },
	{ bad_efer,	"EFER has reserved bits" },
	{ no_pae,	"EFER.LME and CR0.PG are 1, CR4.PAE is 0" },
	{ no_pe,	"EFER.LME and CR0.PG are 1, CR0.PE is 0" },
	{ bad_cs,	"in long mode, CS.L and CS.D are both 1" },
	{ no_vmrun,	"VMRUN is not intercepted" },
	{ no_asid,	"the ASID is 0" },
	{ bad_event,	"the injected event has an undefined type or vector" },
	{ bad_ncr3,	"the nested CR3 has reserved bits" },
	{ bad_pat,	"the guest's PAT has an undefined memory type" },
};

/*
 * svm_find_fault(): the first condition that @vmcb does not meet, for the log
 */
const char *svm_find_fault(const struct vmcb *vmcb)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(checks); i++) {
		if (checks[i].broken(vmcb))
			return checks[i].text;
	}
	return "no check that is known to keel fails (a CR4 or EFER bit that this CPU lacks?)";
}
