/* SPDX-License-Identifier: Apache-2.0 */
/* Holds a result against its case, and turns it into a line that can be compared. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "tests/conformance/conform.h"

#define UNCHECKED (~UINT64_C(0)) /* the same value as in the guest's expect() */

struct text {
	char *at;
	size_t size;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
	size_t used = strlen(text->at);
	va_list args;

	va_start(args, format);
	vsnprintf(text->at + used, text->size - used, format, args);
	va_end(args);
}

/* Folds an address in a shim to that of the gate, because each backend has a shim of its own. */
static uint64_t folded(uint64_t rip)
{
	return rip >= THAW_SHIM_BASE && rip < THAW_SHIM_BASE + THAW_SHIM_SIZE ? THAW_GATE : rip;
}

static bool known(enum thaw_outcome_kind kind)
{
	return kind == THAW_OUTCOME_finished || kind == THAW_OUTCOME_exited ||
	       kind == THAW_OUTCOME_crashed || kind == THAW_OUTCOME_violation ||
	       kind == THAW_OUTCOME_lost;
}

bool conform_in_lab(void)
{
	return getenv("THAW_LAB") != NULL;
}

static uint64_t icebp_at, icebp_left; /* its address, and RIP after its trap */

static void note_icebp(int signal, siginfo_t *info, void *context)
{
	ucontext_t *user = context;

	(void)signal;
	(void)info;
	icebp_left = (uint64_t)user->uc_mcontext.gregs[REG_RIP];
	user->uc_mcontext.gregs[REG_RIP] = (greg_t)icebp_at + 1;
}

/* How many bytes before the end of an ICEBP this machine leaves RIP; the manuals say none. */
static uint64_t icebp_short(void)
{
	const struct sigaction action = {.sa_sigaction = note_icebp, .sa_flags = SA_SIGINFO};
	struct sigaction before;

	if (sigaction(SIGTRAP, &action, &before))
		abort();
	__asm__ volatile("lea 1f(%%rip), %%rax\n\tmov %%rax, %0\n1:\t.byte 0xf1"
			 : "=m"(icebp_at)
			 :
			 : "rax", "memory");
	sigaction(SIGTRAP, &before, NULL);
	return icebp_at + 1 - icebp_left;
}

/* ---- Checking ---- */

static void check_fault(const struct conform_case *one, const struct conform_result *result,
			struct text *error)
{
	const struct thaw_fault *fault = &result->outcome.fault;
	uint64_t rip = folded(fault->registers[16]), address = fault->address;

	if (one->flags & AFTER_ICEBP && rip != result->rip) {
		rip += icebp_short();
		address += icebp_short();
	}
	if (!result->outcome.has_fault) {
		add(error, " no fault is described;");
		return;
	}
	if (fault->signal != result->signal || fault->vector != result->vector)
		add(error, " signal %u vector %u instead of %u and %u;", fault->signal,
		    fault->vector, result->signal, result->vector);
	if (result->address != UNCHECKED && address != result->address)
		add(error, " address %#lx instead of %#lx;", address, result->address);
	if (result->rip != UNCHECKED && rip != folded(result->rip))
		add(error, " at %#lx instead of %#lx;", rip, result->rip);
	if (result->outcome.exit_code != 128 + (int)fault->signal)
		add(error, " exit code %d;", result->outcome.exit_code);
}

static void check_body(const struct conform_result *result, size_t size, struct text *error)
{
	if (result->response_length != size) {
		add(error, " a response of %zu bytes instead of %zu;", result->response_length,
		    size);
		return;
	}
	for (size_t i = 0; i < size; i++)
		if (result->response[i] != conform_body_byte(i)) {
			add(error, " the response is wrong at %zu;", i);
			return;
		}
}

static void check_response(const struct conform_result *result, const char *wanted,
			   struct text *error)
{
	if (result->response_length != strlen(wanted) ||
	    memcmp(result->response, wanted, strlen(wanted)) != 0)
		add(error, " response \"%.*s\" instead of \"%s\";",
		    (int)(result->response_length < 100 ? result->response_length : 100),
		    (const char *)result->response, wanted);
}

static bool ran(const struct conform_result *result)
{
	return result->outcome.kind == THAW_OUTCOME_finished && result->response_length == 3 &&
	       memcmp(result->response, "ran", 3) == 0;
}

static void check_outcome(const struct conform_case *one, const struct conform_result *result,
			  struct text *error)
{
	const struct thaw_outcome *outcome = &result->outcome;
	bool free_exit = one->kind == THAW_OUTCOME_crashed; /* the code follows from the fault */

	if (outcome->kind != one->kind || (!free_exit && outcome->exit_code != one->code))
		add(error, " %s with %d instead of %s with %d: %s;",
		    thaw_outcome_name(outcome->kind), outcome->exit_code,
		    thaw_outcome_name(one->kind), one->code, outcome->message);
	else if (free_exit && one->code && outcome->exit_code != one->code)
		add(error, " exit code %d instead of %d;", outcome->exit_code, one->code);
	else if (outcome->kind == THAW_OUTCOME_crashed && result->expects)
		check_fault(one, result, error);
	if (one->message && !strstr(outcome->message, one->message))
		add(error, " message \"%s\" without \"%s\";", outcome->message, one->message);
	if (outcome->kind == THAW_OUTCOME_finished && !outcome->exit_code && outcome->message[0])
		add(error, " message \"%s\" of what went well;", outcome->message);
}

bool conform_check(const struct conform_pair *pair, const struct conform_case *one,
		   const struct conform_result *result, char *error, size_t size)
{
	struct text text = {error, size};
	char limit[64];

	error[0] = '\0';
	if (one->flags & (ALIKE | DIFFERS | RACES) || (one->flags & REAL && conform_in_lab())) {
		if (!known(result->outcome.kind))
			add(&text, " %s: %s;", thaw_outcome_name(result->outcome.kind),
			    result->outcome.message);
		return !error[0];
	}
	if (one->flags & MAY_RUN && ran(result))
		return true;
	check_outcome(one, result, &text);
	if (one->flags & LIMIT) {
		snprintf(limit, sizeof(limit), "%lx then -12", conform_pages_left(pair));
		check_response(result, limit, &text);
	} else if (one->response) {
		check_response(result, one->response, &text);
	} else if (one->response_size) {
		check_body(result, one->response_size, &text);
	}
	return !error[0];
}

/* ---- Describing ---- */

/* The message, with an RIP in a shim folded. */
static void add_message(struct text *text, const char *message)
{
	const char *at = NULL, *found = message;
	unsigned long rip;

	while ((found = strstr(found, " at 0x")))
		at = found++;
	rip = at ? strtoul(at + 4, NULL, 16) : 0;
	if (at && folded(rip) == THAW_GATE)
		add(text, " \"%.*s in the gate\"", (int)(at - message), message);
	else
		add(text, " \"%s\"", message);
}

static void add_response(struct text *text, const struct conform_result *result)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);
	size_t shown = result->response_length < 200 ? result->response_length : 200;

	for (size_t i = 0; i < result->response_length; i++)
		sum = (sum ^ result->response[i]) * UINT64_C(0x100000001b3);
	add(text, " response %zu %016lx \"", result->response_length, sum);
	for (size_t i = 0; i < shown; i++)
		add(text, result->response[i] < 32 || result->response[i] > 126 ? "\\x%02x" : "%c",
		    result->response[i]);
	add(text, "\"");
}

void conform_describe(const struct conform_case *one, const struct conform_result *result,
		      char *out, size_t size)
{
	const struct thaw_outcome *outcome = &result->outcome;
	struct text text = {out, size};

	out[0] = '\0';
	if (one->flags & RACES)
		return;
	add(&text, "%s %d", thaw_outcome_name(outcome->kind), outcome->exit_code);
	add_message(&text, outcome->message);
	if (outcome->has_fault)
		add(&text, " fault %u %#x %#lx %#lx", outcome->fault.signal, outcome->fault.vector,
		    outcome->fault.address, folded(outcome->fault.registers[16]));
	if (one->flags & FRESH)
		add(&text, " a fresh response of %zu", result->response_length);
	else
		add_response(&text, result);
	add(&text, " log \"%s\"", result->log);
}
