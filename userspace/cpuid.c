// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPUID: what the device supports, with the topology filled in: one package,
 * one thread a core, APIC IDs from 0 without gaps.
 */
#include <cpuid.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "util.h"
#include "vcpu.h"

#define MAX_ENTRIES		256

#define LEAF_FEATURES		0x1
#define LEAF_CACHES		0x4
#define LEAF_TOPOLOGY		0xb
#define LEAF_TOPOLOGY_V2	0x1f
#define LEAF_EXT_FEATURES	0x80000001
#define LEAF_ADDRESS_SIZES	0x80000008
#define LEAF_AMD_TOPOLOGY	0x8000001e

#define FEATURES_HTT		(1U << 28)	/* EDX */
#define FEATURES_TSC_DEADLINE	(1U << 24)	/* ECX */
#define FEATURES_HYPERVISOR	(1U << 31)	/* ECX */
#define EXT_CMP_LEGACY		(1U << 1)	/* ECX */
#define TOPOLOGY_SMT		1
#define TOPOLOGY_CORE		2

struct topology {
	unsigned int id;
	unsigned int nr;
	unsigned int shift;	/* bits that an APIC ID needs */
	bool deadline;
	bool intel;
};

bool cpuid_is_intel(void)
{
	unsigned int max, ebx, ecx, edx;

	return __get_cpuid(0, &max, &ebx, &ecx, &edx) && ebx == signature_INTEL_ebx &&
	       ecx == signature_INTEL_ecx && edx == signature_INTEL_edx;
}

static unsigned int id_bits(unsigned int nr)
{
	unsigned int bits = 0;

	while ((1U << bits) < nr)
		bits++;
	return bits;
}

static void fix_features(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
	e->ebx &= 0x0000ffff;
	e->ebx |= t->id << 24;
	if (t->nr > 1) {
		e->ebx |= (t->nr & 0xff) << 16;
		e->edx |= FEATURES_HTT;
	} else {
		e->edx &= ~FEATURES_HTT;
	}
	e->ecx |= FEATURES_HYPERVISOR;
	if (t->deadline)
		e->ecx |= FEATURES_TSC_DEADLINE;
}

static void fix_caches(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
	unsigned int level = (e->eax >> 5) & 7;

	if (!(e->eax & 0x1f))
		return;
	e->eax &= ~0xffffc000;
	e->eax |= ((1U << t->shift) - 1) << 26;
	/* The last level is shared by all, the others by nobody. */
	if (level >= 3)
		e->eax |= ((1U << t->shift) - 1) << 14;
}

static void fix_entry(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
	switch (e->function) {
	case LEAF_FEATURES:
		fix_features(e, t);
		break;
	case LEAF_CACHES:
		if (t->intel)
			fix_caches(e, t);
		break;
	case LEAF_EXT_FEATURES:
		e->ecx &= ~EXT_CMP_LEGACY;
		if (!t->intel && t->nr > 1)
			e->ecx |= EXT_CMP_LEGACY;
		break;
	case LEAF_ADDRESS_SIZES:
		if (!t->intel)
			e->ecx = (e->ecx & ~0xf0ffU) | t->shift << 12 | (t->nr - 1);
		break;
	case LEAF_AMD_TOPOLOGY:
		if (!t->intel) {
			e->eax = t->id;
			e->ebx = t->id;
			e->ecx = 0;
		}
		break;
	default:
		break;
	}
}

static void add_topology(struct kvm_cpuid2 *cpuid, const struct topology *t)
{
	const struct {
		uint32_t type, shift, count;
	} level[] = {
		{ TOPOLOGY_SMT, 0, 1 },
		{ TOPOLOGY_CORE, t->shift, t->nr },
		{ 0, 0, 0 },
	};

	for (uint32_t i = 0; i < ARRAY_SIZE(level) && cpuid->nent < MAX_ENTRIES; i++)
		cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2) {
			.function = LEAF_TOPOLOGY,
			.index = i,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = level[i].shift,
			.ebx = level[i].count,
			.ecx = level[i].type << 8 | i,
			.edx = t->id,
		};
}

static void fix_all(struct kvm_cpuid2 *cpuid, const struct topology *t)
{
	uint32_t kept = 0, max = 0;

	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 e = cpuid->entries[i];

		/* The device leaves topology to us: its entries say nothing. */
		if (e.function == LEAF_TOPOLOGY || e.function == LEAF_TOPOLOGY_V2)
			continue;
		if (!e.function)
			max = e.eax;
		fix_entry(&e, t);
		cpuid->entries[kept++] = e;
	}
	cpuid->nent = kept;
	if (max >= LEAF_TOPOLOGY)
		add_topology(cpuid, t);
}

void cpuid_setup(int device_fd, int vcpu_fd, unsigned int id, unsigned int nr)
{
	struct topology t = {
		.id = id,
		.nr = nr,
		.shift = id_bits(nr),
		.deadline = ioctl(device_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0,
		.intel = cpuid_is_intel(),
	};
	struct kvm_cpuid2 *cpuid;

	cpuid = xcalloc(1, sizeof(*cpuid) + MAX_ENTRIES * sizeof(cpuid->entries[0]));
	cpuid->nent = MAX_ENTRIES;
	if (ioctl(device_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0)
		fail("KVM_GET_SUPPORTED_CPUID: %s", strerror(errno));
	fix_all(cpuid, &t);
	if (ioctl(vcpu_fd, KVM_SET_CPUID2, cpuid) < 0)
		fail("KVM_SET_CPUID2: %s", strerror(errno));
	free(cpuid);
}
