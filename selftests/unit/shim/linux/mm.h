/* SPDX-License-Identifier: GPL-2.0-only */
/* Physical memory, as far as a test has some. */
#ifndef KEEL_SHIM_LINUX_MM_H
#define KEEL_SHIM_LINUX_MM_H

#include <linux/types.h>

#define PAGE_SHIFT	12
#define PAGE_MASK	(~0xfffUL)
#define __va(pa)	fake_va(pa)

bool pfn_valid(unsigned long pfn);
void *fake_va(u64 pa);

#endif
