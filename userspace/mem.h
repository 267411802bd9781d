/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's RAM and the map of its physical addresses. */
#ifndef KEEL_MEM_H
#define KEEL_MEM_H

#include <stdint.h>

#include "util.h"

/* RAM below 4 GiB ends here; the rest of the guest's RAM goes on at 4 GiB. */
#define MEM_HOLE_START		(3 * GIB)
#define MEM_HOLE_END		(4 * GIB)
#define MEM_MAX_REGIONS		2
#define MEM_MIN_SIZE		(32 * MIB)

/* PCI memory window: all of the hole up to where the chipset's own devices are. */
#define MEM_PCI_START		MEM_HOLE_START
#define MEM_PCI_END		0xfec00000ULL
#define MEM_IOAPIC_ADDR		0xfec00000ULL
#define MEM_LAPIC_ADDR		0xfee00000ULL
/* Four pages that KVM on Intel wants for itself in real mode, clear of all else. */
#define MEM_IDENTITY_MAP_ADDR	0xfffbc000ULL
#define MEM_TSS_ADDR		0xfffbd000ULL

/* What a PC's low megabyte has where; the loaders put their structures by it. */
#define MEM_GDT			0x500ULL
#define MEM_PVH_INFO		0x6000ULL
#define MEM_BOOT_PARAMS		0x7000ULL
#define MEM_PAGE_TABLES		0x9000ULL
#define MEM_CMDLINE		0x20000ULL
#define MEM_CMDLINE_MAX		0x10000ULL
#define MEM_LOW_END		0x9fc00ULL
#define MEM_ACPI_START		0xe0000ULL
#define MEM_ACPI_END		0x100000ULL
#define MEM_HIGH_START		0x100000ULL

/**
 * struct mem_region - one run of guest RAM
 * @gpa: where the guest sees it
 * @size: length in bytes
 * @host: where the launcher has it mapped
 */
struct mem_region {
	uint64_t gpa;
	uint64_t size;
	uint8_t *host;
};

/**
 * struct guest_mem - all of a guest's RAM
 * @region: the runs, in the order of their addresses
 * @nr: how many there are
 */
struct guest_mem {
	struct mem_region region[MEM_MAX_REGIONS];
	unsigned int nr;
};

/** mem_alloc() - map @size bytes of zeroed guest RAM, or fail() */
void mem_alloc(struct guest_mem *mem, uint64_t size);
void mem_free(struct guest_mem *mem);

/**
 * mem_ptr() - where the launcher sees a run of guest RAM
 * @mem: the guest's RAM
 * @gpa: guest physical address, which the guest may have chosen
 * @len: bytes that must all be RAM
 *
 * Return: the host pointer, or NULL if any byte of the run is not RAM.
 */
void *mem_ptr(const struct guest_mem *mem, uint64_t gpa, uint64_t len);

#endif
