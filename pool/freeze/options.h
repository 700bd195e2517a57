/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of `thaw freeze`, parsed. Strings point into argv. */
#ifndef THAW_FREEZE_OPTIONS_H
#define THAW_FREEZE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "pool/cli/cli.h"

#define THAW_WARM_MAX  256u
#define THAW_FILES_MAX 1024u

/* One --file, --dir or --root. */
struct thaw_freeze_file {
	enum thaw_freeze_file_kind { THAW_FREEZE_FILE, THAW_FREEZE_DIR, THAW_FREEZE_ROOT } kind;
	const char *text; /* HOST or HOST:GUEST */
};

struct thaw_freeze_options {
	const char *name, *program, *image, *cpu_level;
	char **args;
	char *env[THAW_IMAGE_STRINGS_MAX + 1];
	size_t env_count;
	bool no_default_env; /* a Linux program's environment has env alone */
	const char *warm[THAW_WARM_MAX];
	size_t warm_count;
	bool no_working_set;  /* do not record it */
	uint64_t memory_size; /* 0: the default of its kind, thaw_freeze_memory() */
	uint64_t timeout_ns, boot_timeout_ns;
	enum thaw_backend_kind backend;
	/* For Linux programs. */
	struct thaw_freeze_file files[THAW_FILES_MAX];
	size_t file_count;
	const char *cwd, *user;
	bool at_start, trace;
	bool no_discover; /* pack only what is named */
	bool verbose;
};

/* The memory limit of a Linux program, if LINUX, or of a native function. Linux programs map much
 * and touch little of it, and only what they touch counts. */
static inline uint64_t thaw_freeze_memory(const struct thaw_freeze_options *options,
					  bool linux_program)
{
	if (options->memory_size)
		return options->memory_size;
	return linux_program ? UINT64_C(512) << 20 : UINT64_C(64) << 20;
}

/* As thaw_cli_parse(). */
int thaw_freeze_parse(struct thaw_cli *cli, struct thaw_freeze_options *options, int argc,
		      char **argv, struct thaw_error *err);

#endif
