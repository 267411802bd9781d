// SPDX-License-Identifier: GPL-2.0-only
/*
 * The entries of nested page tables: those of long mode's host page tables (APM
 * vol. 2, 'Nested Paging', 'Nested Table Walk').
 */
#include <asm/pgtable_types.h>
#include <asm/processor.h>
#include <asm/special_insns.h>

#include "svm.h"

/*
 * Each nested access counts as a user access, so tables and leaves need the user
 * bit.  PWT, PCD and PAT are 0: entry 0 of the host's PAT, write-back, which the
 * guest's own PAT is combined with ('Combining Memory Types, MTRRs').
 */
static struct keel_tdp_format npt_format = {
	.table = _PAGE_PRESENT | _PAGE_RW | _PAGE_USER | _PAGE_ACCESSED,
	.present = _PAGE_PRESENT,
	.writable = _PAGE_RW,
	.accessed = _PAGE_ACCESSED,
	.dirty = _PAGE_DIRTY,
	.large = _PAGE_PSE,
	.leaf = _PAGE_PRESENT | _PAGE_USER,
	.addr_mask = GENMASK_ULL(51, 12),
	.soft_host_writable = _PAGE_SOFTW1,
};

/*
 * svm_npt_setup(): the format on this host
 *
 * Nested tables have the host's own depth (CR4.LA57 at VMRUN), and with memory
 * encryption on they carry the encryption bit like all of the host's.
 */
const struct keel_tdp_format *svm_npt_setup(void)
{
	u64 encrypt = __sme_set(0);

	npt_format.levels = native_read_cr4() & X86_CR4_LA57 ? 5 : 4;
	npt_format.addr_mask &= ~encrypt;
	npt_format.table |= encrypt;
	npt_format.leaf |= encrypt;
	return &npt_format;
}
