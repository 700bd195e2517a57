/* SPDX-License-Identifier: Apache-2.0 */
/* The floor under KVM; see bare_exit.h. */
#include "bench/kvm/bare_exit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* 16-bit code: out %al, $0x10; jmp back. */
static const unsigned char program[] = {0xe6, 0x10, 0xeb, 0xfc};

#define MEMORY 0x1000u
#define ENTRY  0x1000u

static int make_vcpu(struct bare_exit *bare)
{
	struct kvm_userspace_memory_region region = {.guest_phys_addr = ENTRY,
						     .memory_size = MEMORY,
						     .userspace_addr = (unsigned long)bare->memory};
	struct kvm_regs regs = {.rip = 0, .rflags = 2};
	struct kvm_sregs sregs;
	int size = ioctl(bare->kvm, KVM_GET_VCPU_MMAP_SIZE, 0L);

	if (ioctl(bare->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return -1;
	bare->vcpu = ioctl(bare->vm, KVM_CREATE_VCPU, 0L);
	if (bare->vcpu < 0 || size < 0)
		return -1;
	bare->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, bare->vcpu, 0);
	if (bare->run == MAP_FAILED || ioctl(bare->vcpu, KVM_GET_SREGS, &sregs) < 0)
		return -1;
	sregs.cs.base = ENTRY;
	sregs.cs.selector = ENTRY >> 4;
	return ioctl(bare->vcpu, KVM_SET_SREGS, &sregs) < 0 ||
			       ioctl(bare->vcpu, KVM_SET_REGS, &regs) < 0
		       ? -1
		       : 0;
}

int bare_exit_open(struct bare_exit *bare)
{
	*bare = (struct bare_exit){.vm = -1, .vcpu = -1};
	bare->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (bare->kvm < 0)
		return -1;
	bare->vm = ioctl(bare->kvm, KVM_CREATE_VM, 0L);
	bare->memory =
		mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (bare->vm < 0 || bare->memory == MAP_FAILED)
		return -1;
	memcpy(bare->memory, program, sizeof(program));
	return make_vcpu(bare);
}

int bare_exit_run(struct bare_exit *bare)
{
	return ioctl(bare->vcpu, KVM_RUN, 0L) < 0 || bare->run->exit_reason != KVM_EXIT_IO ? -1 : 0;
}

static void close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

void bare_exit_close(struct bare_exit *bare)
{
	close_if_open(bare->vcpu);
	close_if_open(bare->vm);
	close_if_open(bare->kvm);
	if (bare->memory && bare->memory != MAP_FAILED)
		munmap(bare->memory, MEMORY);
}
