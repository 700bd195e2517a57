/* SPDX-License-Identifier: Apache-2.0 */
/* Boots the shipped functions in a test and sends them requests, directly on the engine. */
#ifndef TEST_GUESTS_H
#define TEST_GUESTS_H

#include "engine/engine.h"

struct test_answer {
	char *body; /* NUL-terminated; free */
	size_t length;
	struct thaw_outcome outcome;
	char log[4096]; /* the lines that it logged */
	unsigned log_lines;
};

/* Returns a started engine that has booted function NAME of the build tree, with ARGUMENT unless
 * that is NULL. Like all of these, asserts that it succeeds. */
struct thaw_engine *test_start(const char *name, const char *argument, unsigned max_instances);
/* The same by way of an image file: another engine loads what the first has booted and written. */
struct thaw_engine *test_start_loaded(const char *name, unsigned max_instances);
/* Boots, and expects the boot to fail. */
void test_boot_fails(const char *name, const char *argument, uint64_t timeout_ns,
		     struct thaw_error *err);
/* Boots NAME and writes its image to a new memory file, which is returned. */
int test_freeze(const char *name);

/* Runs one request in a new instance; DEADLINE_MS 0: sixty seconds. At most 4 MiB of response. */
struct test_answer test_ask(struct thaw_engine *engine, const void *request, size_t length,
			    unsigned deadline_ms);
struct test_answer test_ask_text(struct thaw_engine *engine, const char *request);

/* Processes that are children of this one, zombies included. */
unsigned test_children(void);

#endif
