// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "boot.h"

void boot_check(const struct file_map *kernel)
{
	if (!bzimage_check(kernel) && !pvh_check(kernel))
		fail("%s: not a kernel (neither a 64-bit bzImage nor an ELF file with a PVH entry)",
		     kernel->path);
}

void boot_load(const struct guest_mem *mem, const struct boot_source *src,
	       struct boot_entry *entry)
{
	if (bzimage_check(src->kernel))
		bzimage_load(mem, src, entry);
	else
		pvh_load(mem, src, entry);
}

uint64_t boot_place_initrd(const struct guest_mem *mem, const struct boot_source *src,
			   uint64_t floor, uint64_t ceiling)
{
	uint64_t low_end = mem->region[0].size;
	uint64_t size = src->initrd->size;
	uint64_t addr;

	if (!size)
		return 0;
	if (ceiling > low_end)
		ceiling = low_end;
	if (size > ceiling || align_down(ceiling - size, PAGE_SIZE) < floor)
		fail("%s: does not fit into the guest's memory beside the kernel",
		     src->initrd->path);
	addr = align_down(ceiling - size, PAGE_SIZE);
	memcpy(mem_ptr(mem, addr, size), src->initrd->data, size);
	return addr;
}

uint64_t boot_place_cmdline(const struct guest_mem *mem, const char *cmdline, uint64_t max)
{
	uint64_t len = strlen(cmdline);

	if (max > MEM_CMDLINE_MAX - 1)
		max = MEM_CMDLINE_MAX - 1;
	if (len > max)
		fail("--append: the command line is longer than the kernel's limit of %llu",
		     (unsigned long long)max);
	memcpy(mem_ptr(mem, MEM_CMDLINE, len + 1), cmdline, len + 1);
	return MEM_CMDLINE;
}

unsigned int boot_memory_map(const struct guest_mem *mem,
			     struct boot_range map[BOOT_MAX_RANGES])
{
	unsigned int n = 0;

	map[n++] = (struct boot_range) { 0, MEM_LOW_END, BOOT_RAM };
	/* The firmware's own: the tables that acpi_build() wrote lie here. */
	map[n++] = (struct boot_range) { MEM_ACPI_START, MEM_ACPI_END - MEM_ACPI_START,
					 BOOT_RESERVED };
	map[n++] = (struct boot_range) { MEM_HIGH_START, mem->region[0].size - MEM_HIGH_START,
					 BOOT_RAM };
	for (unsigned int i = 1; i < mem->nr; i++)
		map[n++] = (struct boot_range) { mem->region[i].gpa, mem->region[i].size,
						 BOOT_RAM };
	return n;
}
