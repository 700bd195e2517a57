/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer of the function's log ring: guests' lines, and the outcomes of invocations that did
 * not finish. Both are limited in their rate; the number of dropped lines is counted, and logged in
 * a line of its own. The reader of the ring cleans the text.
 */
#include <stdio.h>

#include "pool/worker/worker.h"
#include "snapshot-format/base/clock.h"

/* With log_lock held. */
static void tell_dropped(struct thaw_worker *worker)
{
	uint64_t dropped = thaw_rate_limit_take_dropped(&worker->log_limit);
	char text[80];
	int length;

	if (!dropped)
		return;
	length = snprintf(text, sizeof(text),
			  "%llu log lines were dropped: too many in a short time",
			  (unsigned long long)dropped);
	thaw_log_ring_append(worker->log, THAW_LOG_warning, 0, text, (size_t)length);
}

int thaw_worker_log_guest(struct thaw_worker *worker, uint64_t invocation, const char *line,
			  size_t length)
{
	bool allowed;

	pthread_mutex_lock(&worker->log_lock);
	allowed = thaw_rate_limit_allow(&worker->log_limit, thaw_monotonic_ns());
	if (allowed)
		tell_dropped(worker);
	pthread_mutex_unlock(&worker->log_lock);
	if (!allowed) {
		thaw_count(&worker->metrics.log_dropped, 1);
		return THAW_EAGAIN;
	}
	thaw_count(&worker->metrics.log_lines, 1);
	thaw_log_ring_append(worker->log, THAW_LOG_info, invocation, line, length);
	return 0;
}

static void append(struct thaw_worker *worker, uint64_t invocation, const char *text, int length,
		   size_t room)
{
	if (length < 0)
		return;
	thaw_log_ring_append(worker->log, THAW_LOG_error, invocation, text,
			     (size_t)length < room ? (size_t)length : room - 1);
}

static void append_fault(struct thaw_worker *worker, uint64_t invocation,
			 const struct thaw_fault *fault)
{
	static const char *const names[THAW_REGISTER_COUNT] = {
		"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp",	   "r8", "r9",
		"r10", "r11", "r12", "r13", "r14", "r15", "rip", "rflags", "fs", "gs"};
	char text[THAW_LOG_TEXT_MAX];
	int used = snprintf(text, sizeof(text), "fault: signal %u vector %d address %#llx",
			    fault->signal, (int)fault->vector, (unsigned long long)fault->address);

	for (unsigned i = 0; i < THAW_REGISTER_COUNT; i++)
		used += snprintf(text + used, sizeof(text) - (size_t)used, " %s=%llx", names[i],
				 (unsigned long long)fault->registers[i]);
	append(worker, invocation, text, used, sizeof(text));
}

/* A guest that fails in a loop floods the log too: outcomes take from the same bucket as lines. A
 * register dump is logged with its outcome or not at all. */
void thaw_worker_log_outcome(struct thaw_worker *worker, uint64_t invocation,
			     const struct thaw_outcome *outcome)
{
	char text[THAW_LOG_TEXT_MAX];
	bool allowed;

	pthread_mutex_lock(&worker->log_lock);
	allowed = thaw_rate_limit_allow(&worker->log_limit, thaw_monotonic_ns());
	if (allowed)
		tell_dropped(worker);
	pthread_mutex_unlock(&worker->log_lock);
	if (!allowed) {
		thaw_count(&worker->metrics.log_dropped, 1);
		return;
	}
	append(worker, invocation, text,
	       snprintf(text, sizeof(text), "%s (exit code %d): %s",
			thaw_outcome_name(outcome->kind), outcome->exit_code, outcome->message),
	       sizeof(text));
	if (outcome->has_fault)
		append_fault(worker, invocation, &outcome->fault);
}
