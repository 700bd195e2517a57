/* SPDX-License-Identifier: Apache-2.0 */
/* Boot, the start of each invocation, and the table of commands; see conform.h. */
#include "tests/conformance/guest/conform.h"

size_t said;

long hypercall(long number, uint32_t status, uint64_t length)
{
	MAILBOX->call.number = 0xbadbadu; /* the gate's own argument counts */
	MAILBOX->call.status = status;
	MAILBOX->call.length = length;
	return gate(number, NULL);
}

void say(const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf((char *)response_window() + said, THAW_WINDOW_SIZE - said, format,
			   arguments);
	va_end(arguments);
	thaw_must(length >= 0 && said + (size_t)length < THAW_WINDOW_SIZE);
	said += (size_t)length;
}

void expect(unsigned signal, unsigned vector, uint64_t address, uint64_t rip)
{
	int length = snprintf((char *)scratch(), THAW_LOG_LINE_MAX, "expect %u %u %lx %lx", signal,
			      vector, address, rip);

	hypercall(THAW_HYPERCALL_log, 0, (uint64_t)length);
}

void skip_spaces(const char **rest)
{
	while (**rest == ' ')
		++*rest;
}

uint64_t word(const char **rest)
{
	char name[16];
	uint64_t value;
	size_t length = 0;
	char *end;

	skip_spaces(rest);
	if (**rest != '$') {
		value = strtoul(*rest, &end, 16);
		thaw_must(end != *rest);
		*rest = end;
		return value;
	}
	for (++*rest; **rest && **rest != ' ' && length < sizeof(name) - 1; ++*rest)
		name[length++] = **rest;
	name[length] = '\0';
	thaw_must(place(name, &value));
	return value;
}

uint8_t body_byte(size_t at)
{
	return (uint8_t)(at * 7 + (at >> 8) * 13 + (at >> 16));
}

static const struct command *find(const struct command *commands, const char *name, size_t length)
{
	for (; commands->name; commands++)
		if (strlen(commands->name) == length && memcmp(commands->name, name, length) == 0)
			return commands;
	return NULL;
}

/* The request is a command's name, its arguments, and perhaps a newline and a body. */
static void run_command(void)
{
	static const struct command *const tables[] = {
		call_commands, memory_commands, state_commands, fault_commands, dispatch_commands};
	char line[512];
	size_t length = 0, name = 0;

	while (length < MAILBOX->request.window_length && length < sizeof(line) - 1 &&
	       request_window()[length] != '\n') {
		line[length] = (char)request_window()[length];
		length++;
	}
	line[length] = '\0';
	if (!length)
		return;
	while (line[name] && line[name] != ' ')
		name++;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		const struct command *command = find(tables[i], line, name);

		if (command) {
			command->run(line[name] ? line + name + 1 : line + name);
			return;
		}
	}
	thaw_abort("the conformance guest has no such command");
}

int main(int argc, char **argv)
{
	state_prepare(argc > 1 && strcmp(argv[1], "fsgsbase") == 0);
	if (argc > 2)
		dispatch_prepare();
	MAILBOX->call.status = 0;
	MAILBOX->call.length = 0;
	entry_ready();
	state_check();
	run_command();
	hypercall(THAW_HYPERCALL_next, 0, said);
	__builtin_trap(); /* each invocation resumes at the ready point */
}
