/* SPDX-License-Identifier: Apache-2.0 */
/* Write sets: what is learned of a booted image, that an image keeps it, that clones have it ready,
 * and that nothing but time depends on it. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/image/working_set.h"
#include "snapshot-format/layout.h"
#include "tests/engine/guests.h"
#include "tests/engine/writer.h"

TestSuite(learn, .timeout = 120);

#define PAGE THAW_PAGE_SIZE

/* ---- From pages to pieces ---- */

static const struct thaw_range ranges[] = {
	{0x10000, 16 * PAGE, THAW_PROT_READ},
	{0x20000, 16 * PAGE, THAW_PROT_READ | THAW_PROT_WRITE},
	{0x100000000, UINT64_C(1) << 30, THAW_PROT_READ | THAW_PROT_WRITE}};

static struct thaw_working_set_piece *finish(const uint64_t *pages, size_t count, size_t *pieces)
{
	struct thaw_image_meta meta = {0};
	struct thaw_recording touches = {0};
	struct thaw_error err = THAW_ERROR_INIT;

	for (size_t i = 0; i < count; i++)
		cr_assert_eq(thaw_recording_add(&touches, pages[i]), 0);
	cr_assert_eq(thaw_recording_finish(&touches, ranges, 3, &meta.working_set, pieces), 0);
	free(touches.pages);
	/* Whatever it was made from, an image may have it. */
	meta.working_set_count = *pieces;
	cr_expect_eq(thaw_image_check_working_set(&meta, ranges, 3, &err), 0, "%s", err.message);
	return meta.working_set;
}

Test(learn, pages_become_pieces)
{
	const uint64_t pages[] = {0x22000 | 1, 0x20000, 0x21000 | 1, 0x21000,	 0x1f000, 0x1f000,
				  0x10000 | 1, 0x40000, 8,	     UINT64_MAX, 0x23000};
	const struct thaw_working_set_piece wanted[] = {
		{0x1f000, 1, 0}, {0x20000, 1, 0}, {0x21000, 2, 1}, {0x23000, 1, 0}};
	size_t count;
	struct thaw_working_set_piece *pieces =
		finish(pages, sizeof(pages) / sizeof(pages[0]), &count);

	cr_assert_eq(count, 4);
	for (size_t i = 0; i < count; i++)
		cr_expect(pieces[i].start == wanted[i].start &&
				  pieces[i].pages == wanted[i].pages &&
				  pieces[i].written == wanted[i].written,
			  "%zu", i);
	free(pieces);
	pieces = finish(NULL, 0, &count);
	cr_expect_eq(count, 0);
	free(pieces);
}

Test(learn, there_is_an_end_to_it)
{
	static uint64_t pages[40000];
	uint32_t written = 0;
	size_t count;
	struct thaw_working_set_piece *pieces;

	/* Every other page, and most of them only read. */
	for (size_t i = 0; i < 40000; i++)
		pages[i] = (0x100000000 + i * 2 * PAGE) | (i % 10 == 0);
	pieces = finish(pages, 40000, &count);
	for (size_t i = 0; i < count; i++)
		written += pieces[i].written ? pieces[i].pages : 0;
	cr_expect_eq(written, 4000, "the written ones are what counts");
	free(pieces);
}

/* ---- With a guest ---- */

static struct thaw_engine *open_engine(bool learn, bool ignore)
{
	const struct thaw_engine_config config = {.backend = THAW_BACKEND_PROCESS,
						  .max_instances = 8,
						  .record_working_set = learn,
						  .no_working_set = ignore};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_engine *engine;

	cr_assert_eq(thaw_engine_open(&config, &engine, &err), 0, "%s", err.message);
	return engine;
}

static void notice(void *context, const char *text)
{
	if (strstr(text, "not known"))
		strncpy(context, text, 255);
}

static int freeze(const char *program, const char *request, char said[256])
{
	const struct thaw_buffer_view warm = {request, strlen(request)};
	char path[512], *args[] = {path, NULL};
	int fd = memfd_create("test-image", MFD_CLOEXEC);
	struct thaw_engine *engine = open_engine(true, false);
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_boot_config config = {.name = "learner",
					  .program = path,
					  .args = args,
					  .memory_size = 64u << 20,
					  .timeout_ns = 1000000000u,
					  .boot_timeout_ns = 2000000000u,
					  .warm = &warm,
					  .warm_count = *request ? 1 : 0,
					  .context = said,
					  .notice = notice};

	snprintf(path, sizeof(path), "%s", program);
	config.program_fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_eq(thaw_engine_boot(engine, &config, &err), 0, "%s", err.message);
	close(config.program_fd);
	cr_assert_eq(thaw_engine_write(engine, fd, 0, NULL, NULL, NULL, &err), 0, "%s",
		     err.message);
	thaw_engine_close(engine);
	return fd;
}

/* Pages that process PID has written: a page of the image that it only read is not its own. */
static uint64_t own_pages(int pid)
{
	char file[64], line[256];
	unsigned long kib = 0;
	FILE *stream;

	snprintf(file, sizeof(file), "/proc/%d/smaps_rollup", pid);
	stream = fopen(file, "re");
	cr_assert_not_null(stream);
	while (fgets(line, sizeof(line), stream))
		if (sscanf(line, "Anonymous: %lu kB", &kib) == 1)
			break;
	fclose(stream);
	cr_assert_gt(kib, 0);
	return kib * 1024 / PAGE;
}

/* The pages that a clone has written while it waits; and what it answers. */
static uint64_t ask(int fd, bool ignore, const char *request, const char *wanted)
{
	struct thaw_engine *engine = open_engine(false, ignore);
	struct thaw_instance_memory memory = {0};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_instance *instance;
	struct test_answer answer;
	uint64_t pages;

	cr_assert_eq(thaw_engine_load(engine, fd, &err), 0, "%s", err.message);
	cr_assert_eq(thaw_engine_start(engine, &err), 0, "%s", err.message);
	cr_assert_eq(thaw_instance_create(engine, &instance, &err), 0, "%s", err.message);
	while (!thaw_instance_ready(instance))
		usleep(1000);
	cr_assert_eq(thaw_instance_get_memory(instance, &memory, &err), 0, "%s", err.message);
	pages = own_pages(memory.pid);
	thaw_instance_destroy(instance);
	for (unsigned i = 0; i < 3; i++) {
		answer = test_ask_text(engine, request);
		cr_expect_str_eq(answer.body, wanted);
		free(answer.body);
	}
	thaw_engine_close(engine);
	return pages;
}

Test(learn, what_a_request_writes_is_ready_in_a_new_clone)
{
	char said[256] = "", wanted[16];
	int fd = freeze(TEST_WRITER, "request", said);
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_image_file *file;
	const struct thaw_image_meta *meta;
	uint64_t written = 0, with, without;

	cr_expect_str_empty(said);
	cr_assert_eq(thaw_image_open(fd, &file, &err), 0, "%s", err.message);
	meta = thaw_image_meta(file);
	for (size_t i = 0; i < meta->working_set_count; i++)
		written += meta->working_set[i].written ? meta->working_set[i].pages : 0;
	thaw_image_close(file);
	cr_assert_geq(written, WRITER_PAGES);
	/* Two in each: the boot has counted, and the warm request. */
	snprintf(wanted, sizeof(wanted), "%u\n", 2 * WRITER_PAGES);
	with = ask(fd, false, "another", wanted);
	without = ask(fd, true, "another", wanted);
	/* All but the one of the stack, which is ready by rule. */
	cr_expect_geq(with, without + written - 1, "%lu with, %lu without, %lu written", with,
		      without, written);
	close(fd);
}

Test(learn, an_exit_status_is_no_failure)
{
	char said[256] = "";
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_image_file *file;
	/* Without a warm request it is an empty one, which this function answers with status 2. */
	int fd = freeze(TEST_FUNCTIONS "/misbehave", "", said);

	cr_assert_eq(thaw_image_open(fd, &file, &err), 0, "%s", err.message);
	cr_expect_str_empty(said);
	cr_expect_gt(thaw_image_meta(file)->working_set_count, 0);
	thaw_image_close(file);
	cr_expect_eq(thaw_image_verify(fd, &err), 0);
	close(fd);
}
