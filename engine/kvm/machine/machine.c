/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a machine: a VM with three slots and a vCPU in long mode. It has no interrupt controller,
 * no timer and no bus. All of this happens once in a machine's life, off the path of any request.
 */
#include "engine/kvm/machine/machine.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <x86intrin.h>

#include "engine/kvm/machine/bank.h"
#include "snapshot-format/base/cleanup.h"

enum { SLOT_BANK, SLOT_SHIM, SLOT_IMAGE };

/* Intel SDM vol. 3, 2.5; AMD APM vol. 2, 3.1. */
#define CR0		   0x80050033u /* PG AM WP NE ET MP PE */
#define CR4		   0x406a0u    /* OSXSAVE OSXMMEXCPT OSFXSR PGE PAE */
#define EFER		   0xd01u      /* NXE LMA LME SCE */

#define MSR_TSC		   0x10u
#define MSR_STAR	   0xc0000081u
#define MSR_LSTAR	   0xc0000082u
#define MSR_CSTAR	   0xc0000083u
#define MSR_SFMASK	   0xc0000084u
#define MSR_KERNEL_GS_BASE 0xc0000102u

/* The flags that a system call clears because they mean something to ring 0: AC, NT, DF, IF, TF and
 * the like. */
#define SYSCALL_CLEARS 0x47700u

static int add_slot(const struct kvm_machine *machine, uint32_t slot, uint64_t gpa,
		    const void *host, uint64_t size, uint32_t flags)
{
	struct kvm_userspace_memory_region region = {.slot = slot,
						     .flags = flags,
						     .guest_phys_addr = gpa,
						     .memory_size = size,
						     .userspace_addr = (uintptr_t)host};

	return size ? kvm_ioctl(machine->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) : 0;
}

static int make_bank(const struct kvm_image *image, struct kvm_machine *machine)
{
	uint64_t size = image->bank_pages * THAW_PAGE_SIZE;
	int flags = MAP_PRIVATE | MAP_NORESERVE;
	uint8_t *bank = kvm_reserve(size, PROT_READ | PROT_WRITE);

	if (!bank)
		return -1;
	machine->bank = bank;
	machine->bank_size = size;
	machine->control = (struct kvm_control *)(bank + KVM_PAGE_CONTROL * THAW_PAGE_SIZE);
	machine->mailbox = (struct thaw_mailbox *)(bank + KVM_PAGE_MAILBOX * THAW_PAGE_SIZE);
	if (image->bank_fd >= 0 && mmap(bank, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED,
					image->bank_fd, 0) == MAP_FAILED)
		return -1;
	/* No huge pages: a clone writes a few pages, and each would cost 2 MiB. No copy in a forked
	 * child: a fork would make every page fault again. */
	if ((madvise(bank, size, MADV_NOHUGEPAGE) && errno != EINVAL) ||
	    madvise(bank, size, MADV_DONTFORK))
		return -1;
	if (image->bank_fd < 0)
		kvm_bank_fill(image, bank);
	return 0;
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, uint8_t dpl)
{
	return (struct kvm_segment){.limit = 0xffffffff,
				    .selector = selector,
				    .type = type,
				    .present = 1,
				    .dpl = dpl,
				    .db = type < 8,
				    .s = 1,
				    .l = type >= 8,
				    .g = 1};
}

static int set_system_registers(const struct kvm_image *image, const struct kvm_machine *machine)
{
	const struct kvm_description *description = image->description;
	struct kvm_sregs sregs;

	if (kvm_ioctl(machine->vcpu_fd, KVM_GET_SREGS, &sregs))
		return -1;
	sregs.cr0 = CR0;
	sregs.cr3 = KVM_BANK_GPA + KVM_PAGE_PML4 * THAW_PAGE_SIZE;
	sregs.cr4 = CR4 | image->cr4;
	sregs.efer = EFER;
	sregs.cs = segment(KVM_CS_KERNEL, 11, 0);
	sregs.ss = segment(KVM_DS_KERNEL, 3, 0);
	/* As in a 64-bit program under Linux: null, with a base. */
	sregs.ds = sregs.es = sregs.fs = sregs.gs =
		(struct kvm_segment){.unusable = 1, .limit = 0xffffffff, .type = 3, .s = 1};
	sregs.fs.base = description->registers[THAW_FS_BASE];
	sregs.gs.base = description->registers[THAW_GS_BASE];
	sregs.tr = (struct kvm_segment){.base = KVM_DESC_VA + offsetof(struct kvm_description, tss),
					.limit = sizeof(description->tss) - 1,
					.selector = KVM_TSS,
					.type = 11,
					.present = 1};
	sregs.ldt = (struct kvm_segment){.unusable = 1};
	sregs.gdt = (struct kvm_dtable){.base = KVM_DESC_VA + offsetof(struct kvm_description, gdt),
					.limit = sizeof(description->gdt) - 1};
	sregs.idt = (struct kvm_dtable){.base = KVM_DESC_VA + offsetof(struct kvm_description, idt),
					.limit = sizeof(description->idt) - 1};
	return kvm_ioctl(machine->vcpu_fd, KVM_SET_SREGS, &sregs);
}

static int set_msrs(const struct kvm_image *image, const struct kvm_machine *machine)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entries[5];
	} msrs = {{.nmsrs = 5},
		  {{MSR_STAR, 0, (uint64_t)KVM_CS_KERNEL << 32},
		   {MSR_LSTAR, 0, image->entries.syscall},
		   {MSR_CSTAR, 0, image->entries.syscall},
		   {MSR_SFMASK, 0, SYSCALL_CLEARS},
		   {MSR_KERNEL_GS_BASE, 0, 0}}};

	return kvm_ioctl(machine->vcpu_fd, KVM_SET_MSRS, &msrs) == 5 ? 0 : -1;
}

/* Makes the guest's time-stamp counter the host's. It is never set again. */
static int set_tsc(const struct kvm_machine *machine)
{
	uint64_t offset = 0;
	struct kvm_device_attr attr = {.group = KVM_VCPU_TSC_CTRL,
				       .attr = KVM_VCPU_TSC_OFFSET,
				       .addr = (uintptr_t)&offset};
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = {{.nmsrs = 1}, {.index = MSR_TSC}};

	if (kvm_ioctl(machine->vcpu_fd, KVM_SET_DEVICE_ATTR, &attr) == 0)
		return 0;
	msr.entry.data = __rdtsc();
	return kvm_ioctl(machine->vcpu_fd, KVM_SET_MSRS, &msr) == 1 ? 0 : -1;
}

static int set_registers(const struct kvm_image *image, const struct kvm_machine *machine)
{
	struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = image->xcr0}}};
	struct kvm_regs regs = {
		.rip = image->entries.prefault, .rsp = KVM_STACK_CALL_TOP, .rflags = 2};

	return kvm_ioctl(machine->vcpu_fd, KVM_SET_XCRS, &xcrs) ||
			       kvm_ioctl(machine->vcpu_fd, KVM_SET_REGS, &regs)
		       ? -1
		       : 0;
}

static int make_vcpu(const struct kvm_device *device, const struct kvm_image *image,
		     struct kvm_machine *machine, const char **step)
{
	machine->vcpu_fd = ioctl(machine->vm_fd, KVM_CREATE_VCPU, 0L);
	if (machine->vcpu_fd < 0)
		return -1;
	*step = "the vCPU's shared page";
	machine->run = mmap(NULL, device->run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			    machine->vcpu_fd, 0);
	if (machine->run == MAP_FAILED) {
		machine->run = NULL;
		return -1;
	}
	machine->run_size = device->run_size;
	*step = "KVM_SET_CPUID2";
	if (kvm_ioctl(machine->vcpu_fd, KVM_SET_CPUID2, image->cpuid))
		return -1;
	*step = "KVM_SET_SREGS";
	if (set_system_registers(image, machine))
		return -1;
	*step = "KVM_SET_MSRS";
	if (set_msrs(image, machine) || set_tsc(machine))
		return -1;
	*step = "the first registers";
	return set_registers(image, machine);
}

/* Puts the registers that each run begins with into the shared page: an entry with them costs no
 * other call. At rest, the rest of a vCPU's state is the image's. */
static void prepare_run(const struct kvm_device *device, const struct kvm_image *image,
			struct kvm_machine *machine)
{
	if (!device->sync_regs)
		return;
	machine->run->s.regs.regs = (struct kvm_regs){
		.rip = image->entries.thaw, .rsp = KVM_STACK_CALL_TOP, .rflags = 2};
}

static int make(const struct kvm_device *device, const struct kvm_image *image,
		struct kvm_machine *machine, const char **step)
{
	*step = "KVM_CREATE_VM";
	/* KVM_CREATE_VM gives up when any signal is pending, even when that is io_uring's work for
	 * the thread: kvm_ioctl() repeats it. */
	machine->vm_fd = kvm_ioctl(device->fd, KVM_CREATE_VM, NULL);
	if (machine->vm_fd < 0)
		return -1;
	*step = "the bank";
	if (make_bank(image, machine))
		return -1;
	*step = "KVM_SET_USER_MEMORY_REGION";
	if (add_slot(machine, SLOT_BANK, KVM_BANK_GPA, machine->bank, machine->bank_size, 0) ||
	    add_slot(machine, SLOT_SHIM, KVM_SHIM_GPA, image->shim, image->shim_size,
		     KVM_MEM_READONLY) ||
	    add_slot(machine, SLOT_IMAGE, KVM_IMAGE_GPA, image->data, image->data_size,
		     KVM_MEM_READONLY))
		return -1;
	*step = "KVM_CREATE_VCPU";
	if (make_vcpu(device, image, machine, step))
		return -1;
	prepare_run(device, image, machine);
	return 0;
}

int kvm_machine_make(const struct kvm_device *device, const struct kvm_image *image,
		     struct kvm_machine *machine, struct thaw_error *err)
{
	const char *step;
	int error;

	*machine = KVM_MACHINE_NONE;
	if (make(device, image, machine, &step) == 0)
		return 0;
	error = errno;
	kvm_machine_finish(machine);
	return thaw_fail_errno(err, THAW_ERR_ENGINE, error, "cannot make a virtual machine: %s",
			       step);
}

void kvm_machine_finish(struct kvm_machine *machine)
{
	if (machine->run)
		munmap(machine->run, machine->run_size);
	thaw_cleanup_close(&machine->vcpu_fd);
	thaw_cleanup_close(&machine->vm_fd);
	if (machine->bank)
		munmap(machine->bank, machine->bank_size);
	*machine = KVM_MACHINE_NONE;
}
