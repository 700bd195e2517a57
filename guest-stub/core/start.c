/* SPDX-License-Identifier: Apache-2.0 */
/* The first C code of a function, its orderly end, and the note that makes its file a Thaw
 * program. */
#include "guest-stub/core/core.h"

int main(int argc, char **argv, char **envp);
void thaw_core_start(int argc, char **argv, char **envp) __attribute__((noreturn));

/* The linker script keeps this note in a PT_NOTE segment. It is in this file because every program
 * links this file. */
static const struct {
	uint32_t name_size, descriptor_size, type;
	char name[8]; /* padded to four bytes */
	uint32_t abi_version;
} note __attribute__((section(".note.thaw"), used, aligned(4))) = {
	sizeof(THAW_NOTE_OWNER), sizeof(uint32_t), THAW_NOTE_ABI, THAW_NOTE_OWNER,
	THAW_ABI_VERSION};

/* No stack protector, because the guard gets its first value while this function runs. */
__attribute__((no_stack_protector)) void thaw_core_start(int argc, char **argv, char **envp)
{
	uint64_t seed[THAW_SEED_SIZE / 8];

	if (thaw_core_hypercall(THAW_HYPERCALL_random, 0, sizeof(seed)) < 0)
		thaw_abort("the host gave no entropy at boot");
	memcpy(seed, thaw_core_scratch(), sizeof(seed));
	thaw_core_random_seed(seed);
	thaw_exit(main(argc, argv, envp));
}

void thaw_exit(int status)
{
	thaw_core_hypercall(THAW_HYPERCALL_exit, (uint32_t)status & 0xff,
			    thaw_core_response_pending());
	__builtin_trap(); /* the host does not return from an exit */
}
