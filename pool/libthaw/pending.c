/* SPDX-License-Identifier: Apache-2.0 */
/* The slots of a connection's requests. An id holds the index of its slot in the low byte, so that
 * an answer finds its request without a search, and a sequence number above it, so that no id is
 * used twice. */
#include "pool/libthaw/libthaw.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(THAW_IN_FLIGHT_MAX <= 256, "a slot's index must fit a byte");

/* Of <thaw.h>: an answer in a slot is freed in the same way as one that its caller has. */
void thaw_response_clear(struct thaw_response *response)
{
	if (!response)
		return;
	free(response->body);
	*response = (struct thaw_response){0};
}

static int free_slot(const struct thaw_connection *connection)
{
	for (unsigned i = 0; i < THAW_IN_FLIGHT_MAX; i++)
		if (!connection->slots[i] || connection->slots[i]->id == 0)
			return (int)i;
	return -1;
}

struct thaw_pending *thaw_pending_add(struct thaw_connection *connection, struct thaw_error *err)
{
	int slot = free_slot(connection);
	struct thaw_pending *pending;

	if (slot < 0) {
		thaw_fail(err, THAW_ERR_FAILURE,
			  "%u requests are in flight already: receive an answer first",
			  THAW_IN_FLIGHT_MAX);
		return NULL;
	}
	if (!connection->slots[slot])
		connection->slots[slot] = calloc(1, sizeof(struct thaw_pending));
	pending = connection->slots[slot];
	if (!pending) {
		thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
		return NULL;
	}
	memset(pending, 0, sizeof(*pending));
	pending->id = ++connection->sequence << 8 | (unsigned)slot;
	connection->in_flight++;
	return pending;
}

struct thaw_pending *thaw_pending_find(const struct thaw_connection *connection, uint64_t id)
{
	struct thaw_pending *pending;

	if (id == 0 || (id & 0xff) >= THAW_IN_FLIGHT_MAX)
		return NULL;
	pending = connection->slots[id & 0xff];
	return pending && pending->id == id && !pending->answered ? pending : NULL;
}

void thaw_pending_free(struct thaw_connection *connection, struct thaw_pending *pending)
{
	if (pending->owned)
		connection->requests_held -= pending->length;
	if (pending->answering)
		connection->responses_held -= pending->response.length;
	free(pending->owned);
	thaw_response_clear(&pending->response);
	pending->owned = NULL;
	pending->answering = false;
	pending->id = 0;
	connection->in_flight--;
}

void thaw_pending_settle(struct thaw_connection *connection, struct thaw_pending *pending)
{
	if (!pending->answered || !thaw_pending_is_sent(pending))
		return;
	pending->complete = true;
	thaw_pending_append(&connection->complete, pending);
}

void thaw_pending_append(struct thaw_pending_list *list, struct thaw_pending *pending)
{
	pending->next = NULL;
	*list->end = pending;
	list->end = &pending->next;
}

struct thaw_pending *thaw_pending_pop(struct thaw_pending_list *list)
{
	struct thaw_pending *pending = list->first;

	if (pending)
		thaw_pending_remove(list, pending);
	return pending;
}

void thaw_pending_remove(struct thaw_pending_list *list, const struct thaw_pending *pending)
{
	for (struct thaw_pending **at = &list->first; *at; at = &(*at)->next)
		if (*at == pending) {
			*at = pending->next;
			if (!*at)
				list->end = at;
			return;
		}
}

bool thaw_pending_is_sent(const struct thaw_pending *pending)
{
	return pending->begun && pending->sent == pending->length;
}

static const struct thaw_pending *open_slot(const struct thaw_connection *connection, unsigned i)
{
	const struct thaw_pending *pending = connection->slots[i];

	return pending && pending->id != 0 && !pending->answered ? pending : NULL;
}

bool thaw_pending_any_answering(const struct thaw_connection *connection)
{
	for (unsigned i = 0; i < THAW_IN_FLIGHT_MAX; i++)
		if (open_slot(connection, i) && open_slot(connection, i)->answering)
			return true;
	return false;
}

bool thaw_pending_none_delivered(const struct thaw_connection *connection)
{
	if (connection->control.id != 0 && connection->control.sent)
		return false;
	for (unsigned i = 0; i < THAW_IN_FLIGHT_MAX; i++) {
		const struct thaw_pending *pending = open_slot(connection, i);

		if (pending && (pending->answering || thaw_pending_is_sent(pending)))
			return false;
	}
	return true;
}

void thaw_pending_rewind(struct thaw_connection *connection)
{
	connection->unsent.first = NULL;
	connection->unsent.end = &connection->unsent.first;
	for (unsigned i = 0; i < THAW_IN_FLIGHT_MAX; i++) {
		struct thaw_pending *pending = connection->slots[i];

		if (!pending || pending->id == 0 || pending->complete)
			continue;
		if (pending->answered) {
			/* The worker that would read the rest of the request is gone. */
			pending->begun = true;
			pending->sent = pending->length;
			thaw_pending_settle(connection, pending);
			continue;
		}
		pending->begun = false;
		pending->sent = 0;
		thaw_pending_append(&connection->unsent, pending);
	}
	connection->control.sent = connection->control.complete;
	if (!connection->control.complete)
		connection->control.length = 0;
}

void thaw_pending_abandon(struct thaw_connection *connection)
{
	connection->unsent.first = NULL;
	connection->unsent.end = &connection->unsent.first;
	for (unsigned i = 0; i < THAW_IN_FLIGHT_MAX; i++)
		if (connection->slots[i] && connection->slots[i]->id != 0 &&
		    !connection->slots[i]->complete)
			thaw_pending_free(connection, connection->slots[i]);
}
