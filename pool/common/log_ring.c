/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record takes one slot, or a few in a row. A slot's stamp is its sequence number plus one. A
 * writer writes the stamp last. A reader copies a slot, and uses the copy only if the stamp was
 * right before and after.
 */
#include "pool/common/log_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"

#define SLOT_SIZE  256u
#define SLOT_COUNT (THAW_LOG_RING_SIZE / SLOT_SIZE - 1) /* the head takes the place of one */
#define SLOT_TEXT  (SLOT_SIZE - 40u)

/* The writer that took the slot's sequence number writes all fields; STAMP orders them for
 * readers. */
struct slot {
	_Atomic uint64_t stamp; /* sequence + 1; 0 while the slot is being written */
	uint64_t wall_ns;
	uint64_t invocation;
	uint32_t level;
	uint32_t length; /* of the whole text; 0 in a slot that continues a record */
	uint32_t first;	 /* 1: a record starts here */
	uint32_t reserved;
	char text[SLOT_TEXT];
};

struct shared {
	_Atomic uint64_t head; /* the next sequence number; every writer takes its own from here */
	uint8_t reserved[SLOT_SIZE - sizeof(uint64_t)];
	struct slot slots[SLOT_COUNT];
};

_Static_assert(sizeof(struct slot) == SLOT_SIZE, "layout");
_Static_assert(sizeof(struct shared) == THAW_LOG_RING_SIZE, "layout");

struct thaw_log_ring {
	struct shared *shared; /* constant */
};

int thaw_log_ring_create(struct thaw_error *err)
{
	thaw_autoclose int fd = memfd_create("thaw-log", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, THAW_LOG_RING_SIZE) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot make a log ring");
	return thaw_take_fd(&fd);
}

int thaw_log_ring_attach(int fd, struct thaw_log_ring **out, struct thaw_error *err)
{
	thaw_autofree struct thaw_log_ring *ring = malloc(sizeof(*ring));
	struct stat st;

	if (!ring)
		return thaw_fail(err, THAW_ERR_ENGINE, "out of memory");
	if (fstat(fd, &st) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "the log ring");
	/* An access beyond the end of a shorter file would raise SIGBUS later. */
	if (st.st_size != THAW_LOG_RING_SIZE)
		return thaw_fail(err, THAW_ERR_ENGINE, "the log ring has the wrong size");
	ring->shared = mmap(NULL, sizeof(*ring->shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring->shared == MAP_FAILED)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot map the log ring");
	*out = thaw_take(ring);
	return 0;
}

void thaw_log_ring_detach(struct thaw_log_ring *ring)
{
	if (!ring)
		return;
	munmap(ring->shared, sizeof(*ring->shared));
	free(ring);
}

static uint64_t slots_for(size_t length)
{
	return length == 0 ? 1 : (length + SLOT_TEXT - 1) / SLOT_TEXT;
}

void thaw_log_ring_append(struct thaw_log_ring *ring, enum thaw_log_level level,
			  uint64_t invocation, const void *text, size_t length)
{
	uint64_t sequence, count, wall_ns = thaw_wall_ns();

	if (length > THAW_LOG_TEXT_MAX)
		length = THAW_LOG_TEXT_MAX;
	count = slots_for(length);
	/* Writers share nothing but the sequence numbers, so this is the only step that must be
	 * atomic. Relaxed: the stamps order the slots. */
	sequence = atomic_fetch_add_explicit(&ring->shared->head, count, memory_order_relaxed);
	for (uint64_t i = 0; i < count; i++) {
		struct slot *slot = &ring->shared->slots[(sequence + i) % SLOT_COUNT];
		size_t offset = (size_t)i * SLOT_TEXT;
		size_t piece = length - offset < SLOT_TEXT ? length - offset : SLOT_TEXT;

		atomic_store_explicit(&slot->stamp, 0, memory_order_relaxed);
		/* A reader must not see a later store together with the old stamp. */
		atomic_thread_fence(memory_order_release);
		slot->wall_ns = wall_ns;
		slot->invocation = invocation;
		slot->level = level;
		slot->length = i == 0 ? (uint32_t)length : 0;
		slot->first = i == 0;
		memcpy(slot->text, (const char *)text + offset, piece);
		/* Pairs with the acquire in copy_slot(): a reader that sees the stamp sees the
		 * slot. */
		atomic_store_explicit(&slot->stamp, sequence + i + 1, memory_order_release);
	}
}

static bool copy_slot(const struct thaw_log_ring *ring, uint64_t sequence, struct slot *copy)
{
	const struct slot *slot = &ring->shared->slots[sequence % SLOT_COUNT];

	if (atomic_load_explicit(&slot->stamp, memory_order_acquire) != sequence + 1)
		return false;
	memcpy((char *)copy + sizeof(copy->stamp), (const char *)slot + sizeof(slot->stamp),
	       sizeof(*slot) - sizeof(slot->stamp));
	/* The copy must be complete before the stamp is read again. */
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&slot->stamp, memory_order_relaxed) == sequence + 1;
}

static void sanitize(char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < 0x20 || (unsigned char)text[i] >= 0x7f)
			text[i] = text[i] == '\t' ? ' ' : '?';
	text[length] = '\0';
}

static bool read_record(const struct thaw_log_ring *ring, uint64_t sequence,
			struct thaw_log_record *out)
{
	struct slot copy;
	uint64_t count;

	if (!copy_slot(ring, sequence, &copy) || copy.first != 1 ||
	    copy.length > THAW_LOG_TEXT_MAX || copy.level >= THAW_LOG_LEVEL_COUNT)
		return false;
	*out = (struct thaw_log_record){.sequence = sequence,
					.wall_ns = copy.wall_ns,
					.invocation = copy.invocation,
					.level = (enum thaw_log_level)copy.level,
					.length = copy.length};
	count = slots_for(out->length);
	for (uint64_t i = 0; i < count; i++) {
		size_t offset = (size_t)i * SLOT_TEXT;
		size_t piece = out->length - offset < SLOT_TEXT ? out->length - offset : SLOT_TEXT;

		if (i > 0 && (!copy_slot(ring, sequence + i, &copy) || copy.first != 0))
			return false;
		memcpy(out->text + offset, copy.text, piece);
	}
	sanitize(out->text, out->length);
	return true;
}

bool thaw_log_ring_read(const struct thaw_log_ring *ring, uint64_t *sequence,
			struct thaw_log_record *out)
{
	uint64_t head = atomic_load_explicit(&ring->shared->head, memory_order_acquire);
	uint64_t oldest = head > SLOT_COUNT ? head - SLOT_COUNT : 0;
	uint64_t at = *sequence > oldest ? *sequence : oldest;

	/* OLDEST bounds the loop to SLOT_COUNT steps, whatever a hostile head says. */
	for (; at < head; at++) {
		if (!read_record(ring, at, out))
			continue;
		*sequence = at + slots_for(out->length);
		return true;
	}
	*sequence = head;
	return false;
}
