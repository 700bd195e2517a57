/* SPDX-License-Identifier: Apache-2.0 */
/* One image on one backend, and its instances. They are recycled where the engine can, and
 * otherwise made anew for each request. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "snapshot-format/base/clock.h"
#include "tests/conformance/conform.h"

#define SECOND	      UINT64_C(1000000000)
#define LONG_SECONDS  120u	   /* no request takes longer, even emulated */
#define SHORT_NS      (SECOND / 4) /* for requests that would never end */
#define MAX_INSTANCES 8u
#define AHEAD	      3u /* instances ordered before they are needed */

struct conform_pair {
	struct thaw_engine *engine;
	struct thaw_instance
		*fresh[AHEAD]; /* the last one is next: a recycled instance is used at once */
	unsigned count;
	unsigned recycled;
};

static bool features_have_fsgsbase(const struct thaw_cpu_features *cpu)
{
	return cpu->word[2] & 1; /* CPUID leaf 7, EBX: see SPEC.md */
}

static struct thaw_engine *open_engine(enum thaw_backend_kind backend)
{
	struct thaw_engine_config config = {.backend = backend, .max_instances = MAX_INSTANCES};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_engine *engine;

	if (thaw_engine_open(&config, &engine, &err) == 0)
		return engine;
	printf("cannot open the backend %s: %s\n", thaw_backend_name(backend), err.message);
	return NULL;
}

static int boot(struct thaw_engine *engine, const char *guest, bool dispatch,
		struct thaw_error *err)
{
	char *args[] = {strdup("conform-guest"), strdup("-"), dispatch ? strdup("dispatch") : NULL,
			NULL};
	char *env[] = {NULL};
	struct thaw_cpu_features host;
	struct thaw_boot_config config = {.name = "conform",
					  .program = guest,
					  .program_fd = open(guest, O_RDONLY | O_CLOEXEC),
					  .args = args,
					  .env = env,
					  .memory_size = CONFORM_MEMORY,
					  .timeout_ns = SECOND,
					  .boot_timeout_ns = LONG_SECONDS * SECOND,
					  .cpu_level = "host"};
	int result;

	/* A kernel may refuse instructions that the processor has. */
	thaw_cpu_host(&host);
	if (features_have_fsgsbase(&host)) {
		free(args[1]);
		args[1] = strdup("fsgsbase");
	}
	result = thaw_engine_boot(engine, &config, err);
	close(config.program_fd);
	free(args[0]);
	free(args[1]);
	free(args[2]);
	return result;
}

int conform_freeze(enum thaw_backend_kind backend, const char *guest, bool dispatch)
{
	struct thaw_engine *engine = open_engine(backend);
	struct thaw_error err = THAW_ERROR_INIT;
	int fd = memfd_create("conform-image", MFD_CLOEXEC);

	if (!engine || fd < 0)
		return -1;
	if (boot(engine, guest, dispatch, &err) ||
	    thaw_engine_write(engine, fd, 1, NULL, NULL, NULL, &err)) {
		printf("cannot freeze on %s: %s\n", thaw_backend_name(backend), err.message);
		close(fd);
		fd = -1;
	}
	thaw_engine_close(engine);
	return fd;
}

struct conform_pair *conform_open(enum thaw_backend_kind backend, int image_fd)
{
	struct conform_pair *pair = calloc(1, sizeof(*pair));
	struct thaw_error err = THAW_ERROR_INIT;

	if (!pair)
		return NULL;
	pair->engine = open_engine(backend);
	if (pair->engine && !thaw_engine_load(pair->engine, image_fd, &err) &&
	    !thaw_engine_start(pair->engine, &err))
		return pair;
	printf("cannot thaw on %s: %s\n", thaw_backend_name(backend), err.message);
	conform_close(pair);
	return NULL;
}

void conform_close(struct conform_pair *pair)
{
	while (pair->count)
		thaw_instance_destroy(pair->fresh[--pair->count]);
	thaw_engine_close(pair->engine);
	free(pair);
}

bool conform_has_fsgsbase(const struct conform_pair *pair)
{
	return features_have_fsgsbase(&thaw_engine_meta(pair->engine)->cpu);
}

uint64_t conform_pages_left(const struct conform_pair *pair)
{
	struct thaw_image_sizes sizes;

	thaw_engine_sizes(pair->engine, &sizes);
	return (CONFORM_MEMORY - sizes.mapped_bytes) / THAW_PAGE_SIZE;
}

unsigned conform_recycled(const struct conform_pair *pair)
{
	return pair->recycled;
}

uint8_t conform_body_byte(size_t at)
{
	return (uint8_t)(at * 7 + (at >> 8) * 13 + (at >> 16));
}

/* ---- One request ---- */

static void respond(void *context, const void *bytes, size_t length)
{
	struct conform_result *result = context;

	memcpy(result->response + result->response_length, bytes, length);
	result->response_length += length;
}

static int take_log(void *context, const char *line, size_t length)
{
	struct conform_result *result = context;
	size_t used = strlen(result->log);
	char text[THAW_LOG_LINE_MAX + 1];

	memcpy(text, line, length);
	text[length] = '\0';
	if (strncmp(text, "too often", 9) == 0)
		return THAW_EAGAIN;
	if (sscanf(text, "expect %u %u %lx %lx", &result->signal, &result->vector, &result->address,
		   &result->rip) == 4)
		result->expects = true;
	snprintf(result->log + used, sizeof(result->log) - used, "%s\n", text);
	return 0;
}

static uint8_t *make_request(const struct conform_case *one, unsigned round, size_t *length)
{
	char line[512];
	uint8_t *request;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(line, sizeof(line), one->request, round);
#pragma GCC diagnostic pop
	*length = one->size ? one->size : strlen(line);
	request = malloc(*length + 1);
	if (!request)
		abort();
	memcpy(request, line, strlen(line) < *length ? strlen(line) : *length);
	for (size_t i = strlen(line); i < *length; i++)
		request[i] = i == strlen(line) ? '\n' : conform_body_byte(i);
	return request;
}

/* Destroyed instances give their places back when they are gone, so retry. */
static struct thaw_instance *next_instance(struct conform_pair *pair)
{
	struct thaw_error err = THAW_ERROR_INIT;

	for (unsigned i = 0; pair->count < AHEAD && i < 60000; i++)
		if (!thaw_instance_create(pair->engine, &pair->fresh[pair->count], &err))
			pair->count++;
		else if (pair->count)
			break;
		else
			usleep(1000);
	if (!pair->count)
		return NULL;
	return pair->fresh[--pair->count];
}

void conform_run(struct conform_pair *pair, const struct conform_case *one, unsigned round,
		 struct conform_result *result)
{
	struct thaw_instance *instance = next_instance(pair);
	struct thaw_run run = {.response_max = CONFORM_RESPONSE_MAX,
			       .context = result,
			       .respond = respond,
			       .log = take_log};
	uint8_t *request;

	memset(result, 0, sizeof(*result));
	result->response = malloc(CONFORM_RESPONSE_MAX);
	if (!instance || !result->response)
		abort();
	request = make_request(one, round, &run.request_length);
	run.request = request;
	run.deadline_ns =
		thaw_monotonic_ns() + (one->flags & ENDLESS ? SHORT_NS : LONG_SECONDS * SECOND);
	thaw_instance_run(instance, &run, &result->outcome);
	free(request);
	if (thaw_instance_recycle(instance)) {
		pair->fresh[pair->count++] = instance;
		pair->recycled++;
	} else {
		thaw_instance_destroy(instance);
	}
}

void conform_result_free(struct conform_result *result)
{
	free(result->response);
	result->response = NULL;
}
