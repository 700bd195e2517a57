/* SPDX-License-Identifier: Apache-2.0 */
/* Boots the program and writes its image, in the jail. Only messages and the bytes of the image
 * leave it. */
#include "pool/freeze/jail.h"

#include <stdio.h>
#include <string.h>

#include "engine/host/cpu.h"
#include "guest-stub/include/thaw/tree.h"
#include "snapshot-format/base/cleanup.h"

static void send_progress(const struct thaw_jailed *self, uint32_t stage, uint64_t done,
			  uint64_t total)
{
	const struct thaw_jailed_progress progress = {.stage = stage, .done = done, .total = total};

	thaw_jailed_send(self, THAW_JAILED_PROGRESS, 0, &progress, sizeof(progress));
}

static void on_boot(void *context, enum thaw_boot_stage stage, uint64_t done, uint64_t total)
{
	send_progress(context, stage, done, total);
}

static void on_write(void *context, uint64_t done, uint64_t total)
{
	send_progress(context, THAW_JAILED_SAVING, done, total);
}

static void on_log(void *context, const char *line, size_t length)
{
	if (length > 0 && line[0] == THAW_TREE_SOUGHT)
		thaw_jailed_send(context, THAW_JAILED_SOUGHT, 0, line + 1, length - 1);
	else
		thaw_jailed_send(context, THAW_JAILED_LOG, 0, line, length);
}

static void on_notice(void *context, const char *text)
{
	thaw_jailed_send(context, THAW_JAILED_NOTICE, 0, text, strlen(text));
}

static int boot_and_write(struct thaw_jailed *self, const struct thaw_freeze_job *job,
			  struct thaw_engine *engine, struct thaw_error *err)
{
	struct thaw_freeze_result result = {0};
	struct thaw_boot_config boot = job->boot;
	const struct thaw_image_meta *meta;

	boot.context = self;
	boot.progress = on_boot;
	boot.log = on_log;
	boot.notice = on_notice;
	if (thaw_engine_boot(engine, &boot, err) < 0)
		return -1;
	if (thaw_engine_write(engine, job->image_fd, 0, on_write, self, &result.sizes, err) < 0)
		return -1;
	meta = thaw_engine_meta(engine);
	memcpy(result.uuid, meta->uuid, sizeof(result.uuid));
	result.boot_ns = meta->boot_ns;
	snprintf(result.backend, sizeof(result.backend), "%s", meta->backend);
	/* On another host, the level's name says more than "host". */
	snprintf(result.cpu_level, sizeof(result.cpu_level), "%s",
		 strcmp(meta->cpu_level, "host") == 0 ? thaw_cpu_level_of(&meta->cpu)
						      : meta->cpu_level);
	thaw_jailed_send(self, THAW_JAILED_RESULT, 0, &result, sizeof(result));
	return 0;
}

int thaw_freeze_work(struct thaw_jailed *self, void *context)
{
	const struct thaw_freeze_job *job = context;
	const struct thaw_engine_config config = {.backend = job->backend,
						  .max_instances = 1,
						  .record_working_set = !job->no_working_set,
						  .kvm_fd = &self->kvm_fd};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_engine *engine = NULL;
	int done = -1;

	if (thaw_engine_open(&config, &engine, &err) == 0) {
		/* The KVM backend holds a descriptor of its own by now. */
		thaw_cleanup_close(&self->kvm_fd);
		if (thaw_jail_seal(THAW_JAIL_FREEZER, &err) == 0)
			done = boot_and_write(self, job, engine, &err);
	}
	if (done < 0)
		thaw_jailed_fail(self, &err);
	thaw_engine_close(engine);
	return done < 0;
}
