/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of a Linux program: what --env gives it, and what a person's session would. */
#ifndef THAW_FREEZE_ENVIRONMENT_H
#define THAW_FREEZE_ENVIRONMENT_H

#include "pool/freeze/options.h"
#include "pool/pack/gather.h"

struct thaw_environment {
	char **list; /* "KEY=VALUE", NULL-terminated; all owned */
	size_t count;
	size_t given; /* the first so many are those of --env */
};

/*
 * Makes the environment of a program with the user id UID: the variables of --env, and unless the
 * user wants none others, PATH, HOME, USER, LOGNAME, LANG, LC_* and TZ where --env does not set them.
 * HOME and the names are those of the tree's /etc/passwd. Locale and time zone are the caller's as far
 * as the tree can have them: those of this host, or with OWN_FILES, when the program comes from a
 * root, those that the tree has. The hook of GATHER gets its variable. The caller releases OUT with
 * thaw_environment_free().
 */
int thaw_environment_make(const struct thaw_freeze_options *freeze,
			  const struct thaw_gather *gather, uint32_t uid, bool own_files,
			  struct thaw_environment *out, struct thaw_error *err);
void thaw_environment_free(struct thaw_environment *environment);

/* The value of NAME, or NULL. *GIVEN (may be NULL): it is from --env. */
const char *thaw_environment_get(const struct thaw_environment *environment, const char *name,
				 bool *given);

/* Packs the locales and the time zone that the environment names, this host's local time, and says
 * which of those in --env this host does not have. LOCALE: the program sets a locale by glibc. */
int thaw_environment_pack(const struct thaw_environment *environment, struct thaw_gather *gather,
			  bool locale, struct thaw_error *err);

#endif
