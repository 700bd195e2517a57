/* SPDX-License-Identifier: Apache-2.0 */
/* A client that speaks the protocol by hand: it sends exactly what it is told, right or wrong, and
 * asserts that what it receives is well formed. */
#ifndef TEST_WIRE_H
#define TEST_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pool/wire/frame.h"

struct wire {
	int fd;
	uint64_t last_id;
};

struct wire_frame {
	struct thaw_frame header;
	uint8_t payload[THAW_FRAME_PAYLOAD_MAX + 1]; /* with a NUL after it */
};

struct wire_answer {
	uint64_t id;
	struct thaw_frame_response response;
	char message[1100];
	char *body; /* with a NUL after it; kept until the test's process ends */
};

/* Connects to function NAME under run directory RUN; waits until its socket is there. */
void wire_open(struct wire *wire, const char *run, const char *name);
void wire_close(struct wire *wire);

void wire_send(struct wire *wire, uint8_t type, uint16_t flags, uint64_t id, const void *payload,
	       size_t length);
/* Sends a request in as many frames as it takes; returns its id. */
uint64_t wire_submit(struct wire *wire, const void *body, size_t length, uint64_t timeout_ns);
/* The next frame; false at the end of the stream, by a reset too. */
bool wire_receive(struct wire *wire, struct wire_frame *frame);
/* The next response, whole; false at the end of the stream or before a goaway. */
bool wire_try_answer(struct wire *wire, struct wire_answer *answer);
struct wire_answer wire_answer(struct wire *wire);
/* One text request and its answer, on a connection of its own. */
struct wire_answer wire_invoke(const char *run, const char *name, const char *body);
/* A control operation; the reply is to be freed. */
char *wire_control(struct wire *wire, const char *json);
/* A number of the statistics: SECTION and NAME as in docs/daemon.md. */
long long wire_stat(const char *run, const char *function, const char *section, const char *name);

#endif
