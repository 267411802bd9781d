/* SPDX-License-Identifier: GPL-2.0-only */
/* The bits that the pure files use; AMD APM vol. 2, "Extended Feature Enable Register". */
#ifndef KEEL_SHIM_ASM_MSR_INDEX_H
#define KEEL_SHIM_ASM_MSR_INDEX_H

#define EFER_LME	(1 << 8)
#define EFER_LMA	(1 << 10)
#define EFER_NX		(1 << 11)

#endif
