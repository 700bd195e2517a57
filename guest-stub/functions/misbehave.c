/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Misbehaves on command; the first word of the request names the way. Tests use it on everything
 * that must withstand a hostile function, and people use it to see what their callers would get.
 *
 * Started with --boot=WAY, it misbehaves before its ready point. A way that returns reports what it
 * found. If the host failed to stop a way that it must stop, the answer is "survived" with
 * status 3.
 */
#include <stdbool.h>

#include <thaw/abi.h>
#include <thaw/guest.h>

#define SURVIVED 3
#define PIECE	 0x100000ul

struct way {
	const char *name;
	/* INVOCATION is NULL at boot. REST is the text after the name. Returns the status. */
	int (*run)(struct thaw_invocation *invocation, const char *rest);
	const char *what;
};

/* Pages of a range that are never written, so no image stores them. */
static uint8_t holes[8 * PIECE];
static uint8_t data[16] = {0xc3}; /* a valid instruction where none may run */

/* Reports to the caller, or at boot to the operator. */
__attribute__((format(printf, 2, 3))) static void say(struct thaw_invocation *invocation,
						      const char *format, ...)
{
	char text[THAW_LOG_LINE_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (invocation)
		thaw_printf(invocation, "%s\n", text);
	else
		thaw_log("%s", text);
}

static int survived(struct thaw_invocation *invocation, long result)
{
	say(invocation, "survived: %ld", result);
	return SURVIVED;
}

/* Keeps the compiler from knowing where a pointer points. */
static volatile uint8_t *anywhere(uintptr_t address)
{
	__asm__ volatile("" : "+r"(address));
	return (volatile uint8_t *)address;
}

/* ---- Faults ---- */

static int crash(struct thaw_invocation *invocation, const char *rest)
{
	(void)rest;
	*anywhere(0) = 1;
	return survived(invocation, 0);
}

static int crash_exec(struct thaw_invocation *invocation, const char *rest)
{
	(void)rest;
	((void (*)(void))(uintptr_t)anywhere((uintptr_t)data))();
	return survived(invocation, 0);
}

static int descend(int depth)
{
	volatile uint8_t frame[1024];
	int (*volatile next)(int) = descend;

	frame[depth & 1023] = 1;
	return next(depth + 1) + frame[0];
}

static int crash_stack(struct thaw_invocation *invocation, const char *rest)
{
	(void)rest;
	return survived(invocation, descend(0));
}

static int illegal(struct thaw_invocation *invocation, const char *rest)
{
	(void)rest;
	__asm__ volatile("ud2");
	return survived(invocation, 0);
}

static int divide(struct thaw_invocation *invocation, const char *rest)
{
	uint32_t quotient = 1, remainder = 0;

	(void)rest;
	__asm__ volatile("divl %2" : "+a"(quotient), "+d"(remainder) : "r"(0));
	return survived(invocation, (long)quotient);
}

static int write_text(struct thaw_invocation *invocation, const char *rest)
{
	(void)rest;
	*anywhere((uintptr_t)write_text) = 0xc3;
	return survived(invocation, 0);
}

static int smash(struct thaw_invocation *invocation, const char *rest)
{
	uint8_t frame[16];
	volatile uint8_t *at = anywhere((uintptr_t)frame);

	(void)rest;
	for (unsigned i = 0; i < 64; i++)
		at[i] = 0x41;
	say(invocation, "the frame is overwritten");
	return SURVIVED;
}

/* ---- Time ---- */

static volatile bool forever = true;

static int hang(struct thaw_invocation *invocation, const char *rest)
{
	(void)rest;
	while (forever)
		__asm__ volatile("pause");
	return survived(invocation, 0);
}

/* ---- Memory ---- */

static void dirty(uintptr_t start, size_t length)
{
	for (size_t at = 0; at < length; at += THAW_PAGE_SIZE)
		*anywhere(start + at) = (uint8_t)(at >> 12 | 1);
}

/* Maps and dirties pages from START on until not one more can be had, and protects each piece with
 * PROT afterwards. Returns the number of bytes. */
static size_t take_all(uintptr_t start, unsigned prot)
{
	size_t total = 0, piece = PIECE;

	while (piece >= THAW_PAGE_SIZE) {
		if (thaw_map((void *)(start + total), piece, THAW_MAP_READ | THAW_MAP_WRITE) < 0) {
			piece /= 2;
			continue;
		}
		dirty(start + total, piece);
		if (prot != (THAW_MAP_READ | THAW_MAP_WRITE))
			thaw_protect((void *)(start + total), piece, prot);
		total += piece;
	}
	return total;
}

static int memory(struct thaw_invocation *invocation, const char *rest)
{
	size_t total = take_all(THAW_MAP_BASE, THAW_MAP_READ | THAW_MAP_WRITE);

	(void)rest;
	say(invocation, "%zu bytes", total);
	return 0;
}

/* Gets around a limit that counts only writable memory. */
static int memory_remap(struct thaw_invocation *invocation, const char *rest)
{
	size_t most = 0;

	(void)rest;
	for (unsigned round = 0; round < 3; round++) {
		size_t total = take_all(THAW_MAP_BASE, THAW_MAP_READ);

		if (total > most)
			most = total;
		if (total > 0)
			thaw_unmap((void *)THAW_MAP_BASE, total);
	}
	say(invocation, "%zu bytes", most);
	return 0;
}

static int memory_holes(struct thaw_invocation *invocation, const char *rest)
{
	size_t pages = 0, wrong = 0;

	(void)rest;
	for (size_t at = 0; at < sizeof(holes); at += THAW_PAGE_SIZE, pages++)
		wrong += *anywhere((uintptr_t)holes + at) != 0;
	say(invocation, "%zu pages, %zu not zero", pages, wrong);
	return wrong == 0 ? 0 : SURVIVED;
}

/* Reports RESULT of a call that must be refused: negative when it was. */
static int refused(struct thaw_invocation *invocation, int result)
{
	if (result >= 0)
		return survived(invocation, result);
	say(invocation, "refused: %d", result);
	return 0;
}

static int wx(struct thaw_invocation *invocation, const char *rest)
{
	void *page = (void *)THAW_MAP_BASE;
	int result = thaw_map(page, THAW_PAGE_SIZE, THAW_MAP_READ | THAW_MAP_WRITE | THAW_MAP_EXEC);

	(void)rest;
	if (result >= 0)
		return survived(invocation, result);
	thaw_must(thaw_map(page, THAW_PAGE_SIZE, THAW_MAP_READ | THAW_MAP_WRITE) == 0);
	return refused(invocation, thaw_protect(page, THAW_PAGE_SIZE,
						THAW_MAP_READ | THAW_MAP_WRITE | THAW_MAP_EXEC));
}

static int low(struct thaw_invocation *invocation, const char *rest)
{
	int result = thaw_map((void *)THAW_PAGE_SIZE, THAW_PAGE_SIZE, THAW_MAP_READ);

	(void)rest;
	if (result >= 0)
		return survived(invocation, result);
	return refused(invocation, thaw_map((void *)(THAW_REGION_BASE - THAW_PAGE_SIZE),
					    2 * THAW_PAGE_SIZE, THAW_MAP_READ));
}

/* Across the end of the region, where the shim is. */
static int high(struct thaw_invocation *invocation, const char *rest)
{
	int result = thaw_map((void *)(THAW_REGION_END - THAW_PAGE_SIZE), 2 * THAW_PAGE_SIZE,
			      THAW_MAP_READ | THAW_MAP_WRITE);

	(void)rest;
	if (result >= 0)
		return survived(invocation, result);
	result = thaw_unmap((void *)THAW_GATE, THAW_PAGE_SIZE);
	if (result >= 0)
		return survived(invocation, result);
	return refused(invocation,
		       thaw_protect((void *)THAW_MAILBOX, THAW_PAGE_SIZE, THAW_MAP_READ));
}

static int shim(struct thaw_invocation *invocation, const char *rest)
{
	(void)rest;
	*anywhere(THAW_GATE) = 0xc3;
	return survived(invocation, 0);
}

/* ---- Hypercalls ---- */

static volatile struct thaw_mailbox *mailbox(void)
{
	return (volatile struct thaw_mailbox *)(uintptr_t)anywhere(THAW_MAILBOX);
}

static long gate(long number, void *argument)
{
	return ((long (*)(long, void *))THAW_GATE)(number, argument);
}

static long hypercall(uint32_t number, uint64_t length)
{
	mailbox()->call.number = number;
	mailbox()->call.status = 0;
	mailbox()->call.length = length;
	return gate(number, NULL);
}

static int hang_calls(struct thaw_invocation *invocation, const char *rest)
{
	(void)rest;
	while (forever)
		hypercall(THAW_HYPERCALL_random, 1);
	return survived(invocation, 0);
}

static int log_flood(struct thaw_invocation *invocation, const char *rest)
{
	unsigned sent = 0, dropped = 0;

	(void)rest;
	for (unsigned i = 0; i < 100000; i++)
		*(thaw_log("line %u of a flood", i) < 0 ? &dropped : &sent) += 1;
	say(invocation, "%u lines, %u dropped", sent, dropped);
	return 0;
}

static int answer_too_much(struct thaw_invocation *invocation, const char *rest)
{
	static const char line[] = "and another thing\n";
	int result = 0;

	(void)rest;
	while (invocation && result >= 0)
		result = thaw_write(invocation, line, sizeof(line) - 1);
	return survived(invocation, result);
}

static int bad_hypercall(struct thaw_invocation *invocation, const char *rest)
{
	(void)rest;
	return survived(invocation, hypercall(63, 0));
}

static int bad_shim_call(struct thaw_invocation *invocation, const char *rest)
{
	(void)rest;
	return refused(invocation, (int)gate(127, NULL));
}

#define NAME_NUMBER(name, number, what) {#name, number},
static const struct {
	const char *name;
	uint32_t number;
} hypercalls[] = {THAW_HYPERCALLS(NAME_NUMBER)};

static int bad_length(struct thaw_invocation *invocation, const char *rest)
{
	uint32_t number = THAW_HYPERCALL_write;
	long reply;

	for (size_t i = 0; i < sizeof(hypercalls) / sizeof(hypercalls[0]); i++)
		if (strcmp(rest, hypercalls[i].name) == 0)
			number = hypercalls[i].number;
	reply = hypercall(number, UINT64_MAX - 1);
	/* These two take no length, so none can be wrong. */
	if (number == THAW_HYPERCALL_read || number == THAW_HYPERCALL_call) {
		say(invocation, "not looked at: %ld", reply);
		return 0;
	}
	return survived(invocation, reply);
}

static int call_other(struct thaw_invocation *invocation, const char *rest)
{
	size_t length = strnlen(rest, THAW_SCRATCH_SIZE);

	memcpy((void *)(THAW_MAILBOX + offsetof(struct thaw_mailbox, scratch)), rest, length);
	return refused(invocation, (int)hypercall(THAW_HYPERCALL_call, length));
}

/* Leaves out the word that says whose turn it is: the host looks at it now and then, so whether it
 * would see the spoilt word is chance. */
static void scribble(void)
{
	const size_t turn = offsetof(struct thaw_mailbox, turn);

	for (size_t at = 0; at < THAW_MAILBOX_SIZE; at++)
		if (at < turn || at >= turn + sizeof(mailbox()->turn))
			*anywhere(THAW_MAILBOX + at) = 0xff;
}

static int bad_mailbox(struct thaw_invocation *invocation, const char *rest)
{
	(void)rest;
	scribble();
	say(invocation, "scribbled");
	return 0;
}

/* Declares the host's turn without giving up the processor. */
static int bad_turn(struct thaw_invocation *invocation, const char *rest)
{
	scribble();
	mailbox()->turn = THAW_TURN_HOST;
	return hang(invocation, rest);
}

/* ---- System calls ---- */

static long syscall3(long number, long a, long b, long c)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return result;
}

static int make_socket(struct thaw_invocation *invocation, const char *rest)
{
	(void)rest;
	return survived(invocation, syscall3(41, 2, 1, 0)); /* socket(AF_INET, SOCK_STREAM, 0) */
}

static int make_child(struct thaw_invocation *invocation, const char *rest)
{
	if (strcmp(rest, "vfork") == 0)
		return survived(invocation, syscall3(58, 0, 0, 0));
	if (strcmp(rest, "clone") == 0)
		return survived(invocation, syscall3(56, 17, 0, 0)); /* SIGCHLD */
	return survived(invocation, syscall3(57, 0, 0, 0));
}

/* ---- Endings that are allowed ---- */

static int do_exit(struct thaw_invocation *invocation, const char *rest)
{
	say(invocation, "leaving");
	thaw_exit((int)strtol(rest, NULL, 0));
}

static int do_abort(struct thaw_invocation *invocation, const char *rest)
{
	(void)invocation;
	thaw_abort(rest);
}

static int status(struct thaw_invocation *invocation, const char *rest)
{
	(void)invocation;
	return (int)strtol(rest, NULL, 0);
}

static int echo(struct thaw_invocation *invocation, const char *rest)
{
	say(invocation, "%s", rest);
	return 0;
}

static const struct way ways[] = {
	{"crash", crash, "writes to address 0"},
	{"crash-exec", crash_exec, "runs its data"},
	{"crash-stack", crash_stack, "recurses until the stack is used up"},
	{"illegal", illegal, "executes an undefined instruction"},
	{"divide", divide, "divides by zero"},
	{"write-text", write_text, "writes to its own code"},
	{"smash", smash, "overwrites its own stack frame"},
	{"hang", hang, "spins"},
	{"hang-calls", hang_calls, "makes valid hypercalls without end"},
	{"memory", memory, "maps and dirties until refused, and says how much it got"},
	{"memory-remap", memory_remap, "the same, write-protecting what it has; unmaps; again"},
	{"memory-holes", memory_holes, "reads all pages that no image stores"},
	{"wx", wx, "asks for memory that is writable and executable"},
	{"low", low, "maps below the region"},
	{"high", high, "maps, unmaps and protects above the region"},
	{"shim", shim, "writes over the gate"},
	{"log-flood", log_flood, "logs 100000 lines"},
	{"answer-too-much", answer_too_much, "answers without end"},
	{"bad-hypercall", bad_hypercall, "makes a hypercall with an unknown number"},
	{"bad-shim-call", bad_shim_call, "makes a shim call with an unknown number"},
	{"bad-length", bad_length, "[CALL]: makes a hypercall with an absurd length"},
	{"bad-mailbox", bad_mailbox, "scribbles over the mailbox, but for the turn, and goes on"},
	{"bad-turn", bad_turn, "scribbles over the mailbox, hands the turn over and spins"},
	{"call", call_other, "NAME: invokes a function without a grant"},
	{"syscall", make_socket, "makes a socket with a system call of its own"},
	{"fork", make_child, "[vfork|clone]: makes a child with a system call of its own"},
	{"exit", do_exit, "N: ends its instance"},
	{"abort", do_abort, "TEXT: gives up"},
	{"status", status, "N: finishes with a status"},
	{"echo", echo, "TEXT: answers it"},
	{"ok", echo, "behaves"},
};

/* Runs the way that TEXT, which is null-terminated and gets changed, begins with. */
static int misbehave(struct thaw_invocation *invocation, char *text)
{
	char *rest = strchr(text, ' ');

	if (rest)
		*rest++ = '\0';
	else
		rest = strchr(text, '\0');
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (strcmp(text, ways[i].name) == 0)
			return ways[i].run(invocation, rest);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		say(invocation, "%-16s %s", ways[i].name, ways[i].what);
	return 2;
}

static int handle(struct thaw_invocation *invocation)
{
	char text[512];
	long length = thaw_read(invocation, text, sizeof(text) - 1);

	while (length > 0 && text[length - 1] == '\n')
		length--;
	text[length < 0 ? 0 : length] = '\0';
	return misbehave(invocation, text);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], "--boot=", 7) == 0)
			misbehave(NULL, argv[i] + 7);
	thaw_serve(handle);
}
