// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <string.h>

#include "exit.h"
#include "util.h"

/* x86 is little-endian and so is the launcher, which is built for x86 alone. */
static uint64_t load(const uint8_t *p, unsigned int size)
{
	uint64_t value = 0;

	memcpy(&value, p, size);
	return value;
}

static enum exit_result handle_io(struct kvm_run *run, struct bus *pio)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	unsigned int size = run->io.size;

	/* A string instruction's items come in one exit and go to one port. */
	for (uint32_t i = 0; i < run->io.count; i++, data += size) {
		uint64_t value;

		if (run->io.direction == KVM_EXIT_IO_OUT) {
			bus_write(pio, run->io.port, size, load(data, size));
			continue;
		}
		value = bus_read(pio, run->io.port, size);
		memcpy(data, &value, size);
	}
	return EXIT_RESUME;
}

static enum exit_result handle_mmio(struct kvm_run *run, struct bus *mmio)
{
	unsigned int len = run->mmio.len;
	uint64_t value;

	if (len > sizeof(run->mmio.data))
		return EXIT_GUEST_ERROR;
	if (run->mmio.is_write) {
		bus_write(mmio, run->mmio.phys_addr, len, load(run->mmio.data, len));
		return EXIT_RESUME;
	}
	value = bus_read(mmio, run->mmio.phys_addr, len);
	memcpy(run->mmio.data, &value, len);
	return EXIT_RESUME;
}

enum exit_result exit_handle(struct kvm_run *run, struct bus *pio, struct bus *mmio)
{
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		return handle_io(run, pio);
	case KVM_EXIT_MMIO:
		return handle_mmio(run, mmio);
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return EXIT_RESUME;
	case KVM_EXIT_SHUTDOWN:
		return EXIT_TRIPLE_FAULT;
	default:
		return EXIT_GUEST_ERROR;
	}
}

static const char *internal_error_name(uint32_t suberror)
{
	switch (suberror) {
	case KVM_INTERNAL_ERROR_EMULATION:
		return "an instruction could not be emulated";
	case KVM_INTERNAL_ERROR_SIMUL_EX:
		return "unexpected simultaneous exceptions";
	case KVM_INTERNAL_ERROR_DELIVERY_EV:
		return "an exit while an event was being delivered";
	case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
		return "an exit reason that the device does not know";
	default:
		return "unknown kind";
	}
}

/* The bytes of the instruction, where the device gives them. */
static void describe_emulation(const struct kvm_run *run, char *text, size_t len)
{
	uint32_t n = run->emulation_failure.insn_size;
	size_t at = 0;

	text[0] = '\0';
	if (run->emulation_failure.suberror != KVM_INTERNAL_ERROR_EMULATION ||
	    run->emulation_failure.ndata < 3 ||
	    !(run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES))
		return;
	if (n > sizeof(run->emulation_failure.insn_bytes))
		n = sizeof(run->emulation_failure.insn_bytes);
	at = snprintf(text, len, ", instruction bytes");
	for (uint32_t i = 0; i < n && at + 4 <= len; i++)
		at += snprintf(text + at, len - at, " %02x", run->emulation_failure.insn_bytes[i]);
}

void exit_describe(const struct kvm_run *run, char *text, size_t len)
{
	char bytes[96];

	switch (run->exit_reason) {
	case KVM_EXIT_SHUTDOWN:
		snprintf(text, len, "triple fault");
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		describe_emulation(run, bytes, sizeof(bytes));
		snprintf(text, len, "internal error %u: %s%s", run->internal.suberror,
			 internal_error_name(run->internal.suberror), bytes);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		snprintf(text, len, "the CPU refused to enter the guest, hardware reason %#llx, on host CPU %u",
			 (unsigned long long)run->fail_entry.hardware_entry_failure_reason,
			 run->fail_entry.cpu);
		break;
	case KVM_EXIT_UNKNOWN:
		snprintf(text, len, "unknown exit, hardware reason %#llx",
			 (unsigned long long)run->hw.hardware_exit_reason);
		break;
	default:
		snprintf(text, len, "unexpected exit, reason %u", run->exit_reason);
		break;
	}
}
