// SPDX-License-Identifier: GPL-2.0-only
/*
 * The launcher as a person meets it: how it ends, what it does to the terminal,
 * what reaches the guest. The guests are a few instructions each, as ELF files
 * with a PVH entry, so that every case takes a moment.
 *
 * launch [DEVICE], with the launcher's path in KEEL_LAUNCHER. TAP.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define SKIP		4
#define LIMIT_MS	60000
#define LOAD_ADDR	0x100000
#define KERNEL		"launch-kernel.elf"
#define DISK		"launch-disk.img"
#define MAX_ARGS	24

/*
 * The guest. EBX holds PVH's start info; the first character of the command
 * line says what to do. Nothing here depends on where it is loaded.
 */
asm(".pushsection .rodata\n"
    ".code32\n"
    "guest_start:\n"
    "	cmpl $0x336ec578, (%ebx)\n"
    "	jne 2f\n"
    "	mov 24(%ebx), %esi\n"
    "	movb (%esi), %al\n"
    "	cmpb $'p', %al\n"
    "	je power_off\n"
    "	cmpb $'t', %al\n"
    "	je triple\n"
    "	cmpb $'s', %al\n"
    "	je spin\n"
    "	cmpb $'r', %al\n"
    "	je reboot\n"
    "	cmpb $'k', %al\n"
    "	je reboot_kbc\n"
    "	cmpb $'e', %al\n"
    "	je echo\n"
    "	cmpb $'c', %al\n"
    "	je print\n"
    "	cmpb $'x', %al\n"
    "	je nowhere\n"
    "	cmpb $'f', %al\n"
    "	je floating\n"
    "2:	hlt\n"
    "	jmp 2b\n"
    /* ACPI: SLP_TYP 5 and SLP_EN to the PM1a control register. */
    "power_off:\n"
    "	mov $0x604, %dx\n"
    "	mov $0x3400, %ax\n"
    "	out %ax, %dx\n"
    "	jmp 2b\n"
    /* The IDT has no entry at all: #UD, #GP, #DF, shutdown. */
    "triple:\n"
    "	ud2\n"
    /*
     * With IF 0 Bochs would mask the host's interrupts as well, and nothing could stop this. No
     * interrupt comes: PIC and local APIC are as they are after reset.
     */
    "spin:\n"
    "	mov $'S', %al\n"
    "	mov $0x3f8, %dx\n"
    "	out %al, %dx\n"
    "	sti\n"
    "3:	jmp 3b\n"
    "reboot:\n"
    "	mov $'R', %al\n"
    "	mov $0x3f8, %dx\n"
    "	out %al, %dx\n"
    "	mov $0xcf9, %dx\n"
    "	mov $6, %al\n"
    "	out %al, %dx\n"
    "	jmp 2b\n"
    "reboot_kbc:\n"
    "	mov $'K', %al\n"
    "	mov $0x3f8, %dx\n"
    "	out %al, %dx\n"
    "	mov $0xfe, %al\n"
    "	out %al, $0x64\n"
    "	jmp 2b\n"
    /* Receive interrupts on, as any driver has them, but polled. */
    "echo:\n"
    "	mov $0x3f9, %dx\n"
    "	mov $1, %al\n"
    "	out %al, %dx\n"
    "	mov $'E', %al\n"
    "	mov $0x3f8, %dx\n"
    "	out %al, %dx\n"
    "4:	mov $0x3fd, %dx\n"
    "	in %dx, %al\n"
    "	testb $1, %al\n"
    "	jz 4b\n"
    "	mov $0x3f8, %dx\n"
    "	in %dx, %al\n"
    "	out %al, %dx\n"
    "	cmpb $'q', %al\n"
    "	je power_off\n"
    "	jmp 4b\n"
    "print:\n"
    "	mov $0x3f8, %dx\n"
    "5:	lodsb\n"
    "	testb %al, %al\n"
    "	jz power_off\n"
    "	out %al, %dx\n"
    "	jmp 5b\n"
    /* An instruction fetch from where there is no memory. */
    "nowhere:\n"
    "	mov $0xd0000000, %eax\n"
    "	jmp *%eax\n"
    /* Ports and memory with nothing behind them read as all ones. */
    "floating:\n"
    "	mov $0x1234, %dx\n"
    "	in %dx, %al\n"
    "	cmpb $0xff, %al\n"
    "	jne 2b\n"
    "	in %dx, %ax\n"
    "	cmpw $0xffff, %ax\n"
    "	jne 2b\n"
    "	in %dx, %eax\n"
    "	cmpl $-1, %eax\n"
    "	jne 2b\n"
    "	movl 0xd0000000, %eax\n"
    "	cmpl $-1, %eax\n"
    "	jne 2b\n"
    "	movl $0, 0xd0000000\n"
    "	mov $'F', %al\n"
    "	mov $0x3f8, %dx\n"
    "	out %al, %dx\n"
    "	jmp power_off\n"
    "guest_end:\n"
    ".code64\n"
    ".popsection\n");

extern const uint8_t guest_start[], guest_end[];

static const char *launcher, *device;
static int count, failures;

/* A launcher that runs, and what it has said so far. */
struct proc {
	pid_t pid;
	int in;			/* its standard input; or the pty's master */
	int out;
	char text[65536];	/* what came from its standard output */
	size_t len;
	int status;		/* as waitpid() gives it; -1 while it runs */
};

static void result(bool ok, const char *name, const struct proc *p)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++count, name);
	if (ok)
		return;
	failures++;
	printf("# status %#x, output '%s'\n", p->status, p->text);
}

static int exit_code(const struct proc *p)
{
	return p->status != -1 && WIFEXITED(p->status) ? WEXITSTATUS(p->status) : -1;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

static void write_kernel(void)
{
	struct {
		Elf64_Ehdr header;
		Elf64_Phdr load, note;
		struct {
			Elf64_Nhdr head;
			char name[4];
			uint32_t entry;
		} xen;
	} elf = {
		.header = {
			.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			.e_type = ET_EXEC,
			.e_machine = EM_X86_64,
			.e_version = EV_CURRENT,
			.e_phoff = sizeof(Elf64_Ehdr),
			.e_ehsize = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 2,
		},
		.load = {
			.p_type = PT_LOAD,
			.p_offset = sizeof(elf),
			.p_paddr = LOAD_ADDR,
			.p_filesz = guest_end - guest_start,
			.p_memsz = guest_end - guest_start,
		},
		.note = { .p_type = PT_NOTE, .p_filesz = sizeof(elf.xen) },
		.xen = { { 4, 4, 18 }, "Xen", LOAD_ADDR },
	};
	FILE *f = fopen(KERNEL, "w");

	elf.note.p_offset = (char *)&elf.xen - (char *)&elf;
	if (!f || fwrite(&elf, sizeof(elf), 1, f) != 1 ||
	    fwrite(guest_start, guest_end - guest_start, 1, f) != 1 || fclose(f)) {
		printf("Bail out! cannot write " KERNEL "\n");
		exit(1);
	}
}

static void exec_launcher(const char *cmdline, char *const extra[])
{
	const char *argv[MAX_ARGS] = { launcher, "run", "--kernel", KERNEL, "--memory", "64M",
				       "--device", device, "--append", cmdline };
	unsigned int n = 10;

	while (extra && *extra && n < MAX_ARGS - 1)
		argv[n++] = *extra++;
	execv(launcher, (char *const *)argv);
	_exit(127);
}

/* With pipes; standard error goes where standard output goes. */
static void start(struct proc *p, const char *cmdline, char *const extra[])
{
	int in[2], out[2];

	memset(p, 0, sizeof(*p));
	p->status = -1;
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) {
		printf("Bail out! no pipe\n");
		exit(1);
	}
	p->pid = fork();
	if (!p->pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		exec_launcher(cmdline, extra);
	}
	close(in[0]);
	close(out[1]);
	p->in = in[1];
	p->out = out[0];
}

/* On a pty of its own, in a session of its own. */
static void start_pty(struct proc *p, const char *cmdline)
{
	struct winsize ws = { .ws_row = 33, .ws_col = 101 };
	int master = open("/dev/ptmx", O_RDWR | O_CLOEXEC | O_NOCTTY);
	int zero = 0;
	char name[32];
	unsigned int n;

	memset(p, 0, sizeof(*p));
	p->status = -1;
	if (master < 0 || ioctl(master, TIOCSPTLCK, &zero) || ioctl(master, TIOCGPTN, &n)) {
		printf("Bail out! no pty\n");
		exit(1);
	}
	snprintf(name, sizeof(name), "/dev/pts/%u", n);
	ioctl(master, TIOCSWINSZ, &ws);
	p->pid = fork();
	if (!p->pid) {
		int slave;

		setsid();
		slave = open(name, O_RDWR);
		ioctl(slave, TIOCSCTTY, 0);
		dup2(slave, 0);
		dup2(slave, 1);
		dup2(slave, 2);
		exec_launcher(cmdline, NULL);
	}
	p->in = master;
	p->out = master;
}

static bool reap(struct proc *p, int flags)
{
	return p->status != -1 || waitpid(p->pid, &p->status, flags) == p->pid;
}

/* Reads until @word has come (NULL: until the launcher has ended). */
static bool expect(struct proc *p, const char *word)
{
	uint64_t end = now_ms() + LIMIT_MS;

	for (;;) {
		struct pollfd fd = { .fd = p->out, .events = POLLIN };
		ssize_t n = 0;

		if (word && strstr(p->text, word))
			return true;
		if (now_ms() > end)
			return false;
		if (poll(&fd, 1, 50) > 0 && p->len < sizeof(p->text) - 1)
			n = read(p->out, p->text + p->len, sizeof(p->text) - 1 - p->len);
		if (n > 0) {
			p->len += n;
			continue;
		}
		if (reap(p, WNOHANG))
			return !word;
	}
}

static void finish(struct proc *p)
{
	if (p->status == -1) {
		kill(p->pid, SIGKILL);
		reap(p, 0);
	}
	if (p->in != p->out)
		close(p->in);
	close(p->out);
}

static void type(struct proc *p, const char *keys, size_t len)
{
	if (write(p->in, keys, len) != (ssize_t)len)
		printf("# cannot type\n");
}

/* Runs the guest to its end and looks at how it ended. */
static void ends(const char *name, const char *cmdline, char *const extra[], int code,
		 const char *word)
{
	struct proc p;

	start(&p, cmdline, extra);
	result(expect(&p, NULL) && exit_code(&p) == code && (!word || strstr(p.text, word)),
	       name, &p);
	finish(&p);
}

static void test_endings(void)
{
	static char *const many[] = { "--cpus", "64", NULL };
	static char *const too_many[] = { "--cpus", "100000", NULL };
	static char *const too_much[] = { "--memory", "900000G", NULL };

	ends("power-off: status 0", "p", NULL, 0, NULL);
	ends("power-off with 64 CPUs: status 0", "p", many, 0, NULL);
	/* Not their values: AMD leaves them undefined, and KVM resets the CPU there. */
	ends("triple fault: status 3, with the registers", "t", NULL, 3, "rip 0");
	ends("triple fault: it is called so", "t", NULL, 3, "triple fault");
	ends("fetch from nowhere: status 4, with the reason", "x", NULL, 4, "internal error");
	ends("nothing behind a port or an address: all ones", "f", NULL, 0, "F");
	ends("the command line reaches the guest", "command line, as it is", NULL, 0,
	     "command line, as it is");
	ends("more CPUs than the device has: status 1", "p", too_many, 1, "--cpus");
	ends("more memory than the host has: status 1", "p", too_much, 1, "memory");
}

static void test_reboot(const char *name, const char *cmdline, const char *twice)
{
	struct proc p;

	start(&p, cmdline, NULL);
	result(expect(&p, twice), name, &p);
	finish(&p);
}

static void test_signal(int sig)
{
	struct proc p;
	char name[64];

	snprintf(name, sizeof(name), "signal %d: status %d", sig, 128 + sig);
	start(&p, "s", NULL);
	if (expect(&p, "S"))
		kill(p.pid, sig);
	result(expect(&p, NULL) && exit_code(&p) == 128 + sig, name, &p);
	finish(&p);
}

static void test_input(void)
{
	struct proc p;

	start(&p, "e", NULL);
	type(&p, "ab\1xq", 5);
	result(expect(&p, NULL) && exit_code(&p) == 0 && strstr(p.text, "ab\1xq"),
	       "a pipe's bytes reach the guest as they are", &p);
	finish(&p);
}

static void test_disk_in_use(void)
{
	char *const disk[] = { "--disk", DISK, NULL };
	char *const readonly[] = { "--disk", DISK ",readonly", NULL };
	int fd = open(DISK, O_RDWR | O_CREAT | O_TRUNC, 0600);
	struct proc p;

	if (fd < 0 || ftruncate(fd, 1 << 20))
		printf("# cannot make " DISK "\n");
	close(fd);
	start(&p, "s", disk);
	expect(&p, "S");
	ends("a disk in use: status 1", "p", disk, 1, DISK ": already in use");
	ends("a disk in use, read-only: status 1", "p", readonly, 1, DISK ": already in use");
	finish(&p);
	ends("a disk whose user was killed is free", "p", disk, 0, NULL);
	unlink(DISK);
}

static bool is_raw(struct proc *p)
{
	struct termios t;

	return !tcgetattr(p->in, &t) && !(t.c_lflag & (ICANON | ECHO | ISIG)) &&
	       !(t.c_oflag & OPOST);
}

/* The pty keeps its modes while its master is open. */
static void ends_on_pty(const char *name, struct proc *p, bool ok)
{
	result(ok && !is_raw(p), name, p);
	finish(p);
}

static void test_terminal(void)
{
	struct proc p;

	start_pty(&p, "e");
	result(expect(&p, "E") && is_raw(&p), "the terminal is raw while the guest runs", &p);
	result(strstr(p.text, "Ctrl-A x") != NULL, "the escape key is named at the start", &p);
	type(&p, "a\1\1b\3c", 6);
	result(expect(&p, "a\1b\3c"), "keys reach the guest, Ctrl-C too, Ctrl-A by two", &p);
	type(&p, "\1x", 2);
	ends_on_pty("Ctrl-A x: status 0, and the terminal is as it was", &p,
		    expect(&p, NULL) && exit_code(&p) == 0);

	start_pty(&p, "p");
	ends_on_pty("power-off restores the terminal", &p,
		    expect(&p, NULL) && exit_code(&p) == 0);

	start_pty(&p, "t");
	ends_on_pty("a triple fault restores the terminal", &p,
		    expect(&p, NULL) && exit_code(&p) == 3);

	start_pty(&p, "s");
	if (expect(&p, "S"))
		kill(p.pid, SIGTERM);
	ends_on_pty("SIGTERM restores the terminal", &p,
		    expect(&p, NULL) && exit_code(&p) == 128 + SIGTERM);

	start_pty(&p, "s");
	if (expect(&p, "S"))
		kill(p.pid, SIGSEGV);
	ends_on_pty("a fatal signal restores the terminal", &p,
		    expect(&p, NULL) && WIFSIGNALED(p.status) && WTERMSIG(p.status) == SIGSEGV);
}

static void test_lost_terminal(void)
{
	uint64_t end = now_ms() + LIMIT_MS;
	struct proc p;

	start_pty(&p, "s");
	expect(&p, "S");
	close(p.in);
	while (!reap(&p, WNOHANG) && now_ms() < end)
		usleep(10000);
	result(exit_code(&p) == 128 + SIGHUP, "a lost terminal: status 129", &p);
	if (p.status == -1) {
		kill(p.pid, SIGKILL);
		reap(&p, 0);
	}
}

int main(int argc, char **argv)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };

	setbuf(stdout, NULL);
	signal(SIGPIPE, SIG_IGN);
	device = argc > 1 ? argv[1] : getenv("KEEL_DEVICE");
	if (!device)
		device = "/dev/keel";
	launcher = getenv("KEEL_LAUNCHER");
	if (!launcher)
		launcher = "/keel/bin";
	if (access(launcher, X_OK) || access(device, R_OK | W_OK) ||
	    chdir(getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp")) {
		printf("1..0 # SKIP needs %s and %s\n", launcher, device);
		return SKIP;
	}
	write_kernel();
	test_endings();
	test_reboot("reset by the chipset's port boots again", "r", "RR");
	test_reboot("reset by the keyboard controller boots again", "k", "KK");
	for (unsigned int i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		test_signal(signals[i]);
	test_input();
	test_disk_in_use();
	test_terminal();
	test_lost_terminal();
	unlink(KERNEL);
	printf("1..%d\n", count);
	return failures ? 1 : 0;
}
