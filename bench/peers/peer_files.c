/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the files and programs of peers. */
#include "bench/peers/peer_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int thaw_peer_file(const char *executable_dir, const char *name, int mode, char *out, size_t size)
{
	static const char *const folders[] = {"../bench/peers", "../libexec/thaw/peers"};

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		int length = snprintf(out, size, "%s/%s/%s", executable_dir, folders[i], name);

		if (length > 0 && (size_t)length < size && access(out, mode) == 0)
			return 0;
	}
	return -1;
}

int thaw_peer_program(const char *name, char *out, size_t size)
{
	const char *path = getenv("PATH");

	for (const char *at = path && *path ? path : "/usr/bin:/usr/sbin"; *at;) {
		size_t part = strcspn(at, ":");
		int length = snprintf(out, size, "%.*s/%s", (int)part, at, name);

		if (part && length > 0 && (size_t)length < size && access(out, X_OK) == 0)
			return 0;
		at += part + (at[part] == ':');
	}
	return -1;
}
