/* SPDX-License-Identifier: Apache-2.0 */
/* The stack that a program starts with: arguments, environment and auxiliary vector (System V AMD64
 * ABI, 3.4). Internal to the engine. */
#ifndef THAW_FIRST_STACK_H
#define THAW_FIRST_STACK_H

#include "engine/boot/elf.h"

/* Makes the *LENGTH bytes that end at THAW_STACK_TOP; the stack pointer is where they begin. The
 * caller frees *BYTES. ARGS and ENV may be NULL. Refuses (THAW_ERR_USAGE) strings that would fill
 * more than half of the stack. */
int thaw_first_stack_make(const struct thaw_elf *elf, char *const *args, char *const *env,
			  uint8_t **bytes, size_t *length, struct thaw_error *err);

#endif
