/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting a spent clone back as it was, from outside, so that the next invocation needs no fork: a
 * fork and an end cost many times as much, and what was touched stays in place.
 *
 * The clone is not trusted with any of it. It ran hostile code with one thread, under a filter that
 * leaves it few calls, and what it can have changed is known: memory, mappings, registers,
 * affinity. docs/process-backend.md goes through them. In short:
 *   1. It must be at rest: asleep in the shim's own wait, which only we end. /proc/PID/syscall
 *      says at which address. Registers are then of no account: the shim takes them from memory.
 *   2. Its mappings must be those of a clone that never ran. Where they are not, it is told to make
 *      them so, and looked at again.
 *   3. Every page of its own gets the content that a new clone has, the shim's variables among
 *      them. Code that it had changed would be such a page, in a mapping that cannot be written,
 *      and ends the attempt; so does a page of the shim's variables that is missing.
 *   4. Mailbox and affinity are set anew.
 * Whatever is not as it should be: the clone is destroyed, and a new one forked.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "engine/host/futex.h"
#include "engine/host/pagemap.h"
#include "engine/process/process.h"
#include "guest-stub/shim/process/rest.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"

#define PAGES_MAX      8192u /* own pages that are worth putting back */
#define RUNS_MAX       1024u
#define VECTORS_MAX    512u /* below IOV_MAX */
#define SHIM_RUNS_MAX  32u
#define MAPS_MAX       (4u << 20)
#define MORE_MAPS      65536u /* of text, in which an invocation may have added mappings */
#define REPAIR_NS      100000000u
#define REPAIR_LOOK_NS 10000000u /* a clone that dies wakes nobody */
#define SYSCALL_FUTEX  202
/* A clone that has just answered is on its way to its rest, perhaps behind us on this processor. */
#define REST_YIELDS   4u
#define REST_PAUSES   20u
#define REST_PAUSE_NS 20000

static const uint8_t zeroes[16 * THAW_PAGE_SIZE];

/* ---- What the kernel tells of a clone ---- */

static int open_file(const struct thaw_backend_state *state, int pid, const char *name)
{
	char path[48];

	snprintf(path, sizeof(path), "%d/%s", pid, name);
	return openat(state->recycler.proc_fd, path, O_RDONLY | O_CLOEXEC);
}

void process_close_files(struct process_instance *instance)
{
	for (unsigned i = 0; i < PROCESS_FILE_COUNT; i++) {
		if (instance->files[i] > 0)
			close(instance->files[i]);
		instance->files[i] = 0;
	}
}

static bool open_files(struct process_instance *instance, int pid)
{
	static const char *const names[] = {[PROCESS_FILE_SYSCALL] = "syscall",
					    [PROCESS_FILE_MAPS] = "maps",
					    [PROCESS_FILE_PAGEMAP] = "pagemap"};

	for (unsigned i = 0; i < PROCESS_FILE_COUNT; i++) {
		if (instance->files[i] <= 0)
			instance->files[i] = open_file(instance->state, pid, names[i]);
		if (instance->files[i] < 0)
			return false;
	}
	return true;
}

/* Own pages of the clone, whichever way the kernel tells. */
static int own_pages(struct process_instance *instance, struct thaw_page_run *runs, size_t *count)
{
	struct process_recycler *recycler = &instance->state->recycler;
	const struct shim_control *control = instance->state->control;
	int fd = instance->files[PROCESS_FILE_PAGEMAP], result = -ENOTTY;

	if (!__atomic_load_n(&recycler->by_reading, __ATOMIC_RELAXED)) {
		result = thaw_pagemap_own(fd, THAW_REGION_BASE, THAW_MAILBOX, PAGES_MAX, runs,
					  RUNS_MAX, count);
		if (result != -ENOTTY && result != -EINVAL)
			return result;
		__atomic_store_n(&recycler->by_reading, true, __ATOMIC_RELAXED);
	}
	*count = 0;
	for (uint32_t i = 0; i <= control->map_count; i++) {
		/* The shim comes last: its addresses are above all of the guest's. */
		bool shim = i == control->map_count;
		uint64_t start = shim ? THAW_SHIM_BASE : control->maps[i].start;
		uint64_t end = shim ? THAW_MAILBOX : start + control->maps[i].length;
		size_t more;

		result = thaw_pagemap_own_by_reading(fd, start, end, PAGES_MAX, runs + *count,
						     RUNS_MAX - *count, &more);
		if (result)
			return result;
		*count += more;
	}
	return 0;
}

/* ---- What a clone that never ran is like ---- */

/* All of FD, from its beginning, and a zero byte; NULL if it has more than MAX bytes. */
static char *read_all(int fd, char *into, size_t max, size_t *length)
{
	ssize_t got;

	*length = 0;
	while ((got = pread(fd, into + *length, max - *length, (off_t)*length)) > 0)
		*length += (size_t)got;
	if (got < 0 || *length == max)
		return NULL;
	into[*length] = '\0';
	return into;
}

/* The shim's variables: its writable mappings, which lie one behind the other. */
static int find_shim_data(struct process_recycler *recycler)
{
	for (size_t i = 0; i < recycler->mappings.count; i++) {
		const struct process_mapping *mapping = &recycler->mappings.list[i];

		if (mapping->start < THAW_SHIM_BASE || mapping->start >= THAW_MAILBOX ||
		    !(mapping->prot & PROT_WRITE))
			continue;
		if (recycler->shim_end && mapping->start != recycler->shim_end)
			return -1;
		if (!recycler->shim_end)
			recycler->shim_start = mapping->start;
		recycler->shim_end = mapping->end;
	}
	return recycler->shim_end && recycler->shim_end <= THAW_MAILBOX ? 0 : -1;
}

static bool read_memory(int pid, void *into, uint64_t from, size_t length)
{
	struct iovec local = {into, length}, remote = {(void *)from, length};

	return process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)length;
}

/* RUNS, COUNT: its own pages. They are asked for before the variables are read, which would put
 * zeroes where there is nothing. */
static int learn_shim(struct process_recycler *recycler, int pid, const struct thaw_page_run *runs,
		      size_t count)
{
	size_t length = recycler->shim_end - recycler->shim_start;

	recycler->shim = malloc(length);
	recycler->shim_is_own = calloc(length / THAW_PAGE_SIZE, sizeof(bool));
	if (!recycler->shim || !recycler->shim_is_own ||
	    !read_memory(pid, recycler->shim, recycler->shim_start, length))
		return -1;
	for (size_t i = 0; i < count; i++)
		for (uint64_t at = runs[i].start; at < runs[i].end; at += THAW_PAGE_SIZE) {
			size_t offset = at - recycler->shim_start;

			if (at < recycler->shim_start || at >= recycler->shim_end ||
			    !memcmp(recycler->shim + offset, zeroes, THAW_PAGE_SIZE))
				continue;
			recycler->shim_is_own[offset / THAW_PAGE_SIZE] = true;
			recycler->shim_own++;
		}
	return 0;
}

static int look_at(struct process_instance *sample, int pid)
{
	struct thaw_backend_state *state = sample->state;
	struct process_recycler *recycler = &state->recycler;
	thaw_autofree char *maps = malloc(MAPS_MAX);
	struct thaw_page_run runs[RUNS_MAX];
	size_t count;

	if (!open_files(sample, pid) || !maps ||
	    !read_all(sample->files[PROCESS_FILE_MAPS], maps, MAPS_MAX, &recycler->maps_length) ||
	    process_mappings_read(maps, &recycler->mappings) || find_shim_data(recycler) ||
	    own_pages(sample, runs, &count) || learn_shim(recycler, pid, runs, count))
		return -1;
	recycler->image = mmap(NULL, THAW_REGION_END, PROT_READ, MAP_SHARED | MAP_NORESERVE,
			       state->memory_fd, 0);
	return recycler->image == MAP_FAILED ? -1 : 0;
}

/* From a clone that is made for it. */
static void learn(struct thaw_backend_state *state)
{
	struct process_recycler *recycler = &state->recycler;
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_instance *sample;
	int pid;

	if (process_create(state, &sample, &err))
		return; /* all instances are alive: another time */
	pid = process_wait_ready(sample);
	if (pid > 0) { /* else it could not be made: another time */
		recycler->works = look_at((struct process_instance *)sample, pid) == 0;
		recycler->known = true;
	}
	process_destroy(sample);
}

static bool can_recycle(struct thaw_backend_state *state)
{
	struct process_recycler *recycler = &state->recycler;
	bool works;

	if (recycler->proc_fd < 0 || process_is_early(state))
		return false;
	pthread_mutex_lock(&recycler->lock);
	if (!recycler->known)
		learn(state);
	works = recycler->works;
	pthread_mutex_unlock(&recycler->lock);
	return works;
}

void process_recycler_open(struct thaw_backend_state *state, const int *proc_fd)
{
	struct process_recycler *recycler = &state->recycler;

	*recycler = (struct process_recycler){.proc_fd = -1, .image = MAP_FAILED};
	pthread_mutex_init(&recycler->lock, NULL);
	recycler->proc_fd = proc_fd ? *proc_fd : open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	recycler->owns_proc = !proc_fd;
}

void process_recycler_close(struct thaw_backend_state *state)
{
	struct process_recycler *recycler = &state->recycler;

	if (recycler->owns_proc)
		thaw_cleanup_close(&recycler->proc_fd);
	if (recycler->image != MAP_FAILED)
		munmap((void *)(uintptr_t)recycler->image, THAW_REGION_END);
	free(recycler->mappings.list);
	free(recycler->shim);
	free(recycler->shim_is_own);
	pthread_mutex_destroy(&recycler->lock);
}

/* ---- What this clone is like ---- */

/* Whether it sleeps in the shim's wait, on its mailbox, for as long as we like. */
static bool at_rest(const struct process_instance *instance)
{
	unsigned long arguments[6], stack, point;
	char text[256];
	int number;
	ssize_t length = pread(instance->files[PROCESS_FILE_SYSCALL], text, sizeof(text) - 1, 0);

	if (length <= 0)
		return false;
	text[length] = '\0';
	/* "running" where it does not sleep. */
	return sscanf(text, "%d %lx %lx %lx %lx %lx %lx %lx %lx", &number, &arguments[0],
		      &arguments[1], &arguments[2], &arguments[3], &arguments[4], &arguments[5],
		      &stack, &point) == 9 &&
	       number == SYSCALL_FUTEX &&
	       arguments[0] == THAW_MAILBOX + offsetof(struct thaw_mailbox, turn) &&
	       arguments[1] == 0 && arguments[3] == 0 &&
	       point == instance->state->control->rest_point;
}

static bool comes_to_rest(const struct process_instance *instance)
{
	static const struct timespec pause = {0, REST_PAUSE_NS};

	for (unsigned i = 0; i < REST_YIELDS + REST_PAUSES; i++) {
		if (at_rest(instance))
			return true;
		if (i < REST_YIELDS)
			sched_yield();
		else
			nanosleep(&pause, NULL);
	}
	return false;
}

static int read_mappings(const struct process_instance *instance, struct process_mappings *out)
{
	const struct process_recycler *recycler = &instance->state->recycler;
	size_t max = 2 * recycler->maps_length + MORE_MAPS, length;
	thaw_autofree char *text = malloc(max);

	if (!text || !read_all(instance->files[PROCESS_FILE_MAPS], text, max, &length))
		return -1;
	return process_mappings_read(text, out);
}

/* Has a clone at rest mend its mappings. Nothing depends on its doing so: all is looked at again.
 */
static bool order_repair(struct process_instance *instance, const struct shim_repair *steps,
			 size_t count)
{
	struct thaw_mailbox *mailbox = instance->mailbox;
	uint64_t until_ns = thaw_monotonic_ns() + REPAIR_NS;

	memcpy(mailbox->request_window, steps, count * sizeof(*steps));
	memset(mailbox->request_window + count * sizeof(*steps), 0, sizeof(*steps));
	__atomic_store_n(&mailbox->turn, TURN_REPAIR, __ATOMIC_SEQ_CST);
	thaw_futex_wake(&mailbox->turn);
	while (__atomic_load_n(&mailbox->turn, __ATOMIC_ACQUIRE) == TURN_REPAIR) {
		if (__atomic_load_n(&instance->dead, __ATOMIC_SEQ_CST) ||
		    thaw_monotonic_ns() > until_ns)
			return false;
		thaw_futex_wait(&mailbox->turn, TURN_REPAIR, thaw_monotonic_ns() + REPAIR_LOOK_NS);
	}
	return comes_to_rest(instance);
}

static bool has_its_mappings(struct process_instance *instance, struct process_repair *repair)
{
	const struct process_mappings *wanted = &instance->state->recycler.mappings;
	struct process_mappings now;
	int result;

	for (unsigned i = 0; i < 2; i++) {
		if (read_mappings(instance, &now))
			return false;
		result = process_mappings_compare(&now, wanted, SHIM_SLOT_OFFSET(instance->slot),
						  repair);
		free(now.list);
		if (result)
			return false;
		if (!repair->step_count)
			return true;
		if (i == 0 && !order_repair(instance, repair->steps, repair->step_count))
			return false;
	}
	return false;
}

/* ---- Putting it back ---- */

/* Copies to the clone, gathered: one call for many pieces. */
struct copies {
	int pid;
	bool failed;
	unsigned count;
	struct iovec local[VECTORS_MAX], remote[VECTORS_MAX];
};

static void flush(struct copies *copies)
{
	size_t wanted = 0;

	for (unsigned i = 0; i < copies->count; i++)
		wanted += copies->local[i].iov_len;
	if (copies->count && !copies->failed)
		copies->failed =
			process_vm_writev(copies->pid, copies->local, copies->count, copies->remote,
					  copies->count, 0) != (ssize_t)wanted;
	copies->count = 0;
}

static void copy(struct copies *copies, const uint8_t *from, uint64_t to, size_t length)
{
	if (copies->count == VECTORS_MAX)
		flush(copies);
	copies->local[copies->count] = (struct iovec){(void *)(uintptr_t)from, length};
	copies->remote[copies->count++] = (struct iovec){(void *)to, length};
}

static void clear(struct copies *copies, uint64_t start, uint64_t end)
{
	while (start < end) {
		size_t piece = end - start < sizeof(zeroes) ? end - start : sizeof(zeroes);

		copy(copies, zeroes, start, piece);
		start += piece;
	}
}

/* Whether no page is absent that every clone has: it would read as zeroes, and be no page to put
 * back. */
static bool shim_is_whole(const struct process_recycler *recycler, const struct thaw_page_run *runs,
			  size_t count)
{
	unsigned found = 0;

	for (size_t i = 0; i < count; i++)
		for (uint64_t at = runs[i].start; at < runs[i].end; at += THAW_PAGE_SIZE)
			found +=
				recycler->shim_is_own[(at - recycler->shim_start) / THAW_PAGE_SIZE];
	return found == recycler->shim_own;
}

/* The shim's variables: most of them a clone still shares with the zygote, and writing what is
 * there already would give it a copy of its own. */
static void restore_shim(const struct process_recycler *recycler, struct copies *copies,
			 const struct thaw_page_run *runs, size_t count)
{
	struct iovec local[SHIM_RUNS_MAX], remote[SHIM_RUNS_MAX];
	size_t length = 0;
	thaw_autofree uint8_t *now = NULL;

	for (size_t i = 0; i < count; i++)
		length += runs[i].end - runs[i].start;
	/* Of what is needed and no more: from some size on, allocations are mappings, and each page
	 * of theirs is a fault. */
	now = malloc(length);
	if (!now) {
		copies->failed = true;
		return;
	}
	length = 0;
	for (size_t i = 0; i < count; i++) {
		size_t piece = runs[i].end - runs[i].start;

		local[i] = (struct iovec){now + length, piece};
		remote[i] = (struct iovec){(void *)runs[i].start, piece};
		length += piece;
	}
	if (count > 0 &&
	    process_vm_readv(copies->pid, local, count, remote, count, 0) != (ssize_t)length)
		copies->failed = true;
	for (size_t i = 0; i < count; i++)
		for (uint64_t at = runs[i].start; at < runs[i].end; at += THAW_PAGE_SIZE) {
			const uint8_t *then = recycler->shim + (at - recycler->shim_start);

			if (memcmp((uint8_t *)local[i].iov_base + (at - runs[i].start), then,
				   THAW_PAGE_SIZE) != 0)
				copy(copies, then, at, THAW_PAGE_SIZE);
		}
}

/* The piece of guest memory that ADDRESS is in, or NULL. */
static const struct shim_map *piece_of(const struct shim_control *control, uint64_t address)
{
	uint32_t low = 0, high = control->map_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct shim_map *map = &control->maps[middle];

		if (address < map->start)
			high = middle;
		else if (address - map->start >= map->length)
			low = middle + 1;
		else
			return map;
	}
	return NULL;
}

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void restore_run(const struct thaw_backend_state *state, struct copies *copies,
			const struct thaw_page_run *run)
{
	for (uint64_t at = run->start, end; at < run->end && !copies->failed; at = end) {
		const struct shim_map *map = piece_of(state->control, at);

		if (!map) {
			copies->failed = true; /* what nobody has there */
			return;
		}
		end = lower(run->end, map->start + map->length);
		if (map->backed)
			copy(copies, state->recycler.image + at, at, end - at);
		else
			clear(copies, at, end);
	}
}

/* What of the pieces of the image that are memory now is not the clone's yet, and so reads as
 * zeroes: between the RUNS. */
static void refill(const struct thaw_backend_state *state, struct copies *copies,
		   const struct process_repair *repair, const struct thaw_page_run *runs,
		   size_t count)
{
	size_t r = 0;

	for (size_t i = 0; i < repair->refill_count; i++) {
		uint64_t end = repair->refills[i].end;

		for (uint64_t at = repair->refills[i].start; at < end;) {
			struct thaw_page_run gap = {at, end};

			while (r < count && runs[r].end <= at)
				r++;
			if (r < count && runs[r].start < end)
				gap.end = runs[r].start > at ? runs[r].start : at;
			if (gap.end > gap.start)
				restore_run(state, copies, &gap);
			at = gap.end;
			if (r < count && runs[r].start <= at)
				at = lower(runs[r].end, end);
		}
	}
}

static bool restore_memory(struct process_instance *instance, int pid,
			   const struct process_repair *repair)
{
	const struct process_recycler *recycler = &instance->state->recycler;
	struct thaw_page_run runs[RUNS_MAX];
	struct copies copies = {.pid = pid};
	size_t count, i;

	if (own_pages(instance, runs, &count))
		return false;
	for (i = 0; i < count && runs[i].start < THAW_SHIM_BASE; i++)
		restore_run(instance->state, &copies, &runs[i]);
	refill(instance->state, &copies, repair, runs, i);
	/* An own page among the shim's code has been changed. */
	if (count - i > SHIM_RUNS_MAX ||
	    (i < count &&
	     (runs[i].start < recycler->shim_start || runs[count - 1].end > recycler->shim_end)) ||
	    !shim_is_whole(recycler, runs + i, count - i))
		return false;
	restore_shim(recycler, &copies, runs + i, count - i);
	flush(&copies);
	return !copies.failed;
}

/* By a caller that holds state->pids: the pid names this clone, alive or dead, and no other. */
static bool put_back(struct thaw_instance *base)
{
	struct process_instance *instance = (struct process_instance *)base;
	struct thaw_backend_state *state = instance->state;
	struct thaw_mailbox *mailbox = instance->mailbox;
	thaw_autofree struct process_repair *repair = malloc(sizeof(*repair));
	int pid = __atomic_load_n(&state->control->pid[instance->slot], __ATOMIC_SEQ_CST);
	bool bases_changed;

	if (__atomic_load_n(&instance->killed, __ATOMIC_SEQ_CST) || !can_recycle(state) ||
	    pid <= 0 || !repair || !open_files(instance, pid) || !comes_to_rest(instance) ||
	    !has_its_mappings(instance, repair) || !restore_memory(instance, pid, repair) ||
	    !process_settle(instance, pid))
		return false;
	bases_changed = mailbox->bases_changed != 0;
	process_clean_mailbox(state, instance->slot);
	mailbox->bases_changed = bases_changed;
	instance->recycled = true;
	__atomic_store_n(&mailbox->up, UP_RECYCLED, __ATOMIC_RELEASE);
	return !__atomic_load_n(&instance->dead, __ATOMIC_SEQ_CST);
}

bool process_recycle(struct thaw_instance *base)
{
	struct thaw_backend_state *state = ((struct process_instance *)base)->state;
	bool fresh;

	/* Its mappings are its own. */
	if (((struct process_instance *)base)->early)
		return false;
	pthread_rwlock_rdlock(&state->pids);
	fresh = put_back(base);
	pthread_rwlock_unlock(&state->pids);
	return fresh;
}
