/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KEEL_SHIM_LINUX_MINMAX_H
#define KEEL_SHIM_LINUX_MINMAX_H

#define max_t(type, a, b)	((type)(a) > (type)(b) ? (type)(a) : (type)(b))
#define min_t(type, a, b)	((type)(a) < (type)(b) ? (type)(a) : (type)(b))

#endif
