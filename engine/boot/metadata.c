/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata of a boot; see metadata.h. */
#include "engine/boot/metadata.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#include "engine/boot/spelled.h"
#include "snapshot-format/base/clock.h"

#define CREATOR "thaw " THAW_VERSION

static int copy_strings(char *const *from, char ***to)
{
	size_t count = 0;

	while (from && from[count])
		count++;
	*to = calloc(count + 1, sizeof(**to));
	for (size_t i = 0; *to && i < count; i++) {
		(*to)[i] = thaw_spelled(from[i]);
		if (!(*to)[i])
			return -1;
	}
	return *to ? 0 : -1;
}

int thaw_boot_metadata_fill(struct thaw_image_meta *meta, const struct thaw_boot_config *config,
			    const char *backend, const char *cpu_level, struct thaw_error *err)
{
	uuid_generate_random(meta->uuid);
	meta->created_ns = thaw_wall_ns();
	meta->abi_version = THAW_ABI_VERSION;
	meta->memory_size = config->memory_size;
	meta->timeout_ns = config->timeout_ns;
	meta->generation = config->tree ? 0 : config->warm_count;
	meta->name = strdup(config->name);
	meta->program = strdup(config->program);
	meta->backend = strdup(backend);
	meta->cpu_level = strdup(cpu_level);
	meta->creator = strdup(CREATOR);
	if (copy_strings(config->args, &meta->args) || copy_strings(config->env, &meta->env) ||
	    !meta->name || !meta->program || !meta->backend || !meta->cpu_level || !meta->creator)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM,
				       "no memory for an image's metadata");
	return 0;
}

static void free_strings(char **strings)
{
	for (char **string = strings; string && *string; string++)
		free(*string);
	free(strings);
}

void thaw_boot_metadata_free(struct thaw_image_meta *meta)
{
	free(meta->name);
	free(meta->program);
	free(meta->backend);
	free(meta->cpu_level);
	free(meta->creator);
	free_strings(meta->args);
	free_strings(meta->env);
	free(meta->working_set);
}
