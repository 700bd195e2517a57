/* SPDX-License-Identifier: Apache-2.0 */
/* What commands ask of a live daemon's functions. */
#ifndef THAW_CLI_DAEMON_H
#define THAW_CLI_DAEMON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "pool/cli/cli.h"

/* Connects to function NAME. While a daemon lives and an image of that name is in the state
 * directory, a socket that is not there yet is waited for (some seconds): the daemon is about to
 * serve it. An unknown name is told with the nearest. */
int thaw_cli_connect(const struct thaw_cli *cli, const char *name, struct thaw_connection **out,
		     struct thaw_error *err);

/* Fails with THAW_ERR_NOT_FOUND: no function NAME, and the nearest that there is. Always -1. */
int thaw_cli_no_function(const struct thaw_cli *cli, const char *name, struct thaw_error *err);

/* Sends OPERATION (reference taken) and parses the reply, which is a JSON object; {"error": TEXT}
 * is a failure. */
int thaw_cli_control(struct thaw_connection *connection, json_t *operation, json_t **reply,
		     struct thaw_error *err);
/* Connect, {"op": "stats"}, disconnect. */
int thaw_cli_stats(const struct thaw_cli *cli, const char *name, json_t **reply,
		   struct thaw_error *err);

/* After an install: waits, for a bounded time, until the daemon serves the image UUID under NAME.
 * Returns 0 when it does, 1 when no daemon lives, -1 with ERR when it does not (THAW_ERR_IMAGE: the
 * worker refused the image). */
int thaw_cli_wait_served(const struct thaw_cli *cli, const char *name, const uint8_t uuid[16],
			 struct thaw_error *err);

/* The names of the images in the state directory, sorted, NULL-terminated; to be freed with
 * thaw_cli_free_names(). */
int thaw_cli_names(const struct thaw_cli *cli, char ***names, struct thaw_error *err);
void thaw_cli_free_names(char **names); /* NULL is fine */

/* "STATE/NAME.thaw", to be freed. */
int thaw_cli_image_path(const struct thaw_cli *cli, const char *name, char **path,
			struct thaw_error *err);

/* libthaw's error as ours. Always -1. */
int thaw_cli_adopt(struct thaw_error *err, const struct thaw_client_error *from);

/* Whether two UUIDs are the same, however they are written; NULL is like none. */
bool thaw_uuid_equal(const char *a, const char *b);

/* Member KEY of OBJECT as a number, or 0; as text, or NULL. OBJECT may be anything. */
uint64_t thaw_json_number(const json_t *object, const char *key);
const char *thaw_json_string(const json_t *object, const char *key);

#endif
