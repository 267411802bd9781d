// SPDX-License-Identifier: GPL-2.0-only
/* How long VMs and vCPUs live: in which order files close, who may use them. */
#include <signal.h>
#include "harness.h"

static volatile u64 ran;

static void guest_ran(void)
{
	ran++;
	guest_done();
}

TEST(vcpu_outlives_vm_fd)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *v = vcpu_create(vm, 0);

	vcpu_long(v, guest_ran, 0);
	close(vm->fd);
	ASSERT_DONE(v);
	EXPECT_EQ(1, ran);
	/* The mapping keeps its memory after the file is gone. */
	close(v->fd);
	EXPECT_EQ(KVM_EXIT_IO, READ_ONCE(v->run->exit_reason));
	munmap(v->run, v->run_size);
}

TEST(mapping_outlives_everything)
{
	struct vm *vm = vm_create(0);
	struct vcpu *v = vcpu_create(vm, 0);

	close(v->fd);
	close(vm->fd);
	v->run->immediate_exit = 1;
	EXPECT_EQ(1, v->run->immediate_exit);
}

TEST(device_closed_first)
{
	struct vm *vm = vm_create(0);
	struct vcpu *v = vcpu_create(vm, 0);

	vcpu_long(v, guest_ran, 0);
	close(dev_fd);
	ASSERT_DONE(v);
}

TEST(id_stays_taken)
{
	struct vm *vm = vm_create(0);
	struct vcpu *v = vcpu_create(vm, 0);

	vcpu_free(v);
	EXPECT_EQ(EEXIST, err_of_ul(vm->fd, KVM_CREATE_VCPU, 0));
}

TEST(many_in_turn)
{
	unsigned int i, n = 12 / test_scale + 4;
	struct vm *vm;
	struct vcpu *v;

	for (i = 0; i < n; i++) {
		vm = vm_create(i & 1 ? VM_IRQCHIP | VM_PIT : 0);
		v = vcpu_create(vm, 0);
		if (i % 3) {
			vcpu_long(v, guest_ran, 0);
			ASSERT_DONE(v);
		}
		if (i & 2)
			vm_free(vm);
		vcpu_free(v);
		if (!(i & 2))
			vm_free(vm);
	}
}

TEST(many_at_once)
{
	struct vcpu *v[16];
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(v); i++) {
		v[i] = vcpu_create(vm_create(0), 0);
		vcpu_long(v[i], guest_ran, 0);
	}
	while (i) {
		struct vcpu *last = v[--i];

		ASSERT_DONE(last);
	}
	EXPECT_EQ(ARRAY_LEN(v), ran);
}

/* A VM belongs to the address space that made it. */
TEST(other_process)
{
	struct vm *vm = vm_create(0);
	struct vcpu *v = vcpu_create(vm, 0);
	int status;
	pid_t pid;

	vcpu_long(v, guest_ran, 0);
	pid = fork();
	if (!pid) {
		struct kvm_regs r;
		int bad = 0;

		bad |= err_of_ul(vm->fd, KVM_CREATE_VCPU, 1) != EIO;
		bad |= (vm_slot(vm, 7, 0, HIGH_GPA, 0, NULL) != EIO) << 1;
		bad |= (err_of(v->fd, KVM_RUN, NULL) != EIO) << 2;
		bad |= (err_of(v->fd, KVM_GET_REGS, &r) != EIO) << 3;
		_exit(bad);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, WEXITSTATUS(status));
	/* And still serves its owner. */
	ASSERT_DONE(v);
}

/* A child that holds the files keeps nothing from working, nor does its death. */
TEST(inherited_files)
{
	struct vm *vm = vm_create(0);
	struct vcpu *v = vcpu_create(vm, 0);
	int pipes[2], status;
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(pipes));
	vcpu_long(v, guest_ran, 0);
	pid = fork();
	if (!pid) {
		close(pipes[1]);
		_exit(read(pipes[0], &c, 1));
	}
	ASSERT_DONE(v);
	vcpu_free(v);
	vm_free(vm);
	close(pipes[1]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

/* Killed in the middle of running. */
TEST(killed_while_running)
{
	int status, pipes[2];
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(pipes));
	pid = fork();
	if (!pid) {
		struct vcpu *v = vcpu_create(vm_create(VM_IRQCHIP), 0);

		vcpu_mode(v, MODE_REAL, 0x9000);
		/* sti or nop; jmp . (see spin_begin()) */
		memcpy(v->vm->low + 0x9000, test_bochs ? "\xfb\xeb\xfe" : "\x90\xeb\xfe", 3);
		if (write(pipes[1], "", 1) == 1)
			vcpu_run(v);
		_exit(1);
	}
	ASSERT_EQ(1, read(pipes[0], &c, 1));
	usleep(30000);
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
}

TEST_MAIN
