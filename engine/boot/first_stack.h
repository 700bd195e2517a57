/* SPDX-License-Identifier: Apache-2.0 */
/* The stack that a program starts with: arguments, environment and auxiliary vector, System V AMD64
 * ABI 3.4. */
#ifndef THAW_FIRST_STACK_H
#define THAW_FIRST_STACK_H

#include "engine/boot/elf.h"

/* Makes the bytes that end at THAW_STACK_TOP; the stack pointer is THAW_STACK_TOP less *LENGTH. The
 * caller frees. ARGS and ENV may be NULL. Refuses (THAW_ERR_USAGE) what would fill more than half
 * of the stack. */
int thaw_first_stack_make(const struct thaw_elf *elf, char *const *args, char *const *env,
			  uint8_t **bytes, size_t *length, struct thaw_error *err);

#endif
