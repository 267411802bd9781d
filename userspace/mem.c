// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "mem.h"

static void region_alloc(struct mem_region *region, uint64_t gpa, uint64_t size)
{
	void *host;

	host = mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (host == MAP_FAILED)
		fail("memory: cannot map %llu MiB for the guest: %s",
		     (unsigned long long)(size / MIB), strerror(errno));
	/* Only advice: a host without huge pages runs the guest as well. */
	madvise(host, size, MADV_HUGEPAGE);
	region->gpa = gpa;
	region->size = size;
	region->host = host;
}

void mem_alloc(struct guest_mem *mem, uint64_t size)
{
	uint64_t low = size < MEM_HOLE_START ? size : MEM_HOLE_START;
	struct sysinfo si;

	/*
	 * MAP_NORESERVE lets any size through, so ask for what the host could
	 * ever give here rather than let the OOM killer say it later.
	 */
	if (!sysinfo(&si) && size > (uint64_t)(si.totalram + si.totalswap) * si.mem_unit)
		fail("memory: %llu MiB is more than this host has",
		     (unsigned long long)(size / MIB));

	memset(mem, 0, sizeof(*mem));
	region_alloc(&mem->region[mem->nr++], 0, low);
	if (size > low)
		region_alloc(&mem->region[mem->nr++], MEM_HOLE_END, size - low);
}

void mem_free(struct guest_mem *mem)
{
	while (mem->nr) {
		struct mem_region *region = &mem->region[--mem->nr];

		munmap(region->host, region->size);
	}
}

void *mem_ptr(const struct guest_mem *mem, uint64_t gpa, uint64_t len)
{
	for (unsigned int i = 0; i < mem->nr; i++) {
		const struct mem_region *region = &mem->region[i];

		if (gpa < region->gpa || gpa - region->gpa >= region->size)
			continue;
		if (len > region->size - (gpa - region->gpa))
			return NULL;
		return region->host + (gpa - region->gpa);
	}
	return NULL;
}
