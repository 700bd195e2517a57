/* SPDX-License-Identifier: Apache-2.0 */
/* Talking to the functions of a daemon. A worker's reply is not to be trusted, because its guest
 * may have taken it over: a member that is missing or of the wrong type reads as 0 or NULL. */
#include "pool/cli/daemon.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uuid.h>

#include "pool/common/paths.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/name.h"

#define CONNECT_WAIT_MS 5000u
#define SERVED_WAIT_MS	10000u
#define POLL_MS		20u

static void pause_ms(unsigned ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000},
		  NULL);
}

int thaw_cli_adopt(struct thaw_error *err, const struct thaw_client_error *from)
{
	return thaw_fail(err, (enum thaw_error_kind)from->code, "%s", from->message);
}

int thaw_cli_image_path(const struct thaw_cli *cli, const char *name, char **path,
			struct thaw_error *err)
{
	if (asprintf(path, "%s/%s" THAW_IMAGE_SUFFIX, cli->state, name) < 0) {
		*path = NULL;
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	}
	return 0;
}

static bool image_exists(const struct thaw_cli *cli, const char *name)
{
	thaw_autofree char *path = NULL;

	return thaw_cli_image_path(cli, name, &path, NULL) == 0 && access(path, F_OK) == 0;
}

/* ---- Names ---- */

static char *function_name(const char *file_name)
{
	size_t length = strlen(file_name), suffix = strlen(THAW_IMAGE_SUFFIX);
	char *name;

	if (length <= suffix || strcmp(file_name + length - suffix, THAW_IMAGE_SUFFIX) != 0)
		return NULL;
	name = strndup(file_name, length - suffix);
	if (name && !thaw_name_valid(name)) {
		free(name);
		return NULL;
	}
	return name;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int collect_names(DIR *directory, char ***names, size_t *count)
{
	for (struct dirent *entry; (entry = readdir(directory));) {
		char *name = function_name(entry->d_name);
		char **grown = name ? realloc(*names, (*count + 2) * sizeof(*grown)) : NULL;

		if (!name)
			continue;
		if (!grown) {
			free(name);
			return -1;
		}
		*names = grown;
		grown[(*count)++] = name;
		grown[*count] = NULL;
	}
	return 0;
}

int thaw_cli_names(const struct thaw_cli *cli, char ***names, struct thaw_error *err)
{
	DIR *directory = opendir(cli->state);
	char **found = calloc(1, sizeof(*found));
	size_t count = 0;
	int collected;

	if (!directory && errno != ENOENT) {
		free(found);
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot read %s", cli->state);
	}
	/* Before the first freeze there is no state directory; that is an empty list, no error. */
	collected = !found ? -1 : directory ? collect_names(directory, &found, &count) : 0;
	if (directory)
		closedir(directory);
	if (collected < 0) {
		thaw_cli_free_names(found);
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	}
	qsort(found, count, sizeof(*found), compare_names);
	*names = found;
	return 0;
}

void thaw_cli_free_names(char **names)
{
	for (char **name = names; name && *name; name++)
		free(*name);
	free(names);
}

/* ---- Connecting ---- */

int thaw_cli_no_function(const struct thaw_cli *cli, const char *name, struct thaw_error *err)
{
	char **names = NULL;
	const char *nearest = NULL;

	thaw_fail(err, THAW_ERR_NOT_FOUND, "no function '%s': freeze it, or see 'thaw list'", name);
	if (thaw_cli_names(cli, &names, NULL) == 0)
		nearest = thaw_nearest(name, (const char *const *)names);
	if (nearest && strcmp(nearest, name) != 0)
		thaw_fail(err, THAW_ERR_NOT_FOUND, "no function '%s': did you mean '%s'?", name,
			  nearest);
	thaw_cli_free_names(names);
	return -1;
}

int thaw_cli_connect(const struct thaw_cli *cli, const char *name, struct thaw_connection **out,
		     struct thaw_error *err)
{
	struct thaw_client_error failure = {0};

	if (thaw_parse_name(name, err) < 0)
		return -1;
	for (unsigned waited = 0;; waited += POLL_MS) {
		if (thaw_connect(cli->run, name, out, &failure) == 0)
			return 0;
		if (failure.code != THAW_ERR_NOT_FOUND || waited >= CONNECT_WAIT_MS ||
		    !image_exists(cli, name))
			break;
		pause_ms(POLL_MS);
	}
	if (failure.code == THAW_ERR_NOT_FOUND && !image_exists(cli, name))
		return thaw_cli_no_function(cli, name, err);
	return thaw_cli_adopt(err, &failure);
}

/* ---- Control ---- */

uint64_t thaw_json_number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (json_is_real(value) && json_real_value(value) >= 0 && json_real_value(value) < 1e18)
		return (uint64_t)json_real_value(value);
	return json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
}

const char *thaw_json_string(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static enum thaw_error_kind reply_kind(const json_t *reply)
{
	uint64_t code = thaw_json_number(reply, "code");

	return code == THAW_ERR_FAILURE || code == THAW_ERR_USAGE ||
			       (code >= THAW_ERR_DEADLINE && code <= THAW_ERR_NOT_FOUND)
		       ? (enum thaw_error_kind)code
		       : THAW_ERR_ENGINE;
}

int thaw_cli_control(struct thaw_connection *connection, json_t *operation, json_t **reply,
		     struct thaw_error *err)
{
	thaw_autofree char *text = operation ? json_dumps(operation, JSON_COMPACT) : NULL;
	thaw_autofree char *answer = NULL;
	struct thaw_client_error failure = {0};
	json_t *parsed;

	json_decref(operation);
	if (!text)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	if (thaw_control(connection, text, &answer, &failure) < 0)
		return thaw_cli_adopt(err, &failure);
	parsed = json_loads(answer, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(parsed)) {
		json_decref(parsed);
		return thaw_fail(err, THAW_ERR_ENGINE, "the worker's reply is not a JSON object");
	}
	if (thaw_json_string(parsed, "error")) {
		thaw_fail(err, reply_kind(parsed), "%s", thaw_json_string(parsed, "error"));
		json_decref(parsed);
		return -1;
	}
	*reply = parsed;
	return 0;
}

int thaw_cli_stats(const struct thaw_cli *cli, const char *name, json_t **reply,
		   struct thaw_error *err)
{
	struct thaw_connection *connection = NULL;
	struct thaw_client_error failure = {0};
	int done;

	if (thaw_connect(cli->run, name, &connection, &failure) < 0)
		return thaw_cli_adopt(err, &failure);
	done = thaw_cli_control(connection, json_pack("{s:s}", "op", "stats"), reply, err);
	thaw_disconnect(connection);
	return done;
}

bool thaw_uuid_equal(const char *a, const char *b)
{
	while (a && b) {
		a += *a == '-';
		b += *b == '-';
		if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
			return false;
		if (!*a)
			return true;
		a++;
		b++;
	}
	return false;
}

/* Returns 1 when it serves UUID, 0 when it does not yet, -1 with ERR when it never will. */
static int serves(const struct thaw_cli *cli, const char *name, const char *uuid,
		  struct thaw_error *err)
{
	struct thaw_error failure = THAW_ERROR_INIT;
	json_t *stats = NULL;
	int same;

	if (thaw_cli_stats(cli, name, &stats, &failure) < 0) {
		if (failure.kind != THAW_ERR_IMAGE)
			return 0;
		return thaw_fail(err, THAW_ERR_IMAGE, "%s", failure.message);
	}
	same = thaw_uuid_equal(thaw_json_string(json_object_get(stats, "image"), "uuid"), uuid);
	json_decref(stats);
	return same;
}

int thaw_cli_wait_served(const struct thaw_cli *cli, const char *name, const uint8_t uuid[16],
			 struct thaw_error *err)
{
	char text[UUID_STR_LEN];

	uuid_unparse_lower(uuid, text);
	for (unsigned waited = 0; waited < SERVED_WAIT_MS; waited += POLL_MS) {
		int served;

		if (!thaw_paths_daemon_alive(cli->run, NULL))
			return 1;
		served = serves(cli, name, text, err);
		if (served != 0)
			return served > 0 ? 0 : -1;
		pause_ms(POLL_MS);
	}
	return thaw_fail(
		err, THAW_ERR_ENGINE,
		"the daemon in %s does not serve the new image yet: see 'thaw logs %s', and check "
		"that the daemon was started with the same --state",
		cli->run, name);
}
