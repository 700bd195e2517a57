/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function that uses the guest library in every way that the shipped ones do not. The first word
 * of the request names the way. It answers "ok" with status 0, or aborts and names the condition
 * that failed.
 */
#include <thaw/guest.h>

#define SEEN 0x5eedu

static unsigned first_hook, second_hook;
static uint64_t at_boot_wall, at_boot_random[4];

static void hook_one(void)
{
	first_hook = SEEN;
}

static void hook_two(void)
{
	thaw_must(first_hook == SEEN); /* in the order of the calls */
	second_hook++;
}

static int hooks(struct thaw_invocation *invocation)
{
	thaw_must(second_hook == 1);
	return thaw_print(invocation, "ok");
}

/* Reads in odd steps, and compares with the bytes of the whole body, which repeat 'a' to 'z'. */
static int read_in_steps(struct thaw_invocation *invocation)
{
	size_t done = 5, left; /* the command and its newline are read already */
	const uint8_t *body;
	char buffer[1000];
	long got;

	while (done < 70000 && (got = thaw_read(invocation, buffer, 1 + done % sizeof(buffer))) > 0)
		for (long i = 0; i < got; i++, done++)
			thaw_must(buffer[i] == (char)('a' + done % 26));
	body = thaw_request_body(invocation, &left);
	thaw_must(body != NULL && left == thaw_request_length(invocation) - done);
	for (size_t i = 0; i < left; i++)
		thaw_must(body[i] == 'a' + (done + i) % 26);
	thaw_must(thaw_request_body(invocation, NULL) == body);
	thaw_must(thaw_read(invocation, buffer, sizeof(buffer)) == 0);
	return thaw_printf(invocation, "%zu", left);
}

static int heap(struct thaw_invocation *invocation)
{
	enum { COUNT = 300 };
	uint8_t *blocks[COUNT];

	for (size_t i = 0; i < COUNT; i++) {
		blocks[i] = calloc(i, 100);
		thaw_must(blocks[i] != NULL);
		memset(blocks[i], (int)i, i * 100);
	}
	for (size_t i = 0; i < COUNT; i += 2)
		free(blocks[i]);
	for (size_t i = 1; i < COUNT; i += 2) {
		blocks[i] = realloc(blocks[i], i * 200);
		thaw_must(blocks[i] != NULL && blocks[i][0] == (uint8_t)i &&
			  blocks[i][i * 100 - 1] == (uint8_t)i);
	}
	thaw_must(malloc((size_t)1 << 40) == NULL);
	thaw_must(malloc((size_t)60 << 20) == NULL); /* of 64 MiB, less the program and its stack */
	thaw_must(malloc((size_t)20 << 20) != NULL);
	return thaw_print(invocation, "ok");
}

static int clocks(struct thaw_invocation *invocation)
{
	uint64_t monotonic = thaw_monotonic_ns(), wall = thaw_wall_ns(), last = monotonic;

	thaw_must(monotonic > 0 && wall >= at_boot_wall && at_boot_wall > 0);
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t now = thaw_monotonic_ns();

		thaw_must(now >= last);
		last = now;
	}
	thaw_must(thaw_deadline_ns(invocation) == 12345); /* machine.c sets this */
	thaw_must(thaw_generation(invocation) != 0);
	return thaw_print(invocation, "ok");
}

static int memory(struct thaw_invocation *invocation)
{
	uint8_t *pages = (uint8_t *)THAW_MAP_BASE;

	thaw_must(thaw_map(pages, 3 * 4096, THAW_MAP_READ | THAW_MAP_WRITE) == 0);
	thaw_must(thaw_map(pages + 4096, 4096, THAW_MAP_READ) < 0);
	memset(pages, 1, 3 * 4096);
	thaw_must(thaw_protect(pages, 4096, THAW_MAP_READ) == 0);
	thaw_must(thaw_unmap(pages + 4096, 4096) == 0);
	thaw_must(thaw_map(pages + 4096, 4096, THAW_MAP_READ | THAW_MAP_WRITE) == 0);
	thaw_must(pages[0] == 1 && pages[4096] == 0 && pages[2 * 4096] == 1);
	/* Code that was made here may run once it is read-only. */
	pages[4096] = 0xc3;
	thaw_must(thaw_protect(pages + 4096, 4096, THAW_MAP_READ | THAW_MAP_EXEC) == 0);
	((void (*)(void))(pages + 4096))();
	return thaw_print(invocation, "ok");
}

static int entropy(struct thaw_invocation *invocation)
{
	uint64_t now[4];

	thaw_random(now, sizeof(now));
	thaw_must(memcmp(now, at_boot_random, sizeof(now)) != 0);
	return thaw_printf(invocation, "%016lx", (unsigned long)now[0]);
}

/* Answers with as many bytes as the rest of the command says. */
static int respond(struct thaw_invocation *invocation, const char *rest)
{
	for (size_t left = strtoul(rest, NULL, 0); left > 0; left--)
		thaw_must(thaw_write(invocation, "x", 1) >= 0);
	return 0;
}

static int too_many_hooks(struct thaw_invocation *invocation)
{
	for (unsigned i = 2; i < THAW_HOOKS_MAX; i++)
		thaw_must(thaw_on_thaw(hook_one) == 0);
	thaw_must(thaw_on_thaw(hook_one) == -1);
	return thaw_print(invocation, "ok");
}

static int probe(struct thaw_invocation *invocation)
{
	char command[32];
	long length = 0;

	while (length < (long)sizeof(command) - 1 &&
	       thaw_read(invocation, command + length, 1) == 1 && command[length] != '\n')
		length++;
	command[length] = '\0';
	if (strcmp(command, "hooks") == 0)
		return hooks(invocation);
	if (strcmp(command, "read") == 0)
		return read_in_steps(invocation);
	if (strcmp(command, "heap") == 0)
		return heap(invocation);
	if (strcmp(command, "clocks") == 0)
		return clocks(invocation);
	if (strcmp(command, "memory") == 0)
		return memory(invocation);
	if (strcmp(command, "entropy") == 0)
		return entropy(invocation);
	if (strcmp(command, "full") == 0)
		return too_many_hooks(invocation);
	if (strncmp(command, "respond ", 8) == 0)
		return respond(invocation, command + 8);
	thaw_abort("unknown command");
}

int main(int argc, char **argv, char **envp)
{
	void *used_at_boot = malloc(100000);

	thaw_must(argc == 3 && strcmp(argv[1], "one") == 0 && strcmp(argv[2], "two words") == 0);
	thaw_must(argv[3] == NULL && envp == argv + 4 && envp[0] == NULL);
	thaw_must(((uintptr_t)__builtin_frame_address(0) & 15) == 0);
	thaw_must(used_at_boot != NULL);
	memset(used_at_boot, 1, 100000);
	free(used_at_boot);
	at_boot_wall = thaw_wall_ns();
	thaw_random(at_boot_random, sizeof(at_boot_random));
	thaw_must(thaw_on_thaw(hook_one) == 0 && thaw_on_thaw(hook_two) == 0);
	thaw_log("booted with %d arguments", argc);
	thaw_serve(probe);
}
