/* SPDX-License-Identifier: GPL-2.0-only */
/* A 16550A at COM1 whose line is the terminal. */
#ifndef KEEL_SERIAL_H
#define KEEL_SERIAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "worker.h"

struct vm;

#define SERIAL_COM1	0x3f8
#define SERIAL_FIFO	16

/**
 * struct serial - the UART
 * @lock: guards everything below it but the worker
 * @worker: takes what is typed
 * @wake_fd: the terminal has input
 * @fifo: received and not yet read
 * @thr_pending: the transmitter became empty and the guest was not told yet
 * @line: level of the interrupt line
 */
struct serial {
	struct vm *vm;
	struct worker worker;
	int wake_fd;
	pthread_mutex_t lock;
	uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
	uint8_t fifo[SERIAL_FIFO];
	unsigned int head;
	unsigned int count;
	bool thr_pending;
	bool line;
};

void serial_init(struct serial *serial, struct vm *vm);
void serial_start(struct serial *serial);
void serial_destroy(struct serial *serial);

#endif
