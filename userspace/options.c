// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "util.h"

#define DEFAULT_DEVICE	"/dev/keel"
#define DEFAULT_MEMORY	(512 * MIB)
#define TRY_HELP	"; try 'keel --help'"

enum {
	OPT_KERNEL = 256,
	OPT_INITRD,
	OPT_APPEND,
	OPT_CPUS,
	OPT_MEMORY,
	OPT_DISK,
	OPT_NET,
	OPT_DEVICE,
};

static const struct option long_options[] = {
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "initrd", required_argument, NULL, OPT_INITRD },
	{ "append", required_argument, NULL, OPT_APPEND },
	{ "cpus", required_argument, NULL, OPT_CPUS },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "disk", required_argument, NULL, OPT_DISK },
	{ "net", required_argument, NULL, OPT_NET },
	{ "device", required_argument, NULL, OPT_DEVICE },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static const char help_text[] =
"Usage: keel run --kernel FILE [OPTION]...\n"
"Boot a Linux kernel in a virtual machine, with its console on this terminal.\n"
"\n"
"      --kernel FILE           the kernel: a bzImage, or an ELF vmlinux with a\n"
"                              PVH entry\n"
"      --initrd FILE           initial RAM file system\n"
"      --append STRING         the kernel's command line; the default is\n"
"                              'console=ttyS0', and with a disk also\n"
"                              'root=/dev/vda rw' ('ro' if it is read-only)\n"
"      --cpus N                number of CPUs, 1 by default\n"
"      --memory SIZE           RAM in MiB, or with a suffix K, M, G or T;\n"
"                              512M by default\n"
"      --disk FILE[,readonly]  a raw disk image or a block device; may be given\n"
"                              several times, for /dev/vda, /dev/vdb and so on\n"
"      --net tap=INTERFACE     a network card on this tap interface\n"
"      --net none              no network card; this is the default\n"
"      --device FILE           the hypervisor's device, /dev/keel by default;\n"
"                              /dev/kvm works as well\n"
"      --help                  print this text and leave\n"
"      --version               print the version and leave\n"
"\n"
"On a terminal, Ctrl-A x quits and Ctrl-A Ctrl-A sends one Ctrl-A.\n"
"\n"
"Exit status: 0 if the guest powered off or Ctrl-A x was pressed, 1 if something\n"
"is wrong with the command or the host, 3 if the guest ended in a triple fault,\n"
"4 if the device gave the guest up, 128 plus the number if a signal came.\n";

static void __attribute__((noreturn)) print_and_exit(const char *text)
{
	fputs(text, stdout);
	if (fflush(stdout) || ferror(stdout))
		fail("standard output: %s", strerror(errno));
	exit(STATUS_OK);
}

/* Digits only: strtoull() alone takes signs, blanks and nothing at all. */
static uint64_t parse_number(const char *option, const char *text, char **end)
{
	uint64_t value;

	if (!isdigit((unsigned char)*text))
		fail("%s: '%s' is not a number", option, text);
	errno = 0;
	value = strtoull(text, end, 10);
	if (errno)
		fail("%s: '%s' is too large", option, text);
	return value;
}

static unsigned int parse_cpus(const char *text)
{
	char *end;
	uint64_t value = parse_number("--cpus", text, &end);

	if (*end)
		fail("--cpus: '%s' is not a number", text);
	if (!value)
		fail("--cpus: a guest needs at least 1 CPU");
	/* What the device allows is checked when it is open. */
	return value > UINT32_MAX ? UINT32_MAX : value;
}

static uint64_t parse_memory(const char *text)
{
	static const char suffixes[] = "KMGT";
	uint64_t unit = MIB;
	uint64_t value;
	char *end;

	value = parse_number("--memory", text, &end);
	if (*end) {
		const char *suffix = strchr(suffixes, toupper((unsigned char)*end));

		if (!suffix || end[1])
			fail("--memory: '%s' is not a size (a number and K, M, G or T)", text);
		unit = KIB << (10 * (suffix - suffixes));
	}
	if (value > UINT64_MAX / unit)
		fail("--memory: '%s' is too large", text);
	value *= unit;
	if (value < MEM_MIN_SIZE)
		fail("--memory: '%s' is less than the smallest guest, %llu MiB", text,
		     MEM_MIN_SIZE / MIB);
	if (value % PAGE_SIZE)
		fail("--memory: '%s' is not a multiple of %llu bytes", text, PAGE_SIZE);
	return value;
}

static void parse_disk(struct options *opt, char *text)
{
	static const char readonly[] = ",readonly";
	size_t len = strlen(text);
	size_t tail = sizeof(readonly) - 1;
	bool is_readonly = len >= tail && !strcmp(text + len - tail, readonly);

	if (opt->nr_disks == VM_MAX_DISKS)
		fail("--disk: at most %d disks", VM_MAX_DISKS);
	if (is_readonly)
		text[len - tail] = '\0';
	if (!*text)
		fail("--disk: needs the name of a file");
	opt->disk[opt->nr_disks].path = text;
	opt->disk[opt->nr_disks++].readonly = is_readonly;
}

static const char *parse_net(const char *text)
{
	if (!strcmp(text, "none"))
		return NULL;
	if (strncmp(text, "tap=", 4) || !text[4])
		fail("--net: '%s' is neither 'tap=INTERFACE' nor 'none'", text);
	return text + 4;
}

static void __attribute__((noreturn)) fail_option(int problem, char **argv)
{
	/* getopt_long() leaves optind behind a long option and at a cluster of short ones. */
	if (problem == ':')
		fail("option '%s' needs an argument" TRY_HELP, argv[optind - 1]);
	if (optopt > ' ' && optopt < 0x7f && optopt != 'h' && optopt != 'V')
		fail("unknown option '-%c'" TRY_HELP, optopt);
	fail("unknown option '%s'" TRY_HELP, argv[optind - 1]);
}

static void parse_option(struct options *opt, int c, char **argv)
{
	switch (c) {
	case OPT_KERNEL:
		opt->kernel = optarg;
		break;
	case OPT_INITRD:
		opt->initrd = optarg;
		break;
	case OPT_APPEND:
		opt->append = optarg;
		break;
	case OPT_CPUS:
		opt->cpus = parse_cpus(optarg);
		break;
	case OPT_MEMORY:
		opt->memory = parse_memory(optarg);
		break;
	case OPT_DISK:
		parse_disk(opt, optarg);
		break;
	case OPT_NET:
		opt->tap = parse_net(optarg);
		break;
	case OPT_DEVICE:
		opt->device = optarg;
		break;
	case 'h':
		print_and_exit(help_text);
	case 'V':
		print_and_exit("keel " KEEL_VERSION "\n");
	default:
		fail_option(c, argv);
	}
}

void options_parse(struct options *opt, int argc, char **argv)
{
	int c;

	*opt = (struct options) {
		.device = DEFAULT_DEVICE,
		.memory = DEFAULT_MEMORY,
		.cpus = 1,
	};
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", long_options, NULL)) != -1)
		parse_option(opt, c, argv);
	if (optind == argc)
		fail("no command" TRY_HELP);
	if (strcmp(argv[optind], "run"))
		fail("unknown command '%s'" TRY_HELP, argv[optind]);
	if (optind + 1 < argc)
		fail("extra argument '%s'" TRY_HELP, argv[optind + 1]);
	if (!opt->kernel)
		fail("--kernel is missing" TRY_HELP);
}
