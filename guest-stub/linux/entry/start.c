/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core's start: takes over system calls and faults, loads the program, and jumps to it. And the
 * note that makes the core's file a Thaw program.
 */
#include <elf.h>

#include "guest-stub/core/core.h"
#include "guest-stub/linux/entry/core.h"
#include "guest-stub/linux/fs/file.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/linux/task/task.h"

#define FSGSBASE_HWCAP2 (1u << 1)

static const struct {
	uint32_t name_size, descriptor_size, type;
	char name[8]; /* padded to four bytes */
	uint32_t abi_version;
} note __attribute__((section(".note.thaw"), used, aligned(4))) = {
	sizeof(THAW_NOTE_OWNER), sizeof(uint32_t), THAW_NOTE_ABI, THAW_NOTE_OWNER,
	THAW_ABI_VERSION};

static uint8_t first_core_stack[TASK_CORE_STACK] __attribute__((aligned(4096)));
uint64_t core_user_rsp, core_user_rip;
uint64_t core_stack_top = (uint64_t)(first_core_stack + TASK_CORE_STACK);

struct linux_config config;

/* From the linker script: the core's own code, without the vDSO. */
extern const uint8_t core_text[], core_text_end[];

uint64_t first_auxiliary(const uint64_t *first, uint64_t type)
{
	const uint64_t *at = first + 1 + first[0] + 1; /* argc, argv, NULL */

	while (*at)
		at++;
	for (at++; at[0] != AT_NULL; at += 2)
		if (at[0] == type)
			return at[1];
	return 0;
}

static void take_over(void)
{
	struct thaw_shim_dispatch dispatch = {
		.start = (uint64_t)core_text,
		.end = (uint64_t)core_text_end,
		.syscall_entry = (uint64_t)core_syscall_entry,
		.fault_entry = (uint64_t)core_fault_entry,
	};
	long error = thaw_core_gate(THAW_SHIM_CALL_dispatch, &dispatch);

	if (error)
		host_abort("this host cannot run Linux programs: system calls are not dispatched "
			   "(error %ld)",
			   -error);
}

static void seed_generator(void)
{
	uint64_t seed[THAW_SEED_SIZE / 8];

	if (thaw_core_hypercall(THAW_HYPERCALL_random, 0, sizeof(seed)) < 0)
		host_abort("the host gave no entropy at boot");
	memcpy(seed, thaw_core_scratch(), sizeof(seed));
	thaw_core_random_seed(seed);
}

void linux_start(const uint64_t *stack)
{
	struct registers registers = {.rflags = 0x202};
	struct loaded loaded;

	core_has_fsgsbase = first_auxiliary(stack, AT_HWCAP2) & FSGSBASE_HWCAP2;
	seed_generator();
	vector_init();
	task_init();
	files_init();
	take_over();
	stack_map();
	loader_load(config.program, &loaded);
	registers.rip = loaded.entry;
	registers.rsp = stack_build(&loaded, stack);
	/* The first stack has served, and a program may be linked where it is. */
	thaw_unmap((void *)(THAW_STACK_TOP - THAW_STACK_SIZE), THAW_STACK_SIZE);
	segments_set(0, 0);
	if (config.at_start)
		host_ready();
	vector_reset();
	core_resume(&registers);
}
