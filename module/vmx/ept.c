// SPDX-License-Identifier: GPL-2.0-only
/*
 * The entries of extended page tables, and what the TLB remembers of them (SDM vol. 3, 'The
 * Extended Page Table Mechanism (EPT)', 'Caching Translation Information').
 */
#include <linux/bitmap.h>
#include <linux/spinlock.h>
#include <asm/processor.h>

#include "vmx.h"

#define EPT_SOFT_HOST_WRITABLE	BIT_ULL(52)	/* the CPU ignores bits 56:52 */
#define EPT_RX			(VMX_EPT_READABLE_MASK | VMX_EPT_EXECUTABLE_MASK)
#define EPT_WB			((u64)VMX_EPTP_MT_WB << VMX_EPT_MT_EPTE_SHIFT)

/*
 * RAM is write-back, whatever the guest's PAT says: the guest must not get at the host's memory
 * past its caches, and no device that does has been assigned (the PAT is ignored, as KVM does
 * where DMA is coherent).
 */
static struct keel_tdp_format ept_format = {
	.levels = 4,
	.table = VMX_EPT_RWX_MASK,
	.present = VMX_EPT_RWX_MASK,
	.writable = VMX_EPT_WRITABLE_MASK,
	.exec = VMX_EPT_EXECUTABLE_MASK,
	.large = BIT_ULL(7),
	.leaf = EPT_RX | EPT_WB | VMX_EPT_IPAT_BIT,
	.addr_mask = GENMASK_ULL(51, 12),
	.soft_host_writable = EPT_SOFT_HOST_WRITABLE,
};

static u64 eptp_bits;

/*
 * vmx_ept_setup(): the format on this CPU
 *
 * Four levels reach 48 bits; a fifth only where physical addresses are wider, as it costs.
 */
const struct keel_tdp_format *vmx_ept_setup(u64 cap)
{
	eptp_bits = VMX_EPTP_MT_WB | VMX_EPTP_PWL_4;
	if ((cap & VMX_EPT_PAGE_WALK_5_BIT) && boot_cpu_data.x86_phys_bits > 48) {
		ept_format.levels = 5;
		eptp_bits = VMX_EPTP_MT_WB | VMX_EPTP_PWL_5;
	}
	if (vmx_caps.ept_ad) {
		eptp_bits |= VMX_EPTP_AD_ENABLE_BIT;
		ept_format.accessed = VMX_EPT_ACCESS_BIT;
		ept_format.dirty = VMX_EPT_DIRTY_BIT;
	}
	return &ept_format;
}

u64 vmx_eptp(hpa_t root)
{
	return root | eptp_bits;
}

/* ---- invalidation ----------------------------------------------------------------------- */

/*
 * vmx_flush(): what is owed, before an entry; interrupts off
 *
 * With EPT in use the TLB holds guest-physical mappings, tagged by the EPT pointer, and
 * combined ones, tagged by VPID as well.  A change of EPT entries needs both gone: INVEPT.  What
 * belongs to the guest's own tables is in the combined ones alone: INVVPID.
 */
void vmx_flush(struct vmx_vcpu *vmx)
{
	if ((vmx->stale & STALE_EPT_TLB) || !vmx_caps.vpid)
		vmx_invept(vmx_caps.invept_single ? VMX_EPT_EXTENT_CONTEXT : VMX_EPT_EXTENT_GLOBAL,
			   vmx_caps.invept_single ? vmx->eptp : 0);
	else
		vmx_invvpid(vmx_caps.invvpid_single ? VMX_VPID_EXTENT_SINGLE_CONTEXT :
						      VMX_VPID_EXTENT_ALL_CONTEXT,
			    vmx_caps.invvpid_single ? vmx->vpid : 0);
	vmx->stale &= ~(STALE_EPT_TLB | STALE_GUEST_TLB);
}

/*
 * vmx_flush_all(): everything of every guest, on this CPU; VMX is on
 *
 * Beside it, each vCPU's first entry on a CPU flushes what has its own tags: see
 * vmx_make_current().  So a CPU without this extent of invalidation, where the instructions
 * fail, is none the worse.
 */
void vmx_flush_all(void)
{
	vmx_invept(VMX_EPT_EXTENT_GLOBAL, 0);
	if (vmx_caps.vpid)
		vmx_invvpid(VMX_VPID_EXTENT_ALL_CONTEXT, 0);
}

/* ---- VPIDs ------------------------------------------------------------------------------ */

/* 0 is the host's own; a vCPU that finds none left goes without, and is flushed at each entry. */
static DECLARE_BITMAP(vpids, 1 << 16) = { 1 };
static DEFINE_SPINLOCK(vpid_lock);

u16 vmx_vpid_alloc(void)
{
	unsigned long vpid;

	if (!vmx_caps.vpid)
		return 0;
	spin_lock(&vpid_lock);
	vpid = find_first_zero_bit(vpids, 1 << 16);
	if (vpid < 1 << 16)
		__set_bit(vpid, vpids);
	else
		vpid = 0;
	spin_unlock(&vpid_lock);
	return vpid;
}

/* What the TLBs hold under it is dead: whoever gets it next flushes at its first entry on a CPU. */
void vmx_vpid_free(u16 vpid)
{
	if (!vpid)
		return;
	spin_lock(&vpid_lock);
	__clear_bit(vpid, vpids);
	spin_unlock(&vpid_lock);
}
