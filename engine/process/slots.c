/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots: an instance's place in the tables and in the mailbox arena, from one instance to the next.
 * A slot is cleaned when it is released, off the path of any request.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/process/process.h"

struct process_instance *process_take_slot(struct process_backend *backend)
{
	uint32_t slot;

	if (!backend->free_count)
		return NULL;
	slot = backend->free_slots[--backend->free_count];
	if (slot >= backend->highest)
		backend->highest = slot + 1;
	return &backend->instances[slot];
}

/* A mailbox must come back as if it had never been used, wherever the guest wrote. The first page
 * of each part is nearly always the only one that was touched, and is cleared in place; pages
 * beyond it go back to the system, if there are any. */
static void clean_part(int fd, uint8_t *part, off_t offset, size_t length)
{
	off_t rest = offset + (off_t)THAW_PAGE_SIZE, end = offset + (off_t)length;
	off_t data = lseek(fd, rest, SEEK_DATA);

	memset(part, 0, THAW_PAGE_SIZE);
	if (data >= 0 && data < end &&
	    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, rest, end - rest))
		memset(part + THAW_PAGE_SIZE, 0, length - THAW_PAGE_SIZE);
}

void process_clean_mailbox(struct process_backend *backend, uint32_t slot)
{
	struct thaw_mailbox *mailbox = &backend->mailboxes[slot];
	off_t offset = (off_t)SHIM_SLOT_OFFSET(slot);

	memset(mailbox, 0, THAW_PAGE_SIZE);
	clean_part(backend->arena_fd, mailbox->request_window,
		   offset + (off_t)offsetof(struct thaw_mailbox, request_window), THAW_WINDOW_SIZE);
	clean_part(backend->arena_fd, (uint8_t *)&mailbox->call,
		   offset + (off_t)offsetof(struct thaw_mailbox, call),
		   sizeof(*mailbox) - offsetof(struct thaw_mailbox, call));
}

void process_close_files(struct process_instance *instance)
{
	for (unsigned i = 0; i < PROCESS_FILE_COUNT; i++) {
		if (instance->files[i] > 0)
			close(instance->files[i]);
		instance->files[i] = 0;
	}
}

void process_release_slot(struct process_instance *instance)
{
	struct process_backend *backend = instance->backend;

	if (instance->in_use || !atomic_load(&instance->dead))
		return;
	process_close_files(instance);
	process_clean_mailbox(backend, instance->slot);
	backend->free_slots[backend->free_count++] = instance->slot;
}
