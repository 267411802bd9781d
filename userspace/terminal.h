/* SPDX-License-Identifier: GPL-2.0-only */
/* The person's terminal: raw mode, the escape key, and who gets what is typed. */
#ifndef KEEL_TERMINAL_H
#define KEEL_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * enum console_port - the guest's consoles, which share the one terminal
 * @CONSOLE_SERIAL: the 16550, ttyS0
 * @CONSOLE_VIRTIO: the virtio console, hvc0
 *
 * What either writes is shown. What is typed goes to the virtio console from
 * the moment the guest has written to it, and to the serial line before: a
 * guest writes to the console on which it wants its answer.
 */
enum console_port {
	CONSOLE_SERIAL,
	CONSOLE_VIRTIO,
	CONSOLE_PORTS,
};

/** enum terminal_event - why terminal_event_fd() is readable */
enum terminal_event {
	TERMINAL_NOTHING,
	TERMINAL_QUIT,
	TERMINAL_LOST,
};

/** terminal_open() - make the terminal raw, if it is one, and start reading it */
void terminal_open(void);
/** terminal_close() - stop reading, and give the terminal back as it was */
void terminal_close(void);
bool terminal_is_raw(void);
/** terminal_restore() - undo raw mode; safe in a signal handler, and twice */
void terminal_restore(void);

/** terminal_event_fd() - readable when the person quits or the terminal is lost */
int terminal_event_fd(void);
enum terminal_event terminal_take_event(void);

/** terminal_attach() - signal @wake_fd when @port has input to take or a new size */
void terminal_attach(enum console_port port, int wake_fd);
void terminal_detach(enum console_port port);
/** terminal_take() - move up to @max typed bytes to @port, if it is its turn */
size_t terminal_take(enum console_port port, uint8_t *buf, size_t max);
void terminal_write(enum console_port port, const void *buf, size_t len);

void terminal_size(uint16_t *cols, uint16_t *rows);
/** terminal_resized() - tell the guest that the window has a new size */
void terminal_resized(void);

#endif
