/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What is keel's own in its interface.  Everything else on /dev/keel is KVM's
 * ABI: the numbers and structures of <linux/kvm.h>.
 */
#ifndef _UAPI_LINUX_KEEL_H
#define _UAPI_LINUX_KEEL_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define KEEL_DEVICE_NAME	"keel"
#define KEEL_DEVICE_PATH	"/dev/keel"

/* KVM's ioctls are 0xAE; keel's must never be taken for one of them. */
#define KEELIO			0xB7

/**
 * struct keel_info - what a client may want to know of the module
 * @version: this interface's number, KEEL_INFO_VERSION
 * @flags: none defined yet, 0
 * @backend: the back end's name ("svm" or "vmx"), NUL-terminated
 * @release: the module's version, NUL-terminated
 */
struct keel_info {
	__u32 version;
	__u32 flags;
	char backend[16];
	char release[40];
};

#define KEEL_INFO_VERSION	1

/* On the device itself; tells a client that it talks to keel and not to KVM. */
#define KEEL_GET_INFO		_IOR(KEELIO, 0xf0, struct keel_info)

#endif
