// SPDX-License-Identifier: GPL-2.0-only
/* The state in which nothing is wrong, and what reads of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/mm.h>
#include <asm/processor.h>

#include "vmx_state.h"

/* A Linux guest's kernel in 64-bit mode, on a CPU with 46 bits of physical address. */
static const struct item good[] = {
	{ PHYS_LINEAR, 0x302e }, { CPUID_7_EBX, 0 }, { CPUID_7_ECX, 0 }, { CPUID_7_1_EAX, 0 },
	{ VTPR, 0x20 },

	{ MSR(MSR_IA32_VMX_BASIC), BIT(55) }, { MSR(MSR_IA32_VMX_MISC), 0x1c5 },
	{ MSR(MSR_IA32_VMX_TRUE_PINBASED_CTLS), 0x0000007f00000016 },
	{ MSR(MSR_IA32_VMX_TRUE_PROCBASED_CTLS), 0xfff9fffe04006172 },
	{ MSR(MSR_IA32_VMX_PROCBASED_CTLS2), 0x0273ffff00000000 },
	{ MSR(MSR_IA32_VMX_TRUE_EXIT_CTLS), 0x01ffffff00036dfb },
	{ MSR(MSR_IA32_VMX_TRUE_ENTRY_CTLS), 0x0003ffff000011fb },
	{ MSR(MSR_IA32_VMX_EPT_VPID_CAP), 0x00000f0106334141 },
	{ MSR(MSR_IA32_VMX_CR0_FIXED0), 0x80000021 }, { MSR(MSR_IA32_VMX_CR0_FIXED1), U32_MAX },
	{ MSR(MSR_IA32_VMX_CR4_FIXED0), 0x2000 }, { MSR(MSR_IA32_VMX_CR4_FIXED1), 0x7737ff },

	{ PIN_BASED_VM_EXEC_CONTROL, PIN_CTL }, { CPU_BASED_VM_EXEC_CONTROL, CPU_CTL },
	{ SECONDARY_VM_EXEC_CONTROL, CPU2_CTL }, { VM_EXIT_CONTROLS, EXIT_CTL },
	{ VM_ENTRY_CONTROLS, ENTRY_CTL },
	{ CR3_TARGET_COUNT, 0 }, { MSR_BITMAP, 0x4000 }, { VIRTUAL_APIC_PAGE_ADDR, APIC_PAGE },
	{ TPR_THRESHOLD, 2 }, { VIRTUAL_PROCESSOR_ID, 1 }, { EPT_POINTER, 0x6000 | 0x5e },
	{ PML_ADDRESS, 0x7000 }, { TSC_MULTIPLIER, BIT(48) },
	{ VM_ENTRY_INTR_INFO_FIELD, 0 }, { VM_ENTRY_EXCEPTION_ERROR_CODE, 0 },
	{ VM_ENTRY_INSTRUCTION_LEN, 0 },
	{ VM_INSTRUCTION_ERROR, 0 }, { EXIT_QUALIFICATION, 0 },

	{ HOST_CR0, 0x80050033 }, { HOST_CR3, 0x1234005 }, { HOST_CR4, 0x3626f0 },
	{ HOST_IA32_SYSENTER_ESP, 0xfffffe0000002000 },
	{ HOST_IA32_SYSENTER_EIP, 0xffffffff81a01510 },
	{ HOST_IA32_PAT, 0x0407050600070106 }, { HOST_IA32_EFER, 0xd01 },
	{ HOST_CS_SELECTOR, 0x10 }, { HOST_SS_SELECTOR, 0x18 }, { HOST_DS_SELECTOR, 0 },
	{ HOST_ES_SELECTOR, 0 }, { HOST_FS_SELECTOR, 0 }, { HOST_GS_SELECTOR, 0 },
	{ HOST_TR_SELECTOR, 0x40 },
	{ HOST_FS_BASE, 0x7f1234567000 }, { HOST_GS_BASE, 0xffff888007c00000 },
	{ HOST_GDTR_BASE, 0xfffffe0000001000 }, { HOST_IDTR_BASE, 0xfffffe0000000000 },
	{ HOST_TR_BASE, 0xfffffe0000003000 }, { HOST_RIP, 0xffffffffc0100000 },

	{ GUEST_CR0, 0x80050033 }, { GUEST_CR3, 0x2345000 }, { GUEST_CR4, 0x3626f0 },
	{ GUEST_IA32_DEBUGCTL, 0 }, { GUEST_DR7, 0x400 }, { GUEST_IA32_PAT, 0x0007040600070406 },
	{ GUEST_IA32_EFER, 0xd01 }, { GUEST_SYSENTER_ESP, 0 }, { GUEST_SYSENTER_EIP, 0 },
	{ GUEST_ES_SELECTOR, 0 }, { GUEST_CS_SELECTOR, 0x10 }, { GUEST_SS_SELECTOR, 0x18 },
	{ GUEST_DS_SELECTOR, 0 }, { GUEST_FS_SELECTOR, 0 }, { GUEST_GS_SELECTOR, 0 },
	{ GUEST_LDTR_SELECTOR, 0 }, { GUEST_TR_SELECTOR, 0x40 },
	{ GUEST_ES_BASE, 0 }, { GUEST_CS_BASE, 0 }, { GUEST_SS_BASE, 0 }, { GUEST_DS_BASE, 0 },
	{ GUEST_FS_BASE, 0 }, { GUEST_GS_BASE, 0xffff888001000000 }, { GUEST_LDTR_BASE, 0 },
	{ GUEST_TR_BASE, 0xfffffe0000003000 },
	{ GUEST_ES_LIMIT, U32_MAX }, { GUEST_CS_LIMIT, U32_MAX }, { GUEST_SS_LIMIT, U32_MAX },
	{ GUEST_DS_LIMIT, U32_MAX }, { GUEST_FS_LIMIT, U32_MAX }, { GUEST_GS_LIMIT, U32_MAX },
	{ GUEST_LDTR_LIMIT, 0 }, { GUEST_TR_LIMIT, 0x206f },
	{ GUEST_ES_AR_BYTES, DATA }, { GUEST_CS_AR_BYTES, CODE64 }, { GUEST_SS_AR_BYTES, DATA },
	{ GUEST_DS_AR_BYTES, DATA }, { GUEST_FS_AR_BYTES, DATA }, { GUEST_GS_AR_BYTES, DATA },
	{ GUEST_LDTR_AR_BYTES, UNUSABLE }, { GUEST_TR_AR_BYTES, 0x8b },
	{ GUEST_GDTR_BASE, 0xfffffe0000001000 }, { GUEST_GDTR_LIMIT, 0x7f },
	{ GUEST_IDTR_BASE, 0xfffffe0000000000 }, { GUEST_IDTR_LIMIT, 0xfff },
	{ GUEST_RIP, 0xffffffff81000000 }, { GUEST_RFLAGS, 0x246 },
	{ GUEST_ACTIVITY_STATE, 0 }, { GUEST_INTERRUPTIBILITY_INFO, 0 },
	{ GUEST_PENDING_DBG_EXCEPTIONS, 0 }, { VMCS_LINK_POINTER, U64_MAX },
	{ GUEST_PDPTR0, 0x2346001 }, { GUEST_PDPTR1, 0x2347001 }, { GUEST_PDPTR2, 0 },
	{ GUEST_PDPTR3, 0x1e6 },
};

#define NR_GOOD		(sizeof(good) / sizeof(good[0]))

static struct item now[NR_GOOD];
static u8 apic_page[4096];

u64 *lookup(u64 key)
{
	size_t i;

	for (i = 0; i < NR_GOOD; i++) {
		if (now[i].key == key)
			return &now[i].value;
	}
	printf("Bail out! %#llx is read or written, which the state does not have\n",
	       (unsigned long long)key);
	exit(1);
}

unsigned long vmcs_read(unsigned long field)
{
	return *lookup(field);
}

int rdmsrl_safe(u32 msr, u64 *value)
{
	*value = *lookup(MSR(msr));
	return 0;
}

/* Any other leaf is one that the state does not have. */
static u32 cpuid(u32 leaf, int sub, u64 key)
{
	bool known = key == PHYS_LINEAR ? leaf == 0x80000008 && sub == 0 :
		     leaf == 7 && sub == (key == CPUID_7_1_EAX);

	return *lookup(known ? key : leaf);
}

u32 cpuid_eax(u32 leaf)
{
	return cpuid(leaf, 0, PHYS_LINEAR);
}

u32 cpuid_ebx(u32 leaf)
{
	return cpuid(leaf, 0, CPUID_7_EBX);
}

u32 cpuid_ecx(u32 leaf)
{
	return cpuid(leaf, 0, CPUID_7_ECX);
}

void cpuid_count(u32 leaf, int sub, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	*eax = cpuid(leaf, sub, CPUID_7_1_EAX);
	*ebx = *ecx = *edx = 0;
}

bool pfn_valid(unsigned long pfn)
{
	return pfn == APIC_PAGE >> PAGE_SHIFT;
}

void *fake_va(u64 pa)
{
	apic_page[0x80] = *lookup(VTPR);
	return apic_page + (pa - APIC_PAGE);
}

void reset(void)
{
	memcpy(now, good, sizeof(now));
}
