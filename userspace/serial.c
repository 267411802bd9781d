// SPDX-License-Identifier: GPL-2.0-only
#include <linux/serial_reg.h>
#include <unistd.h>

#include "serial.h"
#include "terminal.h"
#include "vm.h"

#define SERIAL_PORTS	8

/* The highest pending interrupt, in the order that the 16550's data sheet gives. */
static uint8_t pending_interrupt(const struct serial *s)
{
	if ((s->ier & UART_IER_RDI) && s->count)
		return UART_IIR_RDI;
	if ((s->ier & UART_IER_THRI) && s->thr_pending)
		return UART_IIR_THRI;
	return UART_IIR_NO_INT;
}

static void update_line(struct serial *s)
{
	bool level = pending_interrupt(s) != UART_IIR_NO_INT;

	/* The ISA line is edge-triggered: only a change is news to the irqchip. */
	if (level == s->line)
		return;
	s->line = level;
	irq_set_line(&s->vm->irq, IRQ_COM1, level);
}

/*
 * Bytes wait in the terminal until the guest has opened the port (a driver
 * clears the FIFO as it does so), and until the FIFO has been read empty.
 */
static void fill_fifo(struct serial *s)
{
	if (!(s->ier & UART_IER_RDI) || s->count)
		return;
	s->head = 0;
	s->count = terminal_take(CONSOLE_SERIAL, s->fifo, SERIAL_FIFO);
}

static uint8_t receive(struct serial *s)
{
	uint8_t c;

	if (!s->count)
		return 0;
	c = s->fifo[s->head++];
	s->count--;
	fill_fifo(s);
	return c;
}

static void transmit(struct serial *s, uint8_t c)
{
	if (s->mcr & UART_MCR_LOOP) {
		/* A driver's self-test reads its own byte back. */
		if (!s->count)
			s->head = 0;
		if (s->head + s->count < SERIAL_FIFO)
			s->fifo[s->head + s->count++] = c;
	} else {
		terminal_write(CONSOLE_SERIAL, &c, 1);
	}
	s->thr_pending = true;
}

static uint8_t read_iir(struct serial *s)
{
	uint8_t iir = pending_interrupt(s);

	/* Reading IIR is what acknowledges an empty transmitter. */
	if (iir == UART_IIR_THRI)
		s->thr_pending = false;
	return iir | (s->fcr & UART_FCR_ENABLE_FIFO ? 0xc0 : 0);
}

static uint8_t read_msr(const struct serial *s)
{
	uint8_t mcr = s->mcr;

	if (!(mcr & UART_MCR_LOOP))
		return UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
	/* In loopback the outputs come back as the inputs. */
	return (mcr & UART_MCR_RTS ? UART_MSR_CTS : 0) | (mcr & UART_MCR_DTR ? UART_MSR_DSR : 0) |
	       (mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0) | (mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0);
}

static uint8_t read_register(struct serial *s, unsigned int reg)
{
	bool dlab = s->lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_RX:
		return dlab ? s->dll : receive(s);
	case UART_IER:
		return dlab ? s->dlm : s->ier;
	case UART_IIR:
		return read_iir(s);
	case UART_LCR:
		return s->lcr;
	case UART_MCR:
		return s->mcr;
	case UART_LSR:
		return UART_LSR_TEMT | UART_LSR_THRE | (s->count ? UART_LSR_DR : 0);
	case UART_MSR:
		return read_msr(s);
	default:
		return s->scr;
	}
}

static void write_ier(struct serial *s, uint8_t value)
{
	/* Enabling the interrupt while the transmitter is empty raises it. */
	if ((value & UART_IER_THRI) && !(s->ier & UART_IER_THRI))
		s->thr_pending = true;
	s->ier = value & 0x0f;
	fill_fifo(s);
}

static void write_register(struct serial *s, unsigned int reg, uint8_t value)
{
	bool dlab = s->lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_TX:
		if (dlab)
			s->dll = value;
		else
			transmit(s, value);
		break;
	case UART_IER:
		if (dlab)
			s->dlm = value;
		else
			write_ier(s, value);
		break;
	case UART_FCR:
		s->fcr = value & ~(UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT);
		if (value & UART_FCR_CLEAR_RCVR)
			s->count = 0;
		break;
	case UART_LCR:
		s->lcr = value;
		break;
	case UART_MCR:
		s->mcr = value & 0x1f;
		break;
	case UART_SCR:
		s->scr = value;
		break;
	default:
		break;
	}
}

static uint64_t serial_read(void *ctx, uint64_t offset, unsigned int size)
{
	struct serial *s = ctx;
	uint8_t value;

	if (size != 1)
		return bus_mask(size);
	pthread_mutex_lock(&s->lock);
	value = read_register(s, offset);
	update_line(s);
	pthread_mutex_unlock(&s->lock);
	return value;
}

static void serial_write(void *ctx, uint64_t offset, unsigned int size, uint64_t value)
{
	struct serial *s = ctx;

	if (size != 1)
		return;
	pthread_mutex_lock(&s->lock);
	write_register(s, offset, value);
	update_line(s);
	pthread_mutex_unlock(&s->lock);
}

static const struct bus_ops serial_ops = { serial_read, serial_write };

static void serial_input(void *ctx, int fd)
{
	struct serial *s = ctx;

	event_clear(fd);
	pthread_mutex_lock(&s->lock);
	fill_fifo(s);
	update_line(s);
	pthread_mutex_unlock(&s->lock);
}

void serial_init(struct serial *s, struct vm *vm)
{
	*s = (struct serial) { .vm = vm };
	pthread_mutex_init(&s->lock, NULL);
	s->wake_fd = xeventfd();
	worker_init(&s->worker);
	worker_add(&s->worker, s->wake_fd, serial_input, s);
	bus_add(&vm->pio, SERIAL_COM1, SERIAL_PORTS, &serial_ops, s);
}

void serial_start(struct serial *s)
{
	worker_start(&s->worker);
	terminal_attach(CONSOLE_SERIAL, s->wake_fd);
}

void serial_destroy(struct serial *s)
{
	terminal_detach(CONSOLE_SERIAL);
	worker_stop(&s->worker);
	close(s->wake_fd);
	pthread_mutex_destroy(&s->lock);
}
