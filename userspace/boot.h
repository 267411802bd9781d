/* SPDX-License-Identifier: GPL-2.0-only */
/* Kernels into guest memory: bzImage by the 64-bit boot protocol, ELF by PVH. */
#ifndef KEEL_BOOT_H
#define KEEL_BOOT_H

#include <stdbool.h>
#include <stdint.h>

#include "mem.h"
#include "util.h"

/**
 * struct boot_entry - the state in which the first CPU starts
 * @long_mode: 64-bit mode with paging on; else 32-bit protected mode without
 * @rip: first instruction
 * @info: the structure that describes the machine; in RSI or in EBX
 */
struct boot_entry {
	bool long_mode;
	uint64_t rip;
	uint64_t info;
};

/**
 * struct boot_source - what to load
 * @kernel: the kernel's file
 * @initrd: the initrd's file; its size is 0 if there is none
 * @cmdline: the kernel's command line
 * @rsdp: where the ACPI tables are
 */
struct boot_source {
	const struct file_map *kernel;
	const struct file_map *initrd;
	const char *cmdline;
	uint64_t rsdp;
};

/** boot_check() - fail() unless @kernel is a kernel that boot_load() can load */
void boot_check(const struct file_map *kernel);
/** boot_load() - put the kernel and what it needs into guest memory, or fail() */
void boot_load(const struct guest_mem *mem, const struct boot_source *src,
	       struct boot_entry *entry);

/* The two kinds, boot_linux.c and boot_pvh.c; the check says whether it is one. */
bool bzimage_check(const struct file_map *kernel);
void bzimage_load(const struct guest_mem *mem, const struct boot_source *src,
		  struct boot_entry *entry);
bool pvh_check(const struct file_map *kernel);
void pvh_load(const struct guest_mem *mem, const struct boot_source *src,
	      struct boot_entry *entry);

/**
 * boot_place_initrd() - copy the initrd as high as it may lie
 * @mem: the guest's RAM
 * @src: what to load
 * @floor: end of the kernel
 * @ceiling: where it must end
 *
 * Return: its guest physical address, 0 if there is none.
 */
uint64_t boot_place_initrd(const struct guest_mem *mem, const struct boot_source *src,
			   uint64_t floor, uint64_t ceiling);
/** boot_place_cmdline() - copy the command line, of at most @max characters */
uint64_t boot_place_cmdline(const struct guest_mem *mem, const char *cmdline, uint64_t max);

/* One run of the guest's memory map, in e820's terms. */
struct boot_range {
	uint64_t addr;
	uint64_t size;
	uint32_t type;
};

#define BOOT_MAX_RANGES	6
#define BOOT_RAM	1
#define BOOT_RESERVED	2

/** boot_memory_map() - the guest's memory map; returns how many runs it has */
unsigned int boot_memory_map(const struct guest_mem *mem,
			     struct boot_range map[BOOT_MAX_RANGES]);

#endif
