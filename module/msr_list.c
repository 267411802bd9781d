// SPDX-License-Identifier: GPL-2.0-only
/* The lists of MSRs, and the features that MSRs tell: what user space asks /dev/keel. */
#include <linux/kernel.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>

#include "keel.h"
#include "msr.h"
#include "state.h"

static bool keel_msr_listed(const struct keel_msr *m, bool features)
{
	if (features)
		return m->flags & KEEL_MSR_FEATURE;
	if ((m->flags & KEEL_MSR_SPEC_CTRL) &&
	    !keel_supported(X86_FEATURE_SPEC_CTRL) && !keel_supported(X86_FEATURE_AMD_IBRS) &&
	    !keel_supported(X86_FEATURE_AMD_STIBP) && !keel_supported(X86_FEATURE_AMD_SSBD))
		return false;
	if ((m->flags & KEEL_MSR_WAITPKG) && !keel_supported(X86_FEATURE_WAITPKG))
		return false;
	return m->flags & KEEL_MSR_SAVE;
}

/* The registers in order, each to @out if there is room; the number of all. */
static u32 keel_msr_walk(bool features, u32 *out, u32 room)
{
	u32 n = 0, msr;
	int i;

	for (i = 0; i < keel_nr_msrs; i++) {
		if (!keel_msr_listed(&keel_msrs[i], features))
			continue;
		for (msr = keel_msrs[i].first; msr <= keel_msrs[i].last; msr++, n++)
			if (n < room)
				out[n] = msr;
	}
	return n;
}

/**
 * keel_msr_index_list() - KVM_GET_MSR_INDEX_LIST, KVM_GET_MSR_FEATURE_INDEX_LIST
 * @u: the argument
 * @features: which
 */
int keel_msr_index_list(struct kvm_msr_list __user *u, bool features)
{
	u32 out[128], room, n;

	if (get_user(room, &u->nmsrs))
		return -EFAULT;
	n = keel_msr_walk(features, out, ARRAY_SIZE(out));
	if (WARN_ON_ONCE(n > ARRAY_SIZE(out)))
		return -EINVAL;
	/* The number is told even when the room is too small: that is how it is asked for. */
	if (put_user(n, &u->nmsrs))
		return -EFAULT;
	if (room < n)
		return -E2BIG;
	return copy_to_user(u->indices, out, n * sizeof(out[0])) ? -EFAULT : 0;
}

/**
 * keel_msr_feature_get() - KVM_GET_MSRS on the device: what the host can give
 * @msr: the register
 * @data: its value
 *
 * Return: 0, or 1 if it tells no feature.
 */
int keel_msr_feature_get(u32 msr, u64 *data)
{
	switch (msr) {
	case MSR_IA32_ARCH_CAPABILITIES:
		*data = keel_arch_capabilities();
		return 0;
	case MSR_IA32_UCODE_REV:
		return rdmsrl_safe(msr, data) ? 1 : 0;
	case MSR_IA32_PERF_CAPABILITIES:
		*data = 0;
		return 0;
	case MSR_AMD64_DE_CFG:
		*data = keel_de_cfg();
		return 0;
	default:
		return 1;
	}
}
