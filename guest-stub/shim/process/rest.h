/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that the shim's assembly shares with its C, and with the host that recycles clones. */
#ifndef THAW_SHIM_REST_H
#define THAW_SHIM_REST_H

/* mailbox->up of a clone that waits for its request: UP_FRESH when it is new, UP_RECYCLED when it
 * was recycled. The shim turns the second into the first once the clone has shed what the last
 * invocation left in the processor. So a clone that ends before that has seen nothing of its
 * request. */
#define UP_FRESH    1
#define UP_RECYCLED 2

/* Room for the largest frame (AVX-512 with some to come: AT_MINSIGSTKSZ is 3.5 KiB, 11 KiB with
 * AMX). */
#define SIGNAL_STACK_SIZE 32768

/* abi.h's, which is C's: THAW_MAILBOX, THAW_TURN_GUEST, THAW_TURN_DEAD. */
#define MAILBOX	   0x1000100000
#define TURN_GUEST 1
#define TURN_DEAD  3

/* The turn of a clone at rest that is being recycled: it mends its mappings. */
#define TURN_REPAIR 4
/* The turn of a recycled clone that sheds what was left in the processor before a request comes; it
 * then sets the turn to THAW_TURN_NONE. */
#define TURN_PREPARE 5

/* Bytes of the shim's stack, from its top, that the shedding may write. They are zero in every
 * clone at rest, so that a recycled one has there what a new one has. */
#define SHED_STACK 512

/* The turn by which an early clone asks the host for memory of the image. */
#define TURN_BRING 6

#endif
