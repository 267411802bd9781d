/* SPDX-License-Identifier: GPL-2.0-only */
/* What a PC's chipset has for power-off, reset and the time of day. */
#ifndef KEEL_PM_H
#define KEEL_PM_H

#include <stdint.h>

struct vm;

/* ACPI's fixed hardware; the FADT tells the guest. */
#define PM_BASE			0x600
#define PM_EVENT		PM_BASE
#define PM_EVENT_LEN		4
#define PM_CONTROL		(PM_BASE + 4)
#define PM_CONTROL_LEN		2
#define PM_TIMER		(PM_BASE + 8)
#define PM_TIMER_LEN		4
#define PM_LEN			16
#define PM_SLP_TYP_S5		5

#define PM_RESET_PORT		0xcf9
#define PM_RESET_VALUE		0x06

/**
 * struct pm - the state of the chipset's small devices
 * @enable: PM1 enable register
 * @control: PM1 control register
 * @rtc_index: register that the port 0x71 stands for
 */
struct pm {
	struct vm *vm;
	uint16_t enable;
	uint16_t control;
	uint8_t rtc_index;
};

void pm_init(struct pm *pm, struct vm *vm);

#endif
