/* SPDX-License-Identifier: Apache-2.0 */
/* The log ring: order, wrapping, long lines, several writers, and a ring that a hostile writer has
 * filled. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pool/common/log_ring.h"

static struct thaw_log_ring *ring;
static int fd;

static void setup(void)
{
	struct thaw_error err = THAW_ERROR_INIT;

	fd = thaw_log_ring_create(&err);
	cr_assert_geq(fd, 0, "%s", err.message);
	cr_assert_eq(thaw_log_ring_attach(fd, &ring, &err), 0, "%s", err.message);
}

static void teardown(void)
{
	thaw_log_ring_detach(ring);
	close(fd);
}

TestSuite(log_ring, .init = setup, .fini = teardown);

static void append_bytes(const char *text, size_t length)
{
	thaw_log_ring_append(ring, THAW_LOG_info, 7, text, length);
}

static void append(const char *text)
{
	append_bytes(text, strlen(text));
}

Test(log_ring, lines_come_back_in_order)
{
	struct thaw_log_record record;
	uint64_t at = 0;

	cr_assert_not(thaw_log_ring_read(ring, &at, &record));
	append("one");
	thaw_log_ring_append(ring, THAW_LOG_error, 0, "", 0);
	append("three");
	cr_assert(thaw_log_ring_read(ring, &at, &record));
	cr_assert_str_eq(record.text, "one");
	cr_assert_eq(record.invocation, 7);
	cr_assert_eq(record.level, THAW_LOG_info);
	cr_assert_gt(record.wall_ns, 0);
	cr_assert(thaw_log_ring_read(ring, &at, &record));
	cr_assert_str_eq(record.text, "");
	cr_assert_eq(record.level, THAW_LOG_error);
	cr_assert(thaw_log_ring_read(ring, &at, &record));
	cr_assert_str_eq(record.text, "three");
	cr_assert_not(thaw_log_ring_read(ring, &at, &record));
	append("four");
	cr_assert(thaw_log_ring_read(ring, &at, &record), "reading goes on where it ended");
	cr_assert_str_eq(record.text, "four");
}

Test(log_ring, a_line_of_any_length_is_whole_or_cut_at_the_limit)
{
	char line[THAW_LOG_TEXT_MAX + 100];
	struct thaw_log_record record;
	uint64_t at = 0;

	for (size_t length = 0; length <= sizeof(line); length += 61) {
		size_t kept = length < THAW_LOG_TEXT_MAX ? length : THAW_LOG_TEXT_MAX;

		for (size_t i = 0; i < length; i++)
			line[i] = (char)('a' + (i + length) % 26);
		thaw_log_ring_append(ring, THAW_LOG_info, 0, line, length);
		cr_assert(thaw_log_ring_read(ring, &at, &record));
		cr_assert_eq(record.length, kept);
		cr_assert_eq(memcmp(record.text, line, kept), 0);
		cr_assert_eq(record.text[kept], '\0');
	}
}

Test(log_ring, old_lines_make_room_and_the_newest_stay)
{
	struct thaw_log_record record;
	char text[64];
	uint64_t at = 0;
	unsigned number, next = 0, count = 0;

	for (unsigned i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "line %u", i);
		append(text);
	}
	while (thaw_log_ring_read(ring, &at, &record)) {
		cr_assert_eq(sscanf(record.text, "line %u", &number), 1);
		cr_assert(count == 0 || number == next);
		next = number + 1;
		count++;
	}
	cr_assert_eq(next, 5000);
	cr_assert_gt(count, 900);
}

Test(log_ring, nothing_that_drives_a_terminal_comes_out)
{
	struct thaw_log_record record;
	char text[256];
	uint64_t at = 0;

	for (int i = 0; i < 256; i++)
		text[i] = (char)i;
	thaw_log_ring_append(ring, THAW_LOG_info, 0, text, sizeof(text));
	cr_assert(thaw_log_ring_read(ring, &at, &record));
	cr_assert_eq(strlen(record.text), 256);
	for (int i = 0; i < 256; i++)
		cr_assert(record.text[i] >= 0x20 && record.text[i] < 0x7f);
}

Test(log_ring, a_new_worker_finds_the_lines_of_the_old)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_log_ring *other;
	struct thaw_log_record record;
	uint64_t at = 0;

	append("before");
	cr_assert_eq(thaw_log_ring_attach(fd, &other, &err), 0);
	thaw_log_ring_append(other, THAW_LOG_info, 0, "after", 5);
	cr_assert(thaw_log_ring_read(other, &at, &record));
	cr_assert_str_eq(record.text, "before");
	cr_assert(thaw_log_ring_read(ring, &at, &record));
	cr_assert_str_eq(record.text, "after");
	thaw_log_ring_detach(other);
}

Test(log_ring, a_file_of_another_size_is_refused)
{
	int small = memfd_create("small", MFD_CLOEXEC);
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_log_ring *other;

	cr_assert_eq(ftruncate(small, 4096), 0);
	cr_assert_lt(thaw_log_ring_attach(small, &other, &err), 0);
	cr_assert_neq(ftruncate(fd, 4096), 0, "the ring's own size is sealed");
	close(small);
}

/* A worker that was taken over may leave any bytes in the ring. Reading must end, and give clean
 * text. */
Test(log_ring, any_content_can_be_read_and_appended_to)
{
	uint8_t *bytes = mmap(NULL, THAW_LOG_RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	srand(2);
	for (int round = 0; round < 50; round++) {
		struct thaw_log_record record;
		uint64_t at = 0, head;
		unsigned count = 0;

		append("something real");
		/* Mostly a real ring with damage; at times the head and the stamps are wild. */
		for (int i = 0; i < 2000; i++)
			bytes[256 + (size_t)rand() % (THAW_LOG_RING_SIZE - 256)] = (uint8_t)rand();
		head = round % 3 == 0 ? UINT64_MAX - (uint64_t)(rand() % 4) : (uint64_t)rand();
		memcpy(bytes, &head, sizeof(head));
		while (thaw_log_ring_read(ring, &at, &record) && count++ < 5000)
			for (size_t i = 0; i < record.length; i++)
				cr_assert(record.text[i] >= 0x20 && record.text[i] < 0x7f);
		cr_assert_lt(count, 5000);
		append("and on");
	}
	munmap(bytes, THAW_LOG_RING_SIZE);
}

/* Where a record's first slot has what it says of itself; the ring's head is before all slots. */
#define AT_SLOTS  256u
#define AT_LEVEL  24u
#define AT_LENGTH 28u

Test(log_ring, a_record_that_lies_about_itself_is_passed_over)
{
	static const struct {
		size_t at;
		uint32_t value;
	} lies[] = {{AT_LEVEL, THAW_LOG_LEVEL_COUNT},
		    {AT_LEVEL, UINT32_MAX},
		    {AT_LENGTH, THAW_LOG_TEXT_MAX + 1},
		    {AT_LENGTH, UINT32_MAX}};
	uint8_t *bytes = mmap(NULL, THAW_LOG_RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char line[THAW_LOG_TEXT_MAX];
	struct thaw_log_record record;
	uint64_t at = 0;

	memset(line, 'x', sizeof(line));
	thaw_log_ring_append(ring, THAW_LOG_info, 0, line, sizeof(line));
	append("next");
	cr_assert(thaw_log_ring_read(ring, &at, &record) && record.length == sizeof(line));
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		uint8_t *field = bytes + AT_SLOTS + lies[i].at;
		uint32_t truth;

		memcpy(&truth, field, sizeof(truth));
		memcpy(field, &lies[i].value, sizeof(truth));
		at = 0;
		cr_expect(thaw_log_ring_read(ring, &at, &record));
		cr_expect_str_eq(record.text, "next", "lie %zu", i);
		memcpy(field, &truth, sizeof(truth));
	}
	at = 0;
	cr_expect(thaw_log_ring_read(ring, &at, &record) && record.length == sizeof(line));
	munmap(bytes, THAW_LOG_RING_SIZE);
}

static atomic_bool writers_end;

/* Lines of one letter each, without a pause. */
static void *write_on(void *argument)
{
	for (unsigned i = 0; !atomic_load(&writers_end); i++) {
		char text[200];

		memset(text, (int)('a' + i % 26), sizeof(text));
		append_bytes(text, sizeof(text));
	}
	return argument;
}

#define READS 200000u

/* The oldest slot is the one that the writer comes to next. */
Test(log_ring, a_line_that_is_overwritten_while_it_is_read_is_not_believed)
{
	struct thaw_log_record record;
	unsigned found = 0;
	pthread_t writer;

	cr_assert_eq(pthread_create(&writer, NULL, write_on, NULL), 0);
	while (found < READS) {
		uint64_t at = 0;

		if (!thaw_log_ring_read(ring, &at, &record))
			continue;
		found++;
		for (size_t i = 0; i < record.length; i++)
			cr_assert_eq(record.text[i], record.text[0], "%s", record.text);
	}
	atomic_store(&writers_end, true);
	pthread_join(writer, NULL);
}

static void *write_many(void *argument)
{
	char text[600];

	memset(text, *(char *)argument, sizeof(text));
	for (int i = 0; i < 2000; i++)
		thaw_log_ring_append(ring, THAW_LOG_info, 0, text, (size_t)(i % 600) + 1);
	return NULL;
}

Test(log_ring, writers_at_once_never_mix_a_line)
{
	char marks[4] = "abcd";
	struct thaw_log_record record;
	pthread_t threads[4];
	uint64_t at = 0;
	unsigned count = 0;

	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, write_many, &marks[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	while (thaw_log_ring_read(ring, &at, &record)) {
		for (size_t i = 0; i < record.length; i++)
			cr_assert_eq(record.text[i], record.text[0]);
		count++;
	}
	cr_assert_gt(count, 100);
}
