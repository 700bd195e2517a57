/* SPDX-License-Identifier: Apache-2.0 */
/* The life of an engine, and the calls on instances, which go on to the backend; see engine.h. */
#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "engine/life/engine_state.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/memory_file.h"

static const char *const backend_names[] = {[THAW_BACKEND_AUTO] = "auto",
					    [THAW_BACKEND_KVM] = "kvm",
					    [THAW_BACKEND_PROCESS] = "process",
					    [THAW_BACKEND_KVM_GENERIC] = "kvm-generic"};
#define BACKEND_NAMES (sizeof(backend_names) / sizeof(backend_names[0]))

int thaw_backend_from_name(const char *name, enum thaw_backend_kind *out)
{
	for (size_t i = 0; i < BACKEND_NAMES; i++)
		if (name && !strcmp(name, backend_names[i])) {
			*out = (enum thaw_backend_kind)i;
			return 0;
		}
	return -1;
}

const char *thaw_backend_name(enum thaw_backend_kind kind)
{
	return (unsigned)kind < BACKEND_NAMES ? backend_names[kind] : "unknown";
}

/* Opens the backend that the configuration names; for AUTO, KVM where it opens and else the process
 * backend. */
static int open_backend(const struct thaw_engine_config *config, struct thaw_engine *engine,
			struct thaw_error *err)
{
	static const struct thaw_backend *const backends[] = {
		[THAW_BACKEND_KVM] = &thaw_backend_kvm,
		[THAW_BACKEND_PROCESS] = &thaw_backend_process,
		[THAW_BACKEND_KVM_GENERIC] = &thaw_backend_kvm_generic};

	if (config->backend == THAW_BACKEND_AUTO) {
		engine->backend = &thaw_backend_kvm;
		if (engine->backend->open(config, engine->memory_fd, &engine->state, NULL) == 0)
			return 0;
		engine->backend = &thaw_backend_process;
	} else {
		engine->backend = backends[config->backend];
	}
	return engine->backend->open(config, engine->memory_fd, &engine->state, err);
}

static int prepare_memory(struct thaw_engine *engine, const struct thaw_load_target *target,
			  struct thaw_error *err)
{
	struct statfs where;

	if (target) {
		if (fstatfs(target->read_fd, &where))
			return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
					       "cannot look at the file for the image's memory");
		engine->target = *target;
		engine->has_target = true;
		engine->target_is_hugetlb = where.f_type == HUGETLBFS_MAGIC;
	}
	if (target && !engine->target_is_hugetlb) {
		engine->memory_fd = target->read_fd;
		return 0;
	}
	engine->own_fd = thaw_memory_file("thaw-image", 0, err);
	if (engine->own_fd < 0)
		return -1;
	if (ftruncate(engine->own_fd, (off_t)THAW_REGION_END))
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot size the image's memory file");
	engine->memory_fd = engine->own_fd;
	return 0;
}

int thaw_engine_open(const struct thaw_engine_config *config, struct thaw_engine **out,
		     struct thaw_error *err)
{
	struct thaw_engine *engine;

	if (!config->max_instances || config->max_instances > THAW_INSTANCES_MAX)
		return thaw_fail(err, THAW_ERR_USAGE, "the number of instances must be 1 to %u",
				 THAW_INSTANCES_MAX);
	engine = calloc(1, sizeof(*engine));
	if (!engine)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "no memory for an engine");
	engine->own_fd = engine->memory_fd = -1;
	engine->records = config->record_working_set;
	if (thaw_request_source_init(&engine->requests, err) ||
	    thaw_loader_open(config->load_threads, config->no_uring, &engine->loader, err) ||
	    prepare_memory(engine, config->target, err) || open_backend(config, engine, err)) {
		thaw_engine_close(engine);
		return -1;
	}
	*out = engine;
	return 0;
}

void thaw_engine_close(struct thaw_engine *engine)
{
	if (!engine)
		return;
	thaw_lazy_end(engine->lazy);
	if (engine->state)
		engine->backend->close(engine->state);
	thaw_loader_close(engine->loader);
	thaw_image_close(engine->file);
	free(engine->map.pieces);
	thaw_engine_free_booted(engine);
	thaw_cleanup_close(&engine->own_fd);
	thaw_request_source_finish(&engine->requests);
	free(engine);
}

enum thaw_backend_kind thaw_engine_backend(const struct thaw_engine *engine)
{
	return engine->backend->kind;
}

const struct thaw_image_meta *thaw_engine_meta(const struct thaw_engine *engine)
{
	return engine->image == IMAGE_NONE ? NULL : &engine->meta;
}

int thaw_engine_start(struct thaw_engine *engine, struct thaw_error *err)
{
	const struct thaw_source source = thaw_engine_source(engine);

	if (engine->image == IMAGE_NONE)
		return thaw_fail(err, THAW_ERR_USAGE, "there is no image to start from");
	if (engine->backend->start(engine->state, &source, err))
		return -1;
	/* Nothing of an image runs before every frame has matched its checksum. */
	if (engine->lazy && thaw_lazy_await_checked(engine->lazy, err))
		return -1;
	thaw_tsc_settle(&engine->requests.tsc);
	return 0;
}

int thaw_engine_await_loaded(struct thaw_engine *engine, struct thaw_error *err)
{
	return engine->lazy ? thaw_lazy_await_complete(engine->lazy, err) : 0;
}

int thaw_engine_wait_failure(struct thaw_engine *engine, struct thaw_error *err)
{
	return engine->backend->wait_failure(engine->state, err);
}

int thaw_instance_create(struct thaw_engine *engine, struct thaw_instance **out,
			 struct thaw_error *err)
{
	return engine->backend->create(engine->state, out, err);
}

bool thaw_instance_ready(const struct thaw_instance *instance)
{
	return instance->engine->backend->ready(instance);
}

bool thaw_instance_near(const struct thaw_instance *instance)
{
	return instance->engine->backend->near(instance);
}

void thaw_instance_run(struct thaw_instance *instance, const struct thaw_run *run,
		       struct thaw_outcome *outcome)
{
	struct thaw_request_header header;

	/* The fault record is large and rarely wanted: has_fault says whether it was filled. */
	outcome->has_fault = false;
	thaw_request_source_fill(&instance->engine->requests, run->request_length, run->deadline_ns,
				 &header);
	instance->engine->backend->run(instance, run, &header, outcome);
}

bool thaw_instance_prepared(const struct thaw_instance *instance)
{
	return instance->engine->backend->prepared(instance);
}

bool thaw_instance_prepare(struct thaw_instance *instance)
{
	return instance->engine->backend->prepare(instance);
}

bool thaw_instance_recycle(struct thaw_instance *instance)
{
	return instance->engine->backend->recycle(instance);
}

void thaw_instance_kill(struct thaw_instance *instance)
{
	instance->engine->backend->kill(instance);
}

void thaw_instance_destroy(struct thaw_instance *instance)
{
	if (instance)
		instance->engine->backend->destroy(instance);
}

int thaw_instance_get_memory(const struct thaw_instance *instance, struct thaw_instance_memory *out,
			     struct thaw_error *err)
{
	return instance->engine->backend->memory(instance, out, err);
}
