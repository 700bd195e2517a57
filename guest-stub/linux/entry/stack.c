/* SPDX-License-Identifier: Apache-2.0 */
/* The program's first stack, laid out as the System V ABI and Linux do. */
#include <cpuid.h>
#include <elf.h>

#include "guest-stub/linux/entry/core.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/linux/task/cpu.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif
#define AUXILIARY_MAX 24
/* The core adds this to a dynamic program's environment, unless it is there, so that the loader
 * binds all functions before the ready point. Otherwise each clone would bind those that its
 * request needs. Lazy binding in glibc also saves all vector state that the processor has into as
 * much room as the processor of the boot needed, so an image that moved to a processor with more
 * would overwrite its own stack. */
#define BINDING "LD_BIND_NOW="
/* The size of a signal frame without its vector state. */
#define SIGNAL_FRAME 1024
/* As much of the stack is there from the start, which is more than most programs use. The arguments
 * and the environment fit: the first stack is no larger. */
#define AT_ONCE (2 * THAW_STACK_SIZE)

struct building {
	uint64_t at; /* the lowest byte so far */
	Elf64_auxv_t auxiliary[AUXILIARY_MAX];
	unsigned count;
};

static uint64_t put(struct building *stack, const void *bytes, size_t length)
{
	stack->at -= length;
	memcpy((void *)stack->at, bytes, length);
	return stack->at;
}

static uint64_t put_text(struct building *stack, const char *text)
{
	return put(stack, text, strlen(text) + 1);
}

static void add(struct building *stack, uint64_t type, uint64_t value)
{
	stack->auxiliary[stack->count++] = (Elf64_auxv_t){type, {value}};
}

static uint64_t hwcap(void)
{
	unsigned eax, ebx, ecx, edx = 0;

	__get_cpuid(1, &eax, &ebx, &ecx, &edx);
	return edx;
}

static void add_all(struct building *stack, const struct loaded *loaded, const uint64_t *first)
{
	uint8_t random[16];

	host_random(random, sizeof(random));
	add(stack, AT_SYSINFO_EHDR, (uint64_t)vdso_image);
	add(stack, AT_HWCAP, hwcap());
	add(stack, AT_PAGESZ, THAW_PAGE_SIZE);
	add(stack, AT_CLKTCK, 100);
	add(stack, AT_PHDR, loaded->headers);
	add(stack, AT_PHENT, loaded->header_size);
	add(stack, AT_PHNUM, loaded->header_count);
	add(stack, AT_BASE, loaded->base);
	add(stack, AT_FLAGS, 0);
	add(stack, AT_ENTRY, loaded->program);
	add(stack, AT_UID, config.uid);
	add(stack, AT_EUID, config.uid);
	add(stack, AT_GID, config.gid);
	add(stack, AT_EGID, config.gid);
	add(stack, AT_SECURE, 0);
	add(stack, AT_RANDOM, put(stack, random, sizeof(random)));
	add(stack, AT_HWCAP2, first_auxiliary(first, AT_HWCAP2));
	add(stack, AT_EXECFN, put_text(stack, config.program));
	add(stack, AT_PLATFORM, put_text(stack, "x86_64"));
	add(stack, AT_MINSIGSTKSZ, SIGNAL_FRAME + vector_size);
	add(stack, AT_NULL, 0);
}

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

static size_t list_length(const uint64_t *list)
{
	size_t length = 0;

	while (list[length])
		length++;
	return length;
}

/* Copies the strings of a list and stores their new addresses in OUT. */
static void put_list(struct building *stack, const uint64_t *from, size_t length, uint64_t *out)
{
	for (size_t i = length; i-- > 0;)
		out[i] = put_text(stack, (const char *)from[i]);
}

static bool leaves_binding_open(const uint64_t *environment)
{
	for (; *environment; environment++)
		if (!strncmp((const char *)*environment, BINDING, strlen(BINDING)))
			return false;
	return true;
}

/* Moves the pointers of a list by BY. */
static uint64_t *move_list(uint64_t *list, uint64_t by)
{
	for (; *list; list++)
		*list += by;
	return list + 1;
}

uint64_t *stack_take(const uint64_t *stack)
{
	size_t length = THAW_STACK_TOP - (uint64_t)stack;
	uint64_t *first = malloc(length);

	if (!first)
		host_abort("no memory for the program's arguments");
	memcpy(first, stack, length);
	move_list(move_list(first + 1, (uint64_t)first - (uint64_t)stack),
		  (uint64_t)first - (uint64_t)stack);
	if (thaw_unmap((void *)(THAW_STACK_TOP - THAW_STACK_SIZE), THAW_STACK_SIZE))
		host_abort("the first stack cannot be unmapped");
	return first;
}

void stack_map(void)
{
	const struct backing backing = {.name = "[stack]", .on_demand = true, .grows = true};

	if (memory_map(LINUX_STACK_TOP - LINUX_STACK, LINUX_STACK, PROT_READ_ | PROT_WRITE_,
		       &backing) ||
	    memory_supply(LINUX_STACK_TOP - AT_ONCE, LINUX_STACK_TOP))
		host_abort("%s", memory_shortage(AT_ONCE));
}

uint64_t stack_build(const struct loaded *loaded, const uint64_t *first)
{
	struct building stack = {.at = LINUX_STACK_TOP - 16};
	const uint64_t *arguments = first + 1, *environment = arguments + first[0] + 1;
	size_t argument_count = list_length(arguments),
	       environment_count = list_length(environment);
	bool binding = loaded->base && leaves_binding_open(environment);
	size_t words = 1 + argument_count + 1 + environment_count + binding + 1, size;
	/* The pointers are collected here first. The first stack had a limit below this one's, so
	 * all of it fits. */
	uint64_t *list = calloc(words, sizeof(*list));

	if (!list)
		host_abort("no memory for the program's arguments");
	list[0] = argument_count;
	config.environment_end = stack.at;
	if (binding)
		list[1 + argument_count + 1 + environment_count] = put_text(&stack, BINDING "1");
	put_list(&stack, environment, environment_count, list + 1 + argument_count + 1);
	config.environment = config.arguments_end = stack.at;
	put_list(&stack, arguments, argument_count, list + 1);
	config.arguments = stack.at;
	add_all(&stack, loaded, first);
	size = words * sizeof(*list) + stack.count * sizeof(stack.auxiliary[0]);
	stack.at = (stack.at - size) & ~15ul;
	memcpy((void *)stack.at, list, words * sizeof(*list));
	memcpy((void *)(stack.at + words * sizeof(*list)), stack.auxiliary,
	       stack.count * sizeof(stack.auxiliary[0]));
	config.auxiliary = stack.at + words * sizeof(*list);
	config.auxiliary_end = stack.at + size;
	free(list);
	return stack.at;
}
