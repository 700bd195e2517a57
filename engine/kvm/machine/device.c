/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the KVM device, and asking what it can do. */
#include "engine/kvm/machine/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "engine/kvm/machine/cpuid.h"
#include "snapshot-format/base/cleanup.h"

#define CPUID_ENTRIES 256u

int kvm_ioctl(int fd, unsigned long request, void *argument)
{
	int result;

	do
		result = ioctl(fd, request, argument);
	while (result < 0 && errno == EINTR);
	return result;
}

static int ask_cpuid(struct kvm_device *device, struct thaw_error *err)
{
	device->supported = calloc(1, sizeof(*device->supported) +
					      CPUID_ENTRIES * sizeof(struct kvm_cpuid_entry2));
	if (!device->supported)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "no memory for CPUID");
	device->supported->nent = CPUID_ENTRIES;
	if (kvm_ioctl(device->fd, KVM_GET_SUPPORTED_CPUID, device->supported) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "KVM_GET_SUPPORTED_CPUID");
	kvm_cpuid_features(device->supported, &device->features);
	return 0;
}

static int ask(struct kvm_device *device, struct thaw_error *err)
{
	/* The backend does not work without any one of these. */
	static const struct {
		long number;
		const char *name;
	} needed[] = {{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
		      {KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM"},
		      {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
		      {KVM_CAP_XCRS, "KVM_CAP_XCRS"}};
	int version = kvm_ioctl(device->fd, KVM_GET_API_VERSION, NULL), size;

	if (version != KVM_API_VERSION)
		return version < 0 ? thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
						     "/dev/kvm is not KVM's")
				   : thaw_fail(err, THAW_ERR_ENGINE, "KVM's API has version %d",
					       version);
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (ioctl(device->fd, KVM_CHECK_EXTENSION, needed[i].number) <= 0)
			return thaw_fail(err, THAW_ERR_ENGINE, "this kernel's KVM lacks %s",
					 needed[i].name);
	device->sync_regs =
		ioctl(device->fd, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS) & KVM_SYNC_X86_REGS;
	size = kvm_ioctl(device->fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
	if (size < (int)sizeof(struct kvm_run))
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "KVM_GET_VCPU_MMAP_SIZE");
	device->run_size = (size_t)size;
	return ask_cpuid(device, err);
}

int kvm_device_open(int fd, struct kvm_device *device, struct thaw_error *err)
{
	*device = (struct kvm_device){.fd = fd};
	if (ask(device, err) == 0)
		return 0;
	kvm_device_close(device);
	return -1;
}

void kvm_device_close(struct kvm_device *device)
{
	free(device->supported);
	device->supported = NULL;
	thaw_cleanup_close(&device->fd);
}
