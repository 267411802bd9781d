/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KEEL_ACPI_H
#define KEEL_ACPI_H

#include <stdint.h>

#include "mem.h"

/**
 * acpi_build() - write the ACPI tables into the BIOS area of the guest's memory
 * @mem: the guest's RAM
 * @nr_vcpus: how many processors to list
 *
 * Return: guest physical address of the RSDP.
 */
uint64_t acpi_build(const struct guest_mem *mem, unsigned int nr_vcpus);

#endif
