/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interfaces between the files of the core, not for functions.
 *
 * Each page that an invocation writes costs a copy. So every variable that the core writes in each
 * invocation is marked THAW_HOT: the linker script puts these at the start of the writable segment,
 * in one page, which the program's first variables share.
 */
#ifndef THAW_CORE_H
#define THAW_CORE_H

#include <stdbool.h>

#include "thaw/abi.h"
#include "thaw/guest.h"

#define THAW_HOT __attribute__((section(".thaw_hot")))

/* The mailbox. Volatile, because the host writes it while the guest is in the gate. Plain pointers
 * serve for its windows, which are large and which only the side whose turn it is touches. */
static inline volatile struct thaw_mailbox *thaw_core_mailbox(void)
{
	return (volatile struct thaw_mailbox *)THAW_MAILBOX;
}

static inline uint8_t *thaw_core_scratch(void)
{
	return (uint8_t *)(THAW_MAILBOX + offsetof(struct thaw_mailbox, scratch));
}

static inline uint8_t *thaw_core_request_window(void)
{
	return (uint8_t *)(THAW_MAILBOX + offsetof(struct thaw_mailbox, request_window));
}

static inline uint8_t *thaw_core_response_window(void)
{
	return (uint8_t *)(THAW_MAILBOX + offsetof(struct thaw_mailbox, response_window));
}

/* Calls the gate, an ordinary System V function at a fixed address, so that the compiler knows what
 * a call may clobber. The call may also change any shared memory, hence the barriers. */
static inline long thaw_core_gate(long number, void *argument)
{
	long reply;

	__asm__ volatile("" ::: "memory");
	reply = ((long (*)(long, void *))THAW_GATE)(number, argument);
	__asm__ volatile("" ::: "memory");
	return reply;
}

/* Makes a hypercall with all the arguments that one can have; abi.h has the table. */
static inline long thaw_core_hypercall(enum thaw_hypercall number, uint32_t status, uint64_t length)
{
	volatile struct thaw_call *call = &thaw_core_mailbox()->call;

	call->number = number;
	call->status = status;
	call->length = length;
	return thaw_core_gate(number, NULL);
}

/* Bytes in the response window that the host does not have yet: they travel with the hypercall that
 * ends the invocation. */
size_t thaw_core_response_pending(void);

/* Keys the random generator. Its later output can be predicted only from SEED and the generator's
 * earlier state together. */
void thaw_core_random_seed(const uint64_t seed[THAW_SEED_SIZE / 8]);

/* ChaCha20's block function (RFC 8439). TAIL is counter and nonce, the last four words. */
void thaw_core_chacha_block(const uint8_t key[32], const uint32_t tail[4], uint8_t out[64]);

/* The addresses that the heap may use: page-aligned, END exclusive. */
void thaw_core_heap_area(uintptr_t *start, uintptr_t *end);

/* Gives free memory back before the ready point, so that the image does not store it. */
void thaw_core_heap_trim(void);

/* Formats through SINK, which gets the pieces of the output in order. Returns the length of the
 * whole output, or -1 for a format that is not supported. */
int thaw_core_format(void (*sink)(void *context, const char *bytes, size_t length), void *context,
		     const char *format, va_list arguments) __attribute__((format(printf, 3, 0)));

#endif
