/* SPDX-License-Identifier: Apache-2.0 */
/* What commands ask of a daemon and of the state directory. */
#ifndef THAW_CLI_DAEMON_H
#define THAW_CLI_DAEMON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "pool/cli/cli.h"
#include "pool/libthaw/thaw.h"

/* ---- The state directory ---- */

/* The names of the images in the state directory, sorted, NULL-terminated; the caller frees them
 * with thaw_cli_free_names(). */
int thaw_cli_names(const struct thaw_cli *cli, char ***names, struct thaw_error *err);
void thaw_cli_free_names(char **names); /* NULL is fine */

/* "STATE/NAME.thaw"; the caller frees it. */
int thaw_cli_image_path(const struct thaw_cli *cli, const char *name, char **path,
			struct thaw_error *err);

/* Fails with THAW_ERR_NOT_FOUND and names the function nearest to NAME. Always -1. */
int thaw_cli_no_function(const struct thaw_cli *cli, const char *name, struct thaw_error *err);

/* ---- A function's worker ---- */

/* Connects to function NAME. When a daemon runs and the image is in the state directory but the
 * socket is missing, waits up to 5 s for the socket: the daemon is about to serve the function.
 * For an unknown function, ERR names the nearest. */
int thaw_cli_connect(const struct thaw_cli *cli, const char *name, struct thaw_connection **out,
		     struct thaw_error *err);

/* Sends OPERATION (it takes the reference) and parses the reply, which is a JSON object. A reply
 * {"error": TEXT} is a failure. */
int thaw_cli_control(struct thaw_connection *connection, json_t *operation, json_t **reply,
		     struct thaw_error *err);
/* Connects, sends {"op": "stats"} and disconnects. */
int thaw_cli_stats(const struct thaw_cli *cli, const char *name, json_t **reply,
		   struct thaw_error *err);

/* After an install: waits up to 10 s until the daemon serves the image UUID under NAME. Returns 0
 * when it does, 1 when no daemon runs, -1 with ERR when it does not (THAW_ERR_IMAGE: the worker
 * refused the image). */
int thaw_cli_wait_served(const struct thaw_cli *cli, const char *name, const uint8_t uuid[16],
			 struct thaw_error *err);

/* Copies libthaw's error to ERR. Always -1. */
int thaw_cli_adopt(struct thaw_error *err, const struct thaw_client_error *from);

/* ---- What workers say ---- */

/* Whether two UUIDs are equal, with or without dashes and in either case. NULL equals nothing. */
bool thaw_uuid_equal(const char *a, const char *b);

/* Member KEY of OBJECT as a number (0 when it is none), or as text (NULL when it is none). OBJECT
 * may be any JSON, or NULL. */
uint64_t thaw_json_number(const json_t *object, const char *key);
const char *thaw_json_string(const json_t *object, const char *key);

#endif
