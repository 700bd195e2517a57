/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest thing that a function can run in: its program is at its addresses in a child
 * process, C code in the same process answers the gate, and a fork from the ready point serves each
 * request. It isolates nothing and knows nothing of images. With it, the tests hold the guest
 * library and the functions to the ABI header without the engine.
 */
#ifndef THAW_TESTS_MACHINE_H
#define THAW_TESTS_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MACHINE_RESPONSE_MAX (1u << 20)
#define MACHINE_LOG_MAX	     4096u

enum machine_end {
	MACHINE_NEVER,	  /* the boot did not get that far */
	MACHINE_FINISHED, /* it called `next` */
	MACHINE_EXITED,
	MACHINE_ABORTED,
	MACHINE_KILLED, /* a signal killed it */
};

struct machine_outcome {
	enum machine_end end;
	int status; /* or the number of the signal */
	size_t response_length;
	unsigned exits;		   /* hypercalls since the request's hand-over, the last included */
	unsigned pages_changed;	   /* of the memory that existed at the ready point */
	char log[MACHINE_LOG_MAX]; /* log lines and the message of an abort, each with a newline */
	uint8_t response[MACHINE_RESPONSE_MAX];
};

struct machine_request {
	const void *bytes;
	size_t length;
	unsigned seconds; /* until SIGALRM; 0: ten */
};

struct machine {
	const char *program;	 /* file */
	const char *const *args; /* NULL-terminated, without the program's name; may be NULL */
	size_t memory_limit;	 /* bytes; 0: 64 MiB */
	bool no_tsc;		 /* the clock needs a shim call */
};

/* Boots the program and serves COUNT requests, each from the ready point. Returns COUNT outcomes
 * and one more, which tells how the boot ended (MACHINE_FINISHED: it came to its ready point). Free
 * with machine_free(). */
struct machine_outcome *machine_run(const struct machine *machine,
				    const struct machine_request *requests, size_t count);
void machine_free(struct machine_outcome *outcomes, size_t count);

#endif
