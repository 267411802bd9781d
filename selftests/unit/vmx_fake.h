/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * In place of module/vmx/vmx.h for module/vmx/check*.c in user space: the compiler includes this
 * first.  Fields and bits are the kernel's own; only its headers have them, and unit.mk has them
 * found there as <include/asm/...>.
 */
#ifndef KEEL_VMX_H
#define KEEL_VMX_H

#include <linux/bits.h>
#include <linux/kernel.h>
#include <linux/types.h>

/* The kernel's <asm/msr-index.h>, and not the shim's. */
#define KEEL_SHIM_ASM_MSR_INDEX_H
#define __aligned(n)		__attribute__((aligned(n)))
#define WARN_ON_ONCE(cond)	(void)(cond)
#include <include/asm/msr-index.h>
#include <include/asm/vmx.h>

unsigned long vmcs_read(unsigned long field);
int rdmsrl_safe(u32 msr, u64 *value);

const char *vmx_find_fault(bool vmfail, u32 exit_reason);

#endif
