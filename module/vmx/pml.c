// SPDX-License-Identifier: GPL-2.0-only
/* The log of pages that the CPU makes dirty (SDM vol. 3, 'Page-Modification Logging'). */
#include <linux/io.h>
#include <linux/percpu.h>

#include "vmx.h"

#define PML_ENTRIES	(PAGE_SIZE / sizeof(u64))

/* vmx_pml_empty(): forget what is in it; the VMCS is current */
void vmx_pml_empty(void)
{
	vmcs_write(GUEST_PML_INDEX, PML_ENTRIES - 1);
}

/*
 * vmx_pml_take(): the VMCS has become current on this CPU
 *
 * The page is the CPU's: what is logged is drained at each exit, so nobody leaves there what
 * anybody wants to read.  What an index of before stands for now is another's.
 */
void vmx_pml_take(const struct vmx_cpu *cpu)
{
	if (!cpu->pml)
		return;
	vmcs_write(PML_ADDRESS, virt_to_phys(cpu->pml));
	vmx_pml_empty();
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
	vmx_pml_empty();
}

/*
 * vmx_pml_drain(): after an exit, interrupts off: tell the common code what is in the log
 *
 * The index counts down and names the next entry; behind the last it is FFFFh.  They are told in
 * the order of the writes, which is that of a ring.
 */
void vmx_pml_drain(struct vmx_vcpu *vmx)
{
	const u64 *log = __this_cpu_read(vmx_cpus.pml);
	u16 next = vmcs_read(GUEST_PML_INDEX) + 1;
	unsigned int i;

	if (next >= PML_ENTRIES)
		return;
	for (i = PML_ENTRIES; i-- > next;)
		keel_dirty_mark_gpa(&vmx->vcpu, log[i] & PAGE_MASK);
	vmx_pml_empty();
}
