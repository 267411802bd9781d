// SPDX-License-Identifier: GPL-2.0-only
/* The log of pages that the CPU makes dirty (SDM vol. 3, 'Page-Modification Logging'). */
#include <linux/gfp.h>
#include <linux/io.h>

#include "vmx.h"

#define PML_ENTRIES	(PAGE_SIZE / sizeof(u64))

/* 0 or -ENOMEM; freed with the vCPU. */
int vmx_pml_alloc(struct vmx_vcpu *vmx)
{
	if (!vmx_caps.pml)
		return 0;
	vmx->pml = (u64 *)__get_free_page(GFP_KERNEL_ACCOUNT);
	return vmx->pml ? 0 : -ENOMEM;
}

/* The VMCS is current. */
void vmx_pml_init(struct vmx_vcpu *vmx)
{
	if (!vmx->pml)
		return;
	vmcs_write(PML_ADDRESS, virt_to_phys(vmx->pml));
	vmcs_write(GUEST_PML_INDEX, PML_ENTRIES - 1);
}

/*
 * vmx_pml_follow(): before an entry: logging has begun or ended
 *
 * What is still in it is from a time without logging: the common code clears dirty bits after it
 * has set vm->logging, and what the CPU listed then has been drained at the exit.
 */
void vmx_pml_follow(struct vmx_vcpu *vmx, bool logging)
{
	vmx->logging = logging;
	vmcs_write(GUEST_PML_INDEX, PML_ENTRIES - 1);
}

/*
 * vmx_pml_drain(): after an exit, interrupts off: tell the common code what is in the log
 *
 * The index counts down and names the next entry; behind the last it is FFFFh.  They are told in
 * the order of the writes, which is that of a ring.
 */
void vmx_pml_drain(struct vmx_vcpu *vmx)
{
	u16 next = vmcs_read(GUEST_PML_INDEX) + 1;
	unsigned int i;

	if (next >= PML_ENTRIES)
		return;
	for (i = PML_ENTRIES; i-- > next;)
		keel_dirty_mark_gpa(&vmx->vcpu, vmx->pml[i] & PAGE_MASK);
	vmcs_write(GUEST_PML_INDEX, PML_ENTRIES - 1);
}
