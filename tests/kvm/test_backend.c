/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a backend while threads wait for it; without virtual machines. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <unistd.h>

#include "engine/kvm/backend.h"

TestSuite(kvm_backend, .timeout = 30);

struct supervisor {
	struct kvm_backend *backend;
	pthread_t thread;
	int result;
	struct thaw_error err;
};

static void *supervise(void *context)
{
	struct supervisor *supervisor = context;

	supervisor->result = kvm_backend_wait_closed(supervisor->backend, &supervisor->err);
	return NULL;
}

static bool all_wait(struct kvm_backend *backend, unsigned count)
{
	unsigned waiters;

	pthread_mutex_lock(&backend->lock);
	waiters = backend->waiters;
	pthread_mutex_unlock(&backend->lock);
	return waiters == count;
}

Test(kvm_backend, its_end_ends_every_wait_for_a_failure)
{
	enum { SUPERVISORS = 3 };
	const struct thaw_engine_config config = {.backend = THAW_BACKEND_KVM, .max_instances = 2};
	struct supervisor supervisors[SUPERVISORS];
	struct kvm_backend *backend;

	cr_assert_eq(kvm_backend_make(&config, &backend, NULL), 0);
	for (unsigned i = 0; i < SUPERVISORS; i++) {
		supervisors[i] = (struct supervisor){.backend = backend, .err = THAW_ERROR_INIT};
		cr_assert_eq(
			pthread_create(&supervisors[i].thread, NULL, supervise, &supervisors[i]),
			0);
	}
	while (!all_wait(backend, SUPERVISORS))
		usleep(100);
	kvm_backend_free(backend);
	for (unsigned i = 0; i < SUPERVISORS; i++) {
		pthread_join(supervisors[i].thread, NULL);
		cr_expect_lt(supervisors[i].result, 0);
		cr_expect_eq(supervisors[i].err.kind, THAW_ERR_ENGINE);
		cr_expect_str_eq(supervisors[i].err.message, "the engine was closed");
	}
}

Test(kvm_backend, it_ends_without_a_supervisor_too)
{
	const struct thaw_engine_config config = {.backend = THAW_BACKEND_KVM, .max_instances = 1};
	struct kvm_backend *backend;

	cr_assert_eq(kvm_backend_make(&config, &backend, NULL), 0);
	kvm_backend_free(backend);
}
