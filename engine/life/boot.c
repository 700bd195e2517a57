/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine's image from a boot: puts a program and its first stack into the memory file, has the
 * backend run the guest to its ready point, and keeps what the memory then holds. Nothing is
 * copied: the file that the guest ran in is the image.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/boot/cpu_choice.h"
#include "engine/boot/elf.h"
#include "engine/boot/linux_core.h"
#include "engine/boot/metadata.h"
#include "engine/boot/place.h"
#include "engine/host/cpu.h"
#include "engine/image/working_set.h"
#include "engine/life/engine_state.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"
#include "snapshot-format/base/memory_file.h"

void thaw_engine_free_booted(struct thaw_engine *engine)
{
	if (engine->booted) {
		free((void *)(uintptr_t)engine->booted->vcpu.xsave);
		free(engine->booted);
	}
	/* A loaded image's metadata belongs to its file. */
	if (engine->image != IMAGE_LOADED && !engine->file)
		thaw_boot_metadata_free(&engine->meta);
}

static int choose_cpu(struct thaw_engine *engine, const struct thaw_boot_config *config,
		      const char **level, struct thaw_error *err)
{
	struct thaw_cpu_features host;

	engine->backend->cpu(engine->state, &host);
	return thaw_cpu_choose(config, engine->backend->hides_cpu, &host, &engine->meta.cpu, level,
			       err);
}

static int run_guest(struct thaw_engine *engine, const struct thaw_boot_config *config,
		     const struct thaw_elf *elf, uint64_t stack_pointer, struct thaw_error *err)
{
	struct thaw_range ranges[THAW_BOOT_RANGES_MAX];
	struct thaw_guest_memory memory = {engine->own_fd, ranges,
					   thaw_boot_ranges(elf, config->tree, ranges),
					   engine->meta.memory_size};
	struct thaw_vcpu vcpu = {.registers = {[THAW_RIP] = elf->entry,
					       [THAW_RSP] = stack_pointer,
					       [THAW_RFLAGS] = 0x202},
				 .xsave_mask = engine->meta.cpu.word[THAW_CPU_XCR0]};

	const struct thaw_source source = {.engine = engine,
					   .memory = &memory,
					   .vcpu = &vcpu,
					   .meta = &engine->meta,
					   .requests = &engine->requests};

	vcpu.xsave_length = thaw_xsave_size(vcpu.xsave_mask);
	if (config->tree && elf->end > THAW_TREE_BASE)
		return thaw_fail(err, THAW_ERR_FAILURE, "%s lies where its tree would be",
				 config->program);
	if (thaw_ranges_check(ranges, memory.range_count, memory.limit, err)) {
		if (err)
			err->kind = THAW_ERR_FAILURE;
		return thaw_error_wrap(err, "%s does not fit; give it more with --memory",
				       config->program);
	}
	engine->booted = calloc(1, sizeof(*engine->booted));
	if (!engine->booted)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "no memory for a boot");
	return engine->backend->boot(engine->state, &source, config, engine->booted, err);
}

static int keep_memory(struct thaw_engine *engine, struct thaw_error *err)
{
	struct thaw_memory_map map;

	engine->memory =
		(struct thaw_guest_memory){engine->own_fd, engine->booted->ranges,
					   engine->booted->range_count, engine->meta.memory_size};
	engine->vcpu = &engine->booted->vcpu;
	engine->meta.dispatch = engine->booted->dispatch;
	if (thaw_memory_map_make(&engine->memory, true, &map, err))
		return -1;
	free(map.pieces);
	return thaw_memory_file_seal(engine->own_fd, err);
}

#define RECORD_NS 60000000000u /* for each request */

#define WARNING	  "thaw: warning: " /* how the Linux core begins a line for the person who freezes */

struct warning_log {
	const struct thaw_boot_config *config;
	size_t request, told_by; /* which is running; which had warnings first, from 1 on */
};

/* A program that forks does so in its requests, so the warnings of one count as the boot's. Those of
 * later ones would be the same lines. */
static int pass_warnings(void *context, const char *line, size_t length)
{
	struct warning_log *log = context;

	if (!log->config->log || length < strlen(WARNING) ||
	    memcmp(line, WARNING, strlen(WARNING)) ||
	    (log->told_by && log->told_by != log->request))
		return 0;
	log->told_by = log->request;
	log->config->log(log->config->context, line, length);
	return 0;
}

static void drop_response(void *context, const void *bytes, size_t length)
{
	(void)context, (void)bytes, (void)length;
}

static int record_request(struct thaw_engine *engine, const struct thaw_boot_config *config,
			  const struct thaw_buffer_view *request, struct warning_log *log,
			  struct thaw_recording *recording, struct thaw_error *err)
{
	const struct thaw_source source = thaw_engine_source(engine);
	struct thaw_outcome outcome = {0};
	struct thaw_run run = {
		.request = request->bytes,
		.request_length = request->length,
		.deadline_ns = thaw_monotonic_ns() +
			       (config->boot_timeout_ns ? config->boot_timeout_ns : RECORD_NS),
		.response_max = UINT64_MAX,
		.context = log,
		.respond = drop_response,
		.log = pass_warnings};

	if (engine->backend->record(engine->state, &source, &run, recording, &outcome, err))
		return -1;
	/* A program that fails does not touch what it touches when it succeeds. Its exit status
	 * does not matter, above all where the request is empty for want of a better one. */
	if (outcome.kind != THAW_OUTCOME_finished && outcome.kind != THAW_OUTCOME_exited)
		return thaw_fail(err, THAW_ERR_FAILURE, "%s", outcome.message);
	return 0;
}

/* The working set is a hint: an image without one is still an image. */
static void record_working_set(struct thaw_engine *engine, const struct thaw_boot_config *config)
{
	static const struct thaw_buffer_view empty = {"", 0};
	const struct thaw_buffer_view *requests = config->warm_count ? config->warm : &empty;
	size_t count = config->warm_count ? config->warm_count : 1;
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_recording recording = {0};
	struct warning_log log = {.config = config};
	char text[1200];

	if (!engine->records || !engine->backend->record)
		return;
	for (size_t i = 0; i < count && i < THAW_RECORD_MAX && !err.kind; i++) {
		log.request = i + 1;
		if (record_request(engine, config, &requests[i], &log, &recording, &err) &&
		    config->notice) {
			snprintf(text, sizeof(text),
				 "the image has no working set: request %zu of those to record it "
				 "with "
				 "failed: %s",
				 i + 1, err.message);
			config->notice(config->context, text);
		}
	}
	if (!err.kind)
		thaw_recording_finish(&recording, engine->memory.ranges, engine->memory.range_count,
				      &engine->meta.working_set, &engine->meta.working_set_count);
	free(recording.pages);
}

static int boot_from(struct thaw_engine *engine, const struct thaw_boot_config *config,
		     int program_fd, struct thaw_error *err)
{
	uint64_t stack_pointer, started_ns = thaw_monotonic_ns();
	const char *level;
	struct thaw_elf elf;

	if (thaw_elf_parse(program_fd, config->program, config->memory_size, &elf, err) ||
	    choose_cpu(engine, config, &level, err) ||
	    thaw_boot_metadata_fill(&engine->meta, config, engine->backend->name, level, err))
		return -1;
	engine->meta.memory_size += thaw_boot_not_counted(&elf, config->tree);
	if (thaw_boot_place(engine->own_fd, config, program_fd, &elf, &stack_pointer, err) ||
	    run_guest(engine, config, &elf, stack_pointer, err))
		return -1;
	engine->meta.boot_ns = thaw_monotonic_ns() - started_ns;
	return keep_memory(engine, err);
}

int thaw_engine_boot(struct thaw_engine *engine, const struct thaw_boot_config *config,
		     struct thaw_error *err)
{
	thaw_autoclose int core = -1;
	int result;

	if (engine->image != IMAGE_NONE || engine->booted || engine->own_fd < 0)
		return thaw_fail(err, THAW_ERR_USAGE,
				 "this engine cannot boot: it has an image, or a file for one");
	if (config->memory_size % THAW_PAGE_SIZE || config->memory_size > THAW_IMAGE_MEMORY_MAX)
		return thaw_fail(err, THAW_ERR_USAGE,
				 "the memory size must be a multiple of 4 KiB, at most 64 GiB");
	if (config->program_fd < 0 && (core = thaw_linux_core_file(err)) < 0)
		return -1;
	result = boot_from(engine, config, core < 0 ? config->program_fd : core, err);
	if (!result) {
		engine->image = IMAGE_BOOTED;
		record_working_set(engine, config);
	}
	return result;
}
