/* SPDX-License-Identifier: Apache-2.0 */
/* The first stack; see first_stack.h. */
#include "engine/boot/first_stack.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "guest-stub/include/thaw/abi.h"
#include "snapshot-format/base/cleanup.h"

#define RANDOM_BYTES 16u
#define AUXILIARY    8u /* pairs, with room for the end */

static size_t count_of(char *const *strings, size_t *bytes)
{
	size_t count = 0;

	for (; strings && strings[count]; count++)
		*bytes += strlen(strings[count]) + 1;
	return count;
}

struct filling {
	uint64_t *word; /* the next word of the vectors */
	char *text;	/* the next string, in this copy */
	uint64_t delta; /* from this copy to the guest's address */
};

static uint64_t put_text(struct filling *at, const void *bytes, size_t length)
{
	uint64_t address = (uint64_t)(uintptr_t)at->text + at->delta;

	memcpy(at->text, bytes, length);
	at->text += length;
	return address;
}

static void put_strings(struct filling *at, char *const *strings)
{
	for (; strings && *strings; strings++)
		*at->word++ = put_text(at, *strings, strlen(*strings) + 1);
	*at->word++ = 0;
}

static void put_auxiliary(struct filling *at, uint64_t type, uint64_t value)
{
	*at->word++ = type;
	*at->word++ = value;
}

int thaw_first_stack_make(const struct thaw_elf *elf, char *const *args, char *const *env,
			  uint8_t **bytes, size_t *length, struct thaw_error *err)
{
	size_t text = RANDOM_BYTES;
	size_t arg_count = count_of(args, &text), env_count = count_of(env, &text);
	size_t vectors = (1 + arg_count + 1 + env_count + 1 + 2 * AUXILIARY) * sizeof(uint64_t);
	/* At entry the stack pointer is 16-byte aligned. */
	size_t size = (vectors + text + 15) & ~(size_t)15;
	uint8_t random[RANDOM_BYTES];
	struct filling at;
	uint8_t *stack;

	if (size > THAW_STACK_SIZE / 2)
		return thaw_fail(err, THAW_ERR_USAGE,
				 "arguments and environment take %zu bytes, more than %lu", size,
				 THAW_STACK_SIZE / 2);
	stack = calloc(1, size);
	if (!stack)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM,
				       "no memory for the first stack");
	if (getrandom(random, sizeof(random), 0) != sizeof(random)) {
		free(stack);
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "no entropy for the first stack");
	}
	at = (struct filling){(uint64_t *)(void *)stack, (char *)stack + vectors,
			      THAW_STACK_TOP - size - (uint64_t)(uintptr_t)stack};
	*at.word++ = arg_count;
	put_strings(&at, args);
	put_strings(&at, env);
	put_auxiliary(&at, AT_PAGESZ, THAW_PAGE_SIZE);
	if (elf->phdr_address) {
		put_auxiliary(&at, AT_PHDR, elf->phdr_address);
		put_auxiliary(&at, AT_PHENT, elf->phdr_size);
		put_auxiliary(&at, AT_PHNUM, elf->phdr_count);
	}
	put_auxiliary(&at, AT_ENTRY, elf->entry);
	put_auxiliary(&at, AT_RANDOM, put_text(&at, random, sizeof(random)));
	*bytes = stack;
	*length = size;
	return 0;
}
