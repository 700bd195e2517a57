/* SPDX-License-Identifier: Apache-2.0 */
/* The KVM backend: guests are virtual machines of one vCPU. Opening, trying, starting; see kvm.h
 * for the parts. */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/host/cpu.h"
#include "snapshot-format/base/cleanup.h"

int thaw_kvm_device(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* ---- Trying ---- */

/* A guest without memory: it enters ring 3, faults on its first instruction, and ring 0 says so. A
 * machine that gets there has long mode, its page tables, its slots and its stacks in place. */
static int try_guest(struct thaw_backend_state *state, struct kvm_image *image,
		     struct thaw_error *err)
{
	struct kvm_instance *instance = &state->instances[0];
	struct kvm_machine *machine = &instance->machine;
	enum kvm_exit left;

	if (kvm_machine_make(&state->device, image, machine, err))
		return -1;
	if (kvm_prime(instance))
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "a trial guest did not come to rest (KVM_EXIT %u)",
				 machine->run->exit_reason);
	kvm_begin(instance);
	do
		left = kvm_enter(machine);
	while (left == KVM_EXITED_KICKED);
	if (left != KVM_EXITED_CALL || machine->mailbox->call.number != THAW_CALL_FAULT ||
	    machine->mailbox->fault.address != THAW_REGION_BASE)
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "a trial guest did not fault where it should (KVM_EXIT %u)",
				 machine->run->exit_reason);
	return 0;
}

static int trial(struct thaw_backend_state *state, struct thaw_error *err)
{
	static const struct thaw_dispatch none;
	struct kvm_image image = KVM_IMAGE_NONE;
	struct thaw_guest_memory memory = {.fd = -1, .limit = THAW_PAGE_SIZE};
	struct thaw_vcpu vcpu = {
		.registers = {[THAW_RIP] = THAW_REGION_BASE, [THAW_RFLAGS] = 2},
		.xsave_mask = state->device.features.word[THAW_CPU_XCR0],
	};
	int result = -1;

	vcpu.xsave_length = thaw_xsave_size(vcpu.xsave_mask);
	if (kvm_image_make(&state->device, &memory, &vcpu, &none, &state->device.features,
			   KVM_MODE_SERVE, &image, err) == 0)
		result = try_guest(state, &image, err);
	kvm_machine_finish(&state->instances[0].machine);
	kvm_image_finish(&image);
	return result;
}

/* ---- Opening ---- */

static void close_state(struct thaw_backend_state *state)
{
	if (!state)
		return;
	kvm_maker_stop(state);
	kvm_watch_stop(state);
	for (unsigned i = 0; state->instances && i < state->slots; i++) {
		pthread_mutex_destroy(&state->instances[i].kick_lock);
		free(state->instances[i].kept);
	}
	kvm_image_finish(&state->image);
	kvm_snapshot_free(state->snapshot);
	kvm_device_close(&state->device);
	pthread_cond_destroy(&state->work);
	pthread_cond_destroy(&state->made);
	pthread_cond_destroy(&state->failure_known);
	pthread_mutex_destroy(&state->lock);
	free(state->instances);
	free(state->shells);
	free(state->dead);
	free(state);
}

static int make_slots(struct thaw_backend_state *state)
{
	state->instances = calloc(state->slots, sizeof(*state->instances));
	state->shells = calloc(KVM_SHELLS, sizeof(*state->shells));
	state->dead = calloc(kvm_dead_room(state), sizeof(*state->dead));
	if (!state->instances || !state->shells || !state->dead)
		return -1;
	for (unsigned i = state->slots; i-- > 0;) {
		struct kvm_instance *instance = &state->instances[i];

		instance->state = state;
		instance->machine = KVM_MACHINE_NONE;
		pthread_mutex_init(&instance->kick_lock, NULL);
		instance->next = state->free;
		state->free = instance;
	}
	return 0;
}

static int open_device(const struct thaw_engine_config *config, struct kvm_device *device,
		       struct thaw_error *err)
{
	int fd = config->kvm_fd ? *config->kvm_fd : thaw_kvm_device();

	if (fd >= 0 && config->kvm_fd)
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, fd < -1 ? -fd : errno,
				       "cannot open /dev/kvm (is the module kvm_intel or kvm_amd "
				       "loaded, and may you use it?)");
	return kvm_device_open(fd, device, err);
}

static int open_state(const struct thaw_engine_config *config, int memory_fd,
		      struct thaw_backend_state **out, struct thaw_error *err)
{
	struct thaw_backend_state *state = calloc(1, sizeof(*state));

	(void)memory_fd; /* the engine says it again when it starts */
	if (!state)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "no memory for an engine");
	*state = (struct thaw_backend_state){.device = {.fd = -1},
					     .image = KVM_IMAGE_NONE,
					     .generic = config->backend == THAW_BACKEND_KVM_GENERIC,
					     .no_working_set = config->no_working_set,
					     .slots = config->max_instances};
	state->ordered_tail = &state->ordered;
	pthread_mutex_init(&state->lock, NULL);
	pthread_cond_init(&state->work, NULL);
	pthread_cond_init(&state->made, NULL);
	pthread_cond_init(&state->failure_known, NULL);
	if (open_device(config, &state->device, err) || kvm_kicks_init(err)) {
		close_state(state);
		return -1;
	}
	if (make_slots(state)) {
		thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "no memory for %u instances",
				state->slots);
		close_state(state);
		return -1;
	}
	/* The device alone tells little: nested, emulated and locked-down hosts have it too. */
	if (trial(state, err)) {
		thaw_error_wrap(err, "KVM does not work here");
		close_state(state);
		return -1;
	}
	*out = state;
	return 0;
}

static void cpu(const struct thaw_backend_state *state, struct thaw_cpu_features *out)
{
	*out = state->device.features;
}

/* ---- Serving ---- */

int kvm_start(struct thaw_backend_state *state, const struct thaw_source *source,
	      struct thaw_error *err)
{
	for (unsigned i = 0; i < state->slots; i++) {
		state->instances[i].base.engine = source->engine;
		state->instances[i].primed = false;
	}
	if (kvm_image_make(&state->device, source->memory, source->vcpu, &source->meta->dispatch,
			   &source->meta->cpu, KVM_MODE_SERVE, &state->image, err))
		return -1;
	if (!state->no_working_set)
		kvm_image_prime(&state->image, source->meta);
	if (state->generic && kvm_snapshot_take(state, err))
		return -1;
	return kvm_watch_start(state, err) || kvm_maker_start(state, err) ? -1 : 0;
}

/* Nothing that all instances share can die. */
static int wait_failure(struct thaw_backend_state *state, struct thaw_error *err)
{
	pthread_mutex_lock(&state->lock);
	while (!state->closing)
		pthread_cond_wait(&state->failure_known, &state->lock);
	pthread_mutex_unlock(&state->lock);
	return thaw_fail(err, THAW_ERR_ENGINE, "the engine was closed");
}

static bool ready(const struct thaw_instance *base)
{
	const struct kvm_instance *instance = (const struct kvm_instance *)base;

	return atomic_load_explicit(&instance->made, memory_order_acquire);
}

/* Kernels before 6.12 wait for a grace period when another thread runs a vCPU than the last time.
 */
static bool near(const struct thaw_instance *base)
{
	const struct kvm_instance *instance = (const struct kvm_instance *)base;
	static _Thread_local pid_t self;
	pid_t runner = atomic_load_explicit(&instance->runner, memory_order_relaxed);

	if (!self)
		self = gettid();
	return runner == 0 || runner == self;
}

static bool prepared(const struct thaw_instance *base)
{
	const struct kvm_instance *instance = (const struct kvm_instance *)base;

	return ready(base) ? instance->primed || instance->prime_failed
			   : instance->make_failed != 0;
}

static bool prepare(struct thaw_instance *base)
{
	struct kvm_instance *instance = (struct kvm_instance *)base;

	if (!ready(base))
		return false;
	if (!instance->primed && !instance->killed)
		instance->prime_failed = kvm_prime(instance) != 0;
	return true;
}

static int memory(const struct thaw_instance *base, struct thaw_instance_memory *out,
		  struct thaw_error *err)
{
	const struct kvm_instance *instance = (const struct kvm_instance *)base;
	struct thaw_instance_memory found = {0};

	if (!ready(base))
		return thaw_fail(err, THAW_ERR_ENGINE, "the instance is not running");
	if (kvm_bank_resident(&instance->machine, &found.private_bytes))
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot look at the bank");
	*out = found;
	return 0;
}

#define KVM_BACKEND(KIND, NAME)                                                                    \
	{                                                                                          \
		.kind = KIND, .name = NAME, .hides_cpu = true, .open = open_state,                 \
		.close = close_state, .cpu = cpu, .boot = kvm_boot, .record = kvm_learn,           \
		.start = kvm_start, .wait_failure = wait_failure, .create = kvm_create,            \
		.ready = ready, .near = near, .prepared = prepared, .prepare = prepare,            \
		.run = kvm_run, .recycle = kvm_recycle, .kill = kvm_kill, .destroy = kvm_destroy,  \
		.memory = memory,                                                                  \
	}

const struct thaw_backend thaw_backend_kvm = KVM_BACKEND(THAW_BACKEND_KVM, "kvm");
const struct thaw_backend thaw_backend_kvm_generic =
	KVM_BACKEND(THAW_BACKEND_KVM_GENERIC, "kvm"); /* what an image is told */
