/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core's start: it takes over system calls and faults, loads the program, and jumps to it. The
 * note here makes the core's file a Thaw program.
 */
#include <elf.h>

#include "guest-stub/core/core.h"
#include "guest-stub/linux/entry/core.h"
#include "guest-stub/linux/fs/files.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/linux/task/cpu.h"
#include "guest-stub/linux/task/ready.h"
#include "guest-stub/linux/task/task.h"
#include "guest-stub/linux/task/time.h"

#define FSGSBASE_HWCAP2 (1u << 1)

static const struct {
	uint32_t name_size, descriptor_size, type;
	char name[8]; /* padded to four bytes */
	uint32_t abi_version;
} note __attribute__((section(".note.thaw"), used, aligned(4))) = {
	sizeof(THAW_NOTE_OWNER), sizeof(uint32_t), THAW_NOTE_ABI, THAW_NOTE_OWNER,
	THAW_ABI_VERSION};

/* The linker script has these: the core's own code, without the vDSO. */
extern const uint8_t core_text[], core_text_end[];

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

/* As execve() does: the last component of the program's path. */
static void name_first_task(void)
{
	const char *from = config.program;

	for (const char *at = from; *at; at++)
		if (*at == '/')
			from = at + 1;
	for (size_t i = 0; i + 1 < sizeof(current->name) && from[i]; i++)
		current->name[i] = from[i];
}

void linux_start(const uint64_t *stack)
{
	struct registers registers = {.rflags = 0x202};
	struct loaded loaded;
	uint64_t *first;

	core_has_fsgsbase = first_auxiliary(stack, AT_HWCAP2) & FSGSBASE_HWCAP2;
	seed_generator();
	vector_init();
	task_init();
	host_clock_init();
	time_init();
	files_init();
	name_first_task();
	take_over();
	memory_set_limit(config.memory_limit);
	first = stack_take(stack);
	stack_map();
	loader_load(config.program, &loaded);
	registers.rip = loaded.entry;
	registers.rsp = stack_build(&loaded, first);
	free(first);
	segments_set(0, 0);
	if (config.at_start)
		ready_point();
	vector_reset();
	core_resume(&registers);
}
