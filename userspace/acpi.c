// SPDX-License-Identifier: GPL-2.0-only
/* ACPI tables: RSDP, XSDT, FADT, FACS, MADT, and the DSDT that iasl compiled. */
#include <string.h>

#include "acpi.h"
#include "dsdt.hex"
#include "irq.h"
#include "pm.h"
#include "util.h"

#define PACKED			__attribute__((packed))

#define FADT_BOOT_LEGACY	(1 << 0)
#define FADT_BOOT_NO_VGA	(1 << 2)
#define FADT_WBINVD		(1 << 0)
#define FADT_C1			(1 << 2)
#define FADT_NO_POWER_BUTTON	(1 << 4)
#define FADT_NO_SLEEP_BUTTON	(1 << 5)
#define FADT_NO_RTC_WAKE	(1 << 6)
#define FADT_TIMER_32BIT	(1 << 8)
#define FADT_RESET		(1 << 10)
#define GAS_IO			1

#define MADT_PC_COMPATIBLE	1
#define MADT_LAPIC		0
#define MADT_IOAPIC		1
#define MADT_OVERRIDE		2
#define MADT_LAPIC_NMI		4
#define MADT_LEVEL_HIGH		0x0d
#define MADT_ALL_PROCESSORS	0xff

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} PACKED;

struct acpi_rsdp {
	char signature[8];
	uint8_t checksum;
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} PACKED;

struct acpi_xsdt {
	struct acpi_header header;
	uint64_t entry[2];
} PACKED;

struct acpi_facs {
	char signature[4];
	uint32_t length;
	uint8_t zero[24];
	uint8_t version;
	uint8_t reserved[31];
} PACKED;

struct acpi_gas {
	uint8_t space;
	uint8_t bits;
	uint8_t bit_offset;
	uint8_t access;
	uint64_t address;
} PACKED;

struct acpi_fadt {
	struct acpi_header header;
	uint32_t facs, dsdt;
	uint8_t reserved0, profile;
	uint16_t sci;
	uint32_t smi_command;
	uint8_t acpi_enable, acpi_disable, s4bios, pstate;
	uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control;
	uint32_t pm2_control, pm_timer, gpe0, gpe1;
	uint8_t pm1_event_len, pm1_control_len, pm2_control_len, pm_timer_len;
	uint8_t gpe0_len, gpe1_len, gpe1_base, cst_control;
	uint16_t c2_latency, c3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_flags;
	uint8_t reserved1;
	uint32_t flags;
	struct acpi_gas reset;
	uint8_t reset_value;
	uint16_t arm_boot_flags;
	uint8_t minor;
	uint64_t x_facs, x_dsdt;
	struct acpi_gas x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control;
	struct acpi_gas x_pm2_control, x_pm_timer, x_gpe0, x_gpe1;
	struct acpi_gas sleep_control, sleep_status;
	uint64_t hypervisor;
} PACKED;

struct madt_head {
	struct acpi_header header;
	uint32_t lapic_address;
	uint32_t flags;
} PACKED;

struct madt_lapic {
	uint8_t type, length, processor, apic_id;
	uint32_t flags;
} PACKED;

struct madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t address, gsi_base;
} PACKED;

struct madt_override {
	uint8_t type, length, bus, source;
	uint32_t gsi;
	uint16_t flags;
} PACKED;

struct madt_nmi {
	uint8_t type, length, processor;
	uint16_t flags;
	uint8_t lint;
} PACKED;

_Static_assert(sizeof(struct acpi_fadt) == 276, "the FADT of ACPI 6.0 has 276 bytes");

/* Where the next table goes, and the memory it is written to. */
struct area {
	uint8_t *base;
	uint64_t used;
};

static uint8_t checksum(const void *table, size_t len)
{
	const uint8_t *p = table;
	uint8_t sum = 0;

	while (len--)
		sum += *p++;
	return -sum;
}

/* Appends bytes on a 16-byte boundary (64 for the FACS); returns their address. */
static uint64_t put(struct area *area, const void *bytes, size_t len, uint64_t align)
{
	uint64_t at = align_up(area->used, align);

	if (at + len > MEM_ACPI_END - MEM_ACPI_START)
		fail("the ACPI tables do not fit");
	memcpy(area->base + at, bytes, len);
	area->used = at + len;
	return MEM_ACPI_START + at;
}

static void fill_header(struct acpi_header *header, const char *signature, uint32_t length,
			uint8_t revision)
{
	memset(header, 0, sizeof(*header));
	memcpy(header->signature, signature, 4);
	memcpy(header->oem_id, "KEEL  ", 6);
	memcpy(header->oem_table_id, "KEELTABL", 8);
	memcpy(header->creator_id, "KEEL", 4);
	header->length = length;
	header->revision = revision;
	header->oem_revision = 1;
	header->creator_revision = 1;
}

static struct acpi_gas io_register(uint64_t port, uint8_t bytes)
{
	struct acpi_gas gas = { GAS_IO, bytes * 8, 0, bytes == 4 ? 3 : bytes, port };

	return gas;
}

static uint64_t put_fadt(struct area *area, uint64_t dsdt, uint64_t facs)
{
	struct acpi_fadt fadt = {
		.facs = facs,
		.dsdt = dsdt,
		.sci = IRQ_SCI,
		.pm1a_event = PM_EVENT,
		.pm1a_control = PM_CONTROL,
		.pm_timer = PM_TIMER,
		.pm1_event_len = PM_EVENT_LEN,
		.pm1_control_len = PM_CONTROL_LEN,
		.pm_timer_len = PM_TIMER_LEN,
		.c2_latency = 0xfff,
		.c3_latency = 0xfff,
		.century = 0x32,
		.boot_flags = FADT_BOOT_LEGACY | FADT_BOOT_NO_VGA,
		.flags = FADT_WBINVD | FADT_C1 | FADT_NO_POWER_BUTTON | FADT_NO_SLEEP_BUTTON |
			 FADT_NO_RTC_WAKE | FADT_TIMER_32BIT | FADT_RESET,
		.reset = io_register(PM_RESET_PORT, 1),
		.reset_value = PM_RESET_VALUE,
		.x_facs = facs,
		.x_dsdt = dsdt,
		.x_pm1a_event = io_register(PM_EVENT, PM_EVENT_LEN),
		.x_pm1a_control = io_register(PM_CONTROL, PM_CONTROL_LEN),
		.x_pm_timer = io_register(PM_TIMER, PM_TIMER_LEN),
	};

	fill_header(&fadt.header, "FACP", sizeof(fadt), 6);
	fadt.header.checksum = checksum(&fadt, sizeof(fadt));
	return put(area, &fadt, sizeof(fadt), 16);
}

static size_t append(uint8_t *table, size_t at, const void *entry, size_t len)
{
	memcpy(table + at, entry, len);
	return at + len;
}

static uint64_t put_madt(struct area *area, unsigned int nr_vcpus)
{
	const struct madt_ioapic ioapic = { MADT_IOAPIC, sizeof(ioapic), 0, 0,
					    MEM_IOAPIC_ADDR, 0 };
	const struct madt_override timer = { MADT_OVERRIDE, sizeof(timer), 0, 0, 2, 0 };
	const struct madt_override sci = { MADT_OVERRIDE, sizeof(sci), 0, IRQ_SCI, IRQ_SCI,
					   MADT_LEVEL_HIGH };
	const struct madt_nmi nmi = { MADT_LAPIC_NMI, sizeof(nmi), MADT_ALL_PROCESSORS, 0, 1 };
	uint8_t table[4096];
	struct madt_head *head = (struct madt_head *)table;
	size_t len = sizeof(*head);

	head->lapic_address = MEM_LAPIC_ADDR;
	head->flags = MADT_PC_COMPATIBLE;
	for (unsigned int i = 0; i < nr_vcpus; i++) {
		struct madt_lapic lapic = { MADT_LAPIC, sizeof(lapic), i, i, 1 };

		len = append(table, len, &lapic, sizeof(lapic));
	}
	len = append(table, len, &ioapic, sizeof(ioapic));
	len = append(table, len, &timer, sizeof(timer));
	len = append(table, len, &sci, sizeof(sci));
	len = append(table, len, &nmi, sizeof(nmi));
	fill_header(&head->header, "APIC", len, 5);
	head->header.checksum = checksum(table, len);
	return put(area, table, len, 16);
}

static void put_rsdp(struct area *area, uint64_t at, uint64_t xsdt)
{
	struct acpi_rsdp rsdp = { .revision = 2, .length = sizeof(rsdp), .xsdt = xsdt };

	memcpy(rsdp.signature, "RSD PTR ", 8);
	memcpy(rsdp.oem_id, "KEEL  ", 6);
	/* The first covers what ACPI 1.0 knew of the structure. */
	rsdp.checksum = checksum(&rsdp, 20);
	rsdp.extended_checksum = checksum(&rsdp, sizeof(rsdp));
	memcpy(area->base + at - MEM_ACPI_START, &rsdp, sizeof(rsdp));
}

uint64_t acpi_build(const struct guest_mem *mem, unsigned int nr_vcpus)
{
	struct area area = {
		.base = mem_ptr(mem, MEM_ACPI_START, MEM_ACPI_END - MEM_ACPI_START),
		/* The RSDP comes first, where a guest that searches finds it. */
		.used = sizeof(struct acpi_rsdp),
	};
	struct acpi_facs facs = { .length = sizeof(facs), .version = 2 };
	struct acpi_xsdt xsdt;
	uint64_t facs_at, dsdt_at;

	if (!area.base)
		fail("memory: too little for a PC");
	memcpy(facs.signature, "FACS", 4);
	facs_at = put(&area, &facs, sizeof(facs), 64);
	dsdt_at = put(&area, dsdt_aml_code, sizeof(dsdt_aml_code), 16);
	xsdt.entry[0] = put_fadt(&area, dsdt_at, facs_at);
	xsdt.entry[1] = put_madt(&area, nr_vcpus);
	fill_header(&xsdt.header, "XSDT", sizeof(xsdt), 1);
	xsdt.header.checksum = checksum(&xsdt, sizeof(xsdt));
	put_rsdp(&area, MEM_ACPI_START, put(&area, &xsdt, sizeof(xsdt), 16));
	return MEM_ACPI_START;
}
