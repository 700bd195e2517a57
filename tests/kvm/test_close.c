/* SPDX-License-Identifier: Apache-2.0 */
/* Closing an engine over real virtual machines while its supervisor waits for its failure. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/kvm/with_kvm.h"

TestSuite(kvm_close, .timeout = 120);

static atomic_bool entered;
static struct thaw_error failure = THAW_ERROR_INIT;

static void *supervise(void *context)
{
	atomic_store(&entered, true);
	return thaw_engine_wait_failure(context, &failure) < 0 ? context : NULL;
}

static void close_under_a_supervisor(enum thaw_backend_kind kind)
{
	struct thaw_engine *engine = with_guest(kind, "guest-program", 12u << 20, 2);
	struct thaw_instance *instance = with_instance(engine);
	pthread_t thread;
	void *result;

	atomic_store(&entered, false);
	cr_assert_eq(pthread_create(&thread, NULL, supervise, engine), 0);
	while (!atomic_load(&entered))
		usleep(1000);
	usleep(200000); /* give it time to wait: nothing tells from outside that it does */
	thaw_instance_destroy(instance);
	thaw_engine_close(engine);
	pthread_join(thread, &result);
	cr_expect_not_null(result);
	cr_expect_eq(failure.kind, THAW_ERR_ENGINE);
}

Test(kvm_close, ends_a_wait_for_a_failure)
{
	close_under_a_supervisor(THAW_BACKEND_KVM);
}

Test(kvm_close, ends_a_wait_for_a_failure_of_the_generic_way)
{
	close_under_a_supervisor(THAW_BACKEND_KVM_GENERIC);
}
