/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest library's interface inside a WebAssembly module, over a handful of imports that
 * wasm_server.js provides. With it the source of a function becomes a module of which each
 * instance boots and serves one request. Formatting is the guest library's own.
 *
 * Compiled with -Dnoreturn=unused: leaving a module's frames for good takes an exception, which
 * costs more than a whole request, so thaw_serve() returns, and main() returns. No function here
 * has code after thaw_serve().
 */
#include "guest-stub/core/core.h"

#define IMPORT(name) __attribute__((import_module("thaw"), import_name(name)))

/* Copies the request's next bytes, at most LENGTH; returns how many. */
IMPORT("read") size_t host_read(void *to, size_t length);
IMPORT("length") size_t host_length(void);
IMPORT("write") void host_write(const void *from, size_t length);
IMPORT("log") void host_log(const char *text, size_t length);
IMPORT("random") void host_random(void *to, size_t length);
IMPORT("time") double host_time(int since_epoch); /* ns */
/* Ends the instance, with an exception. */
IMPORT("exit") void host_exit(int status);

int thaw_main(void); /* the function's main() */
int thaw_start(void);

struct thaw_invocation {
	size_t length, left;
	uint8_t *body; /* the result of thaw_request_body() */
	size_t body_length;
};

static struct thaw_invocation current;
static void (*hooks[THAW_HOOKS_MAX])(void);
static unsigned hook_count;
static int status;

__attribute__((export_name("start"))) int thaw_start(void)
{
	thaw_main();
	return status;
}

void thaw_serve(int (*handler)(struct thaw_invocation *))
{
	current.length = current.left = host_length();
	for (unsigned i = 0; i < hook_count; i++)
		hooks[i]();
	status = handler(&current) & 255;
}

int thaw_on_thaw(void (*hook)(void))
{
	if (hook_count == THAW_HOOKS_MAX)
		return -1;
	hooks[hook_count++] = hook;
	return 0;
}

void thaw_exit(int with)
{
	host_exit(with & 255);
}

void thaw_abort(const char *message)
{
	host_log(message, strlen(message));
	host_exit(134);
}

/* ---- Request and response ---- */

size_t thaw_request_length(const struct thaw_invocation *invocation)
{
	return invocation->length;
}

long thaw_read(struct thaw_invocation *invocation, void *buffer, size_t length)
{
	size_t got = host_read(buffer, length);

	invocation->left -= got;
	return (long)got;
}

long thaw_read_piece(struct thaw_invocation *invocation, const void **piece)
{
	static uint8_t buffer[65536];

	*piece = buffer;
	return thaw_read(invocation, buffer, sizeof(buffer));
}

const void *thaw_request_body(struct thaw_invocation *invocation, size_t *length)
{
	if (!invocation->body) {
		invocation->body_length = invocation->left;
		invocation->body = malloc(invocation->left + 1);
		if (!invocation->body)
			return NULL;
		thaw_read(invocation, invocation->body, invocation->left);
	}
	if (length)
		*length = invocation->body_length;
	return invocation->body;
}

int thaw_write(struct thaw_invocation *invocation, const void *bytes, size_t length)
{
	(void)invocation;
	host_write(bytes, length);
	return 0;
}

int thaw_print(struct thaw_invocation *invocation, const char *text)
{
	return thaw_write(invocation, text, strlen(text));
}

static void to_response(void *context, const char *bytes, size_t length)
{
	thaw_write(context, bytes, length);
}

int thaw_printf(struct thaw_invocation *invocation, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = thaw_core_format(to_response, invocation, format, arguments);
	va_end(arguments);
	return length < 0 ? length : 0;
}

int thaw_log(const char *format, ...)
{
	char line[THAW_LOG_LINE_MAX + 1];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (length >= 0)
		host_log(line, strnlen(line, sizeof(line)));
	return length < 0 ? length : 0;
}

/* ---- Entropy and time ---- */

uint64_t thaw_deadline_ns(const struct thaw_invocation *invocation)
{
	(void)invocation;
	return 0;
}

uint64_t thaw_generation(const struct thaw_invocation *invocation)
{
	uint64_t generation;

	(void)invocation;
	host_random(&generation, sizeof(generation));
	return generation | 1;
}

void thaw_random(void *buffer, size_t length)
{
	host_random(buffer, length);
}

uint64_t thaw_wall_ns(void)
{
	return (uint64_t)host_time(1);
}

uint64_t thaw_monotonic_ns(void)
{
	return (uint64_t)host_time(0);
}

/* ---- Memory: an instance lives for one request, so its heap only grows ---- */

#define WASM_PAGE ((size_t)65536)
#define ALIGNMENT ((size_t)16)

extern char __heap_base[]; /* from the linker: after data and stack */
static char *heap_end;

/* A block's size is in the sixteen bytes before it. */
static size_t *size_of(void *block)
{
	return (size_t *)((char *)block - ALIGNMENT);
}

void *malloc(size_t size)
{
	size_t have = __builtin_wasm_memory_size(0) * WASM_PAGE, whole;
	uintptr_t start = ((uintptr_t)(heap_end ? heap_end : __heap_base) + ALIGNMENT - 1) &
			  ~(uintptr_t)(ALIGNMENT - 1);

	if (__builtin_add_overflow(size, start + ALIGNMENT, &whole))
		return NULL;
	if (whole > have &&
	    __builtin_wasm_memory_grow(0, (whole - have - 1) / WASM_PAGE + 1) == SIZE_MAX)
		return NULL;
	heap_end = (char *)whole;
	*(size_t *)start = size;
	return (void *)(start + ALIGNMENT);
}

/* Memory that was never used is zero. */
void *calloc(size_t count, size_t size)
{
	size_t whole;

	return __builtin_mul_overflow(count, size, &whole) ? NULL : malloc(whole);
}

void free(void *block)
{
	(void)block;
}

void *realloc(void *block, size_t size)
{
	void *moved = malloc(size);

	if (block && moved)
		memcpy(moved, block, *size_of(block) < size ? *size_of(block) : size);
	return moved;
}

/* ---- Strings: copying is one instruction here (-mbulk-memory) ---- */

void *memcpy(void *restrict to, const void *restrict from, size_t length)
{
	return __builtin_memcpy(to, from, length);
}

void *memmove(void *to, const void *from, size_t length)
{
	return __builtin_memmove(to, from, length);
}

void *memset(void *to, int byte, size_t length)
{
	return __builtin_memset(to, byte, length);
}

int memcmp(const void *a, const void *b, size_t length)
{
	const uint8_t *left = a, *right = b;

	for (size_t i = 0; i < length; i++)
		if (left[i] != right[i])
			return left[i] < right[i] ? -1 : 1;
	return 0;
}

size_t strnlen(const char *text, size_t max)
{
	size_t length = 0;

	while (length < max && text[length])
		length++;
	return length;
}

size_t strlen(const char *text)
{
	return strnlen(text, SIZE_MAX);
}

char *strchr(const char *text, int byte)
{
	while (*text != (char)byte)
		if (!*text++)
			return NULL;
	return (char *)text;
}
