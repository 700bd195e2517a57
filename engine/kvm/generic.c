/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The generic way: everything that a clone begins with is one snapshot, its bank as a file that
 * each bank is a private mapping of, and the whole register set. Going back drops the mapping's own
 * pages and sets every register. It knows nothing of the guest and trusts nothing in it, so it is
 * what the fast way is tested against, and the way for guests that own their page tables. It is
 * also two orders of magnitude dearer: each page that was dropped shoots down and faults again.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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
	struct kvm_xsave *xsave; /* as large as this kernel has it */
};

/* All that a guest of ours could have changed: STAR LSTAR CSTAR SFMASK KERNEL_GS_BASE SYSENTER_CS
 * SYSENTER_ESP SYSENTER_EIP PAT. Not the TSC, which goes on. */
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

/* Writes what is not zero: the rest of the file stays a hole. */
static int save_bank(const struct kvm_machine *machine, int fd)
{
	static const uint8_t zeroes[THAW_PAGE_SIZE];

	if (ftruncate(fd, (off_t)machine->bank_size))
		return -1;
	/* What the shim has handed out, and what is fixed, is all that can be other than zero. */
	for (uint64_t page = 0; page < machine->control->next_page; page++) {
		const uint8_t *bytes = machine->bank + page * THAW_PAGE_SIZE;

		if (memcmp(bytes, zeroes, THAW_PAGE_SIZE) &&
		    pwrite(fd, bytes, THAW_PAGE_SIZE, (off_t)(page * THAW_PAGE_SIZE)) !=
			    (ssize_t)THAW_PAGE_SIZE)
			return -1;
	}
	return 0;
}

static int prime_template(struct thaw_backend_state *state, struct kvm_machine *machine,
			  struct thaw_error *err)
{
	if (kvm_machine_make(&state->device, &state->image, machine, err))
		return -1;
	while (kvm_enter(machine) == KVM_EXITED_KICKED)
		;
	if (machine->run->exit_reason != KVM_EXIT_IO || machine->run->io.port != KVM_PORT_CALL)
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "the first steps of a clone failed (exit %u)",
				 machine->run->exit_reason);
	return 0;
}

int kvm_snapshot_take(struct thaw_backend_state *state, struct thaw_error *err)
{
	struct kvm_machine machine = KVM_MACHINE_NONE;
	struct kvm_snapshot *snapshot = calloc(1, sizeof(*snapshot));
	thaw_autoclose int fd = thaw_memory_file("thaw-bank", 0, err);
	int size, result = -1;

	state->snapshot = snapshot;
	if (!snapshot || fd < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "no memory for a snapshot");
	snapshot->msrs.head.nmsrs = MSR_COUNT;
	for (unsigned i = 0; i < MSR_COUNT; i++)
		snapshot->msrs.entries[i].index = msr_numbers[i];
	if (prime_template(state, &machine, err) == 0) {
		size = kvm_ioctl(state->device.fd, KVM_CHECK_EXTENSION,
				 (void *)(uintptr_t)KVM_CAP_XSAVE2);
		snapshot->xsave = calloc(1, size > 4096 ? (size_t)size : 4096);
		if (!snapshot->xsave || get(&machine, snapshot) || save_bank(&machine, fd))
			thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot take a snapshot");
		else
			result = 0;
	}
	kvm_machine_finish(&machine);
	snapshot->regs.rip = state->image.entries.thaw;
	if (result == 0)
		state->image.bank_fd = thaw_take_fd(&fd);
	return result;
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
