/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KEEL_SHIM_LINUX_KVM_TYPES_H
#define KEEL_SHIM_LINUX_KVM_TYPES_H

#include <linux/types.h>

typedef u64 gpa_t;
typedef u64 gfn_t;

#endif
