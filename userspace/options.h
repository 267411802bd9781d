/* SPDX-License-Identifier: GPL-2.0-only */
/* The command line. */
#ifndef KEEL_OPTIONS_H
#define KEEL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "vm.h"

/**
 * struct options - what the command line asks for
 * @append: the kernel's command line, or NULL for the default
 * @tap: name of the tap interface, or NULL for no network
 */
struct options {
	const char *device;
	const char *kernel;
	const char *initrd;
	const char *append;
	const char *tap;
	uint64_t memory;
	unsigned int cpus;
	struct {
		const char *path;
		bool readonly;
	} disk[VM_MAX_DISKS];
	unsigned int nr_disks;
};

/** options_parse() - read the command line; fail()s, or exits after --help */
void options_parse(struct options *opt, int argc, char **argv);

#endif
