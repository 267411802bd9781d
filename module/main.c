// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module as such: choose a back end, make /dev/keel, and turn the CPU's
 * virtualisation mode on with the first VM and off with the last, through CPU
 * hotplug, suspend and reboot.
 */
#define pr_fmt(fmt) "keel: " fmt

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/reboot.h>
#include <linux/syscore_ops.h>

#include "compat.h"
#include "keel.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

struct keel_backend keel_ops __ro_after_init;
#define DEFINE_OP(name)	DEFINE_STATIC_CALL_NULL(keel_##name, *keel_ops.name);
KEEL_STATIC_OPS(DEFINE_OP)
struct keel_caps keel_caps __ro_after_init;
bool keel_rebooting __read_mostly;

/* Outermost of all locks; guards hw_users and with it the mode of every CPU. */
static DEFINE_MUTEX(keel_hw_lock);
static unsigned int hw_users;
static bool emergency_registered;	/* keel_hw_lock */
static DEFINE_PER_CPU(bool, hw_on);
static int hp_state;

static char *devname = "keel";
module_param(devname, charp, 0444);
MODULE_PARM_DESC(devname, "name of the device; \"kvm\" takes KVM's minor number too (default keel)");

unsigned int keel_halt_poll_ns = 200000;
module_param_named(halt_poll_ns, keel_halt_poll_ns, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns, "longest time to poll for an event at HLT before sleeping, ns (0: never)");

/* The back ends: the first whose vendors' CPU this is. */
static const struct keel_backend *const backends[] = {
	&svm_backend,
	&vmx_backend,
};

/* ---- the CPU's mode --------------------------------------------------------------- */

/* On the CPU itself, interrupts off. */
static int cpu_on(void)
{
	int ret;

	if (__this_cpu_read(hw_on))
		return 0;
	ret = keel_ops.cpu_enable();
	if (!ret)
		__this_cpu_write(hw_on, true);
	return ret;
}

static void cpu_off(void *unused)
{
	if (!__this_cpu_read(hw_on))
		return;
	keel_ops.cpu_disable();
	__this_cpu_write(hw_on, false);
}

static void cpu_on_ipi(void *result)
{
	int ret = cpu_on();

	if (ret)
		atomic_cmpxchg((atomic_t *)result, 0, ret);
}

/*
 * The machine is about to stop or to boot a crash kernel: on each CPU, in an NMI or with
 * interrupts off.  No lock can be taken.  A vCPU that this CPU was about to enter fails at
 * its entry, should the CPU ever come back to it.
 */
static void emergency_off(void)
{
	WRITE_ONCE(keel_rebooting, true);
	cpu_off(NULL);
}

/*
 * keel_hw_lock held.  The callback is registered for as long as the mode is on, and not
 * before it is known to be keel's: where KVM has the mode, the callback is KVM's as well.
 */
static int all_on(void)
{
	atomic_t result = ATOMIC_INIT(0);
	int ret;

	on_each_cpu(cpu_on_ipi, &result, 1);
	ret = atomic_read(&result);
	if (ret)
		on_each_cpu(cpu_off, NULL, 1);
	else
		emergency_registered = keel_emergency_register(emergency_off);
	return ret;
}

static void all_off(void)
{
	on_each_cpu(cpu_off, NULL, 1);
	if (emergency_registered)
		keel_emergency_unregister(emergency_off);
	emergency_registered = false;
}

/**
 * keel_hw_get() - turn the virtualisation mode on for one more VM
 *
 * May sleep; takes keel_hw_lock and the CPU hotplug lock.
 * Return: 0; -EBUSY if another hypervisor owns a CPU (the log names the likely
 * one); -EIO if a CPU refuses; -ENODEV during reboot.
 */
int keel_hw_get(void)
{
	int ret = 0;

	cpus_read_lock();
	mutex_lock(&keel_hw_lock);
	if (READ_ONCE(keel_rebooting)) {
		ret = -ENODEV;
	} else if (hw_users++ == 0) {
		ret = all_on();
		if (ret)
			hw_users--;
	}
	mutex_unlock(&keel_hw_lock);
	cpus_read_unlock();

	if (ret == -EBUSY)
		pr_err_ratelimited("another hypervisor owns this machine's virtualisation mode (the kvm modules, if loaded: lsmod | grep kvm)\n");
	return ret;
}

/**
 * keel_hw_put() - undo one keel_hw_get()
 */
void keel_hw_put(void)
{
	cpus_read_lock();
	mutex_lock(&keel_hw_lock);
	if (--hw_users == 0)
		all_off();
	mutex_unlock(&keel_hw_lock);
	cpus_read_unlock();
}

/*
 * CPU hotplug.  The dynamic states lie before CPUHP_AP_ACTIVE on the way up: no vCPU thread
 * runs on this CPU yet.  On the way down threads may still be queued here.  This one does
 * not interrupt a load section, where preemption is off; and whoever is picked after it is
 * pushed to another CPU by the scheduler before it gets on.
 */
static int hotplug_online(unsigned int cpu)
{
	unsigned long flags;
	int ret = 0;

	mutex_lock(&keel_hw_lock);
	if (hw_users && !READ_ONCE(keel_rebooting)) {
		local_irq_save(flags);
		ret = cpu_on();
		local_irq_restore(flags);
	}
	mutex_unlock(&keel_hw_lock);
	if (ret)
		pr_err("cannot turn virtualisation on on CPU %u: it stays offline\n", cpu);
	return ret;
}

static int hotplug_offline(unsigned int cpu)
{
	unsigned long flags;

	mutex_lock(&keel_hw_lock);
	local_irq_save(flags);
	cpu_off(NULL);
	local_irq_restore(flags);
	mutex_unlock(&keel_hw_lock);
	return 0;
}

/*
 * Suspend and resume of the last CPU: the others went through hotplug.  User
 * space is frozen, interrupts are off; the mode is lost over S3, so it is left in
 * order and entered anew.
 */
static bool resume_on;

static int keel_syscore_suspend(void)
{
	resume_on = __this_cpu_read(hw_on);
	cpu_off(NULL);
	return 0;
}

static void keel_syscore_resume(void)
{
	if (resume_on && cpu_on())
		pr_err("cannot turn virtualisation on again after resume\n");
}

static struct syscore_ops syscore = {
	.suspend = keel_syscore_suspend,
	.resume = keel_syscore_resume,
};

/*
 * Reboot and kexec: firmware and the next kernel expect the mode off (it can block INIT
 * and interrupts).  vCPU threads may still run: keel_rebooting is looked at
 * with interrupts off right before each entry, and cpu_off() comes by IPI, so no
 * entry can be after it.  Panic and crash kexec go past here: see emergency_off(), and
 * compat.h for the kernels that do without it.
 */
static int keel_reboot(struct notifier_block *nb, unsigned long action, void *data)
{
	WRITE_ONCE(keel_rebooting, true);
	/* Who is turning the mode on has not seen that: let them finish first. */
	mutex_lock(&keel_hw_lock);
	on_each_cpu(cpu_off, NULL, 1);
	mutex_unlock(&keel_hw_lock);
	return NOTIFY_OK;
}

static struct notifier_block reboot_nb = {
	.notifier_call = keel_reboot,
	.priority = 0,
};

/* ---- the device ------------------------------------------------------------------- */

static struct miscdevice keel_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.fops = &keel_dev_fops,
	.mode = 0660,
};

#define UPDATE_OP(name)	static_call_update(keel_##name, backends[i]->name);
static int __init choose_backend(void)
{
	const char *why = "keel knows no extension for virtualisation of this CPU's vendor";
	int i;

	for (i = 0; i < ARRAY_SIZE(backends); i++) {
		if (!(backends[i]->vendors & BIT(boot_cpu_data.x86_vendor)))
			continue;
		why = backends[i]->ident();
		if (!why) {
			keel_ops = *backends[i];
			KEEL_STATIC_OPS(UPDATE_OP)
			return 0;
		}
	}
	pr_err("%s\n", why);
	return -ENODEV;
}

static int __init register_device(void)
{
	if (!devname[0] || strchr(devname, '/') || strlen(devname) > 31) {
		pr_err("devname: not a device name\n");
		return -EINVAL;
	}
	keel_misc.name = devname;
	if (!strcmp(devname, "kvm"))
		keel_misc.minor = KVM_MINOR;
	return misc_register(&keel_misc);
}

/* Each step and its undo, in order. */
static const struct init_step {
	int (*init)(void);
	void (*exit)(void);
} init_steps[] = {
	{ keel_fpu_module_init, keel_fpu_module_exit },
	{ keel_cpuid_module_init, NULL },
	{ keel_mmu_module_init, NULL },
	{ keel_irqfd_module_init, keel_irqfd_module_exit },
	{ keel_clock_module_init, keel_clock_module_exit },
};

static void undo_steps(int n)
{
	while (n--)
		if (init_steps[n].exit)
			init_steps[n].exit();
}

static int __init keel_init(void)
{
	int ret, i;

	ret = choose_backend();
	if (ret)
		return ret;
	ret = keel_ops.hw_setup(&keel_caps);
	if (ret)
		return ret;
	keel_tsc_module_init();

	for (i = 0; i < ARRAY_SIZE(init_steps); i++) {
		ret = init_steps[i].init();
		if (ret)
			goto err_steps;
	}

	hp_state = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "keel:online", hotplug_online, hotplug_offline);
	if (hp_state < 0) {
		ret = hp_state;
		goto err_steps;
	}
	register_syscore_ops(&syscore);
	register_reboot_notifier(&reboot_nb);

	ret = register_device();
	if (ret)
		goto err_device;
	pr_info("%s back end, /dev/%s\n", keel_ops.name, devname);
	return 0;

err_device:
	unregister_reboot_notifier(&reboot_nb);
	unregister_syscore_ops(&syscore);
	cpuhp_remove_state(hp_state);
err_steps:
	undo_steps(i);
	keel_ops.hw_teardown();
	return ret;
}

static void __exit keel_exit(void)
{
	misc_deregister(&keel_misc);
	unregister_reboot_notifier(&reboot_nb);
	unregister_syscore_ops(&syscore);
	cpuhp_remove_state(hp_state);
	undo_steps(ARRAY_SIZE(init_steps));
	keel_ops.hw_teardown();
}

module_init(keel_init);
module_exit(keel_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("keel: a small hypervisor with KVM's interface");
MODULE_VERSION("0.1");
