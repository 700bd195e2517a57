/* SPDX-License-Identifier: Apache-2.0 */
/* The invocation: request, response, log and end, over the hypercalls. */
#include "guest-stub/linux/host/host.h"
#include "guest-stub/core/core.h"
#include "guest-stub/linux/host/early.h"
#include "guest-stub/linux/host/vvar.h"

static bool ready;
static char remark[THAW_LOG_LINE_MAX / 4];
static uint64_t generation;
/* Read by the vDSO, too. Written before the guest is frozen and never in a clone, so that going on
 * with the clock costs no page. */
struct vvar vvar __attribute__((section(".vvar")));
/* The host's monotonic clock at the thaw, where the TSC does not tell the time. */
static uint64_t thawed_ns;
static const uint8_t *piece; /* unread bytes in the request window */
static size_t piece_length;
static uint64_t beyond; /* bytes of the request that the host still has */
static size_t pending;	/* bytes of the response in its window */

static char line[THAW_LOG_LINE_MAX]; /* an unfinished line of standard error */
static size_t line_length;

bool host_is_ready(void)
{
	return ready;
}

uint64_t host_generation(void)
{
	return generation;
}

static void accept_request(void)
{
	volatile struct thaw_request_header *header = &thaw_core_mailbox()->request;
	uint64_t seed[THAW_SEED_SIZE / 8];

	generation = header->generation;
	if (header->clock.mult == 0)
		thawed_ns = header->clock.monotonic_ns;
	piece = thaw_core_request_window();
	piece_length = header->window_length;
	if (piece_length > THAW_WINDOW_SIZE || piece_length > header->length)
		host_abort("the host's request header makes no sense");
	beyond = header->length - piece_length;
	for (size_t i = 0; i < sizeof(seed) / sizeof(seed[0]); i++)
		seed[i] = ((volatile uint64_t *)header->seed)[i];
	thaw_core_random_seed(seed);
}

static void flush_line(void)
{
	if (line_length == 0)
		return;
	memcpy(thaw_core_scratch(), line, line_length);
	thaw_core_hypercall(THAW_HYPERCALL_log, 0, line_length);
	line_length = 0;
}

void host_first_request(void)
{
	ready = true;
	flush_line();
	vvar.monotonic_ns = host_monotonic_ns();
	if (thaw_core_hypercall(THAW_HYPERCALL_next, 0, 0) < 0)
		host_abort("the host refused to give a request");
	accept_request();
	early_give(host_write);
}

static bool fill_piece(void)
{
	long got;

	if (piece_length > 0)
		return true;
	if (beyond == 0)
		return false;
	got = thaw_core_hypercall(THAW_HYPERCALL_read, 0, 0);
	if (got <= 0 || (size_t)got > THAW_WINDOW_SIZE || (uint64_t)got > beyond)
		host_abort("the host failed to deliver the request");
	piece = thaw_core_request_window();
	piece_length = (size_t)got;
	beyond -= (uint64_t)got;
	return true;
}

long host_look(void *buffer, size_t length)
{
	if (length == 0 || !fill_piece())
		return 0;
	if (length > piece_length)
		length = piece_length;
	memcpy(buffer, piece, length);
	return (long)length;
}

long host_read(void *buffer, size_t length)
{
	length = (size_t)host_look(buffer, length);
	piece += length;
	piece_length -= length;
	return (long)length;
}

uint64_t host_unread(void)
{
	return piece_length + beyond;
}

long host_write(const void *buffer, size_t length)
{
	const uint8_t *from = buffer;
	size_t left = length;

	if (!ready) {
		early_keep(buffer, length);
		return (long)length;
	}
	while (left > 0) {
		size_t room = THAW_WINDOW_SIZE - pending;
		size_t take = left < room ? left : room;

		memcpy(thaw_core_response_window() + pending, from, take);
		pending += take;
		from += take;
		left -= take;
		if (pending == THAW_WINDOW_SIZE) {
			/* The window is full. It is sent when more follows; otherwise it rides with
			 * the end of the invocation. */
			if (left == 0)
				break;
			if (thaw_core_hypercall(THAW_HYPERCALL_write, 0, pending) < 0)
				return length == left ? -EIO : (long)(length - left);
			pending = 0;
		}
	}
	return (long)length;
}

void host_error(const void *buffer, size_t length)
{
	const char *from = buffer;

	for (; length > 0; length--, from++) {
		if (*from != '\n')
			line[line_length++] = *from;
		if (*from == '\n' || line_length == sizeof(line))
			flush_line();
	}
}

void host_log(const char *format, ...)
{
	char *text = (char *)thaw_core_scratch();
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text, THAW_LOG_LINE_MAX + 1, format, arguments);
	va_end(arguments);
	if (length > (int)THAW_LOG_LINE_MAX)
		length = THAW_LOG_LINE_MAX;
	if (length > 0)
		thaw_core_hypercall(THAW_HYPERCALL_log, 0, (uint64_t)length);
}

void host_remark(const char *text)
{
	if (!ready && !remark[0])
		snprintf(remark, sizeof(remark), "%s", text);
}

void host_end(int status)
{
	flush_line();
	if (!ready)
		early_log_tail();
	if (!ready && remark[0])
		host_abort("the program ended with status %d before its ready point; %s", status,
			   remark);
	if (!ready)
		host_abort("the program ended with status %d without reading standard input, so it "
			   "has no ready point; --at-start freezes it at its entry instead",
			   status);
	/* Under KVM this puts the machine back to the image's state; in a process it does not
	 * return. */
	thaw_core_hypercall(THAW_HYPERCALL_next, (uint32_t)status & 0xff, pending);
	__builtin_trap();
}

void thaw_abort(const char *message)
{
	host_abort("%s", message);
}

void host_abort(const char *format, ...)
{
	char *text = (char *)thaw_core_scratch();
	va_list arguments;
	int length;

	flush_line();
	va_start(arguments, format);
	length = vsnprintf(text, THAW_LOG_LINE_MAX + 1, format, arguments);
	va_end(arguments);
	if (length > (int)THAW_LOG_LINE_MAX)
		length = THAW_LOG_LINE_MAX;
	thaw_core_hypercall(THAW_HYPERCALL_abort, 0, (uint64_t)length);
	__builtin_trap();
}

uint64_t host_wall_ns(void)
{
	return thaw_wall_ns();
}

void host_clock_init(void)
{
	vvar.monotonic_ns = thaw_core_mailbox()->request.clock.monotonic_ns;
}

uint64_t host_monotonic_ns(void)
{
	const volatile struct thaw_clock *clock = &thaw_core_mailbox()->request.clock;
	uint64_t now = thaw_monotonic_ns();

	if (clock->mult)
		return now - clock->monotonic_ns + vvar.monotonic_ns;
	return generation ? now - thawed_ns + vvar.monotonic_ns : now;
}

void host_want_ticks(uint64_t after_ns)
{
	/* On the host's clock, which is not the program's. */
	uint64_t at_ns = after_ns ? thaw_monotonic_ns() + after_ns : 1;
	uint64_t before_ns =
		__atomic_exchange_n(&thaw_core_mailbox()->tick_ns, at_ns, __ATOMIC_SEQ_CST);

	if (!before_ns || at_ns < before_ns)
		thaw_core_gate(THAW_SHIM_CALL_tick, NULL);
}

void host_want_no_ticks(void)
{
	__atomic_store_n(&thaw_core_mailbox()->tick_ns, 0, __ATOMIC_SEQ_CST);
}

void host_random(void *buffer, size_t length)
{
	thaw_random(buffer, length);
}
