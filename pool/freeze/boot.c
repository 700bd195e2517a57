/* SPDX-License-Identifier: Apache-2.0 */
/* The half of a boot that runs outside the jail; see boot.h. It takes what the jailed half sends as
 * hostile, because the program may have taken that half over. */
#include "pool/freeze/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/cli/files.h"
#include "pool/freeze/tree.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"

/* ---- Opening what the jailed child needs, with this user's rights ---- */

static int open_program(const char *path, struct thaw_error *err)
{
	/* O_NONBLOCK: opening a FIFO or a device does not wait. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot open program %s",
				       path);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return thaw_fail(err, THAW_ERR_FAILURE, "program %s is not a regular file", path);
}

static int read_warm(const struct thaw_freeze_options *freeze, struct thaw_buffer_view *warm,
		     struct thaw_error *err)
{
	for (size_t i = 0; i < freeze->warm_count; i++) {
		struct thaw_bytes bytes;
		int fd = open(freeze->warm[i], O_RDONLY | O_CLOEXEC | O_NOCTTY);

		if (fd < 0)
			return thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
					       "cannot open warm request %s", freeze->warm[i]);
		if (thaw_read_request(fd, &bytes, err) < 0) {
			close(fd);
			return thaw_error_wrap(err, "warm request %s", freeze->warm[i]);
		}
		close(fd);
		warm[i] = (struct thaw_buffer_view){bytes.data, bytes.length};
	}
	return 0;
}

static void free_warm(struct thaw_buffer_view *warm)
{
	union {
		const void *in;
		void *out;
	} bytes;

	for (size_t i = 0; i < THAW_WARM_MAX; i++) {
		bytes.in = warm[i].bytes;
		free(bytes.out);
	}
}

/* ---- Taking what the child sends ---- */

static void show_progress(struct thaw_progress *progress, const struct thaw_jailed_message *message)
{
	static const char *const stages[] = {"loading", "booting", "warming", "taking"};
	struct thaw_jailed_progress told;

	if (message->length != sizeof(told))
		return;
	memcpy(&told, message->payload, sizeof(told));
	if (told.stage == THAW_JAILED_SAVING)
		thaw_progress_draw(progress, "freezing", told.done, told.total);
	else if (told.stage < sizeof(stages) / sizeof(stages[0]))
		thaw_progress_draw(progress, stages[told.stage], told.done, told.total);
}

static int take_result(const struct thaw_jailed_message *message, struct thaw_freeze_result *result,
		       struct thaw_error *err)
{
	if (message->length != sizeof(*result))
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "the jailed process sent a malformed result");
	memcpy(result, message->payload, sizeof(*result));
	result->backend[sizeof(result->backend) - 1] = '\0';
	result->cpu_level[sizeof(result->cpu_level) - 1] = '\0';
	return 1;
}

static bool is_past_boot(const struct thaw_jailed_message *message)
{
	struct thaw_jailed_progress told;

	if (message->length != sizeof(told))
		return false;
	memcpy(&told, message->payload, sizeof(told));
	return told.stage > THAW_BOOT_RUN;
}

/* Whether the program looked for something in this boot that it can have in another. */
static bool has_found(const struct thaw_freeze_job *job)
{
	return job->discovery && job->discovery->count > job->had;
}

/* ---- What the program says while it may boot again ---- */

/* More than a person reads is not kept. */
#define SAID_MAX 1000000L
/* A boot that takes as long shows what is said at once. */
#define SAID_NS (3 * THAW_NS_PER_SEC)

static void say(const struct thaw_freeze_job *job, bool is_log, const char *text)
{
	if (is_log)
		thaw_cli_say("[%s] %s", job->boot.name, text);
	else
		thaw_cli_say("%s", text);
}

static void begin_said(struct thaw_freeze_job *job)
{
	job->said = open_memstream(&job->said_text, &job->said_length);
	job->began_ns = thaw_monotonic_ns();
}

/* Shows what was kept, or drops it. */
static void end_said(struct thaw_freeze_job *job, bool show)
{
	if (!job->said)
		return;
	if (fclose(job->said) == 0 && show)
		for (size_t at = 0; at < job->said_length; at += strlen(job->said_text + at) + 1)
			say(job, job->said_text[at] == 'l', job->said_text + at + 1);
	free(job->said_text);
	job->said = NULL;
}

/* Shows what the program or the engine says; at once, unless the program may boot again. */
static void take_said(struct thaw_freeze_job *job, const struct thaw_jailed_message *message)
{
	const bool is_log = message->type == THAW_JAILED_LOG;
	const char *text = (const char *)message->payload;

	if (!job->said)
		say(job, is_log, text);
	else if (ftell(job->said) < SAID_MAX)
		fprintf(job->said, "%c%s%c", is_log ? 'l' : 'n', text, '\0');
}

static int take(void *context, const struct thaw_jailed_message *message, struct thaw_error *err)
{
	struct thaw_freeze_job *job = context;

	if (job->said && thaw_monotonic_ns() - job->began_ns > SAID_NS) {
		thaw_progress_clear(&job->progress);
		end_said(job, true);
	}
	if (message->type == THAW_JAILED_PROGRESS) {
		show_progress(&job->progress, message);
		/* It is ready, and will boot again: this image is not wanted. */
		return has_found(job) && is_past_boot(message)
			       ? thaw_fail(err, THAW_ERR_FAILURE, "it looks for more files")
			       : 0;
	}
	if (message->type == THAW_JAILED_SOUGHT) {
		if (job->discovery)
			thaw_discovery_note(job->discovery, (const char *)message->payload,
					    message->length);
		return 0;
	}
	thaw_progress_clear(&job->progress);
	switch (message->type) {
	case THAW_JAILED_LOG:
	case THAW_JAILED_NOTICE:
		take_said(job, message);
		return 0;
	case THAW_JAILED_RESULT:
		return take_result(message, &job->result, err);
	default:
		return thaw_exchange_refuse(message, err);
	}
}

static int boot(struct thaw_freeze_job *job, struct thaw_error *err)
{
	const int fds[] = {job->image_fd,
			   job->boot.tree ? job->boot.tree->fd : job->boot.program_fd};
	struct thaw_exchange exchange = {.what = "boots the program",
					 .fds = fds,
					 .fd_count = 2,
					 .work = thaw_freeze_work,
					 .take = take,
					 .context = job};
	int done;

	thaw_progress_init(&job->progress);
	done = thaw_exchange_run(&exchange, err);
	thaw_progress_clear(&job->progress);
	return done;
}

static int boot_program(const struct thaw_freeze_options *freeze,
			const struct thaw_freeze_tree *tree, struct thaw_freeze_job *job,
			struct thaw_error *err)
{
	const struct thaw_boot_tree files = {tree->fd, tree->size};
	struct thaw_buffer_view warm[THAW_WARM_MAX] = {{0}};
	thaw_autoclose int program_fd = -1;
	int booted;

	if (tree->fd < 0 && (program_fd = open_program(tree->command.program, err)) < 0)
		return -1;
	if (read_warm(freeze, warm, err) < 0) {
		free_warm(warm);
		return -1;
	}
	job->boot = (struct thaw_boot_config){
		.name = freeze->name,
		.program = freeze->program,
		.program_fd = program_fd,
		.tree = tree->fd < 0 ? NULL : &files,
		.args = tree->command.words,
		.env = tree->fd < 0 ? (char *const *)freeze->env : tree->environment.list,
		.memory_size = thaw_freeze_memory(freeze, tree->fd >= 0),
		.timeout_ns = freeze->timeout_ns,
		.boot_timeout_ns = freeze->boot_timeout_ns,
		.cpu_level = freeze->cpu_level,
		.warm = warm,
		.warm_count = freeze->warm_count,
	};
	booted = boot(job, err);
	free_warm(warm);
	return booted;
}

/* A program that goes on looking for more is frozen, or fails, with what it has. */
#define BOOTS_MAX 40u

/* Boots the program once with what was found so far. */
static int boot_once(const struct thaw_freeze_options *freeze, struct thaw_discovery *discovery,
		     struct thaw_freeze_job *job, bool last, struct thaw_error *err)
{
	struct thaw_freeze_tree tree = THAW_FREEZE_TREE_INIT;
	int booted;

	if (thaw_freeze_tree_make(freeze, discovery, &tree, err) < 0)
		return -1;
	if (tree.discovers && !last) {
		job->discovery = discovery;
		job->had = discovery->count;
		begin_said(job);
	}
	booted = boot_program(freeze, &tree, job, err);
	thaw_freeze_tree_finish(&tree);
	return booted;
}

int thaw_freeze_boot(const struct thaw_freeze_options *freeze, int image_fd,
		     struct thaw_freeze_result *result, struct thaw_error *err)
{
	struct thaw_discovery discovery = {0};
	struct thaw_freeze_job job;
	bool again = true;
	int booted = -1;

	for (unsigned boots = 1; again; boots++) {
		job = (struct thaw_freeze_job){.backend = freeze->backend,
					       .no_working_set = freeze->no_working_set,
					       .image_fd = image_fd};
		*err = (struct thaw_error)THAW_ERROR_INIT;
		booted = boot_once(freeze, &discovery, &job, boots == BOOTS_MAX, err);
		again = has_found(&job) && ftruncate(image_fd, 0) == 0 &&
			lseek(image_fd, 0, SEEK_SET) == 0;
		end_said(&job, !again);
	}
	thaw_discovery_say(&discovery, booted < 0);
	thaw_discovery_finish(&discovery);
	if (booted == 0)
		*result = job.result;
	return booted;
}
