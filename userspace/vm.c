// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acpi.h"
#include "util.h"
#include "vm.h"

#define GROUP_FILE	"/etc/group"

static const struct {
	int cap;
	const char *name;
} needed_caps[] = {
	{ KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP" },
	{ KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
	{ KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" },
	{ KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR" },
	{ KVM_CAP_PIT2, "KVM_CAP_PIT2" },
	{ KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING" },
	{ KVM_CAP_IRQFD, "KVM_CAP_IRQFD" },
	{ KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD" },
	{ KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
};

/* The name of a group, by number; getgrgid() is not for static programs. */
static void group_name(gid_t gid, char *name, size_t len)
{
	FILE *file = fopen(GROUP_FILE, "re");
	char line[256];

	snprintf(name, len, "%u", (unsigned int)gid);
	while (file && fgets(line, sizeof(line), file)) {
		char *id = strchr(line, ':');

		if (!id)
			continue;
		*id++ = '\0';
		id = strchr(id, ':');
		if (id && strtoul(id + 1, NULL, 10) == gid) {
			snprintf(name, len, "%.*s", (int)len - 1, line);
			break;
		}
	}
	if (file)
		fclose(file);
}

static void __attribute__((noreturn)) fail_open(const char *path, int error)
{
	struct stat st;
	char group[64];

	if (error == EACCES && !stat(path, &st)) {
		group_name(st.st_gid, group, sizeof(group));
		fail("%s: no permission; its group is '%s', and you are not in it (try 'adduser USER %s')",
		     path, group, group);
	}
	if (error == ENOENT)
		fail("%s: no such device (is its module loaded?)", path);
	fail("%s: %s", path, strerror(error));
}

int vm_open_device(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int version;

	if (fd < 0)
		fail_open(path, errno);
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version < 0)
		fail("%s: not a hypervisor device", path);
	if (version != KVM_API_VERSION)
		fail("%s: speaks version %d of the interface, not %d", path, version,
		     KVM_API_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(needed_caps); i++)
		if (ioctl(fd, KVM_CHECK_EXTENSION, needed_caps[i].cap) <= 0)
			fail("%s: lacks %s", path, needed_caps[i].name);
	return fd;
}

unsigned int vm_max_vcpus(int device_fd)
{
	int max = ioctl(device_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);

	if (max <= 0)
		max = ioctl(device_fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_VCPUS);
	if (max <= 0)
		max = 4;	/* what api.rst says for a device that says nothing */
	return max < VM_MAX_VCPUS ? max : VM_MAX_VCPUS;
}

static void vm_ioctl(struct vm *vm, unsigned long request, void *arg, const char *name)
{
	if (ioctl(vm->fd, request, arg) < 0)
		fail("%s: %s: %s", vm->config->device, name, strerror(errno));
}

static void create_fd(struct vm *vm)
{
	vm->fd = ioctl(vm->config->device_fd, KVM_CREATE_VM, 0);
	if (vm->fd >= 0)
		return;
	if (errno == EBUSY)
		fail("%s: cannot make a VM: another hypervisor uses this machine's CPUs",
		     vm->config->device);
	fail("%s: cannot make a VM: %s", vm->config->device, strerror(errno));
}

static void create_chips(struct vm *vm)
{
	uint64_t identity_map = MEM_IDENTITY_MAP_ADDR;
	struct kvm_pit_config pit = { 0 };

	vm_ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity_map, "KVM_SET_IDENTITY_MAP_ADDR");
	vm_ioctl(vm, KVM_SET_TSS_ADDR, (void *)MEM_TSS_ADDR, "KVM_SET_TSS_ADDR");
	vm_ioctl(vm, KVM_CREATE_IRQCHIP, NULL, "KVM_CREATE_IRQCHIP");
	vm_ioctl(vm, KVM_CREATE_PIT2, &pit, "KVM_CREATE_PIT2");
	irq_init(&vm->irq, vm->fd);
}

static void create_memory(struct vm *vm)
{
	mem_alloc(&vm->mem, vm->config->memory);
	for (unsigned int i = 0; i < vm->mem.nr; i++) {
		struct kvm_userspace_memory_region region = {
			.slot = i,
			.guest_phys_addr = vm->mem.region[i].gpa,
			.memory_size = vm->mem.region[i].size,
			.userspace_addr = (uintptr_t)vm->mem.region[i].host,
		};

		vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");
	}
}

static void create_devices(struct vm *vm)
{
	const struct vm_config *config = vm->config;

	bus_init(&vm->pio);
	bus_init(&vm->mmio);
	/* Before the PCI bus: its address port overlaps the reset port. */
	pm_init(&vm->pm, vm);
	pci_init(&vm->pci, &vm->pio, &vm->mmio);
	serial_init(&vm->serial, vm);
	for (unsigned int i = 0; i < config->nr_disks; i++)
		virtio_blk_create(vm, &config->disks[i]);
	if (config->tap_fd >= 0)
		virtio_net_create(vm, config->tap_fd, config->mac);
	virtio_console_create(vm);
	virtio_rng_create(vm);
}

static void load_kernel(struct vm *vm)
{
	struct boot_source src = {
		.kernel = &vm->config->kernel,
		.initrd = &vm->config->initrd,
		.cmdline = vm->config->cmdline,
		.rsdp = acpi_build(&vm->mem, vm->config->nr_vcpus),
	};

	boot_load(&vm->mem, &src, &vm->entry);
}

struct vm *vm_power_on(const struct vm_config *config)
{
	struct vm *vm = xcalloc(1, sizeof(*vm));

	vm->config = config;
	vm->stop_fd = xeventfd();
	pthread_mutex_init(&vm->stop_lock, NULL);
	create_fd(vm);
	create_chips(vm);
	create_memory(vm);
	create_devices(vm);
	load_kernel(vm);

	vm->vcpus = xcalloc(config->nr_vcpus, sizeof(*vm->vcpus));
	for (unsigned int i = 0; i < config->nr_vcpus; i++)
		vcpu_create(&vm->vcpus[i], vm, i);
	vcpu_set_entry(&vm->vcpus[0], &vm->entry);

	serial_start(&vm->serial);
	for (unsigned int i = 0; i < vm->nr_devices; i++)
		virtio_start(vm->devices[i]);
	for (unsigned int i = 0; i < config->nr_vcpus; i++)
		vcpu_start(&vm->vcpus[i]);
	return vm;
}

bool vm_power_off(struct vm *vm)
{
	const struct vm_config *config = vm->config;
	bool flushed = true;

	/* First the CPUs, so that nothing asks a device for anything any more. */
	vm_stop(vm, VM_POWEROFF, NULL);
	for (unsigned int i = 0; i < config->nr_vcpus; i++)
		vcpu_stop(&vm->vcpus[i]);
	while (vm->nr_devices)
		virtio_destroy(vm->devices[--vm->nr_devices]);
	serial_destroy(&vm->serial);
	for (unsigned int i = 0; i < config->nr_disks; i++)
		flushed &= disk_flush(&config->disks[i]);

	for (unsigned int i = 0; i < config->nr_vcpus; i++)
		vcpu_destroy(&vm->vcpus[i]);
	free(vm->vcpus);
	close(vm->fd);
	mem_free(&vm->mem);
	irq_destroy(&vm->irq);
	pci_destroy(&vm->pci);
	bus_destroy(&vm->mmio);
	bus_destroy(&vm->pio);
	pthread_mutex_destroy(&vm->stop_lock);
	close(vm->stop_fd);
	free(vm);
	return flushed;
}

bool vm_stopping(struct vm *vm)
{
	return atomic_load(&vm->stop) != VM_RUNNING;
}

void vm_stop(struct vm *vm, enum vm_stop why, const char *report)
{
	pthread_mutex_lock(&vm->stop_lock);
	if (!vm_stopping(vm)) {
		if (report)
			snprintf(vm->report, sizeof(vm->report), "%s", report);
		atomic_store(&vm->stop, why);
		event_signal(vm->stop_fd);
	}
	pthread_mutex_unlock(&vm->stop_lock);
}
