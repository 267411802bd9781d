// SPDX-License-Identifier: GPL-2.0-only
/* The x86 Linux boot protocol ("64-bit Boot Protocol" in the kernel's boot.rst). */
#include <asm/bootparam.h>
#include <string.h>

#include "boot.h"

#define HEADER_AT		0x1f1
#define HEADER_MAGIC		0x53726448	/* "HdrS" */
#define BOOT_FLAG		0xaa55
#define PROTOCOL_64BIT		0x020c
#define ENTRY_64		0x200
#define LOADER_UNKNOWN		0xff
#define SECTOR			512
#define PTE_TABLE		0x3		/* present, writable */
#define PTE_2M			0x83
#define TABLE_ENTRIES		512

static bool get_header(const struct file_map *kernel, struct setup_header *header)
{
	if (kernel->size < HEADER_AT + sizeof(*header))
		return false;
	memcpy(header, kernel->data + HEADER_AT, sizeof(*header));
	return header->boot_flag == BOOT_FLAG && header->header == HEADER_MAGIC;
}

static uint64_t payload_offset(const struct setup_header *header)
{
	/* A count of 0 stands for 4, from the protocol's first days. */
	return ((header->setup_sects ? header->setup_sects : 4) + 1) * SECTOR;
}

bool bzimage_check(const struct file_map *kernel)
{
	struct setup_header header;
	uint64_t payload;

	if (!get_header(kernel, &header))
		return false;
	if (header.version < PROTOCOL_64BIT || !(header.xloadflags & XLF_KERNEL_64))
		fail("%s: a bzImage without a 64-bit entry", kernel->path);
	payload = payload_offset(&header);
	if (payload > kernel->size || header.syssize * 16ULL > kernel->size - payload)
		fail("%s: the bzImage is cut short", kernel->path);
	return true;
}

/* Where the kernel goes: where it likes best, or as low as it may. */
static uint64_t load_address(const struct guest_mem *mem, const struct boot_source *src,
			     const struct setup_header *header)
{
	uint64_t addr = header->pref_address;
	uint64_t end = mem->region[0].size;

	if (header->init_size <= end && addr <= end - header->init_size && addr >= MEM_HIGH_START)
		return addr;
	if (header->relocatable_kernel && header->kernel_alignment) {
		addr = align_up(MEM_HIGH_START, header->kernel_alignment);
		if (header->init_size <= end && addr <= end - header->init_size)
			return addr;
	}
	fail("memory: %llu MiB is too little for %s", (unsigned long long)(end / MIB),
	     src->kernel->path);
}

/* The protocol wants identity mapping; four GiB cover all that is loaded here. */
static void write_page_tables(const struct guest_mem *mem)
{
	uint64_t *table = mem_ptr(mem, MEM_PAGE_TABLES, 6 * PAGE_SIZE);
	uint64_t *pdpt = table + TABLE_ENTRIES;
	uint64_t *pd = pdpt + TABLE_ENTRIES;

	memset(table, 0, 6 * PAGE_SIZE);
	table[0] = (MEM_PAGE_TABLES + PAGE_SIZE) | PTE_TABLE;
	for (uint64_t i = 0; i < 4; i++)
		pdpt[i] = (MEM_PAGE_TABLES + (2 + i) * PAGE_SIZE) | PTE_TABLE;
	for (uint64_t i = 0; i < 4 * TABLE_ENTRIES; i++)
		pd[i] = i * 2 * MIB | PTE_2M;
}

static void write_memory_map(const struct guest_mem *mem, struct boot_params *params)
{
	struct boot_range map[BOOT_MAX_RANGES];

	params->e820_entries = boot_memory_map(mem, map);
	for (unsigned int i = 0; i < params->e820_entries; i++) {
		params->e820_table[i].addr = map[i].addr;
		params->e820_table[i].size = map[i].size;
		params->e820_table[i].type = map[i].type;
	}
}

void bzimage_load(const struct guest_mem *mem, const struct boot_source *src,
		  struct boot_entry *entry)
{
	struct boot_params *params = mem_ptr(mem, MEM_BOOT_PARAMS, sizeof(*params));
	const struct file_map *kernel = src->kernel;
	struct setup_header header;
	uint64_t addr, payload, initrd;

	get_header(kernel, &header);
	payload = payload_offset(&header);
	addr = load_address(mem, src, &header);
	if (!mem_ptr(mem, addr, kernel->size - payload))
		fail("memory: too little for %s", kernel->path);
	memcpy(mem_ptr(mem, addr, kernel->size - payload), kernel->data + payload,
	       kernel->size - payload);
	initrd = boot_place_initrd(mem, src, addr + header.init_size,
				   (uint64_t)header.initrd_addr_max + 1);

	memset(params, 0, sizeof(*params));
	params->hdr = header;
	params->hdr.type_of_loader = LOADER_UNKNOWN;
	params->hdr.loadflags |= LOADED_HIGH;
	params->hdr.code32_start = addr;
	params->hdr.ramdisk_image = initrd;
	params->hdr.ramdisk_size = src->initrd->size;
	params->hdr.cmd_line_ptr = boot_place_cmdline(mem, src->cmdline, header.cmdline_size);
	params->acpi_rsdp_addr = src->rsdp;
	write_memory_map(mem, params);
	write_page_tables(mem);

	entry->long_mode = true;
	entry->rip = addr + ENTRY_64;
	entry->info = MEM_BOOT_PARAMS;
}
