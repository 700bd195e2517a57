/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of a Linux program; see environment.h. */
#include "pool/freeze/environment.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/pack/gather_locale.h"
#include "snapshot-format/base/cleanup.h"

#define PATHS	    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define PLAIN	    "C.UTF-8"
#define PASSWD_MAX  65536u
#define HOOK_LENGTH 4096u

/* What setlocale(3) reads beside LANG and LC_ALL. */
static const char *const categories[] = {"LC_CTYPE",	 "LC_NUMERIC",	   "LC_TIME",
					 "LC_COLLATE",	 "LC_MONETARY",	   "LC_MESSAGES",
					 "LC_PAPER",	 "LC_NAME",	   "LC_ADDRESS",
					 "LC_TELEPHONE", "LC_MEASUREMENT", "LC_IDENTIFICATION"};
#define CATEGORIES (sizeof(categories) / sizeof(categories[0]))

struct making {
	const struct thaw_freeze_options *freeze;
	const struct thaw_gather *gather;
	bool own_files;
	struct thaw_environment out;
	struct thaw_error *err;
};

/* ---- The list ---- */

void thaw_environment_free(struct thaw_environment *environment)
{
	for (size_t i = 0; i < environment->count; i++)
		free(environment->list[i]);
	free(environment->list);
	*environment = (struct thaw_environment){0};
}

static char *find(const struct thaw_environment *environment, const char *name, size_t *index)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < environment->count; i++) {
		char *entry = environment->list[i];

		if (strncmp(entry, name, length) == 0 && entry[length] == '=') {
			*index = i;
			return entry + length + 1;
		}
	}
	return NULL;
}

const char *thaw_environment_get(const struct thaw_environment *environment, const char *name,
				 bool *given)
{
	size_t index = 0;
	const char *value = find(environment, name, &index);

	if (given)
		*given = value && index < environment->given;
	return value;
}

static int add(struct making *making, const char *text)
{
	struct thaw_environment *out = &making->out;

	if (out->count == THAW_IMAGE_STRINGS_MAX)
		return thaw_fail(making->err, THAW_ERR_USAGE,
				 "--env: at most %u variables, with those that a program has by "
				 "default: --no-default-env leaves them out",
				 THAW_IMAGE_STRINGS_MAX);
	out->list[out->count] = strdup(text);
	if (!out->list[out->count])
		return thaw_fail(making->err, THAW_ERR_FAILURE, "out of memory");
	out->count++;
	return 0;
}

static int add_pair(struct making *making, const char *name, const char *value)
{
	thaw_autofree char *text = NULL;

	if (asprintf(&text, "%s=%s", name, value) < 0) {
		text = NULL;
		return thaw_fail(making->err, THAW_ERR_FAILURE, "out of memory");
	}
	return add(making, text);
}

static int add_default(struct making *making, const char *name, const char *value)
{
	if (!value || thaw_environment_get(&making->out, name, NULL))
		return 0;
	return add_pair(making, name, value);
}

/* ---- The user ---- */

/* Finds the line of user UID in TEXT, and cuts it at its colons: *NAME and *HOME point into it. */
static bool find_user(char *text, uint32_t uid, char **name, char **home)
{
	char *lines = NULL;

	for (char *line = strtok_r(text, "\n", &lines); line; line = strtok_r(NULL, "\n", &lines)) {
		char *fields[7] = {NULL}, *rest = line, *end;
		size_t count = 0;

		while (count < 7 && rest)
			fields[count++] = strsep(&rest, ":");
		if (count < 6 || !*fields[2] || strtoul(fields[2], &end, 10) != uid || *end)
			continue;
		*name = fields[0];
		*home = fields[5];
		return true;
	}
	return false;
}

static int add_user(struct making *making, uint32_t uid)
{
	const struct thaw_pack *pack = making->gather->pack;
	uint32_t file = thaw_pack_find(pack, THAW_PACK_ROOT, "/etc/passwd", true);
	thaw_autofree char *text = calloc(1, PASSWD_MAX + 1);
	char *name = NULL, *home = NULL;

	if (!text)
		return thaw_fail(making->err, THAW_ERR_FAILURE, "out of memory");
	if (file != THAW_PACK_NONE && thaw_pack_read(pack, file, 0, text, PASSWD_MAX) > 0)
		find_user(text, uid, &name, &home);
	if (add_default(making, "HOME", home && *home == '/' ? home : "/") < 0 ||
	    add_default(making, "USER", name) < 0)
		return -1;
	return add_default(making, "LOGNAME", name);
}

/* ---- Locale and time zone ---- */

/* Whether the program can have the caller's locale. One that is not in UTF-8 is of an older world, and
 * one that the host does not have would be the C locale. */
static bool is_usable(const struct making *making, const char *name)
{
	return name && thaw_locale_is_utf8(name) &&
	       (making->own_files ? thaw_locale_in_tree(making->gather->pack, name)
				  : thaw_locale_exists(name));
}

/* LC_ALL of the caller becomes LANG, so that --env can set a single category beside it. */
static int add_locale(struct making *making)
{
	const char *all = getenv("LC_ALL"), *lang = getenv("LANG");
	bool set_all = all && *all;

	if (thaw_environment_get(&making->out, "LANG", NULL) ||
	    thaw_environment_get(&making->out, "LC_ALL", NULL))
		return 0;
	for (size_t i = 0; i < CATEGORIES && !set_all; i++) {
		const char *value = getenv(categories[i]);

		if (is_usable(making, value) && add_default(making, categories[i], value) < 0)
			return -1;
	}
	lang = set_all ? all : lang;
	return add_default(making, "LANG", is_usable(making, lang) ? lang : PLAIN);
}

static int add_zone(struct making *making)
{
	const char *tz = getenv("TZ");

	if (!tz || (making->own_files && !thaw_zone_in_tree(making->gather->pack, tz)))
		return 0;
	return add_default(making, "TZ", tz);
}

/* ---- The hook ---- */

/* Gives the hook its variable, in front of what the user gave it. */
static int add_hook(struct making *making)
{
	const struct thaw_gather_hook *hook = making->gather->hook;
	size_t index;
	const char *value;
	char text[HOOK_LENGTH];

	if (!hook)
		return 0;
	value = find(&making->out, hook->variable, &index);
	if (!value)
		return add_pair(making, hook->variable, hook->value);
	if (!hook->between || (size_t)snprintf(text, sizeof(text), "%s=%s%s%s", hook->variable,
					       hook->value, hook->between, value) >= sizeof(text))
		return 0;
	free(making->out.list[index]);
	making->out.list[index] = strdup(text);
	return making->out.list[index] ? 0
				       : thaw_fail(making->err, THAW_ERR_FAILURE, "out of memory");
}

/* ---- The whole ---- */

static int make(struct making *making, uint32_t uid)
{
	const struct thaw_freeze_options *freeze = making->freeze;

	making->out.list = calloc(THAW_IMAGE_STRINGS_MAX + 1, sizeof(char *));
	if (!making->out.list)
		return thaw_fail(making->err, THAW_ERR_FAILURE, "out of memory");
	for (size_t i = 0; i < freeze->env_count; i++)
		if (add(making, freeze->env[i]) < 0)
			return -1;
	making->out.given = making->out.count;
	if (!freeze->no_default_env &&
	    (add_default(making, "PATH", PATHS) < 0 || add_user(making, uid) < 0 ||
	     add_locale(making) < 0 || add_zone(making) < 0))
		return -1;
	return add_hook(making);
}

int thaw_environment_make(const struct thaw_freeze_options *freeze,
			  const struct thaw_gather *gather, uint32_t uid, bool own_files,
			  struct thaw_environment *out, struct thaw_error *err)
{
	struct making making = {
		.freeze = freeze, .gather = gather, .own_files = own_files, .err = err};

	if (make(&making, uid) < 0) {
		thaw_environment_free(&making.out);
		return -1;
	}
	*out = making.out;
	return 0;
}

/* ---- What it names ---- */

static int pack_locale(const struct thaw_environment *environment, struct thaw_gather *gather,
		       const char *name, struct thaw_error *err)
{
	bool given;
	const char *value = thaw_environment_get(environment, name, &given);
	int done = value ? thaw_gather_locale(gather, value, err) : 1;

	if (done < 0)
		return -1;
	if (done == 0 && given)
		thaw_cli_say("%s=%s: this host has no such locale (locale -a lists those that it "
			     "has), so the program falls back to C: characters are bytes",
			     name, value);
	/* glibc reads and writes any other character set by a module. */
	return value && strchr(value, '.') && !thaw_locale_is_utf8(value)
		       ? thaw_gather_conversions(gather, err)
		       : 0;
}

int thaw_environment_pack(const struct thaw_environment *environment, struct thaw_gather *gather,
			  bool locale, struct thaw_error *err)
{
	bool given;
	const char *tz = thaw_environment_get(environment, "TZ", &given);
	int zone = tz ? thaw_gather_zone(gather, tz, err) : 1;

	if (zone < 0 || thaw_gather_local_time(gather, err) < 0)
		return -1;
	if (zone == 0 && given)
		thaw_cli_say("TZ=%s: /usr/share/zoneinfo of this host has no such time zone, so "
			     "the program's local time is UTC",
			     tz);
	if (!locale)
		return 0;
	for (size_t i = 0; i < CATEGORIES; i++)
		if (pack_locale(environment, gather, categories[i], err) < 0)
			return -1;
	return pack_locale(environment, gather, "LC_ALL", err) < 0 ||
			       pack_locale(environment, gather, "LANG", err) < 0
		       ? -1
		       : 0;
}
