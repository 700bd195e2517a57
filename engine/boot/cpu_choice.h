/* SPDX-License-Identifier: Apache-2.0 */
/* Which CPU features a booting guest sees, and its image therefore demands. Internal to the
 * engine. */
#ifndef THAW_CPU_CHOICE_H
#define THAW_CPU_CHOICE_H

#include <stdbool.h>

#include "engine/engine.h"

/*
 * Chooses by CONFIG's cpu_level among the features of HOST. HIDES: the backend can show a guest
 * fewer than HOST has. Sets *CHOSEN, and *LEVEL (static) to the level's name. A level that is
 * unknown is THAW_ERR_USAGE, one that this processor lacks THAW_ERR_FAILURE. Tells the person who
 * freezes, by CONFIG's notice, when an image gets more features than that person may expect.
 */
int thaw_cpu_choose(const struct thaw_boot_config *config, bool hides,
		    const struct thaw_cpu_features *host, struct thaw_cpu_features *chosen,
		    const char **level, struct thaw_error *err);

#endif
