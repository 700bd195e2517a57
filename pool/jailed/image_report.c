/* SPDX-License-Identifier: Apache-2.0 */
/* The jailed child behind `list`, `inspect` and `verify`; see image_report.h for why there is one.
 */
#include "pool/jailed/image_report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/cli/cli.h"
#include "pool/cli/files.h"
#include "pool/jailed/child.h"
#include "pool/jailed/image_json.h"
#include "snapshot-format/base/cleanup.h"

#define REPORT_MAX                                                                                 \
	(16u << 20) /* bytes of JSON that one image can need: its metadata is at most 1 MiB */

struct batch {
	struct thaw_image_query *queries;
	size_t count;
	enum thaw_report_depth depth;
	int fds[THAW_JAILED_FDS_MAX];
};

/* ---- In the jail ---- */

static int report_one(int fd, enum thaw_report_depth depth, json_t **out, struct thaw_error *err)
{
	struct thaw_image_file *image;

	if (depth == THAW_REPORT_VERIFY && thaw_image_verify(fd, err) < 0)
		return -1;
	if (thaw_image_open(fd, &image, err) < 0)
		return -1;
	*out = thaw_image_json(image, depth == THAW_REPORT_WHOLE);
	thaw_image_close(image);
	return *out ? 0 : thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
}

static void send_report(const struct thaw_jailed *self, uint32_t number, const json_t *report)
{
	thaw_autofree char *text = json_dumps(report, JSON_COMPACT | JSON_ENSURE_ASCII);
	size_t length = text ? strlen(text) : 0;

	for (size_t at = 0; at < length; at += THAW_JAILED_PAYLOAD_MAX)
		thaw_jailed_send(self, THAW_JAILED_DATA, number, text + at,
				 length - at < THAW_JAILED_PAYLOAD_MAX ? length - at
								       : THAW_JAILED_PAYLOAD_MAX);
	thaw_jailed_send(self, THAW_JAILED_RESULT, number, NULL, 0);
}

/* An error says which image by being followed by an empty result of that number. */
static void send_refusal(const struct thaw_jailed *self, uint32_t number,
			 const struct thaw_error *err)
{
	thaw_jailed_fail(self, err);
	thaw_jailed_send(self, THAW_JAILED_RESULT, number, NULL, 0);
}

static int work(struct thaw_jailed *self, void *context)
{
	const struct batch *batch = context;
	struct thaw_error err = THAW_ERROR_INIT;

	if (thaw_jail_seal(THAW_JAIL_FREEZER, &err) < 0)
		return thaw_jailed_fail(self, &err);
	for (size_t i = 0; i < batch->count; i++) {
		json_t *report = NULL;

		if (batch->fds[i] < 0)
			continue;
		if (report_one(batch->fds[i], batch->depth, &report, &err) < 0)
			send_refusal(self, (uint32_t)i, &err);
		else
			send_report(self, (uint32_t)i, report);
		json_decref(report);
	}
	return 0;
}

/* ---- Outside ---- */

static int open_image(const char *path, struct thaw_error *err)
{
	/* A FIFO of that name must not hang us, nor a device be opened for real. */
	thaw_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return thaw_fail_errno(err, errno == ENOENT ? THAW_ERR_NOT_FOUND : THAW_ERR_FAILURE,
				       errno, "cannot open image %s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return thaw_fail(err, THAW_ERR_IMAGE, "%s is not a regular file", path);
	return thaw_take_fd(&fd);
}

static int take_data(struct thaw_bytes *text, const struct thaw_jailed_message *message,
		     struct thaw_error *err)
{
	if (message->length > REPORT_MAX - text->length)
		return thaw_fail(err, THAW_ERR_ENGINE, "the jailed process sent too much");
	if (thaw_bytes_reserve(text, message->length, err) < 0)
		return -1;
	memcpy(text->data + text->length, message->payload, message->length);
	text->length += message->length;
	return 0;
}

static void settle(struct thaw_image_query *query, const struct thaw_bytes *text,
		   const struct thaw_error *refusal)
{
	if (refusal->kind != THAW_OK) {
		query->err = *refusal;
		return;
	}
	query->report = json_loadb(text->data, text->length, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(query->report)) {
		json_decref(query->report);
		query->report = NULL;
		thaw_fail(&query->err, THAW_ERR_ENGINE,
			  "the jailed process sent a malformed report");
	}
}

/* Takes the answer about one image, in the order in which they were asked for. */
static int take_report(struct thaw_jailed *jailed, struct thaw_image_query *query, uint32_t number,
		       struct thaw_error *err)
{
	thaw_autofree struct thaw_jailed_message *message = malloc(sizeof(*message));
	struct thaw_error refusal = THAW_ERROR_INIT;
	struct thaw_bytes text = {0};
	int got = message ? 0 : thaw_fail(err, THAW_ERR_FAILURE, "out of memory");

	while (got >= 0) {
		got = thaw_jailed_next(jailed, message, err);
		if (got == 0)
			got = refusal.kind ? thaw_fail(err, refusal.kind, "%s", refusal.message)
					   : thaw_fail(err, THAW_ERR_ENGINE,
						       "the jailed process ended without a report");
		else if (got > 0 && message->type == THAW_JAILED_ERROR)
			thaw_jailed_take_error(message, &refusal);
		else if (got > 0 && message->number != number)
			got = thaw_fail(err, THAW_ERR_ENGINE,
					"the jailed process mixed up its reports");
		else if (got > 0 && message->type == THAW_JAILED_DATA)
			got = take_data(&text, message, err);
		else if (got > 0 && message->type == THAW_JAILED_RESULT)
			break;
	}
	if (got >= 0)
		settle(query, &text, &refusal);
	free(text.data);
	return got < 0 ? -1 : 0;
}

static int take_reports(struct thaw_jailed *jailed, struct batch *batch)
{
	struct thaw_error failure = THAW_ERROR_INIT, ended = THAW_ERROR_INIT;
	size_t at = 0;
	int taken = 0;

	for (; at < batch->count && taken == 0; at++)
		if (batch->fds[at] >= 0)
			taken = take_report(jailed, &batch->queries[at], (uint32_t)at, &failure);
	if (thaw_jailed_end(jailed, "reads images", &ended) < 0 && taken < 0)
		failure = ended;
	/* A child that died over one image: that one gets the blame, and the rest another child. */
	if (taken < 0)
		batch->queries[at - 1].err = failure;
	return (int)at;
}

/* Answers some of the queries from the first on, and says how many. */
static int run_batch(struct thaw_image_query *queries, size_t count, enum thaw_report_depth depth,
		     struct thaw_error *err)
{
	struct batch batch = {.queries = queries, .depth = depth};
	int open_fds[THAW_JAILED_FDS_MAX];
	struct thaw_jailed jailed;
	size_t opened = 0;
	int answered = -1;

	for (; batch.count < count && batch.count < THAW_JAILED_FDS_MAX; batch.count++) {
		struct thaw_image_query *query = &queries[batch.count];

		batch.fds[batch.count] = open_image(query->path, &query->err);
		if (batch.fds[batch.count] >= 0)
			open_fds[opened++] = batch.fds[batch.count];
	}
	if (opened == 0)
		return (int)batch.count;
	if (thaw_jailed_start(&jailed, open_fds, opened, work, &batch, err) == 0)
		answered = take_reports(&jailed, &batch);
	for (size_t i = 0; i < opened; i++)
		close(open_fds[i]);
	return answered;
}

int thaw_image_reports(struct thaw_image_query *queries, size_t count, enum thaw_report_depth depth,
		       struct thaw_error *err)
{
	for (size_t at = 0; at < count;) {
		int answered = run_batch(queries + at, count - at, depth, err);

		if (answered < 0)
			return -1;
		at += (size_t)answered;
	}
	return 0;
}

void thaw_image_query_clear(struct thaw_image_query *query)
{
	json_decref(query->report);
	query->report = NULL;
}
