/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C guest library: what a native function is written against.
 *
 * A function is a program. main() runs once, when the function is frozen, and ends by calling
 * thaw_serve(); every invocation then starts in a fresh copy of the memory that main() left, calls
 * the handler once, and is thrown away. There is one thread, no signals, no files: what the host
 * gives is in this header, whole.
 *
 * Frozen state is equal in every clone. What the library keeps (random generator, stack guard,
 * clock) is made new for each invocation; what a program seeded for itself before thaw_serve() has
 * to be seeded again in a thaw_on_thaw() hook.
 *
 * Nothing here is thread-safe, and nothing may be called from two contexts: there is only one.
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

/* The invocation at hand; valid until the handler returns. */
struct thaw_invocation;

/* Serves invocations for ever: the first wait is the function's ready point. HANDLER returns the
 * invocation's exit status, of which the low eight bits count. */
void thaw_serve(int (*handler)(struct thaw_invocation *)) __attribute__((noreturn));

/* Has HOOK run at the start of each invocation, before the handler, in the order of the calls. For
 * whatever must differ between clones. Returns 0, or -1 when there are THAW_HOOKS_MAX already. */
#define THAW_HOOKS_MAX 16
int thaw_on_thaw(void (*hook)(void));

/* ---- The request ---- */

size_t thaw_request_length(const struct thaw_invocation *invocation);

/* Copies up to LENGTH of the request's next bytes to BUFFER. Returns how many, 0 at the end,
 * negative if the host failed to deliver. */
long thaw_read(struct thaw_invocation *invocation, void *buffer, size_t length);

/* The same without a copy: *PIECE points to the next bytes where they lie, valid until the next
 * call that reads. */
long thaw_read_piece(struct thaw_invocation *invocation, const void **piece);

/* All that is still unread in one piece, *LENGTH bytes (LENGTH may be NULL), and counts as read. A
 * request of up to 64 KiB is used where it lies; a larger one is put on the heap, and NULL means
 * that memory ran out. The library's; gone when the handler returns. Calling it again gives the
 * same bytes. */
const void *thaw_request_body(struct thaw_invocation *invocation, size_t *length);

/* When the host will end this invocation, on the clock of thaw_monotonic_ns(); 0 for never. */
uint64_t thaw_deadline_ns(const struct thaw_invocation *invocation);

/* A number that no other invocation of any clone has; never 0. */
uint64_t thaw_generation(const struct thaw_invocation *invocation);

/* ---- The response ---- */

/* Appends to the response. Returns 0, or a negative error of the host. Up to 64 KiB cost nothing
 * until the handler returns. */
int thaw_write(struct thaw_invocation *invocation, const void *bytes, size_t length);
int thaw_print(struct thaw_invocation *invocation, const char *text);
int thaw_printf(struct thaw_invocation *invocation, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* ---- Ending ---- */

/* Ends the invocation (its response so far counts) and this instance. Before thaw_serve(): ends the
 * boot, which then has failed, whatever STATUS says. Returning from main() is the same. */
void thaw_exit(int status) __attribute__((noreturn));

/* Gives up: the caller gets an error, the operator MESSAGE. */
void thaw_abort(const char *message) __attribute__((noreturn, cold));

/* An assertion that stays on. */
#define thaw_must(condition)                                                                       \
	((condition) ? (void)0 : thaw_abort(__FILE__ ": must hold: " #condition))

/* ---- Log, entropy, time ---- */

/* A line for the operator, of at most 1024 bytes. Returns 0, or negative when the host dropped it
 * for the rate. */
int thaw_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Cryptographically strong, different in every clone and invocation. */
void thaw_random(void *buffer, size_t length);

/* Since the Unix epoch; since some moment in the host's past. No exit where the host's clock is the
 * TSC. */
uint64_t thaw_wall_ns(void);
uint64_t thaw_monotonic_ns(void);

/* ---- Memory ---- */

/* The heap grows from the program's end and gives NULL at the function's memory limit. */
void *malloc(size_t size) __attribute__((__malloc__, __alloc_size__(1), __warn_unused_result__));
void *calloc(size_t count, size_t size)
	__attribute__((__malloc__, __alloc_size__(1, 2), __warn_unused_result__));
void *realloc(void *block, size_t size) __attribute__((__alloc_size__(2), __warn_unused_result__));
void free(void *block);

/* Pages at an address of the caller's choosing, zeroed; all of it page-aligned. From THAW_MAP_BASE
 * to the end of the region nobody else maps anything. PROT is a sum of the THAW_MAP_ values, and
 * never both WRITE and EXEC. Return 0, or a negative errno value: -ENOMEM at the memory limit,
 * -EINVAL for what is not allowed. */
#define THAW_MAP_BASE  0x800000000ul
#define THAW_MAP_READ  1u
#define THAW_MAP_WRITE 2u
#define THAW_MAP_EXEC  4u
int thaw_map(void *start, size_t length, unsigned prot);
int thaw_unmap(void *start, size_t length);
int thaw_protect(void *start, size_t length, unsigned prot);

/* ---- What the C library has under the same names ---- */

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
unsigned long strtoul(const char *text, char **end,
		      int base);		     /* ULONG_MAX when too large; no errno */
long strtol(const char *text, char **end, int base); /* LONG_MIN or LONG_MAX likewise */

/* Conversions d i u x X o c s p %, with flags, width, precision and hh h l ll z j t. No floating
 * point, no n. */
int vsnprintf(char *buffer, size_t size, const char *format, va_list arguments)
	__attribute__((format(printf, 3, 0)));
int snprintf(char *buffer, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
