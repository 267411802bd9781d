// SPDX-License-Identifier: GPL-2.0-only
/*
 * ACPI fixed hardware (ACPI specification, "ACPI Hardware Specification"), the
 * keyboard controller's and the chipset's reset, and an MC146818 clock that
 * shows the host's UTC. No interrupt comes from here, so no lock is needed: a
 * register torn between two vCPUs would be the guest's own race.
 */
#include <time.h>

#include "pm.h"
#include "vm.h"

#define PM1_SLP_EN		(1 << 13)
#define PM1_SLP_TYP_SHIFT	10
#define PM1_SLP_TYP_MASK	7
#define PM1_SCI_EN		(1 << 0)
#define PM_TIMER_HZ		3579545ULL

#define KBC_STATUS		0x64
#define KBC_RESET_CPU		0xfe

#define RTC_PORT		0x70
#define RTC_STATUS_A		0x0a
#define RTC_STATUS_B		0x0b
#define RTC_STATUS_C		0x0c
#define RTC_STATUS_D		0x0d
#define RTC_CENTURY		0x32
#define RTC_A_32KHZ		0x26
#define RTC_B_24H		0x02
#define RTC_D_VALID		0x80

static uint64_t timer_count(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * PM_TIMER_HZ + (uint64_t)ts.tv_nsec * PM_TIMER_HZ / 1000000000;
}

static uint64_t fixed_read(void *ctx, uint64_t offset, unsigned int size)
{
	struct pm *pm = ctx;

	(void)size;
	switch (offset + PM_BASE) {
	case PM_EVENT:
		return 0;
	case PM_EVENT + 2:
		return pm->enable;
	case PM_CONTROL:
		/* There is no SMM to hand control over from: ACPI is always on. */
		return pm->control | PM1_SCI_EN;
	case PM_TIMER:
		return (uint32_t)timer_count();
	default:
		return 0;
	}
}

static void fixed_write(void *ctx, uint64_t offset, unsigned int size, uint64_t value)
{
	struct pm *pm = ctx;

	if (offset + PM_BASE == PM_EVENT + 2)
		pm->enable = value;
	if (offset + PM_BASE != PM_CONTROL || size < 2)
		return;
	/* SLP_EN is write-only. */
	pm->control = value & ~PM1_SLP_EN;
	if ((value & PM1_SLP_EN) &&
	    ((value >> PM1_SLP_TYP_SHIFT) & PM1_SLP_TYP_MASK) == PM_SLP_TYP_S5)
		vm_stop(pm->vm, VM_POWEROFF, NULL);
}

static const struct bus_ops fixed_ops = { fixed_read, fixed_write };

static uint64_t reset_read(void *ctx, uint64_t offset, unsigned int size)
{
	(void)ctx;
	(void)offset;
	(void)size;
	return 0;
}

static void reset_write(void *ctx, uint64_t offset, unsigned int size, uint64_t value)
{
	struct pm *pm = ctx;

	(void)offset;
	(void)size;
	/* Bit 2 starts the reset; the value 2 before it only chooses its kind. */
	if (value & 0x04)
		vm_stop(pm->vm, VM_RESET, NULL);
}

static const struct bus_ops reset_ops = { reset_read, reset_write };

static void kbc_write(void *ctx, uint64_t offset, unsigned int size, uint64_t value)
{
	struct pm *pm = ctx;

	(void)offset;
	(void)size;
	if (value == KBC_RESET_CPU)
		vm_stop(pm->vm, VM_RESET, NULL);
}

static uint64_t kbc_read(void *ctx, uint64_t offset, unsigned int size)
{
	(void)ctx;
	(void)offset;
	/*
	 * Ready for a command, which is what a guest waits for before it asks
	 * for a reset. There is no keyboard behind it, as the FADT says.
	 */
	return size == 1 ? 0 : bus_mask(size);
}

static const struct bus_ops kbc_ops = { kbc_read, kbc_write };

static uint8_t to_bcd(int value)
{
	return (value / 10 % 10) << 4 | value % 10;
}

static uint8_t rtc_register(uint8_t index)
{
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	switch (index) {
	case 0x00:
		return to_bcd(tm.tm_sec);
	case 0x02:
		return to_bcd(tm.tm_min);
	case 0x04:
		return to_bcd(tm.tm_hour);
	case 0x06:
		return to_bcd(tm.tm_wday + 1);
	case 0x07:
		return to_bcd(tm.tm_mday);
	case 0x08:
		return to_bcd(tm.tm_mon + 1);
	case 0x09:
		return to_bcd(tm.tm_year % 100);
	case RTC_CENTURY:
		return to_bcd((tm.tm_year + 1900) / 100);
	case RTC_STATUS_A:
		return RTC_A_32KHZ;
	case RTC_STATUS_B:
		return RTC_B_24H;
	case RTC_STATUS_D:
		return RTC_D_VALID;
	default:
		return 0;
	}
}

static uint64_t rtc_read(void *ctx, uint64_t offset, unsigned int size)
{
	struct pm *pm = ctx;

	return offset == 1 && size == 1 ? rtc_register(pm->rtc_index) : bus_mask(size);
}

/* The clock is the host's: what the guest sets it to is dropped. */
static void rtc_write(void *ctx, uint64_t offset, unsigned int size, uint64_t value)
{
	struct pm *pm = ctx;

	if (offset == 0 && size == 1)
		pm->rtc_index = value & 0x7f;
}

static const struct bus_ops rtc_ops = { rtc_read, rtc_write };

void pm_init(struct pm *pm, struct vm *vm)
{
	*pm = (struct pm) { .vm = vm };
	bus_add(&vm->pio, PM_BASE, PM_LEN, &fixed_ops, pm);
	bus_add(&vm->pio, PM_RESET_PORT, 1, &reset_ops, pm);
	bus_add(&vm->pio, KBC_STATUS, 1, &kbc_ops, pm);
	bus_add(&vm->pio, RTC_PORT, 2, &rtc_ops, pm);
}
