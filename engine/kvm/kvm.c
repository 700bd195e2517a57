/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KVM backend's entry points: opening with a trial guest, the questions about an instance, and
 * the table that the engine calls through. The engine knows a backend as an opaque
 * `struct thaw_backend_state`; the functions of the table convert it, and nothing else here does.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "engine/host/cpu.h"
#include "engine/host/guest_state.h"
#include "engine/kvm/boot.h"
#include "engine/kvm/enter.h"
#include "engine/kvm/kick.h"
#include "engine/kvm/machine/bank.h"
#include "engine/kvm/recycle.h"
#include "engine/kvm/run.h"
#include "engine/kvm/serve.h"
#include "engine/kvm/shells.h"
#include "engine/kvm/working_set.h"

int thaw_kvm_device(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* ---- Trying ---- */

/* Runs a guest without memory: it enters ring 3, faults on its first instruction, and its ring 0
 * reports the fault. A machine that gets there has long mode, its page tables, its slots and its
 * stacks in place. */
static int try_guest(struct kvm_backend *backend, struct kvm_image *image, struct thaw_error *err)
{
	struct kvm_instance *instance = &backend->instances[0];
	struct kvm_machine *machine = &instance->machine;
	enum kvm_exit left;

	if (kvm_machine_make(&backend->device, image, machine, err))
		return -1;
	if (kvm_prefault(instance))
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

static int trial(struct kvm_backend *backend, struct thaw_error *err)
{
	static const struct thaw_dispatch none;
	struct kvm_image image = KVM_IMAGE_NONE;
	struct thaw_guest_memory memory = {.fd = -1, .limit = THAW_PAGE_SIZE};
	struct thaw_vcpu vcpu = {
		.registers = {[THAW_RIP] = THAW_REGION_BASE, [THAW_RFLAGS] = 2},
		.xsave_mask = backend->device.features.word[THAW_CPU_XCR0],
	};
	int result = -1;

	vcpu.xsave_length = thaw_xsave_size(vcpu.xsave_mask);
	if (kvm_image_make(&backend->device, &memory, &vcpu, &none, &backend->device.features,
			   KVM_MODE_SERVE, &image, err) == 0)
		result = try_guest(backend, &image, err);
	kvm_machine_finish(&backend->instances[0].machine);
	kvm_image_finish(&image);
	return result;
}

/* ---- Opening ---- */

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

static struct kvm_backend *backend_of(struct thaw_backend_state *state)
{
	return (struct kvm_backend *)state;
}

static void close_backend(struct thaw_backend_state *state)
{
	if (!state)
		return;
	kvm_serve_stop(backend_of(state));
	kvm_backend_free(backend_of(state));
}

static int open_backend(const struct thaw_engine_config *config, int memory_fd,
			struct thaw_backend_state **out, struct thaw_error *err)
{
	struct kvm_backend *backend;

	(void)memory_fd; /* kvm_serve_start() gets it with the guest's memory */
	if (kvm_backend_make(config, &backend, err))
		return -1;
	if (open_device(config, &backend->device, err) || kvm_kicks_init(err)) {
		kvm_backend_free(backend);
		return -1;
	}
	/* The device alone proves little: nested, emulated and locked-down hosts have it too. */
	if (trial(backend, err)) {
		thaw_error_wrap(err, "KVM does not work here");
		kvm_backend_free(backend);
		return -1;
	}
	*out = (struct thaw_backend_state *)backend;
	return 0;
}

static void cpu(const struct thaw_backend_state *state, struct thaw_cpu_features *out)
{
	*out = ((const struct kvm_backend *)state)->device.features;
}

static int boot(struct thaw_backend_state *state, const struct thaw_source *source,
		const struct thaw_boot_config *config, struct thaw_ready_state *ready,
		struct thaw_error *err)
{
	return kvm_boot(backend_of(state), source, config, ready, err);
}

static int record(struct thaw_backend_state *state, const struct thaw_source *source,
		  const struct thaw_run *run, struct thaw_recording *recording,
		  struct thaw_outcome *outcome, struct thaw_error *err)
{
	return kvm_record(backend_of(state), source, run, recording, outcome, err);
}

static int start(struct thaw_backend_state *state, const struct thaw_source *source,
		 struct thaw_error *err)
{
	return kvm_serve_start(backend_of(state), source, err);
}

static int wait_failure(struct thaw_backend_state *state, struct thaw_error *err)
{
	return kvm_backend_wait_closed(backend_of(state), err);
}

static int create(struct thaw_backend_state *state, struct thaw_instance **out,
		  struct thaw_error *err)
{
	return kvm_create(backend_of(state), out, err);
}

/* ---- Instances ---- */

static bool ready(const struct thaw_instance *base)
{
	const struct kvm_instance *instance = (const struct kvm_instance *)base;

	return atomic_load_explicit(&instance->made, memory_order_acquire);
}

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

	return ready(base) ? instance->prefaulted || instance->prefault_failed
			   : atomic_load(&instance->make_failed) != 0;
}

static bool prepare(struct thaw_instance *base)
{
	struct kvm_instance *instance = (struct kvm_instance *)base;

	if (!ready(base))
		return false;
	if (!instance->prefaulted && !atomic_load_explicit(&instance->killed, memory_order_relaxed))
		instance->prefault_failed = kvm_prefault(instance) != 0;
	return true;
}

static int memory(const struct thaw_instance *base, struct thaw_instance_memory *out,
		  struct thaw_error *err)
{
	const struct kvm_instance *instance = (const struct kvm_instance *)base;
	struct thaw_instance_memory found = {0};

	if (!ready(base))
		return thaw_fail(err, THAW_ERR_ENGINE, "the instance is not running");
	if (kvm_bank_resident(instance->machine.bank, instance->machine.bank_size,
			      &found.private_bytes))
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot look at the bank");
	*out = found;
	return 0;
}

#define KVM_BACKEND(KIND, NAME)                                                                    \
	{                                                                                          \
		.kind = KIND, .name = NAME, .hides_cpu = true, .open = open_backend,               \
		.close = close_backend, .cpu = cpu, .boot = boot, .record = record,                \
		.start = start, .wait_failure = wait_failure, .create = create, .ready = ready,    \
		.near = near, .prepared = prepared, .prepare = prepare, .run = kvm_run,            \
		.recycle = kvm_recycle, .kill = kvm_kill, .destroy = kvm_destroy,                  \
		.memory = memory,                                                                  \
	}

const struct thaw_backend thaw_backend_kvm = KVM_BACKEND(THAW_BACKEND_KVM, "kvm");
/* The same name: images record it, and they do not depend on the way back. */
const struct thaw_backend thaw_backend_kvm_generic = KVM_BACKEND(THAW_BACKEND_KVM_GENERIC, "kvm");
