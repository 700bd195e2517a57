/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Getting a thread out of its guest. A kick sets `immediate_exit` and then sends a signal. An entry
 * that follows the kick sees the flag and returns; a run that is under way is ended by the signal.
 * There is no moment between the two. The kick is given under kick_lock, so that it never reaches a
 * thread that has gone on to other work.
 *
 * One thread, the watch, enforces the deadlines of all instances. A run only stores its deadline.
 * It wakes the watch if the deadline comes before the time that the watch sleeps until. That is
 * rare while all invocations have the same time limit.
 *
 * The watch also kicks the runs whose guests want ticks. Such a kick is the signal alone: if it finds
 * the thread between two entries, the tick is lost, and the next one follows. The thread then injects
 * an interrupt, if ring 3 was running.
 */
#include "engine/kvm/kick.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/host/futex.h"
#include "engine/kvm/enter.h"
#include "engine/tick.h"
#include "snapshot-format/base/clock.h"
#include "snapshot-format/base/thread.h"

#define KICK_SIGNAL (SIGRTMIN + 2)
#define NEVER	    UINT64_MAX

static void nothing(int signal)
{
	(void)signal;
}

int kvm_kicks_init(struct thaw_error *err)
{
	struct sigaction action = {.sa_handler = nothing};

	if (sigaction(KICK_SIGNAL, &action, NULL))
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot install the signal that ends a run");
	return 0;
}

/* Threads start with every signal blocked; a thread that runs guests accepts this one. */
static void accept_kicks(void)
{
	sigset_t kick;

	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
}

/* The word that the watch sleeps on, as the kernel takes it: an atomic word has the layout of a
 * plain one. */
static uint32_t *futex_of(struct kvm_backend *backend)
{
	return (uint32_t *)(uintptr_t)&backend->watch_word;
}

static void wake_watch(struct kvm_backend *backend)
{
	atomic_fetch_add(&backend->watch_word, 1);
	thaw_futex_wake(futex_of(backend));
}

/* Sets *TIME_NS, an instance's deadline or tick, to AT_NS. Sequentially consistent with the watch,
 * which first stores the time that it will sleep until and then looks at all times again. Either the
 * watch sees this time, or this thread sees the watch's. */
static void tell_watch(struct kvm_backend *backend, _Atomic uint64_t *time_ns, uint64_t at_ns)
{
	atomic_store(time_ns, at_ns);
	if (at_ns < atomic_load(&backend->watch_at_ns)) {
		atomic_store(&backend->watch_wanted_ns, at_ns);
		wake_watch(backend);
	}
}

bool kvm_kick_begin(struct kvm_instance *instance, uint64_t deadline_ns)
{
	static _Thread_local pid_t self;
	struct kvm_backend *backend = instance->backend;
	bool alive;

	if (!self) {
		self = gettid();
		accept_kicks();
	}
	pthread_mutex_lock(&instance->kick_lock);
	alive = !atomic_load_explicit(&instance->killed, memory_order_relaxed);
	if (alive)
		instance->running = self;
	pthread_mutex_unlock(&instance->kick_lock);
	if (!alive)
		return false;
	atomic_store_explicit(&instance->runner, self, memory_order_relaxed);
	if (deadline_ns)
		tell_watch(backend, &instance->deadline_ns, deadline_ns);
	return true;
}

void kvm_tick_look(struct kvm_instance *instance)
{
	uint64_t at_ns = atomic_load_explicit(&instance->tick_ns, memory_order_relaxed);
	uint64_t wish_ns = thaw_tick_wish(instance->machine.mailbox), next_ns;

	if (!wish_ns)
		return;
	next_ns = thaw_tick_next(wish_ns, thaw_monotonic_ns());
	if (!at_ns || next_ns < at_ns)
		tell_watch(instance->backend, &instance->tick_ns, next_ns);
}

void kvm_tick(struct kvm_instance *instance)
{
	const struct kvm_machine *machine = &instance->machine;
	uint64_t wish_ns = thaw_tick_wish(machine->mailbox), now_ns = thaw_monotonic_ns();
	struct kvm_interrupt tick = {.irq = KVM_VECTOR_TICK};

	if (!wish_ns || wish_ns > now_ns)
		atomic_store(&instance->tick_ns, thaw_tick_next(wish_ns, now_ns));
	else if (machine->run->ready_for_interrupt_injection) /* not in ring 0, where IF is clear */
		kvm_ioctl(machine->vcpu_fd, KVM_INTERRUPT, &tick);
}

enum kvm_kick kvm_kick_end(struct kvm_instance *instance)
{
	enum kvm_kick kicked;

	atomic_store_explicit(&instance->deadline_ns, 0, memory_order_relaxed);
	if (atomic_load_explicit(&instance->tick_ns, memory_order_relaxed))
		atomic_store(&instance->tick_ns, 0);
	pthread_mutex_lock(&instance->kick_lock);
	instance->running = 0;
	kicked = instance->kicked;
	instance->kicked = KVM_KICK_NONE;
	kvm_unask_exit(&instance->machine);
	pthread_mutex_unlock(&instance->kick_lock);
	return kicked;
}

/* Call with kick_lock held. */
static void kick(struct kvm_instance *instance, enum kvm_kick why)
{
	if (!instance->running)
		return;
	if (instance->kicked == KVM_KICK_NONE)
		instance->kicked = why;
	kvm_ask_exit(&instance->machine);
	tgkill(getpid(), instance->running, KICK_SIGNAL);
}

void kvm_kill(struct thaw_instance *base)
{
	struct kvm_instance *instance = (struct kvm_instance *)base;

	pthread_mutex_lock(&instance->kick_lock);
	atomic_store_explicit(&instance->killed, true, memory_order_relaxed);
	kick(instance, KVM_KICK_KILL);
	pthread_mutex_unlock(&instance->kick_lock);
}

/* Kicks INSTANCE if it is time for a tick. Returns when the next one is due. */
static uint64_t look_at_tick(struct kvm_instance *instance, uint64_t now_ns)
{
	uint64_t tick_ns = atomic_load(&instance->tick_ns), next_ns = now_ns + THAW_TICK_NS;

	if (!tick_ns || tick_ns > now_ns)
		return tick_ns ? tick_ns : NEVER;
	/* The owner may set it meanwhile, and then wakes this thread again if it has to. */
	if (!atomic_compare_exchange_strong(&instance->tick_ns, &tick_ns, next_ns))
		return tick_ns ? tick_ns : NEVER;
	pthread_mutex_lock(&instance->kick_lock);
	if (instance->running)
		tgkill(getpid(), instance->running, KICK_SIGNAL);
	pthread_mutex_unlock(&instance->kick_lock);
	return next_ns;
}

/* Kicks the instances whose deadline has passed, and those that want a tick. Returns the earliest
 * time at which it is to be called again. */
static uint64_t look(struct kvm_backend *backend, uint64_t now_ns)
{
	uint64_t next_ns = NEVER;

	for (unsigned i = 0; i < backend->slots; i++) {
		struct kvm_instance *instance = &backend->instances[i];
		uint64_t deadline_ns = atomic_load(&instance->deadline_ns);
		uint64_t tick_ns = look_at_tick(instance, now_ns);

		next_ns = tick_ns < next_ns ? tick_ns : next_ns;
		if (!deadline_ns)
			continue;
		if (deadline_ns > now_ns) {
			next_ns = deadline_ns < next_ns ? deadline_ns : next_ns;
			continue;
		}
		pthread_mutex_lock(&instance->kick_lock);
		/* By now the deadline may be that of another run. */
		if (atomic_load(&instance->deadline_ns) == deadline_ns)
			kick(instance, KVM_KICK_DEADLINE);
		pthread_mutex_unlock(&instance->kick_lock);
		/* One kick is enough: a thread between two entries checks its deadline itself. */
		atomic_compare_exchange_strong(&instance->deadline_ns, &deadline_ns, 0);
	}
	return next_ns;
}

/* When to look next. The watch also wakes at the last deadline that it was woken for, even if that
 * run has ended: the next run will have a similar deadline, and then need not wake the watch. */
static uint64_t next_look(struct kvm_backend *backend, uint64_t now_ns)
{
	uint64_t next_ns = look(backend, now_ns),
		 wanted_ns = atomic_load(&backend->watch_wanted_ns);

	return wanted_ns > now_ns && wanted_ns < next_ns ? wanted_ns : next_ns;
}

static void *watch(void *context)
{
	struct kvm_backend *backend = context;

	while (!atomic_load(&backend->watch_ends)) {
		uint32_t word = atomic_load(&backend->watch_word);
		uint64_t now_ns = thaw_monotonic_ns(), next_ns;

		atomic_store(&backend->watch_at_ns, next_look(backend, now_ns));
		/* Again, for deadlines that were stored during the first look. */
		next_ns = next_look(backend, now_ns);
		if (next_ns < atomic_load(&backend->watch_at_ns))
			atomic_store(&backend->watch_at_ns, next_ns);
		next_ns = atomic_load(&backend->watch_at_ns);
		thaw_futex_wait(futex_of(backend), word, next_ns == NEVER ? 0 : next_ns);
	}
	return NULL;
}

int kvm_watch_start(struct kvm_backend *backend, struct thaw_error *err)
{
	int error;

	atomic_store(&backend->watch_at_ns, NEVER);
	atomic_store(&backend->watch_wanted_ns, 0);
	atomic_store(&backend->watch_ends, false);
	error = thaw_thread_start(&backend->watch, NULL, watch, backend);
	if (error)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, error,
				       "cannot start the watch over deadlines");
	backend->watch_started = true;
	return 0;
}

void kvm_watch_stop(struct kvm_backend *backend)
{
	if (!backend->watch_started)
		return;
	atomic_store(&backend->watch_ends, true);
	wake_watch(backend);
	pthread_join(backend->watch, NULL);
	backend->watch_started = false;
}
