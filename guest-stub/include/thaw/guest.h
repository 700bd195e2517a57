/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C guest library, for people who write native functions.
 *
 * A function is a program. main() runs once, when the function is frozen, and ends by calling
 * thaw_serve(). Each invocation then starts in a fresh copy of the memory that main() left, calls
 * the handler once, and is thrown away. There is one thread, no signal and no file: this header has
 * everything that the host gives.
 *
 * Frozen state is the same in every clone. The library renews its own (random generator, stack
 * guard, clock) for each invocation. A program renews what it seeded before thaw_serve() in a
 * thaw_on_thaw() hook.
 *
 * Nothing here is thread-safe: a guest has one context.
 */
#ifndef THAW_GUEST_H
#define THAW_GUEST_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#error "the guest library is for C"
#endif

/* ---- Serving ---- */

/* The current invocation; valid until the handler returns. */
struct thaw_invocation;

/* Serves invocations for ever. The first wait is the function's ready point. The low eight bits of
 * HANDLER's result are the invocation's exit status. */
void thaw_serve(int (*handler)(struct thaw_invocation *)) __attribute__((noreturn));

/* Runs HOOK at the start of each invocation, before the handler; hooks run in the order of these
 * calls. Use it for state that must differ between clones. Returns 0, or -1 when there are
 * THAW_HOOKS_MAX already. */
#define THAW_HOOKS_MAX 16
int thaw_on_thaw(void (*hook)(void));

/* ---- The request ---- */

size_t thaw_request_length(const struct thaw_invocation *invocation);

/* Copies up to LENGTH of the request's next bytes to BUFFER. Returns their number, 0 at the end, or
 * a negative value if the host failed to deliver them. */
long thaw_read(struct thaw_invocation *invocation, void *buffer, size_t length);

/* The same without a copy: *PIECE points to the next bytes in place. They are valid until the next
 * call that reads. */
long thaw_read_piece(struct thaw_invocation *invocation, const void **piece);

/* Returns all that is still unread in one piece, *LENGTH bytes (LENGTH may be NULL), which then
 * counts as read. A request of up to 64 KiB stays in place; a larger one is copied to the heap, and
 * NULL means that memory ran out. The library owns the bytes until the handler returns. Another
 * call returns the same bytes. */
const void *thaw_request_body(struct thaw_invocation *invocation, size_t *length);

/* When the host ends this invocation, on the clock of thaw_monotonic_ns(); 0: never. */
uint64_t thaw_deadline_ns(const struct thaw_invocation *invocation);

/* A number that no other invocation of any clone has; never 0. */
uint64_t thaw_generation(const struct thaw_invocation *invocation);

/* ---- The response ---- */

/* Append to the response. Return 0, or a negative error of the host. The first 64 KiB travel when
 * the handler returns, at no extra cost. */
int thaw_write(struct thaw_invocation *invocation, const void *bytes, size_t length);
int thaw_print(struct thaw_invocation *invocation, const char *text);
int thaw_printf(struct thaw_invocation *invocation, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* ---- Ending ---- */

/* Ends the invocation, with the response so far, and this instance. Before thaw_serve() it ends the
 * boot, which has then failed whatever STATUS is. Returning from main() does the same. */
void thaw_exit(int status) __attribute__((noreturn));

/* Gives up: the caller gets an error, the operator gets MESSAGE. */
void thaw_abort(const char *message) __attribute__((noreturn, cold));

/* An assertion that stays on. */
#define thaw_must(condition)                                                                       \
	((condition) ? (void)0 : thaw_abort(__FILE__ ": must hold: " #condition))

/* ---- Log, entropy, time ---- */

/* Logs a line of at most 1024 bytes for the operator. Returns 0, or a negative value when the host
 * dropped the line because there were too many. */
int thaw_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Fills BUFFER with cryptographically strong bytes, different in each clone and each invocation. */
void thaw_random(void *buffer, size_t length);

/* Nanoseconds since the Unix epoch, and since some moment in the host's past. They cost no exit
 * where the host's clock is the TSC. */
uint64_t thaw_wall_ns(void);
uint64_t thaw_monotonic_ns(void);

/* ---- Memory ---- */

/* The heap grows from the program's end and returns NULL at the function's memory limit. */
void *malloc(size_t size) __attribute__((__malloc__, __alloc_size__(1), __warn_unused_result__));
void *calloc(size_t count, size_t size)
	__attribute__((__malloc__, __alloc_size__(1, 2), __warn_unused_result__));
void *realloc(void *block, size_t size) __attribute__((__alloc_size__(2), __warn_unused_result__));
void free(void *block);

/* Map zeroed pages at an address of the caller's choosing, unmap them, change their protection.
 * START and LENGTH are page-aligned. The library maps nothing from THAW_MAP_BASE to the end of the
 * region. PROT is a sum of the THAW_MAP_ values, without WRITE and EXEC together. Return 0 or a
 * negative errno value: -ENOMEM at the memory limit, -EINVAL for a call that is not allowed. */
#define THAW_MAP_BASE  0x800000000ul
#define THAW_MAP_READ  1u
#define THAW_MAP_WRITE 2u
#define THAW_MAP_EXEC  4u
int thaw_map(void *start, size_t length, unsigned prot);
int thaw_unmap(void *start, size_t length);
int thaw_protect(void *start, size_t length, unsigned prot);

/* ---- Functions of the C library, under their usual names ---- */

void *memcpy(void *restrict to, const void *restrict from, size_t length);
void *memmove(void *to, const void *from, size_t length);
void *memset(void *to, int byte, size_t length);
int memcmp(const void *a, const void *b, size_t length);
void *memchr(const void *bytes, int byte, size_t length);
size_t strlen(const char *text);
size_t strnlen(const char *text, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t max);
char *strchr(const char *text, int byte);
char *strrchr(const char *text, int byte);
char *strstr(const char *text, const char *part);
/* Without errno: a value that is too large gives ULONG_MAX, LONG_MIN or LONG_MAX. */
unsigned long strtoul(const char *text, char **end, int base);
long strtol(const char *text, char **end, int base);

/* Conversions d i u x X o c s p %, with flags, width, precision and hh h l ll z j t; neither
 * floating point nor n. */
int vsnprintf(char *buffer, size_t size, const char *format, va_list arguments)
	__attribute__((format(printf, 3, 0)));
int snprintf(char *buffer, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
