/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracepoints: /sys/kernel/tracing/events/keel/.  keel(4) describes them. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM keel

#if !defined(KEEL_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define KEEL_TRACE_H

#include <linux/tracepoint.h>

#include "exit.h"

TRACE_EVENT(keel_entry,
	TP_PROTO(unsigned int vcpu_id, unsigned long rip),
	TP_ARGS(vcpu_id, rip),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(unsigned long, rip)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->rip = rip;
	),
	TP_printk("vcpu %u rip 0x%lx", __entry->vcpu_id, __entry->rip)
);

#define keel_exit_names						\
	{ KEEL_EXIT_UNKNOWN, "unknown" },			\
	{ KEEL_EXIT_HOST_EVENT, "host-event" },			\
	{ KEEL_EXIT_EXCEPTION, "exception" },			\
	{ KEEL_EXIT_CPUID, "cpuid" },				\
	{ KEEL_EXIT_HLT, "hlt" },				\
	{ KEEL_EXIT_IO, "io" },					\
	{ KEEL_EXIT_MSR, "msr" },				\
	{ KEEL_EXIT_CR, "cr" },					\
	{ KEEL_EXIT_DR, "dr" },					\
	{ KEEL_EXIT_TDP_FAULT, "tdp-fault" },			\
	{ KEEL_EXIT_HYPERCALL, "hypercall" },			\
	{ KEEL_EXIT_RDPMC, "rdpmc" },				\
	{ KEEL_EXIT_PAUSE, "pause" },				\
	{ KEEL_EXIT_MONITOR, "monitor" },			\
	{ KEEL_EXIT_MWAIT, "mwait" },				\
	{ KEEL_EXIT_INVD, "invd" },				\
	{ KEEL_EXIT_FORBIDDEN, "forbidden" },			\
	{ KEEL_EXIT_XSETBV, "xsetbv" },				\
	{ KEEL_EXIT_IRQ_WINDOW, "irq-window" },			\
	{ KEEL_EXIT_NMI_WINDOW, "nmi-window" },			\
	{ KEEL_EXIT_TIMER, "timer" },				\
	{ KEEL_EXIT_EOI, "eoi" },				\
	{ KEEL_EXIT_APIC_WRITE, "apic-write" },			\
	{ KEEL_EXIT_TPR, "tpr" },				\
	{ KEEL_EXIT_TASK_SWITCH, "task-switch" },		\
	{ KEEL_EXIT_SHUTDOWN, "shutdown" },			\
	{ KEEL_EXIT_FAIL_ENTRY, "fail-entry" }

TRACE_EVENT(keel_exit,
	TP_PROTO(unsigned int vcpu_id, unsigned long rip, const struct keel_exit *exit),
	TP_ARGS(vcpu_id, rip, exit),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(unsigned long, rip)
		__field(u16, reason)
		__field(u64, hw_reason)
		__field(u64, info1)
		__field(u64, info2)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->rip = rip;
		__entry->reason = exit->reason;
		__entry->hw_reason = exit->hw_reason;
		__entry->info1 = exit->hw_info[0];
		__entry->info2 = exit->hw_info[1];
	),
	TP_printk("vcpu %u reason %s rip 0x%lx hw 0x%llx info 0x%llx 0x%llx", __entry->vcpu_id,
		  __print_symbolic(__entry->reason, keel_exit_names), __entry->rip,
		  __entry->hw_reason, __entry->info1, __entry->info2)
);

TRACE_EVENT(keel_inject,
	TP_PROTO(unsigned int vcpu_id, const struct keel_event *ev, bool again),
	TP_ARGS(vcpu_id, ev, again),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(u8, type)
		__field(u8, vector)
		__field(u32, error)
		__field(bool, has_error)
		__field(bool, again)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->type = ev->type;
		__entry->vector = ev->vector;
		__entry->error = ev->error;
		__entry->has_error = ev->has_error;
		__entry->again = again;
	),
	TP_printk("vcpu %u %s vector %u%s error 0x%x%s", __entry->vcpu_id,
		  __print_symbolic(__entry->type,
				   { KEEL_EVENT_IRQ, "irq" }, { KEEL_EVENT_NMI, "nmi" },
				   { KEEL_EVENT_EXCEPTION, "exception" },
				   { KEEL_EVENT_SOFT_INT, "soft-int" },
				   { KEEL_EVENT_SOFT_EXC, "soft-exc" },
				   { KEEL_EVENT_PRIV_EXC, "int1" }),
		  __entry->vector, __entry->has_error ? "" : " no", __entry->error,
		  __entry->again ? " (again)" : "")
);

TRACE_EVENT(keel_fault,
	TP_PROTO(unsigned int vcpu_id, u64 gpa, u32 access, int result),
	TP_ARGS(vcpu_id, gpa, access, result),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(u64, gpa)
		__field(u32, access)
		__field(int, result)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->gpa = gpa;
		__entry->access = access;
		__entry->result = result;
	),
	TP_printk("vcpu %u gpa 0x%llx access 0x%x result %d", __entry->vcpu_id, __entry->gpa,
		  __entry->access, __entry->result)
);

DECLARE_EVENT_CLASS(keel_access,
	TP_PROTO(bool write, u64 addr, u32 size, u64 data),
	TP_ARGS(write, addr, size, data),
	TP_STRUCT__entry(
		__field(bool, write)
		__field(u64, addr)
		__field(u32, size)
		__field(u64, data)
	),
	TP_fast_assign(
		__entry->write = write;
		__entry->addr = addr;
		__entry->size = size;
		__entry->data = data;
	),
	TP_printk("%s 0x%llx size %u data 0x%llx", __entry->write ? "write" : "read",
		  __entry->addr, __entry->size, __entry->data)
);

DEFINE_EVENT(keel_access, keel_mmio,
	TP_PROTO(bool write, u64 addr, u32 size, u64 data),
	TP_ARGS(write, addr, size, data)
);

DEFINE_EVENT(keel_access, keel_pio,
	TP_PROTO(bool write, u64 addr, u32 size, u64 data),
	TP_ARGS(write, addr, size, data)
);

DEFINE_EVENT(keel_access, keel_msr,
	TP_PROTO(bool write, u64 addr, u32 size, u64 data),
	TP_ARGS(write, addr, size, data)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
