// SPDX-License-Identifier: GPL-2.0-only
/*
 * ELF kernels by the PVH entry: 32-bit protected mode without paging, EBX holds
 * a hvm_start_info (Xen's public header arch-x86/hvm/start_info.h).
 */
#include <elf.h>
#include <string.h>

#include "boot.h"

#define NOTE_NAME		"Xen"
#define NOTE_PHYS32_ENTRY	18
#define START_INFO_MAGIC	0x336ec578
#define CMDLINE_MAX		2047
/* Linux, entered here, has a limit for its initrd as with a bzImage. */
#define INITRD_END		(2 * GIB)

struct hvm_start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modlist_paddr;
	uint64_t cmdline_paddr;
	uint64_t rsdp_paddr;
	uint64_t memmap_paddr;
	uint32_t memmap_entries;
	uint32_t reserved;
};

struct hvm_modlist_entry {
	uint64_t paddr;
	uint64_t size;
	uint64_t cmdline_paddr;
	uint64_t reserved;
};

struct hvm_memmap_entry {
	uint64_t addr;
	uint64_t size;
	uint32_t type;
	uint32_t reserved;
};

/* All that goes to MEM_PVH_INFO. */
struct pvh_info {
	struct hvm_start_info start;
	struct hvm_modlist_entry module;
	struct hvm_memmap_entry map[BOOT_MAX_RANGES];
};

static bool in_file(const struct file_map *file, uint64_t offset, uint64_t len)
{
	return offset <= file->size && len <= file->size - offset;
}

static bool get_header(const struct file_map *kernel, Elf64_Ehdr *header)
{
	if (kernel->size < sizeof(*header))
		return false;
	memcpy(header, kernel->data, sizeof(*header));
	return !memcmp(header->e_ident, ELFMAG, SELFMAG) &&
	       header->e_ident[EI_CLASS] == ELFCLASS64 && header->e_machine == EM_X86_64 &&
	       header->e_phentsize == sizeof(Elf64_Phdr) &&
	       in_file(kernel, header->e_phoff, (uint64_t)header->e_phnum * sizeof(Elf64_Phdr));
}

static void get_segment(const struct file_map *kernel, const Elf64_Ehdr *header, unsigned int i,
			Elf64_Phdr *segment)
{
	memcpy(segment, kernel->data + header->e_phoff + i * sizeof(*segment), sizeof(*segment));
}

/* Looks through one PT_NOTE segment; true when it names the entry. */
static bool find_note(const struct file_map *kernel, const Elf64_Phdr *segment, uint32_t *entry)
{
	uint64_t at = segment->p_offset;
	uint64_t end = at + segment->p_filesz;

	if (!in_file(kernel, segment->p_offset, segment->p_filesz))
		return false;
	while (at + sizeof(Elf64_Nhdr) <= end) {
		Elf64_Nhdr note;
		uint64_t name, desc;

		memcpy(&note, kernel->data + at, sizeof(note));
		name = at + sizeof(note);
		desc = name + align_up(note.n_namesz, 4);
		if (desc + note.n_descsz > end)
			return false;
		if (note.n_type == NOTE_PHYS32_ENTRY && note.n_namesz == sizeof(NOTE_NAME) &&
		    note.n_descsz >= sizeof(*entry) &&
		    !memcmp(kernel->data + name, NOTE_NAME, sizeof(NOTE_NAME))) {
			memcpy(entry, kernel->data + desc, sizeof(*entry));
			return true;
		}
		at = desc + align_up(note.n_descsz, 4);
	}
	return false;
}

static bool find_entry(const struct file_map *kernel, uint32_t *entry)
{
	Elf64_Ehdr header;
	Elf64_Phdr segment;

	if (!get_header(kernel, &header))
		return false;
	for (unsigned int i = 0; i < header.e_phnum; i++) {
		get_segment(kernel, &header, i, &segment);
		if (segment.p_type == PT_NOTE && find_note(kernel, &segment, entry))
			return true;
	}
	return false;
}

bool pvh_check(const struct file_map *kernel)
{
	uint32_t entry;

	return find_entry(kernel, &entry);
}

/* Returns the end of the highest segment. */
static uint64_t load_segments(const struct guest_mem *mem, const struct file_map *kernel)
{
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	uint64_t end = 0;

	get_header(kernel, &header);
	for (unsigned int i = 0; i < header.e_phnum; i++) {
		uint8_t *to;

		get_segment(kernel, &header, i, &segment);
		if (segment.p_type != PT_LOAD || !segment.p_memsz)
			continue;
		if (segment.p_filesz > segment.p_memsz ||
		    !in_file(kernel, segment.p_offset, segment.p_filesz))
			fail("%s: the ELF file is cut short or damaged", kernel->path);
		to = segment.p_paddr >= MEM_HIGH_START ?
		     mem_ptr(mem, segment.p_paddr, segment.p_memsz) : NULL;
		if (!to)
			fail("memory: too little for %s", kernel->path);
		memcpy(to, kernel->data + segment.p_offset, segment.p_filesz);
		memset(to + segment.p_filesz, 0, segment.p_memsz - segment.p_filesz);
		if (segment.p_paddr + segment.p_memsz > end)
			end = segment.p_paddr + segment.p_memsz;
	}
	return end;
}

void pvh_load(const struct guest_mem *mem, const struct boot_source *src,
	      struct boot_entry *entry)
{
	struct pvh_info *info = mem_ptr(mem, MEM_PVH_INFO, sizeof(*info));
	struct boot_range map[BOOT_MAX_RANGES];
	uint32_t start = 0;
	uint64_t end;

	find_entry(src->kernel, &start);
	end = load_segments(mem, src->kernel);
	memset(info, 0, sizeof(*info));
	info->start.magic = START_INFO_MAGIC;
	info->start.version = 1;
	info->start.cmdline_paddr = boot_place_cmdline(mem, src->cmdline, CMDLINE_MAX);
	info->start.rsdp_paddr = src->rsdp;
	info->start.memmap_paddr = MEM_PVH_INFO + offsetof(struct pvh_info, map);
	info->start.memmap_entries = boot_memory_map(mem, map);
	for (unsigned int i = 0; i < info->start.memmap_entries; i++)
		info->map[i] = (struct hvm_memmap_entry) { map[i].addr, map[i].size,
							   map[i].type, 0 };
	if (src->initrd->size) {
		info->start.nr_modules = 1;
		info->start.modlist_paddr = MEM_PVH_INFO + offsetof(struct pvh_info, module);
		info->module.paddr = boot_place_initrd(mem, src, end, INITRD_END);
		info->module.size = src->initrd->size;
	}

	entry->long_mode = false;
	entry->rip = start;
	entry->info = MEM_PVH_INFO;
}
