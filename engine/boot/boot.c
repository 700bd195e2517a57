/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine's image from a boot: puts a program and its first stack into the memory file, has the
 * backend run it to its ready point, and keeps what is then there. Nothing is copied: the file that
 * the guest ran in is the image.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "engine/boot/elf.h"
#include "engine/boot/first_stack.h"
#include "engine/boot/linux_core.h"
#include "engine/boot/spelled.h"
#include "engine/engine_internal.h"
#include "engine/host/cpu.h"
#include "engine/host/memory_files.h"
#include "engine/image/memory_map.h"
#include "engine/image/working_set.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"

#define CREATOR	      "thaw " THAW_VERSION

#define DEFAULT_LEVEL 3 /* v3 at most: what fleets have in common */

/* A level, and with it the instructions that save and restore the vector state of it: whoever runs
 * the image needs them, so its programs see them. The levels below v3 leave them out. */
static int take_level(const char *level, struct thaw_cpu_features *out)
{
	if (thaw_cpu_level(level, out))
		return -1;
	out->word[THAW_CPU_1_ECX] |= 1u << 26 | 1u << 27; /* XSAVE, OSXSAVE */
	out->word[THAW_CPU_XCR0] |= 3;			  /* x87, SSE */
	return 0;
}

/* Where CPUID can be shown as it should be, the image has no more than the level. */
static int choose_shown(struct thaw_engine *engine, const char *level,
			const struct thaw_cpu_features *host, struct thaw_error *err)
{
	static const char *const levels[] = {"x86-64-v1", "x86-64-v2", "x86-64-v3"};
	struct thaw_cpu_features *chosen = &engine->meta.cpu;
	char missing[256];

	if (level && !strcmp(level, "host")) {
		*chosen = *host;
		engine->cpu_level = "host";
		return 0;
	}
	for (int i = DEFAULT_LEVEL; !level && i > 0; i--) {
		take_level(levels[i - 1], chosen);
		if (thaw_cpu_missing(chosen, host, missing, sizeof(missing)) == 0)
			level = levels[i - 1];
	}
	if (!level || take_level(level, chosen) ||
	    thaw_cpu_missing(chosen, host, missing, sizeof(missing)))
		return thaw_fail(err, THAW_ERR_FAILURE, "this processor lacks, for %s: %s",
				 level ? level : levels[0], missing);
	engine->cpu_level = level;
	return 0;
}

/* Nothing stands between a process and the CPUID instruction, so less than the host cannot be
 * shown, only said. */
static void choose_all(struct thaw_engine *engine, const struct thaw_boot_config *config,
		       const struct thaw_cpu_features *host)
{
	char text[256];

	engine->meta.cpu = *host;
	engine->cpu_level = "host";
	snprintf(text, sizeof(text),
		 "the process backend cannot hide CPU features%s%s: the image is marked with all "
		 "of this host's (%s and more)",
		 config->cpu_level ? ", not even for --cpu " : "",
		 config->cpu_level ? config->cpu_level : "", thaw_cpu_level_of(host));
	if (config->notice && !(config->cpu_level && !strcmp(config->cpu_level, "host")))
		config->notice(config->context, text);
}

/* What the guest will see of the processor. */
static int choose_cpu(struct thaw_engine *engine, const struct thaw_boot_config *config,
		      struct thaw_error *err)
{
	struct thaw_cpu_features wanted, host;

	if (config->cpu_level && thaw_cpu_level(config->cpu_level, &wanted))
		return thaw_fail(err, THAW_ERR_USAGE,
				 "unknown CPU level '%s': x86-64-v1 to x86-64-v4, or host",
				 config->cpu_level);
	engine->backend->cpu(engine->state, &host);
	if (engine->backend->hides_cpu)
		return choose_shown(engine, config->cpu_level, &host, err);
	choose_all(engine, config, &host);
	return 0;
}

static int copy_strings(char *const *from, char ***to)
{
	size_t count = 0;

	while (from && from[count])
		count++;
	*to = calloc(count + 1, sizeof(**to));
	for (size_t i = 0; *to && i < count; i++) {
		(*to)[i] = thaw_spelled(from[i]);
		if (!(*to)[i])
			return -1;
	}
	return *to ? 0 : -1;
}

static int fill_meta(struct thaw_engine *engine, const struct thaw_boot_config *config,
		     struct thaw_error *err)
{
	struct thaw_image_meta *meta = &engine->meta;

	uuid_generate_random(meta->uuid);
	meta->created_ns = thaw_wall_ns();
	meta->abi_version = THAW_ABI_VERSION;
	meta->memory_size = config->memory_size;
	meta->timeout_ns = config->timeout_ns;
	meta->generation = config->tree ? 0 : config->warm_count;
	meta->name = strdup(config->name);
	meta->program = strdup(config->program);
	meta->backend = strdup(engine->backend->name);
	meta->cpu_level = strdup(engine->cpu_level);
	meta->creator = strdup(CREATOR);
	if (copy_strings(config->args, &meta->args) || copy_strings(config->env, &meta->env) ||
	    !meta->name || !meta->program || !meta->backend || !meta->cpu_level || !meta->creator)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM,
				       "no memory for an image's metadata");
	return 0;
}

static void free_strings(char **strings)
{
	for (char **string = strings; string && *string; string++)
		free(*string);
	free(strings);
}

void thaw_engine_free_booted(struct thaw_engine *engine)
{
	struct thaw_image_meta *meta = &engine->meta;

	if (engine->booted) {
		free((void *)(uintptr_t)engine->booted->vcpu.xsave);
		free(engine->booted);
	}
	if (engine->image == IMAGE_LOADED || engine->file)
		return; /* the file's own strings */
	free(meta->name);
	free(meta->program);
	free(meta->backend);
	free(meta->cpu_level);
	free(meta->creator);
	free_strings(meta->args);
	free_strings(meta->env);
	free(meta->touched);
}

static int write_at(int fd, const void *bytes, size_t length, uint64_t offset,
		    struct thaw_error *err)
{
	while (length) {
		ssize_t done = pwrite(fd, bytes, length, (off_t)offset);

		if (done <= 0)
			return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
					       "cannot write the guest's memory");
		bytes = (const uint8_t *)bytes + done;
		length -= (size_t)done;
		offset += (uint64_t)done;
	}
	return 0;
}

static int copy_segment(int from, int to, const struct thaw_elf_segment *segment,
			const char *program, struct thaw_error *err)
{
	uint64_t done = 0;
	char piece[65536];

	while (done < segment->file_length) {
		size_t wanted = segment->file_length - done < sizeof(piece)
					? segment->file_length - done
					: sizeof(piece);
		ssize_t got = pread(from, piece, wanted, (off_t)(segment->file_offset + done));

		if (got < 0)
			return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot read %s",
					       program);
		if (got == 0)
			return thaw_fail(err, THAW_ERR_FAILURE,
					 "%s became shorter while it was read", program);
		if (write_at(to, piece, (size_t)got, segment->address + done, err))
			return -1;
		done += (uint64_t)got;
	}
	return 0;
}

/* Pages that the tree's file lacks stay holes. */
static int put_tree(const struct thaw_engine *engine, const struct thaw_boot_tree *tree,
		    struct thaw_error *err)
{
	off_t at = 0, end;
	uint8_t *bytes;
	int result = 0;

	if (!tree)
		return 0;
	if (!tree->size || tree->size > THAW_TREE_SIZE_MAX || tree->size % THAW_PAGE_SIZE)
		return thaw_fail(err, THAW_ERR_FAILURE,
				 "a tree of %llu bytes is not whole pages, or more than 2 GiB",
				 (unsigned long long)tree->size);
	if (lseek(tree->fd, 0, SEEK_END) < (off_t)tree->size)
		return thaw_fail(err, THAW_ERR_FAILURE, "the tree's file is too short");
	bytes = mmap(NULL, tree->size, PROT_READ, MAP_SHARED, tree->fd, 0);
	if (bytes == MAP_FAILED)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot map the tree");
	while (!result && (at = lseek(tree->fd, at, SEEK_DATA)) >= 0 && at < (off_t)tree->size) {
		end = lseek(tree->fd, at, SEEK_HOLE);
		end = end > (off_t)tree->size ? (off_t)tree->size : end;
		result = write_at(engine->own_fd, bytes + at, (size_t)(end - at),
				  THAW_TREE_BASE + (uint64_t)at, err);
		at = end;
	}
	munmap(bytes, tree->size);
	return result;
}

static int put_program(const struct thaw_engine *engine, const struct thaw_boot_config *config,
		       int program_fd, const struct thaw_elf *elf, struct thaw_error *err)
{
	for (size_t i = 0; i < elf->segment_count; i++)
		if (copy_segment(program_fd, engine->own_fd, &elf->segments[i], config->program,
				 err))
			return -1;
	return 0;
}

/* The first stack below the program, as System V has it. */
static int put_stack(const struct thaw_engine *engine, const struct thaw_boot_config *config,
		     const struct thaw_elf *elf, uint64_t *stack_pointer, struct thaw_error *err)
{
	thaw_autofree uint8_t *bytes = NULL;
	size_t length;

	if (thaw_first_stack_make(elf, config->args, config->env, &bytes, &length, err))
		return -1;
	*stack_pointer = THAW_STACK_TOP - length;
	return write_at(engine->own_fd, bytes, length, *stack_pointer, err);
}

/* Sorted: the stack ends where programs may begin, and a program with a tree ends before it. */
static size_t first_ranges(const struct thaw_elf *elf, const struct thaw_boot_tree *tree,
			   struct thaw_range *ranges)
{
	size_t count = elf->range_count + 1;

	ranges[0] = (struct thaw_range){THAW_STACK_TOP - THAW_STACK_SIZE, THAW_STACK_SIZE,
					THAW_PROT_READ | THAW_PROT_WRITE};
	memcpy(&ranges[1], elf->ranges, sizeof(ranges[0]) * elf->range_count);
	if (tree)
		ranges[count++] = (struct thaw_range){THAW_TREE_BASE, tree->size, THAW_PROT_READ};
	return count;
}

/* What of a guest with a tree is not the program's to pay for. */
static uint64_t not_counted(const struct thaw_elf *elf, const struct thaw_boot_tree *tree)
{
	uint64_t size = THAW_STACK_SIZE + THAW_BOOT_STACK;

	if (!tree)
		return 0;
	for (size_t i = 0; i < elf->range_count; i++)
		size += elf->ranges[i].length;
	return size + tree->size;
}

static int run_guest(struct thaw_engine *engine, const struct thaw_boot_config *config,
		     const struct thaw_elf *elf, uint64_t stack_pointer, struct thaw_error *err)
{
	struct thaw_range ranges[THAW_ELF_SEGMENTS_MAX + 2];
	struct thaw_guest_memory memory = {engine->own_fd, ranges,
					   first_ranges(elf, config->tree, ranges),
					   engine->meta.memory_size};
	struct thaw_vcpu vcpu = {.registers = {[THAW_RIP] = elf->entry,
					       [THAW_RSP] = stack_pointer,
					       [THAW_RFLAGS] = 0x202},
				 .xsave_mask = engine->meta.cpu.word[THAW_CPU_XCR0]};

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
	return engine->backend->boot(engine->state, engine, &memory, &vcpu, config, engine->booted,
				     err);
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

static int drop_log(void *context, const char *line, size_t length)
{
	(void)context, (void)line, (void)length;
	return 0;
}

static void drop_response(void *context, const void *bytes, size_t length)
{
	(void)context, (void)bytes, (void)length;
}

static int record_request(struct thaw_engine *engine, const struct thaw_boot_config *config,
			  const struct thaw_buffer_view *request, struct thaw_recording *recording,
			  struct thaw_error *err)
{
	struct thaw_outcome outcome = {0};
	struct thaw_run run = {
		.request = request->bytes,
		.request_length = request->length,
		.deadline_ns = thaw_monotonic_ns() +
			       (config->boot_timeout_ns ? config->boot_timeout_ns : RECORD_NS),
		.response_max = UINT64_MAX,
		.respond = drop_response,
		.log = drop_log};

	if (engine->backend->record(engine->state, engine, &engine->memory, engine->vcpu, &run,
				    recording, &outcome, err))
		return -1;
	/* What a program does that fails is not what it will do. An exit status is its own affair,
	 * above all where the request is empty for want of a better one. */
	if (outcome.kind != THAW_OUTCOME_finished && outcome.kind != THAW_OUTCOME_exited)
		return thaw_fail(err, THAW_ERR_FAILURE, "%s", outcome.message);
	return 0;
}

/* A hint that could not be had is no reason to have no image. */
static void record_working_set(struct thaw_engine *engine, const struct thaw_boot_config *config)
{
	static const struct thaw_buffer_view empty = {"", 0};
	const struct thaw_buffer_view *requests = config->warm_count ? config->warm : &empty;
	size_t count = config->warm_count ? config->warm_count : 1;
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_recording recording = {0};
	char text[1200];

	if (!engine->records || !engine->backend->record)
		return;
	for (size_t i = 0; i < count && i < THAW_RECORD_MAX && !err.kind; i++)
		if (record_request(engine, config, &requests[i], &recording, &err) &&
		    config->notice) {
			snprintf(text, sizeof(text),
				 "the image has no working set: request %zu of those to record it "
				 "with "
				 "failed: %s",
				 i + 1, err.message);
			config->notice(config->context, text);
		}
	if (!err.kind)
		thaw_recording_finish(&recording, engine->memory.ranges, engine->memory.range_count,
				      &engine->meta.touched, &engine->meta.touched_count);
	free(recording.pages);
}

static int boot_from(struct thaw_engine *engine, const struct thaw_boot_config *config,
		     int program_fd, struct thaw_error *err)
{
	uint64_t stack_pointer, started_ns = thaw_monotonic_ns();
	struct thaw_elf elf;

	if (thaw_elf_parse(program_fd, config->program, config->memory_size, &elf, err) ||
	    choose_cpu(engine, config, err) || fill_meta(engine, config, err))
		return -1;
	engine->meta.memory_size += not_counted(&elf, config->tree);
	if (put_program(engine, config, program_fd, &elf, err) ||
	    put_tree(engine, config->tree, err) ||
	    put_stack(engine, config, &elf, &stack_pointer, err) ||
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

int thaw_engine_write(struct thaw_engine *engine, int fd, unsigned threads,
		      void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
		      struct thaw_image_sizes *sizes, struct thaw_error *err)
{
	thaw_autofree struct thaw_memory_segment *segments = NULL;
	struct thaw_image_content content = {&engine->meta,
					     engine->vcpu,
					     engine->memory.ranges,
					     engine->memory.range_count,
					     NULL,
					     0};
	struct thaw_memory_map map;
	uint8_t *base;
	int result;

	if (engine->image != IMAGE_BOOTED)
		return thaw_fail(err, THAW_ERR_USAGE, "there is no booted image to write");
	if (thaw_memory_map_make(&engine->memory, false, &map, err))
		return -1;
	segments = calloc(map.count + 1, sizeof(*segments));
	base = mmap(NULL, THAW_REGION_END, PROT_READ, MAP_SHARED | MAP_NORESERVE, engine->own_fd,
		    0);
	if (!segments || base == MAP_FAILED) {
		free(map.pieces);
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot map the guest's memory");
	}
	/* Only what has data: reading a hole through the mapping would fill it. */
	for (size_t i = 0; i < map.count; i++)
		if (map.pieces[i].backed)
			segments[content.segment_count++] = (struct thaw_memory_segment){
				map.pieces[i].start, map.pieces[i].length,
				base + map.pieces[i].start};
	content.segments = segments;
	result = thaw_image_write(fd, &content, threads, progress, context, sizes, err);
	munmap(base, THAW_REGION_END);
	free(map.pieces);
	return result;
}
