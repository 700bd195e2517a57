/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that the shim's assembly shares with its C, and with the host that puts clones back. */
#ifndef THAW_SHIM_REST_H
#define THAW_SHIM_REST_H

/* mailbox->up: a clone that runs for the first time waits; one that an invocation ran in, and that
 * was put back, waits. The shim makes the second the first once it has shed what was left in the
 * processor, so a clone that ends before that has seen nothing of its request. */
#define UP_FRESH    1
#define UP_RECYCLED 2

/* Room for the largest frame (AVX-512 with some to come: AT_MINSIGSTKSZ is 3.5 KiB, 11 KiB with
 * AMX). */
#define SIGNAL_STACK_SIZE 32768

/* abi.h's, which is C's: THAW_MAILBOX, THAW_TURN_GUEST, THAW_TURN_DEAD. */
#define MAILBOX	   0x1000100000
#define TURN_GUEST 1
#define TURN_DEAD  3

/* The turn of a clone at rest that is being put back: it mends its mappings. */
#define TURN_REPAIR 4
/* And of one that was put back: it sheds what was left in the processor before anybody waits for
 * it, and takes the turn to THAW_TURN_NONE. */
#define TURN_PREPARE 5

/* Of the shim's stack, from its top: what the shedding may write to. It is empty in every clone at
 * rest, so that one that was put back has there what a new one has. */
#define SHED_STACK 512

/* The turn of an early clone's host: it is asked for memory of the image. */
#define TURN_BRING 6

#endif
