/* SPDX-License-Identifier: Apache-2.0 */
/* The function's settings, which every folder may read. */
#include "guest-stub/linux/linux.h"

struct linux_config config;
