// SPDX-License-Identifier: GPL-2.0-only
/*
 * The native side: exceptions come back as signals. The handler takes the
 * registers from the signal frame, as the CPU left them, and sends the thread
 * back to where it came from.
 */
#define _GNU_SOURCE
#include <err.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "native.h"

extern uint64_t native_host_rsp;
extern const char native_resume[];
void native_enter(const struct native_state *in);
void native_enter32(const struct native_state *in);

#define ALT_STACK	(64 * 1024)
#define USER64_CS	0x33	/* Linux's, asm/segment.h */

static struct native_state *result;
static struct native_end *result_end;

/* Where the signal frame keeps the registers, in the order of instructions. */
static const int greg_order[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

__attribute__((no_sanitize("address")))
static void handler(int sig, siginfo_t *info, void *ctx)
{
	ucontext_t *uc = ctx;
	greg_t *g = uc->uc_mcontext.gregs;
	int i;

	(void)sig;
	(void)info;
	for (i = 0; i < 16; i++)
		result->gpr[i] = g[greg_order[i]];
	result->rip = g[REG_RIP];
	result->rflags = g[REG_EFL];
	memcpy(result->xmm, uc->uc_mcontext.fpregs->_xmm, sizeof(result->xmm));
	result_end->vector = g[REG_TRAPNO];
	result_end->error = g[REG_ERR];
	result_end->cr2 = g[REG_CR2];

	g[REG_RIP] = (greg_t)native_resume;
	g[REG_RSP] = native_host_rsp;
	g[REG_EFL] = 0x202;
	g[REG_CSGSFS] = (g[REG_CSGSFS] & ~0xffffLL) | USER64_CS;
}

void native_setup(void)
{
	static const int signals[] = { SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t alt = { .ss_size = ALT_STACK };
	unsigned int i;

	alt.ss_sp = mmap(NULL, ALT_STACK, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (alt.ss_sp == MAP_FAILED || sigaltstack(&alt, NULL))
		err(1, "signal stack");
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (sigaction(signals[i], &sa, NULL))
			err(1, "sigaction");
}

void native_run(bool code32, const struct native_state *in, struct native_state *out,
		struct native_end *end)
{
	result = out;
	result_end = end;
	if (code32)
		native_enter32(in);
	else
		native_enter(in);
	if (end->vector == 3)
		out->rip--;	/* the breakpoint is the end, not a part */
}
