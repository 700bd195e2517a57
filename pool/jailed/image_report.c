/* SPDX-License-Identifier: Apache-2.0 */
/* The jailed child behind `list`, `inspect` and `verify`; image_report.h says why there is one. */
#include "pool/jailed/image_report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/cli/files.h"
#include "pool/cli/output.h"
#include "pool/jailed/exchange.h"
#include "pool/jailed/image_json.h"
#include "snapshot-format/base/cleanup.h"

/* Bytes of JSON that one image can need: its metadata is at most 1 MiB. */
#define REPORT_MAX (16u << 20)

/* The images that one child reports on, in their order. */
struct batch {
	struct thaw_image_query *queries;
	size_t count;
	enum thaw_report_depth depth;
	int fds[THAW_JAILED_FDS_MAX]; /* -1: could not be opened, and is not asked about */
	/* What the parent takes from the child. */
	size_t at;		/* the image whose report is due */
	struct thaw_bytes text; /* that report's JSON, as far as it has come */
};

/* The RESULT message of one image. */
struct verdict {
	uint32_t kind;	    /* enum thaw_error_kind; THAW_OK: the DATA before it is the report */
	char message[1024]; /* why there is none */
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
	const struct verdict verdict = {.kind = THAW_OK};

	thaw_jailed_send_data(self, number, text, text ? strlen(text) : 0);
	thaw_jailed_send(self, THAW_JAILED_RESULT, number, &verdict, sizeof(verdict));
}

static void send_refusal(const struct thaw_jailed *self, uint32_t number,
			 const struct thaw_error *err)
{
	struct verdict verdict = {.kind = err->kind};

	_Static_assert(sizeof(verdict.message) == sizeof(err->message), "a message fits");
	memcpy(verdict.message, err->message, sizeof(verdict.message));
	thaw_jailed_send(self, THAW_JAILED_RESULT, number, &verdict, sizeof(verdict));
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
	/* O_NONBLOCK: opening a FIFO or a device does not wait. */
	thaw_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return thaw_fail_errno(err, errno == ENOENT ? THAW_ERR_NOT_FOUND : THAW_ERR_FAILURE,
				       errno, "cannot open image %s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return thaw_fail(err, THAW_ERR_IMAGE, "%s is not a regular file", path);
	return thaw_take_fd(&fd);
}

static void parse_report(struct thaw_image_query *query, const struct thaw_bytes *text)
{
	query->report = json_loadb(text->data, text->length, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(query->report))
		return;
	thaw_image_query_clear(query);
	thaw_fail(&query->err, THAW_ERR_ENGINE, "the jailed process sent a malformed report");
}

/* Moves on to the next image that was opened. Returns whether there is one. */
static bool advance(struct batch *batch)
{
	while (batch->at < batch->count && batch->fds[batch->at] < 0)
		batch->at++;
	return batch->at < batch->count;
}

/* Returns 1 when that was the last image's. */
static int take_verdict(struct batch *batch, const struct thaw_jailed_message *message,
			struct thaw_error *err)
{
	struct thaw_image_query *query = &batch->queries[batch->at];
	struct verdict verdict;

	if (message->length != sizeof(verdict))
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "the jailed process sent a malformed report");
	memcpy(&verdict, message->payload, sizeof(verdict));
	verdict.message[sizeof(verdict.message) - 1] = '\0';
	if (verdict.kind == THAW_OK)
		parse_report(query, &batch->text);
	else
		thaw_fail(&query->err, thaw_jailed_error_kind(verdict.kind), "%s", verdict.message);
	batch->text.length = 0;
	batch->at++;
	return !advance(batch);
}

static int take(void *context, const struct thaw_jailed_message *message, struct thaw_error *err)
{
	struct batch *batch = context;

	if (message->type != THAW_JAILED_DATA && message->type != THAW_JAILED_RESULT)
		return thaw_exchange_refuse(message, err);
	if (message->number != batch->at)
		return thaw_fail(err, THAW_ERR_ENGINE, "the jailed process mixed up its reports");
	if (message->type == THAW_JAILED_DATA)
		return thaw_exchange_append(message, &batch->text, REPORT_MAX, err);
	return take_verdict(batch, message, err);
}

/* Asks one child about the batch. Returns 0; 1 when the exchange failed, with the reason in FAILURE
 * and no query answered that was asked; -1 with ERR when no child could be started. */
static int ask(struct batch *batch, struct thaw_error *failure, struct thaw_error *err)
{
	struct thaw_exchange exchange = {
		.what = "reads images", .work = work, .take = take, .context = batch};
	int open_fds[THAW_JAILED_FDS_MAX], asked = 0;

	for (size_t i = 0; i < batch->count; i++)
		if (batch->fds[i] >= 0)
			open_fds[exchange.fd_count++] = batch->fds[i];
	exchange.fds = open_fds;
	batch->at = 0;
	if (!advance(batch))
		return 0;
	if (thaw_exchange_start(&exchange, err) < 0)
		return -1;
	asked = thaw_exchange_finish(&exchange, failure);
	free(batch->text.data);
	batch->text = (struct thaw_bytes){0};
	for (size_t i = 0; asked < 0 && i < batch->count; i++)
		if (batch->fds[i] >= 0) {
			thaw_image_query_clear(&batch->queries[i]);
			batch->queries[i].err = (struct thaw_error)THAW_ERROR_INIT;
		}
	return asked < 0;
}

/* Asks about each image of a batch in a child of its own, after one child for all has failed: only
 * this shows which image is to blame. */
static int ask_singly(struct batch *batch, struct thaw_error *err)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct batch one = {.queries = &batch->queries[i],
				    .count = 1,
				    .depth = batch->depth,
				    .fds = {batch->fds[i]}};
		struct thaw_error failure = THAW_ERROR_INIT;
		int asked = ask(&one, &failure, err);

		if (asked < 0)
			return -1;
		if (asked > 0)
			batch->queries[i].err = failure;
	}
	return 0;
}

/* Answers the first queries of COUNT, as many as one child takes. Returns how many these are. */
static int run_batch(struct thaw_image_query *queries, size_t count, enum thaw_report_depth depth,
		     struct thaw_error *err)
{
	struct batch batch = {.queries = queries, .depth = depth};
	struct thaw_error failure = THAW_ERROR_INIT;
	int asked;

	for (; batch.count < count && batch.count < THAW_JAILED_FDS_MAX; batch.count++)
		batch.fds[batch.count] =
			open_image(queries[batch.count].path, &queries[batch.count].err);
	asked = ask(&batch, &failure, err);
	if (asked > 0 && batch.count == 1)
		queries[0].err = failure;
	else if (asked > 0)
		asked = ask_singly(&batch, err);
	for (size_t i = 0; i < batch.count; i++)
		thaw_cleanup_close(&batch.fds[i]);
	return asked < 0 ? -1 : (int)batch.count;
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
