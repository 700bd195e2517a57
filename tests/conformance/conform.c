/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conform GUEST: freezes the guest on each backend of $THAW_TEST_BACKENDS (default: "process"),
 * thaws each image on each of them, runs the cases on every pair, and compares each result with the
 * contract and with the first pair. Shim calls and faults are tried only on the first image: they
 * do not depend on the backend that froze it, and each crash costs a machine. THAW_TEST_CASE=TEXT
 * runs only cases with TEXT in their name, and shows what they said.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/conformance/conform.h"

#define BACKENDS_MAX 4u
#define CASES_MAX    2048u
#define FRESH_MAX    4096u
#define TEXT_MAX     4096u

struct suite {
	enum thaw_backend_kind backends[BACKENDS_MAX];
	unsigned backend_count;
	const char *only;
	const char *frozen, *thawed; /* names of the current pair */
	struct conform_pair *pair;
	bool is_kvm;
	bool dispatch; /* the image has dispatch armed; runs its cases */
	bool brief;    /* not the first image: run only what may depend on the freezing backend */
	unsigned at;   /* case */
	char *reference[CASES_MAX][2];
	char *reference_of[CASES_MAX][2];
	char *fresh[FRESH_MAX];
	unsigned fresh_count;
	unsigned tested, failed;
};

static void fail(struct suite *suite, const struct conform_case *one, const char *what)
{
	suite->failed++;
	printf("FAILED %s, frozen on %s, thawed on %s:%s\n", one->name, suite->frozen,
	       suite->thawed, what);
	fflush(stdout);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Whether no earlier invocation had this response. */
static bool is_fresh(struct suite *suite, const struct conform_result *result)
{
	char *response = strndup((const char *)result->response, result->response_length);

	if (strlen(response) < 16) { /* too short to be told from another */
		free(response);
		return false;
	}
	for (unsigned i = 0; i < suite->fresh_count; i++)
		for (size_t k = 0; k + 16 <= strlen(response) && k < strlen(suite->fresh[i]);
		     k += 17)
			if (strncmp(response + k, suite->fresh[i] + k, 16) == 0) {
				free(response);
				return false;
			}
	if (suite->fresh_count < FRESH_MAX)
		suite->fresh[suite->fresh_count++] = response;
	return true;
}

/* The first pair is the reference: for all pairs, or for its kind where backends differ. */
static bool is_like_others(struct suite *suite, const struct conform_case *one, const char *text,
			   char *error, size_t size)
{
	unsigned kind = one->flags & DIFFERS && suite->is_kvm;
	char **reference = &suite->reference[suite->at][kind];
	char **of = &suite->reference_of[suite->at][kind];

	if (!*reference) {
		char name[100];

		snprintf(name, sizeof(name), "%s on %s", suite->frozen, suite->thawed);
		*reference = strdup(text);
		*of = strdup(name);
		return true;
	}
	if (strcmp(*reference, text) == 0)
		return true;
	snprintf(error, size, "\n  here: %s\n  %s: %s", text, *of, *reference);
	return false;
}

static void run_once(struct suite *suite, const struct conform_case *one, unsigned round)
{
	char text[TEXT_MAX], error[2 * TEXT_MAX + 200];
	struct conform_result result;

	conform_run(suite->pair, one, round, &result);
	conform_describe(one, &result, text, sizeof(text));
	suite->tested++;
	if (suite->only)
		printf("%s, %s on %s: %s\n", one->name, suite->frozen, suite->thawed, text);
	if (!conform_check(suite->pair, one, &result, error, sizeof(error)) ||
	    !is_like_others(suite, one, text, error, sizeof(error)))
		fail(suite, one, error);
	else if (one->flags & FRESH && !is_fresh(suite, &result))
		fail(suite, one, " the response is an old one");
	conform_result_free(&result);
}

static void run_case(void *context, const struct conform_case *one)
{
	struct suite *suite = context;

	if (++suite->at >= CASES_MAX)
		abort();
	if (one->flags & (DIFFERS | RACES) && !one->why)
		fail(suite, one, " it differs without a reason");
	if (suite->only && !strstr(one->name, suite->only))
		return;
	if (one->flags & NOT_IN_LAB && conform_in_lab())
		return;
	if (one->flags & WITH_FSGSBASE && !conform_has_fsgsbase(suite->pair))
		return;
	for (unsigned round = 0; round < (one->repeat ? one->repeat : 1); round++)
		run_once(suite, one, round);
}

static void run_pair(struct suite *suite, enum thaw_backend_kind backend, int image_fd)
{
	static const struct conform_case last = {"all is well at the end", "look",
						 THAW_OUTCOME_finished, 0, "ok"};
	double started = seconds();
	unsigned before = suite->tested;

	suite->thawed = thaw_backend_name(backend);
	suite->is_kvm = backend != THAW_BACKEND_PROCESS;
	suite->pair = conform_open(backend, image_fd);
	if (!suite->pair) {
		suite->failed++;
		return;
	}
	suite->at = 0;
	if (suite->dispatch) {
		suite->at = CASES_MAX / 2;
		conform_each_dispatch(run_case, suite);
	} else {
		conform_each_call(run_case, suite);
	}
	if (!suite->brief && !suite->dispatch) {
		conform_each_memory(run_case, suite);
		conform_each_fault(run_case, suite);
	}
	suite->at = CASES_MAX - 2; /* the same number in each pair */
	run_case(suite, &last);
	printf("frozen on %s, thawed on %s: %u cases, %u times recycled, %.1f s\n", suite->frozen,
	       suite->thawed, suite->tested - before, conform_recycled(suite->pair),
	       seconds() - started);
	fflush(stdout);
	conform_close(suite->pair);
}

static void run_image(struct suite *suite, enum thaw_backend_kind backend, const char *guest)
{
	int image_fd;

	suite->frozen = thaw_backend_name(backend);
	image_fd = conform_freeze(backend, guest, suite->dispatch);
	if (image_fd < 0) {
		suite->failed++;
		return;
	}
	for (unsigned i = 0; i < suite->backend_count; i++)
		run_pair(suite, suite->backends[i], image_fd);
	close(image_fd);
}

static int take_backends(struct suite *suite, char *names)
{
	for (char *name = strtok(names, " "); name; name = strtok(NULL, " ")) {
		if (suite->backend_count == BACKENDS_MAX ||
		    thaw_backend_from_name(name, &suite->backends[suite->backend_count++])) {
			fprintf(stderr, "conform: there is no backend %s\n", name);
			return -1;
		}
	}
	return suite->backend_count ? 0 : -1;
}

static void finish(struct suite *suite)
{
	for (unsigned i = 0; i < CASES_MAX; i++)
		for (unsigned k = 0; k < 2; k++) {
			free(suite->reference[i][k]);
			free(suite->reference_of[i][k]);
		}
	for (unsigned i = 0; i < suite->fresh_count; i++)
		free(suite->fresh[i]);
}

int main(int argc, char **argv)
{
	static struct suite suite;
	const char *wanted = getenv("THAW_TEST_BACKENDS");
	char names[200];

	snprintf(names, sizeof(names), "%s", wanted && *wanted ? wanted : "process");
	if (argc != 2 || take_backends(&suite, names)) {
		fprintf(stderr, "usage: conform GUEST\n");
		return 2;
	}
	suite.only = getenv("THAW_TEST_CASE");
	for (unsigned i = 0; i < suite.backend_count; i++) {
		suite.brief = i > 0;
		for (unsigned dispatch = 0; dispatch < 2; dispatch++) {
			suite.dispatch = dispatch;
			run_image(&suite, suite.backends[i], argv[1]);
		}
	}
	finish(&suite);
	/* In the form that scripts/count-results reads. */
	printf("Tested: %u | Passing: %u | Failing: %u | Crashing: 0\n", suite.tested,
	       suite.tested - (suite.failed < suite.tested ? suite.failed : suite.tested),
	       suite.failed);
	if (!suite.tested)
		fprintf(stderr, "conform: no case was run\n");
	return suite.failed || !suite.tested ? 1 : 0;
}
