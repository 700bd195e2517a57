/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conformance suite: requests to one guest, and what the contract (abi.h, docs/abi.md,
 * engine.h) says must come of each. Every image is frozen on every backend that there is and
 * thawed on every one, and all must tell the same story.
 *
 *   conform.c       which pairs, and the verdict
 *   run.c           one pair: an image, a backend, its instances
 *   check.c         one result: against the case, and as a line that can be compared
 *   cases*.c        the cases
 *   instructions.h  what hostile code tries, one line for each; also the guest's
 */
#ifndef CONFORM_H
#define CONFORM_H

#include "engine/engine.h"

#define CONFORM_MEMORY	     (8u << 20)
#define CONFORM_RESPONSE_MAX (4u << 20)

enum {
	/* Nothing is said about the outcome but that it is one, and the same on every backend. */
	ALIKE = 1,
	/* The outcome depends on the backend. It must be the same on both kinds of KVM. */
	DIFFERS = 2,
	/* Not every processor raises the exception: the guest may also come back with "ran". */
	MAY_RUN = 4,
	/* The response must be one that was never seen before, and is not compared. */
	FRESH = 8,
	/* The response says how many pages there are: all that the limit leaves. */
	LIMIT = 16,
	/* Only for images with, or only without, FSGSBASE. */
	WITH_FSGSBASE = 32,
	/* Does not come back by itself: gets a short deadline. */
	ENDLESS = 64,
	/* What the outcome is depends on when the host looks. */
	RACES = 128,
	/* The KVM lab's emulator does not raise what a processor raises: there, as ALIKE. */
	REAL = 256,
	/* The KVM lab's emulator would take the lab's own kernel down with it: left out there. */
	NOT_IN_LAB = 512,
	/* A hypervisor beneath us may leave RIP at an ICEBP instead of behind it: as it does here.
	 */
	AFTER_ICEBP = 1024,
};

struct conform_case {
	const char *name;
	const char *request;
	enum thaw_outcome_kind kind;
	int code;
	const char *response; /* NULL: not looked at, but compared */
	size_t size;	      /* of the request, which gets a body to be so large */
	size_t response_size; /* instead of RESPONSE: a body of this size */
	unsigned flags;
	const char *message; /* part of the outcome's, or NULL */
	const char *why;     /* with DIFFERS or RACES: the reason */
	unsigned repeat;     /* runs, the count is put where the request has %x; 0: one */
};

/* Each calls EACH for every case of one theme, in order: cases.c, cases_memory.c, cases_faults.c */
void conform_each_call(void (*each)(void *context, const struct conform_case *one), void *context);
void conform_each_memory(void (*each)(void *context, const struct conform_case *one),
			 void *context);
void conform_each_fault(void (*each)(void *context, const struct conform_case *one), void *context);
/* cases_dispatch.c: for an image that has dispatch armed. */
void conform_each_dispatch(void (*each)(void *context, const struct conform_case *one),
			   void *context);

struct conform_result {
	struct thaw_outcome outcome;
	uint8_t *response;
	size_t response_length;
	char log[2048]; /* its lines, each with a newline */
	bool expects;	/* the guest has announced a fault: */
	unsigned signal, vector;
	uint64_t address, rip;
};

struct conform_pair; /* an image on a backend */

/* Boots GUEST on BACKEND, with DISPATCH armed, and writes its image to a new memory file; or -1,
 * having said why. */
int conform_freeze(enum thaw_backend_kind backend, const char *guest, bool dispatch);
struct conform_pair *conform_open(enum thaw_backend_kind backend, int image_fd);
void conform_close(struct conform_pair *pair);
/* What the image has. */
bool conform_has_fsgsbase(const struct conform_pair *pair);
uint64_t conform_pages_left(const struct conform_pair *pair);
unsigned conform_recycled(const struct conform_pair *pair);
/* RESULT is to be freed with conform_result_free(). */
void conform_run(struct conform_pair *pair, const struct conform_case *one, unsigned round,
		 struct conform_result *result);
void conform_result_free(struct conform_result *result);
/* What bodies are filled with. */
uint8_t conform_body_byte(size_t at);

/* Whether this is the KVM lab (docs/kvm-lab.md), where an emulator is the processor. */
bool conform_in_lab(void);
/* Appends to ERROR what RESULT should not be; returns whether it is as it should be. */
bool conform_check(const struct conform_pair *pair, const struct conform_case *one,
		   const struct conform_result *result, char *error, size_t size);
/* RESULT as text that must be the same wherever the case is run. */
void conform_describe(const struct conform_case *one, const struct conform_result *result,
		      char *text, size_t size);

#endif
