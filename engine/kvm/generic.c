/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The generic way: one snapshot has everything that a clone begins with, the bank as a file and the
 * whole register set. Each clone's bank is a private mapping of that file. Going back drops the
 * mapping's own pages and sets every register.
 *
 * This way knows nothing of the guest and trusts nothing in it. So the fast way is tested against
 * it, and it serves guests that own their page tables. It costs two orders of magnitude more: each
 * dropped page is shot down in the TLBs and faults again.
 */
#include "engine/kvm/generic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/kvm/enter.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/memory_file.h"

#define MSR_COUNT 9u

struct kvm_snapshot {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xcrs xcrs;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debug;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entries[MSR_COUNT];
	} msrs;
	struct kvm_xsave *xsave; /* owned; as large as this kernel's */
};

/* Every MSR that a guest of ours could have changed, except the TSC, which goes on: STAR, LSTAR,
 * CSTAR, SFMASK, KERNEL_GS_BASE, SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP, PAT. */
static const uint32_t msr_numbers[MSR_COUNT] = {
	0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102, 0x174, 0x175, 0x176, 0x277};

static int get(const struct kvm_machine *machine, struct kvm_snapshot *snapshot)
{
	int fd = machine->vcpu_fd;
	bool ok = !kvm_ioctl(fd, KVM_GET_REGS, &snapshot->regs) &&
		  !kvm_ioctl(fd, KVM_GET_SREGS, &snapshot->sregs) &&
		  !kvm_ioctl(fd, KVM_GET_XCRS, &snapshot->xcrs) &&
		  !kvm_ioctl(fd, KVM_GET_VCPU_EVENTS, &snapshot->events) &&
		  !kvm_ioctl(fd, KVM_GET_DEBUGREGS, &snapshot->debug) &&
		  !kvm_ioctl(fd, KVM_GET_XSAVE, snapshot->xsave) &&
		  kvm_ioctl(fd, KVM_GET_MSRS, &snapshot->msrs) == (int)MSR_COUNT;

	return ok ? 0 : -1;
}

static int set(const struct kvm_machine *machine, struct kvm_snapshot snapshot)
{
	int fd = machine->vcpu_fd;
	bool ok = !kvm_ioctl(fd, KVM_SET_SREGS, &snapshot.sregs) &&
		  !kvm_ioctl(fd, KVM_SET_XCRS, &snapshot.xcrs) &&
		  !kvm_ioctl(fd, KVM_SET_XSAVE, snapshot.xsave) &&
		  kvm_ioctl(fd, KVM_SET_MSRS, &snapshot.msrs) == (int)MSR_COUNT &&
		  !kvm_ioctl(fd, KVM_SET_REGS, &snapshot.regs) &&
		  !kvm_ioctl(fd, KVM_SET_VCPU_EVENTS, &snapshot.events) &&
		  !kvm_ioctl(fd, KVM_SET_DEBUGREGS, &snapshot.debug);

	return ok ? 0 : -1;
}

/* Writes the pages that are not zero; the rest of the file stays a hole. */
static int save_bank(const struct kvm_machine *machine, int fd)
{
	static const uint8_t zeroes[THAW_PAGE_SIZE];

	if (ftruncate(fd, (off_t)machine->bank_size))
		return -1;
	/* Only the fixed pages and those that the shim has handed out can differ from zero. */
	for (uint64_t page = 0; page < machine->control->next_page; page++) {
		const uint8_t *bytes = machine->bank + page * THAW_PAGE_SIZE;

		if (memcmp(bytes, zeroes, THAW_PAGE_SIZE) &&
		    pwrite(fd, bytes, THAW_PAGE_SIZE, (off_t)(page * THAW_PAGE_SIZE)) !=
			    (ssize_t)THAW_PAGE_SIZE)
			return -1;
	}
	return 0;
}

static int make_template(const struct kvm_device *device, const struct kvm_image *image,
			 struct kvm_machine *machine, struct thaw_error *err)
{
	if (kvm_machine_make(device, image, machine, err))
		return -1;
	if (!kvm_enter_until_rest(machine))
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "the first steps of a clone failed (exit %u)",
				 machine->run->exit_reason);
	return 0;
}

static struct kvm_snapshot *make_empty(const struct kvm_device *device)
{
	struct kvm_snapshot *snapshot = calloc(1, sizeof(*snapshot));
	int size = ioctl(device->fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);

	if (!snapshot)
		return NULL;
	snapshot->xsave = calloc(1, size > 4096 ? (size_t)size : 4096);
	if (!snapshot->xsave) {
		free(snapshot);
		return NULL;
	}
	snapshot->msrs.head.nmsrs = MSR_COUNT;
	for (unsigned i = 0; i < MSR_COUNT; i++)
		snapshot->msrs.entries[i].index = msr_numbers[i];
	return snapshot;
}

int kvm_snapshot_take(const struct kvm_device *device, struct kvm_image *image,
		      struct kvm_snapshot **out, struct thaw_error *err)
{
	struct kvm_machine machine = KVM_MACHINE_NONE;
	struct kvm_snapshot *snapshot = make_empty(device);
	thaw_autoclose int fd = thaw_memory_file("thaw-bank", 0, err);
	int result = -1;

	*out = NULL;
	if (!snapshot)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "no memory for a snapshot");
	if (fd >= 0 && make_template(device, image, &machine, err) == 0) {
		if (get(&machine, snapshot) || save_bank(&machine, fd))
			thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot take a snapshot");
		else
			result = 0;
	}
	kvm_machine_finish(&machine);
	if (result) {
		kvm_snapshot_free(snapshot);
		return -1;
	}
	snapshot->regs.rip = image->entries.thaw;
	image->bank_fd = thaw_take_fd(&fd);
	*out = snapshot;
	return 0;
}

void kvm_snapshot_free(struct kvm_snapshot *snapshot)
{
	if (snapshot)
		free(snapshot->xsave);
	free(snapshot);
}

int kvm_snapshot_restore(const struct kvm_snapshot *snapshot, struct kvm_machine *machine)
{
	if (madvise(machine->bank, machine->bank_size, MADV_DONTNEED))
		return -1;
	return set(machine, *snapshot);
}
