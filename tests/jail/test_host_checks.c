/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of `thaw doctor`: complete, readable, and true where the truth is known from another
 * source. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/engine.h"
#include "engine/host/cpu.h"
#include "trial.h"

static const struct thaw_check *find(const struct thaw_check *checks, size_t count,
				     const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(checks[i].name, name) == 0)
			return &checks[i];
	dprintf(2, "no line is called %s\n", name);
	_exit(97);
}

static void check_lines(void *context)
{
	struct thaw_check checks[THAW_CHECKS_MAX];
	struct thaw_cpu_features features;
	size_t count = 1; /* it must append */
	bool missing = false;
	int result;

	trial_become(*(unsigned *)context);
	checks[0].name = "before";
	result = thaw_host_checks(checks, &count);
	TRIAL_CHECK(count == 1 + THAW_HOST_CHECKS && strcmp(checks[0].name, "before") == 0);
	for (size_t i = 1; i < count; i++) {
		TRIAL_CHECK(checks[i].name[0] && checks[i].detail[0]);
		TRIAL_CHECK(find(checks, count, checks[i].name) == &checks[i]);
		missing |= checks[i].state == THAW_CHECK_MISSING;
	}
	TRIAL_CHECK(result == (missing ? -1 : 0));
	/* The jail's tests run sealed processes, so the filter does work here. */
	TRIAL_CHECK(find(checks, count, "seccomp")->state == THAW_CHECK_OK);
	TRIAL_CHECK(find(checks, count, "memory sealing")->state == THAW_CHECK_OK);
	TRIAL_CHECK(find(checks, count, "jail")->state == THAW_CHECK_OK);
	thaw_cpu_host(&features);
	TRIAL_CHECK(strcmp(find(checks, count, "cpu level")->detail,
			   thaw_cpu_level_of(&features)) == 0);
	TRIAL_CHECK((find(checks, count, "cpuid faulting")->state == THAW_CHECK_OK) ==
		    thaw_cpu_can_fault());
}

Test(host_checks, lines_are_complete)
{
	for (unsigned caller = 0; caller < trial_callers(); caller++)
		cr_assert_eq(trial_fork(check_lines, &caller), 0);
}

static void refuse(int number)
{
	scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);

	TRIAL_CHECK(seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), number, 0) == 0);
	TRIAL_CHECK(seccomp_load(context) == 0);
	seccomp_release(context);
}

/* On a host that offers less, the lines say what is missing and how much it matters. */
static void check_poor_host(void *context)
{
	struct thaw_check checks[THAW_CHECKS_MAX];
	size_t count = 0;

	(void)context;
	refuse(SCMP_SYS(unshare));
	refuse(SCMP_SYS(io_uring_setup));
	TRIAL_CHECK(thaw_host_checks(checks, &count) == 0);
	TRIAL_CHECK(find(checks, count, "mount namespace")->state == THAW_CHECK_WEAKER);
	TRIAL_CHECK(find(checks, count, "empty root")->state == THAW_CHECK_WEAKER);
	TRIAL_CHECK(strstr(find(checks, count, "empty root")->detail,
			   "mount: Operation not permitted"));
	TRIAL_CHECK(find(checks, count, "io_uring")->state == THAW_CHECK_WEAKER);
	count = 0;
	refuse(SCMP_SYS(memfd_create));
	TRIAL_CHECK(thaw_host_checks(checks, &count) == -1);
	TRIAL_CHECK(find(checks, count, "memory sealing")->state == THAW_CHECK_MISSING);
}

Test(host_checks, a_poor_host_is_told)
{
	cr_assert_eq(trial_fork(check_poor_host, NULL), 0);
}
