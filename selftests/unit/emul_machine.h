/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A small machine for the tests of the emulator. Linear addresses are
 * physical ones; see the map below. Devices answer at once, or leave each
 * access to "user space", which is machine_run().
 */
#ifndef EMUL_MACHINE_H
#define EMUL_MACHINE_H

#include "emul_tap.h"
#include "../../module/emul/emul.h"

#define RAM_SIZE	0x10000		/* from 0 */
#define DEVICE_AT	0x10000		/* one page that sees every access */
#define ABSENT_AT	0x11000		/* page fault */
#define READ_ONLY_AT	0x12000		/* page fault on writes */
#define HIGH_RAM_AT	0x13000		/* one more page of RAM */
#define CODE_AT		0x1000

#define MAX_SEEN	2048

/* What a device, or a port, saw. */
struct seen {
	bool write;
	bool port;
	u64 at;
	unsigned int len;
	u64 val;		/* first eight bytes */
};

struct machine {
	u8 ram[RAM_SIZE];
	u8 read_only[4096];
	u8 high_ram[4096];
	struct emul_seg segs[EMUL_NR_SEGS];
	u64 cr[16];
	u64 dr[8];
	u8 xmm[16][16];
	u64 msr_index, msr_val;		/* the last one written */
	u32 sysops;			/* bit for each enum emul_sysop done */
	u64 sysop_arg;

	unsigned int no_page_at;	/* this access finds no page, once; 0: none does */
	bool defer;			/* devices leave accesses to user space */
	unsigned int exits;		/* accesses finished by user space */
	u8 next_read;			/* devices give ascending bytes */
	struct seen seen[MAX_SEEN];
	unsigned int n_seen;
	unsigned int ram_writes;
	unsigned int fetches;
	u64 fetch_end;			/* end of the last fetch */
	void (*between)(struct machine *m);	/* what others do while user space works */

	struct emul_ctxt c;
};

/* Flat segments, CPL 0 (3 in virtual-8086 mode), IF set, rip at CODE_AT, stack at 0x8000. */
void machine_init(struct machine *m, enum emul_mode mode);

/* Put an instruction at CODE_AT; the bytes after it are 0xcc. */
void machine_insn(struct machine *m, const void *bytes, unsigned int n);

/* Run it to its end, as user space would. */
enum emul_result machine_run(struct machine *m);

u64 machine_peek(struct machine *m, u64 at, unsigned int len);
void machine_poke(struct machine *m, u64 at, u64 val, unsigned int len);

#define machine_run_insn(m, str)					\
	(machine_insn(m, str, sizeof(str) - 1), machine_run(m))

#endif /* EMUL_MACHINE_H */
