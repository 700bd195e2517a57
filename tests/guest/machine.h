/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest thing that a function can run in: its program at its addresses in a child process,
 * the gate answered by C code in the same process, and each request served by a fork from the ready
 * point. It isolates nothing and knows nothing of images; it holds the guest library and the
 * functions to the ABI header without the engine.
 */
#ifndef THAW_TESTS_MACHINE_H
#define THAW_TESTS_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MACHINE_RESPONSE_MAX (1u << 20)
#define MACHINE_LOG_MAX	     4096u

enum machine_end {
	MACHINE_NEVER,	  /* the boot did not come that far */
	MACHINE_FINISHED, /* came to `next` */
	MACHINE_EXITED,
	MACHINE_ABORTED,
	MACHINE_KILLED, /* by a signal */
};

struct machine_outcome {
	enum machine_end end;
	int status; /* or the signal */
	size_t response_length;
	unsigned exits; /* hypercalls from the hand-over of the request to the end, the last one
			   included */
	unsigned pages_changed;	   /* of the memory that was there at the ready point */
	char log[MACHINE_LOG_MAX]; /* log lines and an abort's message, each with a newline */
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
	bool no_tsc;		 /* the clock is a shim call */
};

/* Boots the program and serves COUNT requests, each from the ready point. OUTCOMES receives COUNT
 * of them and, as the last one, how the boot ended (MACHINE_FINISHED: it came to its ready point).
 * Give back with machine_free(). */
struct machine_outcome *machine_run(const struct machine *machine,
				    const struct machine_request *requests, size_t count);
void machine_free(struct machine_outcome *outcomes, size_t count);

#endif
