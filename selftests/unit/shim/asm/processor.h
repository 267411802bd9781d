/* SPDX-License-Identifier: GPL-2.0-only */
/* CPUID, as a test answers it. */
#ifndef KEEL_SHIM_ASM_PROCESSOR_H
#define KEEL_SHIM_ASM_PROCESSOR_H

#include <linux/types.h>

u32 cpuid_eax(u32 leaf);
u32 cpuid_ebx(u32 leaf);
u32 cpuid_ecx(u32 leaf);
void cpuid_count(u32 leaf, int sub, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);

#endif
