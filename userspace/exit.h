/* SPDX-License-Identifier: GPL-2.0-only */
/* What an exit to user space asks for. Makes no system call: tests call it as it is. */
#ifndef KEEL_EXIT_H
#define KEEL_EXIT_H

#include <linux/kvm.h>
#include <stddef.h>

#include "bus.h"

/**
 * enum exit_result - what the vCPU loop does after an exit
 * @EXIT_RESUME: enter the guest again
 * @EXIT_TRIPLE_FAULT: the guest has shut its CPU down
 * @EXIT_GUEST_ERROR: the guest cannot go on; exit_describe() says why
 */
enum exit_result {
	EXIT_RESUME,
	EXIT_TRIPLE_FAULT,
	EXIT_GUEST_ERROR,
};

/**
 * exit_handle() - serve one exit
 * @run: the vCPU's shared page; what the guest reads is stored into it
 * @pio: the ports
 * @mmio: the memory-mapped devices
 */
enum exit_result exit_handle(struct kvm_run *run, struct bus *pio, struct bus *mmio);

/** exit_describe() - decode an exit into one line of text without a newline */
void exit_describe(const struct kvm_run *run, char *text, size_t len);

#endif
