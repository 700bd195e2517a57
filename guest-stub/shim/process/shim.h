/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process shim's own interfaces. The shim runs in the guest's process, at the guest's
 * privilege, and so is trusted with nothing: the kernel's filter and limits hold the guest in, and
 * the shim sets them before the guest runs. There is one thread.
 */
#ifndef THAW_SHIM_H
#define THAW_SHIM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

#include "guest-stub/include/thaw/abi.h"
#include "guest-stub/shim/bytes.h"
#include "guest-stub/shim/process/control.h"
#include "guest-stub/shim/ranges.h"

/* The shim lies above 2 GiB and reaches its symbols relative to the program counter. They are
 * hidden, so that the linker makes no table of their addresses. */
#pragma GCC visibility push(hidden)

#define SHIM_MAILBOX ((struct thaw_mailbox *)THAW_MAILBOX)

enum shim_register {
	SHIM_RAX,
	SHIM_RBX,
	SHIM_RCX,
	SHIM_RDX,
	SHIM_RSI,
	SHIM_RDI,
	SHIM_RBP,
	SHIM_RSP,
	SHIM_R8,
	SHIM_R9,
	SHIM_R10,
	SHIM_R11,
	SHIM_R12,
	SHIM_R13,
	SHIM_R14,
	SHIM_R15,
	SHIM_RIP,
	SHIM_RFLAGS,
	SHIM_FS_BASE,
	SHIM_GS_BASE
};

/* gate.S: the guest's registers. The gate saves those that a call keeps; shim_resume() loads
 * all. */
extern uint64_t shim_registers[THAW_REGISTER_COUNT];
/* Goes to the guest with shim_registers. FS and GS bases must be in place. */
_Noreturn void shim_resume(void);
/* Waits for a turn and goes on with it as a new invocation, for a clone that has nothing to
 * keep. */
_Noreturn void shim_rest(void);
/* The same for a new clone. */
_Noreturn void shim_rest_new(void);
extern const uint8_t shim_rest_point[]; /* where the kernel says a clone at rest is */
/* Where signals arrive, and where they would return. */
void shim_signal(void);
void shim_signal_return(void);

/* main.c, from gate.S: the first C code, on the shim's own stack; STACK is the kernel's, with the
 * auxiliary vector. */
_Noreturn void shim_main(const uint64_t *stack);

/* zygote.c, boot.c: what the shim becomes. */
_Noreturn void shim_zygote(struct shim_control *control);
_Noreturn void shim_boot(struct shim_control *control);
/* Called by gate.S, for a clone that is recycled. */
void shim_mend(void);
void shim_woken(void);

/* setup.c: the steps before the guest may run; each reports its failure and ends the process. */
void shim_map_memory(struct shim_control *control);
extern uint64_t shim_xsave_mask; /* the components that the image may have, and their length */
extern uint32_t shim_xsave_length;
/* Loads the vector state that the image has; components that it lacks become as if never used. */
void shim_vector_load(void);
extern uint32_t shim_has_pkru, shim_pkru; /* protection keys, as the kernel gave them */
void shim_prepare(struct shim_control *control);
void shim_seal(struct shim_control *control);
_Noreturn void shim_failed(struct shim_control *control, long error);

/* memory.c: the guest's ranges, as the shim keeps them. */
extern bool shim_is_booting;
extern struct shim_ranges shim_ranges;
void shim_memory_init(const struct shim_control *control);
void shim_memory_record(struct thaw_ready *ready);
long shim_memory_call(long number, const struct thaw_shim_memory *argument);

/* working_set.c: from now on, notes in INTO every page that the guest touches. */
void shim_record_begin(struct shim_notes *into);
/* Handles a fault at ADDRESS, with the processor's ERROR code, that was raised only for the
 * recording. Returns false when the fault is another one. */
bool shim_record_fault(uint64_t address, uint64_t error);

/* early.c: a clone that runs while its image is still being brought into memory. */
extern uint32_t shim_is_early;
/* Closes all memory with data of the image. To be called before the control block is unmapped. */
void shim_early_begin(const struct shim_control *control);
/* Opens the image's memory in [START, END), which the host says is there. */
void shim_early_open(uint64_t start, uint64_t end);
/* Has the host bring [START, END), and opens what is there around START. Does nothing in other
 * clones. */
void shim_early_bring(uint64_t start, uint64_t end);
/* Handles a fault at ADDRESS, with the processor's ERROR code, on a page that was not there.
 * Returns false when the fault is another one, or the page did not come. */
bool shim_early_fault(uint64_t address, uint64_t error);
/* Called by gate.S when the clone gets its request: opens all memory, if all of it is there. */
void shim_early_woken(void);

/* calls.c: a call through the gate, from gate.S. */
long shim_dispatch(long number, void *argument);
/* Hands the mailbox to the host with call NUMBER. */
void shim_post(uint32_t number);
/* Waits until the host hands it back. */
void shim_exchange(void);

/* segments.c: loads FS and GS bases from shim_registers; 0 or -errno. */
extern bool shim_has_fsgsbase;
long shim_segments_load(void);
/* The same for a recycled clone, where they are likely to be in place. */
void shim_segments_restore(void);
long shim_segments_call(const struct thaw_shim_segments *argument);
/* Puts the guest's bases into REGISTERS. */
void shim_segments_store(uint64_t registers[THAW_REGISTER_COUNT]);

/* fault.c: installs the signal handler on its stack. Returns 0 or -errno. */
extern uint8_t shim_signal_stack[];
long shim_fault_install(void);

/* The access, as PROT_..., that a page fault with the processor's ERROR code was for. */
static inline uint32_t shim_access(uint64_t error)
{
	enum { ERROR_WRITE = 2, ERROR_FETCH = 16 };

	return error & ERROR_WRITE ? PROT_WRITE : error & ERROR_FETCH ? PROT_EXEC : PROT_READ;
}

/* dispatch.c: a program within the guest, whose system calls and faults the guest answers. */
extern struct thaw_shim_dispatch shim_entries; /* all zero: there is none */
/* Turns on, as shim_entries says, that the kernel brings here the system calls of all code but the
 * shim's, or turns it off. Returns 0 or -errno. Each clone does it for itself, because fork() does
 * not inherit it. */
long shim_dispatch_arm(void);
long shim_dispatch_call(const struct thaw_shim_dispatch *argument);
/* Goes to ENTRY with the vector state at FRAME, which the kernel saved, and shim_registers. */
_Noreturn void shim_enter(uint64_t entry, const void *frame);

#pragma GCC visibility pop

#endif
