/* SPDX-License-Identifier: Apache-2.0 */
/* Declares the handlers of calls.h. */
#ifndef THAW_LINUX_CALLS_DECLARED_H
#define THAW_LINUX_CALLS_DECLARED_H

#include "guest-stub/linux/calls.h"
#include "guest-stub/linux/linux.h"

#define LINUX_DECLARE_FULL(name)    linux_call sys_##name;
#define LINUX_DECLARE_PARTIAL(name) linux_call sys_##name;
#define LINUX_DECLARE_REFUSED(name)
#define LINUX_DECLARE_ABSENT(name)
#define LINUX_DECLARE(name, support, arguments, error, note) LINUX_DECLARE_##support(name)
LINUX_CALLS(LINUX_DECLARE)

#endif
