/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conformance suite: requests to one guest, and the result of each that the contract (abi.h,
 * docs/abi.md, engine.h) demands. The guest is frozen on every backend that there is, each image is
 * thawed on every backend, and all results must be the same.
 *
 *   conform.c       the pairs of backends, and the verdict
 *   run.c           one pair: an image, a backend, its instances
 *   check.c         one result: held against its case, and as a line that can be compared
 *   cases*.c        the cases
 *   instructions.h  instructions that hostile code tries, one on each line; shared with the guest
 */
#ifndef CONFORM_H
#define CONFORM_H

#include "engine/engine.h"

#define CONFORM_MEMORY	     (8u << 20)
#define CONFORM_RESPONSE_MAX (4u << 20)

enum {
	/* Any outcome will do, if it is the same on every backend. */
	ALIKE = 1,
	/* The outcome depends on the backend. It must be the same on both kinds of KVM. */
	DIFFERS = 2,
	/* Not every processor raises the exception: the guest may also answer "ran". */
	MAY_RUN = 4,
	/* The response must be one that no earlier case had, and is not compared. */
	FRESH = 8,
	/* The response is a number of pages: all that the limit leaves. */
	LIMIT = 16,
	/* Only for images with, or only without, FSGSBASE. */
	WITH_FSGSBASE = 32,
	/* Does not end by itself: gets a short deadline. */
	ENDLESS = 64,
	/* The outcome depends on the moment when the host looks. */
	RACES = 128,
	/* The KVM lab's emulator raises another exception than a processor: there, as ALIKE. */
	REAL = 256,
	/* The KVM lab's emulator would crash the lab's own kernel: left out there. */
	NOT_IN_LAB = 512,
	/* A hypervisor beneath us may leave RIP at an ICEBP instead of after it. Then that is what
	 * is expected. */
	AFTER_ICEBP = 1024,
};

struct conform_case {
	const char *name;
	const char *request;
	enum thaw_outcome_kind kind;
	int code;
	const char *response; /* NULL: only compared */
	size_t size;	      /* of the request, which gets a body to fill it up */
	size_t response_size; /* instead of RESPONSE: a body of this size */
	unsigned flags;
	const char *message; /* a part of the outcome's message, or NULL */
	const char *why;     /* with DIFFERS or RACES: the reason */
	unsigned repeat;     /* runs; their count replaces %x in the request; 0: one */
};

/* Call EACH for every case of one theme, in order: cases.c, cases_memory.c, cases_faults.c */
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
	char log[2048]; /* log lines, each with a newline */
	bool expects;	/* the guest has announced a fault, described below */
	unsigned signal, vector;
	uint64_t address, rip;
};

struct conform_pair; /* an image on a backend */

/* Boots GUEST on BACKEND, perhaps with DISPATCH armed, and writes its image to a new memory file.
 * Returns the descriptor, or -1 after saying why. */
int conform_freeze(enum thaw_backend_kind backend, const char *guest, bool dispatch);
struct conform_pair *conform_open(enum thaw_backend_kind backend, int image_fd);
void conform_close(struct conform_pair *pair);
/* Whether the image has the instructions for FS and GS base. */
bool conform_has_fsgsbase(const struct conform_pair *pair);
uint64_t conform_pages_left(const struct conform_pair *pair);
unsigned conform_recycled(const struct conform_pair *pair);
/* Runs one case. Free RESULT with conform_result_free(). */
void conform_run(struct conform_pair *pair, const struct conform_case *one, unsigned round,
		 struct conform_result *result);
void conform_result_free(struct conform_result *result);
/* The content of bodies. */
uint8_t conform_body_byte(size_t at);

/* Whether this is the KVM lab (docs/kvm-lab.md), whose processor is emulated. */
bool conform_in_lab(void);
/* Returns whether RESULT is as its case demands; if not, appends the differences to ERROR. */
bool conform_check(const struct conform_pair *pair, const struct conform_case *one,
		   const struct conform_result *result, char *error, size_t size);
/* Describes RESULT as text that must be the same wherever the case runs. */
void conform_describe(const struct conform_case *one, const struct conform_result *result,
		      char *text, size_t size);

#endif
