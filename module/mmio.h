/* SPDX-License-Identifier: GPL-2.0-only */
/* Device memory, without the emulator where it has seen the instruction: see mmio.c. */
#ifndef KEEL_MMIO_H
#define KEEL_MMIO_H

#include "mmu/gwalk.h"

struct emul_ctxt;
struct keel_exit;
struct keel_vcpu;

void keel_mmio_free(struct keel_vcpu *vcpu);
int keel_mmio_again(struct keel_vcpu *vcpu, const struct keel_exit *exit);
void keel_mmio_note(struct keel_vcpu *vcpu, const struct emul_ctxt *c,
		    const struct keel_gwalk_path *path);

/* emul_glue.c: leave an access to user space. */
void keel_mmio_tell(struct keel_vcpu *vcpu, gpa_t gpa, const void *data, unsigned int len,
		    bool write);

#endif
