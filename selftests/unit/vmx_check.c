// SPDX-License-Identifier: GPL-2.0-only
/*
 * Why a VM entry failed (module/vmx/check.c and its tables), over a VMCS, MSRs and a CPU that are
 * made up: a state in which nothing is wrong, what is right as well, and each single fault, which
 * must be found by its own words.  No row of the tables may be left that no test has hit.
 */
#include <stdio.h>
#include <string.h>

#include "vmx/check.h"
#include "vmx_faults.h"

#define NR_HITS		8192

static const char *hits[NR_HITS];
static int nr_hits, tests, failed;

/* ---- one test --------------------------------------------------------------------------- */

static void report(bool ok, const char *what)
{
	tests++;
	failed += !ok;
	printf("%sok %d - %s\n", ok ? "" : "not ", tests, what);
}

/* Does it say this of the state that is set?  The state is good again then. */
static bool says(bool vmfail, u32 code, const char *want)
{
	const char *got;

	if (vmfail)
		*lookup(VM_INSTRUCTION_ERROR) = code;
	got = vmx_find_fault(vmfail, code | (vmfail ? 0 : VMX_EXIT_REASONS_FAILED_VMENTRY));
	reset();
	if (strcmp(got, want)) {
		printf("# wanted: %s\n# got:    %s\n", want, got);
		return false;
	}
	hits[nr_hits++ % NR_HITS] = got;
	return true;
}

static void expect(const char *what, bool vmfail, u32 code, const char *want)
{
	report(says(vmfail, code, want), what);
}

#define CONTROLS	true, VMXERR_ENTRY_INVALID_CONTROL_FIELD
#define HOST		true, VMXERR_ENTRY_INVALID_HOST_STATE_FIELD
#define GUEST		false, EXIT_REASON_INVALID_STATE

#define NOT_KNOWN	"no check that is known to keel fails"
#define CTL_GOOD	"Checks on VMX Controls: " NOT_KNOWN
#define HOST_GOOD	"Checks on the Host-State Area: " NOT_KNOWN
#define GUEST_GOOD	"Checks on the Guest State Area: " NOT_KNOWN

/* ---- states in which nothing is wrong --------------------------------------------------- */

static void set_segs(const unsigned long *es_to_gs, int n, u64 selector, u64 limit, u64 rights)
{
	int i;

	for (i = 0; i < n; i++) {
		*lookup(GUEST_ES_SELECTOR + 2 * es_to_gs[i]) = selector;
		*lookup(GUEST_ES_BASE + 2 * es_to_gs[i]) = selector << 4;
		*lookup(GUEST_ES_LIMIT + 2 * es_to_gs[i]) = limit;
		*lookup(GUEST_ES_AR_BYTES + 2 * es_to_gs[i]) = rights;
	}
}

static const unsigned long all_segs[] = { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS };

static void no_long_mode(void)
{
	*lookup(VM_ENTRY_CONTROLS) &= ~VM_ENTRY_IA32E_MODE;
	*lookup(GUEST_IA32_EFER) = 0;
	*lookup(GUEST_CR4) = 0x26d0;
	*lookup(GUEST_CS_AR_BYTES) = 0xc09b;
	*lookup(GUEST_RIP) = 0xc1000000;
}

static void real_mode(void)
{
	no_long_mode();
	*lookup(GUEST_CR0) = 0x20;
	*lookup(GUEST_CR4) = 0x2000;
	*lookup(GUEST_RIP) = 0xfff0;
	*lookup(GUEST_RFLAGS) = 2;
	set_segs(all_segs, 6, 0xf000, 0xffff, 0x93);
}

static void v86_mode(void)
{
	no_long_mode();
	*lookup(GUEST_RFLAGS) = 0x23202;
	*lookup(GUEST_RIP) = 0x100;
	set_segs(all_segs, 6, 0x1234, 0xffff, 0xf3);
}

static void user_mode(void)
{
	*lookup(GUEST_CS_SELECTOR) = 0x33;
	*lookup(GUEST_SS_SELECTOR) = 0x2b;
	*lookup(GUEST_CS_AR_BYTES) = 0xa0fb;
	*lookup(GUEST_SS_AR_BYTES) = 0xc0f3;
	*lookup(GUEST_RIP) = 0x401000;
}

static void apicv(void)
{
	*lookup(SECONDARY_VM_EXEC_CONTROL) |= SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE |
		SECONDARY_EXEC_APIC_REGISTER_VIRT | SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY;
}

static void test_good_modes(void)
{
	expect("nothing wrong: controls", CONTROLS, CTL_GOOD);
	expect("nothing wrong: host", HOST, HOST_GOOD);
	expect("nothing wrong: 64-bit guest", GUEST, GUEST_GOOD);
	user_mode();
	expect("nothing wrong: 64-bit user mode", GUEST, GUEST_GOOD);
	user_mode();
	*lookup(GUEST_CS_AR_BYTES) = 0xa09f;
	expect("nothing wrong: conforming code", GUEST, GUEST_GOOD);
	no_long_mode();
	expect("nothing wrong: 32-bit guest", GUEST, GUEST_GOOD);
	no_long_mode();
	*lookup(GUEST_CS_AR_BYTES) = 0xe09b;
	expect("nothing wrong: L beside D outside long mode", GUEST, GUEST_GOOD);
	no_long_mode();
	*lookup(GUEST_CR4) |= X86_CR4_PAE;
	expect("nothing wrong: PAE paging", GUEST, GUEST_GOOD);
	no_long_mode();
	*lookup(GUEST_CR0) &= ~X86_CR0_PG;
	*lookup(GUEST_IA32_EFER) = EFER_LME;
	*lookup(GUEST_CR4) |= X86_CR4_PAE;
	*lookup(GUEST_PDPTR0) = U64_MAX;
	expect("nothing wrong: on the way to long mode", GUEST, GUEST_GOOD);
	real_mode();
	expect("nothing wrong: real mode", GUEST, GUEST_GOOD);
	real_mode();
	*lookup(GUEST_CS_AR_BYTES) = 0x9b;
	*lookup(GUEST_CS_BASE) = 0xffff0000;
	*lookup(GUEST_CS_SELECTOR) = 0xf003;
	*lookup(GUEST_DS_LIMIT) = U32_MAX;
	*lookup(GUEST_DS_AR_BYTES) = DATA;
	*lookup(GUEST_TR_AR_BYTES) = 0x83;
	*lookup(GUEST_LDTR_AR_BYTES) = 0x82;
	expect("nothing wrong: RESET, and big real mode", GUEST, GUEST_GOOD);
	v86_mode();
	expect("nothing wrong: virtual-8086", GUEST, GUEST_GOOD);
	set_segs((const unsigned long []){ SEG_ES, SEG_SS, SEG_DS }, 3, 0, 5, U32_MAX & ~0x60);
	set_segs((const unsigned long []){ SEG_LDTR }, 1, 4, 5, U32_MAX);
	*lookup(GUEST_DS_BASE) = *lookup(GUEST_LDTR_BASE) = BAD_ADDRESS;
	expect("nothing wrong: what is unusable is free", GUEST, GUEST_GOOD);
	apicv();
	*lookup(TPR_THRESHOLD) = 0xff;
	expect("nothing wrong: APICv, the TPR threshold does not count", CONTROLS, CTL_GOOD);
	*lookup(PIN_BASED_VM_EXEC_CONTROL) |= PIN_BASED_VMX_PREEMPTION_TIMER;
	*lookup(VM_EXIT_CONTROLS) |= VM_EXIT_SAVE_VMX_PREEMPTION_TIMER;
	*lookup(SECONDARY_VM_EXEC_CONTROL) |= SECONDARY_EXEC_ENABLE_PML;
	expect("nothing wrong: preemption timer, PML", CONTROLS, CTL_GOOD);
}

/* A key of 0 ends the items to set, if it is not that of the first (the VPID's). */
struct fine {
	const char *what;
	bool vmfail;
	u32 code;
	struct item set[5];
};

static const struct fine fine[] = {
	{ "external interrupt", GUEST, { { VM_ENTRY_INTR_INFO_FIELD, EXT_INT } } },
	{ "NMI", CONTROLS, { { VM_ENTRY_INTR_INFO_FIELD, NMI } } },
	{ "#PF with its error code", CONTROLS, {
		{ VM_ENTRY_INTR_INFO_FIELD, EXCEPTION | WITH_CODE | 14 },
		{ VM_ENTRY_EXCEPTION_ERROR_CODE, 0x8007 } } },
	{ "#DB without", CONTROLS, { { VM_ENTRY_INTR_INFO_FIELD, EXCEPTION | 1 } } },
	{ "#GP without in real mode", CONTROLS, {
		{ VM_ENTRY_INTR_INFO_FIELD, EXCEPTION | 13 }, { GUEST_CR0, 0x20 } } },
	{ "#GP without, if the CPU says so", CONTROLS, {
		{ VM_ENTRY_INTR_INFO_FIELD, EXCEPTION | 13 },
		{ MSR(MSR_IA32_VMX_BASIC), BIT(56) } } },
	{ "#DB with, if the CPU says so", CONTROLS, {
		{ VM_ENTRY_INTR_INFO_FIELD, EXCEPTION | WITH_CODE | 1 },
		{ MSR(MSR_IA32_VMX_BASIC), BIT(56) } } },
	{ "#CP with on a CPU with CET", CONTROLS, {
		{ VM_ENTRY_INTR_INFO_FIELD, EXCEPTION | WITH_CODE | 21 },
		{ MSR(MSR_IA32_VMX_CR4_FIXED1), 0xf737ff } } },
	{ "#BP of one byte", CONTROLS, {
		{ VM_ENTRY_INTR_INFO_FIELD, VALID | INTR_TYPE_SOFT_EXCEPTION | 3 },
		{ VM_ENTRY_INSTRUCTION_LEN, 1 } } },
	{ "INT n of no length, if the CPU says so", CONTROLS, {
		{ VM_ENTRY_INTR_INFO_FIELD, VALID | INTR_TYPE_SOFT_INTR | 0x80 },
		{ MSR(MSR_IA32_VMX_MISC), BIT(30) } } },
	{ "pending MTF exit", CONTROLS, {
		{ VM_ENTRY_INTR_INFO_FIELD, VALID | INTR_TYPE_OTHER_EVENT } } },
	{ "what is not valid is free", CONTROLS, {
		{ VM_ENTRY_INTR_INFO_FIELD, ~VALID & U32_MAX } } },
	{ "what is not valid is free: type", CONTROLS, {
		{ VM_ENTRY_INTR_INFO_FIELD, INTR_TYPE_RESERVED } } },
	{ "what is not valid is free: no error code", CONTROLS, {
		{ VM_ENTRY_INTR_INFO_FIELD, INTR_TYPE_HARD_EXCEPTION | 13 } } },
	{ "what is not valid is free: error code", CONTROLS, {
		{ VM_ENTRY_INTR_INFO_FIELD, INTR_TYPE_HARD_EXCEPTION | WITH_CODE | 13 },
		{ VM_ENTRY_EXCEPTION_ERROR_CODE, U32_MAX } } },
	{ "what is not valid is free: length", CONTROLS, {
		{ VM_ENTRY_INTR_INFO_FIELD, INTR_TYPE_SOFT_INTR | 0x80 } } },
	{ "#SX with on no CPU but one that says so", CONTROLS, {
		{ VM_ENTRY_INTR_INFO_FIELD, EXCEPTION | WITH_CODE | 30 },
		{ MSR(MSR_IA32_VMX_BASIC), BIT(56) } } },
	{ "longest instruction", CONTROLS, {
		{ VM_ENTRY_INTR_INFO_FIELD, VALID | INTR_TYPE_PRIV_SW_EXCEPTION | 1 },
		{ VM_ENTRY_INSTRUCTION_LEN, 15 } } },
	{ "4 CR3 targets", CONTROLS, { { CR3_TARGET_COUNT, 4 } } },
	{ "primary controls that are 0", CONTROLS, {
		{ CPU_BASED_VM_EXEC_CONTROL, CPU_CTL & ~(BIT(21) | BIT(28)) }, { MSR_BITMAP, 1 },
		{ VIRTUAL_APIC_PAGE_ADDR, TOO_WIDE }, { TPR_THRESHOLD, 0xff } } },
	{ "a TPR shadow that is 0, its page good", CONTROLS, {
		{ CPU_BASED_VM_EXEC_CONTROL, CPU_CTL & ~BIT(21) }, { TPR_THRESHOLD, 0xf } } },
	{ "APIC accesses: VTPR below the threshold exits", CONTROLS, {
		{ SECONDARY_VM_EXEC_CONTROL, CPU2_CTL | BIT(0) }, { TPR_THRESHOLD, 0xf } } },
	{ "secondary controls that are 0", CONTROLS, {
		{ VIRTUAL_PROCESSOR_ID, 0 }, { SECONDARY_VM_EXEC_CONTROL, 0 },
		{ EPT_POINTER, 0x807 }, { TSC_MULTIPLIER, 0 }, { PML_ADDRESS, 1 } } },
	{ "secondary controls that are 0, EPTP wrong in another way", CONTROLS, {
		{ SECONDARY_VM_EXEC_CONTROL, 0 }, { EPT_POINTER, 0x6026 } } },
	{ "secondary controls that are 0, EPTP wrong in a third way", CONTROLS, {
		{ SECONDARY_VM_EXEC_CONTROL, 0 }, { EPT_POINTER, 0x681e } } },
	{ "no TPR shadow, nothing that needs it", CONTROLS, {
		{ CPU_BASED_VM_EXEC_CONTROL, CPU_CTL & ~BIT(21) } } },
	{ "pin-based controls that are 0", CONTROLS, { { PIN_BASED_VM_EXEC_CONTROL, 0x16 } } },
	{ "virtual NMIs and their window", CONTROLS, {
		{ CPU_BASED_VM_EXEC_CONTROL, CPU_CTL | BIT(22) } } },
	{ "x2APIC mode with no more", CONTROLS, {
		{ SECONDARY_VM_EXEC_CONTROL, CPU2_CTL | BIT(4) } } },
	{ "EPTP uncached, 5 levels", CONTROLS, { { EPT_POINTER, 0x6060 },
		{ MSR(MSR_IA32_VMX_EPT_VPID_CAP), 0x003341c1 } } },
	{ "threshold over a page that is no memory", CONTROLS, {
		{ VIRTUAL_APIC_PAGE_ADDR, 0x99000 }, { TPR_THRESHOLD, 0xf } } },
	{ "PAT and EFER that are not loaded", HOST, {
		{ VM_EXIT_CONTROLS, EXIT_CTL & ~(BIT(19) | BIT(21)) },
		{ HOST_IA32_PAT, U64_MAX }, { HOST_IA32_EFER, BIT(20) } } },
	{ "CR0.WP is 0", HOST, { { HOST_CR0, 0x80040033 } } },
	{ "PAT and EFER that the guest does not load", GUEST, {
		{ VM_ENTRY_CONTROLS, ENTRY_CTL & ~(BIT(14) | BIT(15)) },
		{ GUEST_IA32_PAT, U64_MAX }, { GUEST_IA32_EFER, BIT(20) } } },
	{ "CR0.WP is 0 in the guest", GUEST, { { GUEST_CR0, 0x80040033 } } },
	{ "DS that is readable code", GUEST, { { GUEST_DS_AR_BYTES, CODE64 } } },
	{ "DS that is read-only data", GUEST, { { GUEST_DS_AR_BYTES, 0xc091 } } },
	{ "limit of 1M without granularity", GUEST, {
		{ GUEST_DS_AR_BYTES, 0x93 }, { GUEST_DS_LIMIT, 0xfffff } } },
	{ "LAM in the host's CR3", HOST, {
		{ HOST_CR3, BIT(62) | 0x1000 }, { CPUID_7_1_EAX, BIT(26) } } },
	{ "LAM in the guest's CR3", GUEST, {
		{ GUEST_CR3, BIT(61) | 0x1000 }, { CPUID_7_1_EAX, BIT(26) } } },
	{ "host with 5 levels", HOST, { { PHYS_LINEAR, 0x3934 }, { HOST_CR4, 0x3636f0 },
		{ HOST_RIP, 0xff12345678901234 }, { HOST_TR_BASE, 0xff12345678901234 } } },
	{ "wide base on a CPU with 57 bits, 4 levels", GUEST, {
		{ PHYS_LINEAR, 0x3934 }, { GUEST_GS_BASE, 0xff12345678901234 } } },
	{ "RIP behind the lower half", GUEST, { { GUEST_RIP, 0x800000000000 - 1 } } },
	{ "RIP with only bits 63:48 the same", GUEST, { { GUEST_RIP, 0x0000812345678901 } } },
	{ "CR0.CD and NW", GUEST, { { GUEST_CR0, 0xe0050033 } } },
	{ "DEBUGCTL and DR7 that are not loaded", GUEST, {
		{ VM_ENTRY_CONTROLS, ENTRY_CTL & ~VM_ENTRY_LOAD_DEBUG_CONTROLS },
		{ GUEST_IA32_DEBUGCTL, BIT(40) }, { GUEST_DR7, U64_MAX } } },
	{ "HLT", GUEST, { { GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_HLT } } },
	{ "HLT and an interrupt", GUEST, { { GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_HLT },
		{ VM_ENTRY_INTR_INFO_FIELD, EXT_INT } } },
	{ "HLT and #DB", GUEST, { { GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_HLT },
		{ VM_ENTRY_INTR_INFO_FIELD, EXCEPTION | 1 } } },
	{ "shutdown and #MC", GUEST, { { GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_SHUTDOWN },
		{ VM_ENTRY_INTR_INFO_FIELD, EXCEPTION | 18 } } },
	{ "shutdown and NMI", GUEST, { { GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_SHUTDOWN },
		{ VM_ENTRY_INTR_INFO_FIELD, NMI } } },
	{ "shadow of STI", GUEST, { { GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_STI } } },
	{ "shadow of MOV SS, IF clear", GUEST, {
		{ GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_MOV_SS }, { GUEST_RFLAGS, 2 } } },
	{ "shadow of MOV SS and an exception", GUEST, {
		{ GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_MOV_SS },
		{ VM_ENTRY_INTR_INFO_FIELD, EXCEPTION | 6 } } },
	{ "blocking by NMI and an interrupt", GUEST, {
		{ GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_NMI },
		{ VM_ENTRY_INTR_INFO_FIELD, EXT_INT } } },
	{ "enclave interruption", GUEST, {
		{ GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_ENCLAVE_INTR },
		{ CPUID_7_EBX, BIT(2) } } },
	{ "single step in the shadow, BS pending", GUEST, {
		{ GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_STI }, { GUEST_RFLAGS, 0x302 },
		{ GUEST_PENDING_DBG_EXCEPTIONS, BIT(14) } } },
	{ "branch step in the shadow, BS not pending", GUEST, {
		{ GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_STI }, { GUEST_RFLAGS, 0x302 },
		{ GUEST_IA32_DEBUGCTL, BIT(1) } } },
	{ "BS pending outside a shadow", GUEST, {
		{ GUEST_PENDING_DBG_EXCEPTIONS, BIT(14) } } },
	{ "breakpoint and bus lock pending", GUEST, {
		{ GUEST_PENDING_DBG_EXCEPTIONS, 0x180f }, { CPUID_7_ECX, BIT(24) } } },
	{ "RTM pending", GUEST, {
		{ GUEST_PENDING_DBG_EXCEPTIONS, 0x11000 }, { CPUID_7_EBX, BIT(11) } } },
};

static const char *good_text(const struct fine *f)
{
	if (!f->vmfail)
		return GUEST_GOOD;
	return f->code == VMXERR_ENTRY_INVALID_CONTROL_FIELD ? CTL_GOOD : HOST_GOOD;
}

static void set_items(const struct item *set, int n)
{
	int i;

	for (i = 0; i < n && (i == 0 || set[i].key); i++)
		*lookup(set[i].key) = set[i].value;
}

static void test_fine(void)
{
	char what[128];
	size_t i;

	for (i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		set_items(fine[i].set, 5);
		snprintf(what, sizeof(what), "nothing wrong: %s", fine[i].what);
		expect(what, fine[i].vmfail, fine[i].code, good_text(&fine[i]));
	}
}

/* ---- single faults ---------------------------------------------------------------------- */

static void test_faults(const char *kind, bool vmfail, u32 code, const struct fault *f, int n)
{
	char what[160];
	int i;

	for (i = 0; i < n; i++) {
		set_items(f[i].set, 4);
		snprintf(what, sizeof(what), "%s: %s", kind, strchr(f[i].text, ':') + 2);
		expect(what, vmfail, code, f[i].text);
	}
}

/* ---- faults of other modes, and of each register ---------------------------------------- */

static void test_other_modes(void)
{
	no_long_mode();
	*lookup(GUEST_CR4) |= X86_CR4_PCIDE;
	expect("guest: PCIDs outside long mode", GUEST,
	       CR "'IA-32e mode guest' is 0 and CR4.PCIDE is 1");
	no_long_mode();
	*lookup(GUEST_TR_AR_BYTES) = 0x89;
	expect("guest: TSS that is not busy", GUEST, SEG "TR.type is neither 3 nor 11");
	no_long_mode();
	*lookup(GUEST_RIP) = BIT(32);
	expect("guest: wide RIP in 32-bit mode", GUEST,
	       RIP "bits 63:32 of RIP are not 0 outside 64-bit mode");
	no_long_mode();
	*lookup(GUEST_CR4) |= X86_CR4_PAE;
	*lookup(GUEST_PDPTR3) = 0x2348021;
	expect("guest: PDPTE with a reserved bit", GUEST,
	       PDPTE "a present entry has reserved bits");
	no_long_mode();
	*lookup(GUEST_CR4) |= X86_CR4_PAE;
	*lookup(GUEST_PDPTR0) = TOO_WIDE | 1;
	expect("guest: PDPTE beyond physical memory", GUEST,
	       PDPTE "a present entry has reserved bits");
	v86_mode();
	*lookup(VM_ENTRY_CONTROLS) |= VM_ENTRY_IA32E_MODE;
	*lookup(GUEST_IA32_EFER) = 0xd01;
	*lookup(GUEST_CR4) = 0x3626f0;
	expect("guest: virtual-8086 in long mode", GUEST, RIP "RFLAGS.VM is 1 in IA-32e mode");
	v86_mode();
	*lookup(GUEST_CR0) = 0x20;
	expect("guest: virtual-8086 in real mode", GUEST, RIP "RFLAGS.VM is 1 and CR0.PE is 0");
}

/* One field of register @seg (by its place) in another value. */
static void seg_fault(void (*mode)(void), unsigned long es_field, int seg, u64 value,
		      const char *fmt, const char *name)
{
	char want[160], what[200];

	if (mode)
		mode();
	*lookup(es_field + 2 * seg) = value;
	snprintf(want, sizeof(want), fmt, name);
	snprintf(what, sizeof(what), "guest: %s", strchr(want, ':') + 2);
	expect(what, GUEST, want);
}

static const char *const seg_names[] = { "ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR" };

static void test_v86(int seg)
{
	const char *name = seg_names[seg];

	seg_fault(v86_mode, GUEST_ES_BASE, seg, 0x12341,
		  SEG "virtual-8086: the base of %s is not its selector times 16", name);
	seg_fault(v86_mode, GUEST_ES_LIMIT, seg, U32_MAX,
		  SEG "virtual-8086: the limit of %s is not FFFFH", name);
	seg_fault(v86_mode, GUEST_ES_AR_BYTES, seg, 0x93,
		  SEG "virtual-8086: the access rights of %s are not F3H", name);
}

static void usable_ldtr(void)
{
	*lookup(GUEST_LDTR_AR_BYTES) = 0x82;
}

static void test_any(int seg, u64 rights)
{
	void (*mode)(void) = seg == SEG_LDTR ? usable_ldtr : NULL;
	const char *name = seg_names[seg];
	u64 bits;

	seg_fault(mode, GUEST_ES_AR_BYTES, seg, rights & ~0x80, SEG "%s.P is 0", name);
	for (bits = BIT(8); bits < BIT(32); bits <<= 1) {
		if (bits & 0xfffe0f00)
			seg_fault(mode, GUEST_ES_AR_BYTES, seg, rights | bits,
				  SEG "bits 31:17 or 11:8 of the access rights of %s are not 0",
				  name);
	}
	seg_fault(mode, GUEST_ES_AR_BYTES, seg, rights ^ 0x10,
		  rights & 0x10 ? SEG "%s.S is 0" : SEG "%s.S is 1", name);
	seg_fault(mode, GUEST_ES_LIMIT, seg, 0x100000 | (rights & 0x8000 ? 0xffe : 0xfff),
		  SEG "%s.G is 1 with bits 11:0 of the limit not all 1, or 0 with bits 31:20 not 0",
		  name);
}

static void test_data(int seg)
{
	const char *name = seg_names[seg];

	seg_fault(NULL, GUEST_ES_AR_BYTES, seg, 0xc092, SEG "%s.type is not an accessed one", name);
	seg_fault(NULL, GUEST_ES_AR_BYTES, seg, 0xc099, SEG "%s.type is code that cannot be read",
		  name);
	/* Privilege does not matter where unrestricted guest is on. */
	*lookup(GUEST_ES_SELECTOR + 2 * seg) = 3;
	expect("nothing wrong: RPL above DPL", GUEST, GUEST_GOOD);
}

static void test_segments(void)
{
	int seg;

	for (seg = SEG_ES; seg <= SEG_GS; seg++)
		test_v86(seg);
	for (seg = SEG_ES; seg <= SEG_GS; seg++)
		test_any(seg, seg == SEG_CS ? CODE64 : DATA);
	for (seg = SEG_ES; seg <= SEG_DS; seg++)
		seg_fault(NULL, GUEST_ES_BASE, seg, BIT(32),
			  SEG "bits 63:32 of the base of %s are not 0", seg_names[seg]);
	for (seg = SEG_ES; seg <= SEG_GS; seg++) {
		if (seg != SEG_CS && seg != SEG_SS)
			test_data(seg);
	}
	test_any(SEG_TR, 0x8b);
	test_any(SEG_LDTR, 0x82);
	for (seg = SEG_FS; seg <= SEG_TR; seg++)
		seg_fault(usable_ldtr, GUEST_ES_BASE, seg, BAD_ADDRESS,
			  SEG "the base of %s is not canonical", seg_names[seg]);
	for (seg = SEG_LDTR; seg <= SEG_TR; seg++)
		seg_fault(usable_ldtr, GUEST_ES_SELECTOR, seg, 0x44,
			  SEG "TI of %s's selector is 1", seg_names[seg]);
}

/* ---- all values of a field -------------------------------------------------------------- */

/* Each bit of @reserved added to the good value is the fault, each of @allowed is none. */
static const struct {
	const char *what;
	bool vmfail;
	u32 code;
	u64 key, reserved, allowed;
	const char *text, *good_text;
} bit_sweeps[] = {
	{ "IA32_DEBUGCTL", GUEST, GUEST_IA32_DEBUGCTL, 0xffffffffffff0038, 0xffc7,
	  CR "IA32_DEBUGCTL has reserved bits", GUEST_GOOD },
	{ "DR7", GUEST, GUEST_DR7, 0xffffffff00000000, U32_MAX,
	  CR "bits 63:32 of DR7 are not 0", GUEST_GOOD },
	{ "guest's EFER", GUEST, GUEST_IA32_EFER, ~0xd01ULL, 0xd01,
	  CR "IA32_EFER has reserved bits", GUEST_GOOD },
	{ "host's EFER", HOST, HOST_IA32_EFER, ~0xd01ULL, 0xd01,
	  HOST_CR "IA32_EFER has reserved bits", HOST_GOOD },
	{ "guest's CR3", GUEST, GUEST_CR3, 0xffffc00000000000, 0x3fffffffffff,
	  CR "CR3 has bits beyond the physical-address width", GUEST_GOOD },
	{ "RFLAGS", GUEST, GUEST_RFLAGS, 0xffffffffffc08028, 0x3d7fd7,
	  RIP "RFLAGS has reserved bits", GUEST_GOOD },
	{ "GDTR's limit", GUEST, GUEST_GDTR_LIMIT, 0xffff0000, 0xffff,
	  DTR "bits 31:16 of the limit of GDTR are not 0", GUEST_GOOD },
	{ "interruptibility state", GUEST, GUEST_INTERRUPTIBILITY_INFO, 0xffffffe0, 0xb,
	  STATE "the interruptibility state has reserved bits", GUEST_GOOD },
	{ "pending debug exceptions", GUEST, GUEST_PENDING_DBG_EXCEPTIONS,
	  0xfffffffffffeaff0, 0x500f,
	  STATE "the pending debug exceptions have reserved bits", GUEST_GOOD },
	{ "EPTP", CONTROLS, EPT_POINTER, 0xffffc00000000f80, 0x3ffffffff040,
	  EXEC "EPTP: bits 11:7 are not 0, or the address is too wide", CTL_GOOD },
	{ "MSR-bitmap address", CONTROLS, MSR_BITMAP, 0xffffc00000000fff, 0x3ffffffff000,
	  EXEC "the MSR-bitmap address is not of a page, or too wide", CTL_GOOD },
};

static void test_bits(void)
{
	char what[80];
	size_t i;
	u64 bit;

	for (i = 0; i < sizeof(bit_sweeps) / sizeof(bit_sweeps[0]); i++) {
		int wrong = 0;

		for (bit = 1; bit; bit <<= 1) {
			*lookup(bit_sweeps[i].key) |= bit;
			if (bit & bit_sweeps[i].reserved)
				wrong += !says(bit_sweeps[i].vmfail, bit_sweeps[i].code,
					       bit_sweeps[i].text);
			else if (bit & bit_sweeps[i].allowed)
				wrong += !says(bit_sweeps[i].vmfail, bit_sweeps[i].code,
					       bit_sweeps[i].good_text);
			reset();
		}
		snprintf(what, sizeof(what), "each bit of: %s", bit_sweeps[i].what);
		report(!wrong, what);
	}
}

static void test_pdptes(void)
{
	int wrong = 0;
	u64 bit;

	for (bit = 2; bit; bit <<= 1) {
		bool reserved = bit & 0xffffc000000001e6;

		no_long_mode();
		*lookup(GUEST_CR4) |= X86_CR4_PAE;
		*lookup(GUEST_PDPTR2) = 1 | bit;
		wrong += !says(GUEST, reserved ? PDPTE "a present entry has reserved bits" :
			       GUEST_GOOD);
	}
	report(!wrong, "each bit of: a present PDPTE");
	no_long_mode();
	*lookup(GUEST_PDPTR2) = U64_MAX;
	expect("nothing wrong: PDPTEs without PAE", GUEST, GUEST_GOOD);
	*lookup(GUEST_PDPTR2) = U64_MAX;
	expect("nothing wrong: PDPTEs in long mode", GUEST, GUEST_GOOD);
}

static bool is_good(bool vmfail, u32 code, const char *good_text)
{
	bool good;

	if (vmfail)
		*lookup(VM_INSTRUCTION_ERROR) = code;
	good = !strcmp(vmx_find_fault(vmfail, code), good_text);
	reset();
	return good;
}

/* @good: a bit for each type that may be in the register. */
static void test_types(int seg, u64 rights, u32 good)
{
	char what[40];
	int type, wrong = 0;

	for (type = 0; type < 16; type++) {
		*lookup(GUEST_ES_AR_BYTES + 2 * seg) = (rights & ~0xfULL) | type;
		wrong += is_good(GUEST, GUEST_GOOD) != !!(good & BIT(type));
	}
	snprintf(what, sizeof(what), "each type of %s", seg_names[seg]);
	report(!wrong, what);
}

static bool dpls_fit(int type, u32 cs, u32 ss)
{
	switch (type) {
	case 3:
		return cs == 0 && ss == 0;
	case 13: case 15:
		return cs <= ss;
	}
	return cs == ss;
}

static void test_dpls(void)
{
	static const int types[] = { 3, 9, 11, 13, 15 };
	int i, dpl, wrong = 0;

	for (i = 0; i < 5; i++) {
		for (dpl = 0; dpl < 16; dpl++) {
			*lookup(GUEST_CS_AR_BYTES) = 0xa090 | types[i] | (dpl & 3) << 5;
			*lookup(GUEST_SS_AR_BYTES) = 0xc093 | (dpl >> 2) << 5;
			wrong += is_good(GUEST, GUEST_GOOD) !=
				 dpls_fit(types[i], dpl & 3, dpl >> 2);
		}
	}
	report(!wrong, "each DPL of CS and SS, with each type of CS");
}

/* Vectors that go with an error code, without one, and with either. */
static void test_error_codes(u32 with, u32 either, u64 basic, u64 cr4_fixed1)
{
	char what[80];
	int i, wrong = 0;

	for (i = 0; i < 64; i++) {
		u32 vector = i & 31, code = i & 32 ? WITH_CODE : 0;
		bool good = (either & BIT(vector)) || !(with & BIT(vector)) == !code;

		*lookup(MSR(MSR_IA32_VMX_BASIC)) = basic;
		*lookup(MSR(MSR_IA32_VMX_CR4_FIXED1)) = cr4_fixed1;
		*lookup(VM_ENTRY_INTR_INFO_FIELD) = EXCEPTION | code | vector;
		wrong += is_good(CONTROLS, CTL_GOOD) != good;
	}
	snprintf(what, sizeof(what), "each vector with and without an error code%s%s",
		 basic ? ", any allowed" : "", cr4_fixed1 & X86_CR4_CET ? ", CET" : "");
	report(!wrong, what);
}

static void test_sweeps(void)
{
	test_bits();
	test_pdptes();
	test_types(SEG_CS, CODE64, 0xaa08);
	test_types(SEG_SS, DATA, 0x0088);
	test_types(SEG_DS, DATA, 0x88aa);
	test_types(SEG_TR, 0x8b, 0x0800);
	test_types(SEG_LDTR, 0x82, 0x0004);
	test_dpls();
	test_error_codes(0x27d00, 0, 0, 0x7737ff);
	test_error_codes(0x27d00, BIT(21), 0, 0xf737ff);
	test_error_codes(0, U32_MAX, BIT(56), 0x7737ff);
}

/* ---- what is no table ------------------------------------------------------------------- */

static const struct {
	bool vmfail;
	u32 code;
	u64 qualification;
	const char *text;
} others[] = {
	{ true, 4, 0, "VMLAUNCH with a VMCS that is launched already" },
	{ true, 5, 0, "VMRESUME with a VMCS that is not launched" },
	{ true, 6, 0, "VMRESUME with a VMCS that was launched before VMXOFF" },
	{ true, 26, 0, "Basic VM-Entry Checks: the host is in the shadow of MOV SS" },
	{ true, 0, 0,
	  "there is no current VMCS (VMfailInvalid), or the error is none of a VM entry" },
	{ false, 33, 2, PDPTE "a present entry has reserved bits" },
	{ false, 33, 3, STATE "an NMI in the shadow of STI, as not every CPU takes it" },
	{ false, 33, 4, STATE "the VMCS link pointer is neither all ones nor of a fitting VMCS" },
	{ false, 34, 1,
	  "Loading MSRs: an entry cannot be loaded, the exit qualification says which" },
	{ false, 41, 0, "Machine-Check Events During VM Entry: there was one" },
	{ false, 10, 0, "the exit reason is none of a failed VM entry" },
};

static void test_others(void)
{
	size_t i;

	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		*lookup(EXIT_QUALIFICATION) = others[i].qualification;
		expect(others[i].text, others[i].vmfail, others[i].code, others[i].text);
	}
	*lookup(HOST_CS_SELECTOR) = 0;
	expect("a fault of the host under the controls' number", CONTROLS,
	       HOST_SEG "CS's selector is 0");
	*lookup(VIRTUAL_PROCESSOR_ID) = 0;
	expect("a fault of the controls under the host's number", HOST, EXEC "the VPID is 0");
}

static bool was_hit(const char *text)
{
	int i;

	for (i = 0; i < nr_hits && i < NR_HITS; i++) {
		if (!strcmp(hits[i], text))
			return true;
	}
	return false;
}

static void test_rows(const char *name, const struct vmx_check *c)
{
	char what[80];
	int missed = 0;

	for (; c->text; c++) {
		if (was_hit(c->text))
			continue;
		missed++;
		printf("# never found: %s\n", c->text);
	}
	snprintf(what, sizeof(what), "each row of the table of the %s is found by a test", name);
	report(!missed, what);
}

#define FAULTS(f)	(f), (int)(sizeof(f) / sizeof((f)[0]))

int main(void)
{
	reset();
	test_good_modes();
	test_fine();
	test_faults("controls", CONTROLS, FAULTS(control_faults));
	test_faults("host", HOST, FAULTS(host_faults));
	test_faults("guest", GUEST, FAULTS(guest_faults));
	test_other_modes();
	test_segments();
	test_sweeps();
	test_others();
	test_rows("controls", vmx_control_checks);
	test_rows("host", vmx_host_checks);
	test_rows("guest's segments", vmx_segment_checks);
	test_rows("guest", vmx_guest_checks);
	printf("1..%d\n", tests);
	return failed != 0;
}
