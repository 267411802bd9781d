// SPDX-License-Identifier: GPL-2.0-only
/* keel: boots a Linux guest on /dev/keel, or any device with KVM's interface. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "options.h"
#include "terminal.h"
#include "util.h"
#include "vm.h"

#define QUIT	-1	/* the person asked for it */

/*
 * Blocked in every thread, and read here from a descriptor: whatever a signal
 * asks for is then done in order, by a thread that is in the middle of nothing.
 */
static int open_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGWINCH);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		fail("cannot wait for signals: %s", strerror(errno));
	signal(SIGPIPE, SIG_IGN);
	vcpu_setup_signals();
	return fd;
}

/*
 * The guest's own address on its network: always the same for one interface,
 * so that a DHCP server knows it again, and local by its second bit.
 */
static void derive_mac(uint8_t mac[6], const char *name)
{
	uint64_t hash = 0xcbf29ce484222325;	/* FNV-1a */

	while (*name)
		hash = (hash ^ (uint8_t)*name++) * 0x100000001b3;
	memcpy(mac, &hash, 6);
	mac[0] = 0x02;
}

static const char *default_cmdline(const struct options *opt)
{
	if (!opt->nr_disks)
		return "console=ttyS0";
	return opt->disk[0].readonly ? "console=ttyS0 root=/dev/vda ro" :
				       "console=ttyS0 root=/dev/vda rw";
}

/* Files before the device: what is wrong with them needs no device to be told. */
static void open_all(struct vm_config *config, const struct options *opt)
{
	memset(config, 0, sizeof(*config));
	file_map_open(&config->kernel, opt->kernel);
	boot_check(&config->kernel);
	if (opt->initrd)
		file_map_open(&config->initrd, opt->initrd);
	config->disks = xcalloc(opt->nr_disks + 1, sizeof(*config->disks));
	config->nr_disks = opt->nr_disks;
	for (unsigned int i = 0; i < opt->nr_disks; i++)
		disk_open(&config->disks[i], opt->disk[i].path, opt->disk[i].readonly);

	config->device = opt->device;
	config->device_fd = vm_open_device(opt->device);
	config->nr_vcpus = opt->cpus;
	if (opt->cpus > vm_max_vcpus(config->device_fd))
		fail("--cpus: %u is more than the %u that %s allows", opt->cpus,
		     vm_max_vcpus(config->device_fd), opt->device);
	config->memory = opt->memory;
	config->cmdline = opt->append ? opt->append : default_cmdline(opt);
	config->tap_fd = -1;
	if (opt->tap) {
		config->tap_fd = tap_open(opt->tap);
		derive_mac(config->mac, opt->tap);
	}
}

static void close_all(struct vm_config *config)
{
	for (unsigned int i = 0; i < config->nr_disks; i++)
		close(config->disks[i].fd);
	free(config->disks);
	if (config->tap_fd >= 0)
		close(config->tap_fd);
	close(config->device_fd);
	file_map_close(&config->initrd);
	file_map_close(&config->kernel);
}

/* The signal that ends the launcher, if one came; 0 if there is none. */
static int take_signal(int fd)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo != SIGWINCH)
			return info.ssi_signo;
		terminal_resized();
	}
	return 0;
}

static int take_terminal_event(void)
{
	switch (terminal_take_event()) {
	case TERMINAL_QUIT:
		return QUIT;
	case TERMINAL_LOST:
		return SIGHUP;
	default:
		return 0;
	}
}

/* Returns 0 when the guest has stopped by itself; else QUIT or a signal's number. */
static int wait_for_end(struct vm *vm, int signal_fd)
{
	struct pollfd p[] = {
		{ .fd = vm->stop_fd, .events = POLLIN },
		{ .fd = signal_fd, .events = POLLIN },
		{ .fd = terminal_event_fd(), .events = POLLIN },
	};

	for (;;) {
		int end = 0;

		if (poll(p, ARRAY_SIZE(p), -1) < 0) {
			if (errno == EINTR)
				continue;
			fail("cannot wait for the guest: %s", strerror(errno));
		}
		if (p[1].revents)
			end = take_signal(signal_fd);
		if (!end && p[2].revents)
			end = take_terminal_event();
		if (end)
			return end;
		if (p[0].revents)
			return 0;
	}
}

static int status_of_end(int end)
{
	return end == QUIT ? STATUS_OK : STATUS_SIGNAL + end;
}

static int status_of_stop(enum vm_stop why)
{
	switch (why) {
	case VM_TRIPLE_FAULT:
		return STATUS_TRIPLE_FAULT;
	case VM_GUEST_ERROR:
		return STATUS_GUEST_ERROR;
	default:
		return STATUS_OK;
	}
}

/* Runs the guest until it stays off; a reboot is power-off and power-on. */
static int run(const struct vm_config *config, int signal_fd, char *report, size_t len)
{
	for (;;) {
		struct vm *vm = vm_power_on(config);
		int end = wait_for_end(vm, signal_fd);
		enum vm_stop why = vm->stop;
		bool flushed;

		if (end)
			terminal_close();
		else
			snprintf(report, len, "%s", vm->report);
		flushed = vm_power_off(vm);
		if (!end && why == VM_RESET)
			continue;
		if (!end)
			terminal_close();
		if (!flushed)
			return STATUS_ERROR;
		return end ? status_of_end(end) : status_of_stop(why);
	}
}

int main(int argc, char **argv)
{
	char report[sizeof(((struct vm *)NULL)->report)] = "";
	struct vm_config config;
	struct options opt;
	int signal_fd, status;

	options_parse(&opt, argc, argv);
	open_all(&config, &opt);
	signal_fd = open_signals();
	terminal_open();
	status = run(&config, signal_fd, report, sizeof(report));
	close_all(&config);
	fputs(report, stderr);
	return status;
}
