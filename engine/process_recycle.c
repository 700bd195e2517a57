/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting a spent clone back as it was, from outside, so that the next invocation needs no fork: a
 * fork and an end cost ten times as much, and what was touched stays in place.
 *
 * The clone is not trusted with any of it. It ran hostile code with one thread, under a filter that
 * leaves it few calls, and what it can have changed is known: memory, mappings, registers, signal
 * mask and stack, affinity. docs/process-backend.md goes through them. In short:
 *   1. It must be at rest: asleep in the shim's own wait, which only we end. /proc/PID/syscall
 *      says at which address. Registers are then of no account: the shim takes them from memory.
 *   2. Its mappings must be those of a clone that never ran, to the letter.
 *   3. Every page of its own gets the content that a new clone has, the shim's variables among
 *      them. Code that it had changed would be such a page, in a mapping that cannot be written,
 *      and ends the attempt.
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

#include "engine/pagemap.h"
#include "engine/process.h"
#include "guest-stub/shim/process/rest.h"
#include "snapshot-format/cleanup.h"

#define PAGES_MAX     4096u /* own pages that are worth putting back */
#define RUNS_MAX      1024u
#define VECTORS_MAX   512u /* below IOV_MAX */
#define SHIM_RUNS_MAX 32u
#define MAPS_MAX      (4u << 20)
#define SYSCALL_FUTEX 202
/* A clone that has just answered is on its way to its rest, perhaps behind us on this processor. */
#define REST_YIELDS   4u
#define REST_PAUSES   20u
#define REST_PAUSE_NS 20000

static const uint8_t zeroes[16 * THAW_PAGE_SIZE];

/* ---- What a clone that never ran is like ---- */

static int open_file(const struct thaw_backend_state *state, int pid, const char *name)
{
	char path[48];

	snprintf(path, sizeof(path), "%d/%s", pid, name);
	return openat(state->recycler.proc_fd, path, O_RDONLY | O_CLOEXEC);
}

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
	unsigned long start, end;
	char prot[5];

	recycler->shim_start = recycler->shim_end = 0;
	for (const char *line = recycler->maps; *line; line = strchr(line, '\n') + 1) {
		if (sscanf(line, "%lx-%lx %4s", &start, &end, prot) != 3 || !strchr(line, '\n'))
			return -1;
		if (start < THAW_SHIM_BASE || start >= THAW_MAILBOX || prot[1] != 'w')
			continue;
		if (recycler->shim_end && start != recycler->shim_end)
			return -1;
		if (!recycler->shim_end)
			recycler->shim_start = start;
		recycler->shim_end = end;
	}
	return recycler->shim_end && recycler->shim_end <= THAW_MAILBOX ? 0 : -1;
}

static bool read_memory(int pid, void *into, uint64_t from, size_t length)
{
	struct iovec local = {into, length}, remote = {(void *)from, length};

	return process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)length;
}

static int look_at(struct thaw_backend_state *state, int pid)
{
	struct process_recycler *recycler = &state->recycler;
	thaw_autoclose int fd = open_file(state, pid, "maps");
	size_t length;

	recycler->maps = malloc(MAPS_MAX);
	if (fd < 0 || !recycler->maps ||
	    !read_all(fd, recycler->maps, MAPS_MAX, &recycler->maps_length))
		return -1;
	recycler->maps = realloc(recycler->maps, recycler->maps_length + 1);
	if (find_shim_data(recycler))
		return -1;
	length = recycler->shim_end - recycler->shim_start;
	recycler->shim = malloc(length);
	if (!recycler->shim || !read_memory(pid, recycler->shim, recycler->shim_start, length))
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
	recycler->works = pid > 0 && look_at(state, pid) == 0;
	recycler->learned = true;
	process_destroy(sample);
}

static bool can_recycle(struct thaw_backend_state *state)
{
	struct process_recycler *recycler = &state->recycler;
	bool works;

	if (recycler->proc_fd < 0)
		return false;
	pthread_mutex_lock(&recycler->lock);
	if (!recycler->learned)
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
	free(recycler->maps);
	free(recycler->shim);
	pthread_mutex_destroy(&recycler->lock);
}

/* ---- What this clone is like ---- */

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

/* The same but for the mailbox, whose place in the arena is each clone's own. */
static bool same_mapping(const char *line, const char *wanted, size_t length, uint32_t slot)
{
	unsigned long start, end, offset, wanted_start, wanted_end, wanted_offset;
	char prot[5], wanted_prot[5];

	if (sscanf(wanted, "%lx-%lx %4s %lx", &wanted_start, &wanted_end, wanted_prot,
		   &wanted_offset) != 4)
		return false;
	if (wanted_start != THAW_MAILBOX)
		return !memcmp(line, wanted, length);
	return sscanf(line, "%lx-%lx %4s %lx", &start, &end, prot, &offset) == 4 &&
	       start == wanted_start && end == wanted_end && !strcmp(prot, wanted_prot) &&
	       offset == SHIM_SLOT_OFFSET(slot);
}

static bool has_its_mappings(const struct process_instance *instance)
{
	const struct process_recycler *recycler = &instance->state->recycler;
	/* One line may be longer: the offset. */
	size_t max = recycler->maps_length + 32, length;
	thaw_autofree char *text = malloc(max);
	const char *line = text, *wanted = recycler->maps;

	if (!text || !read_all(instance->files[PROCESS_FILE_MAPS], text, max, &length))
		return false;
	while (*line && *wanted) {
		const char *line_end = strchr(line, '\n'), *wanted_end = strchr(wanted, '\n');
		size_t wanted_length;

		if (!line_end || !wanted_end)
			return false;
		wanted_length = (size_t)(wanted_end - wanted) + 1;
		if ((size_t)(text + length - line) < wanted_length ||
		    !same_mapping(line, wanted, wanted_length, instance->slot))
			return false;
		line = line_end + 1;
		wanted = wanted_end + 1;
	}
	return !*line && !*wanted;
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

/* The shim's variables: most of them a clone still shares with the zygote, and writing what is
 * there already would give it a copy of its own. */
static void restore_shim(const struct process_recycler *recycler, struct copies *copies,
			 const struct thaw_page_run *runs, size_t count)
{
	struct iovec local[SHIM_RUNS_MAX], remote[SHIM_RUNS_MAX];
	size_t length = 0;
	thaw_autofree uint8_t *now = malloc(recycler->shim_end - recycler->shim_start);

	if (!now) {
		copies->failed = true;
		return;
	}
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

static bool restore_memory(struct process_instance *instance, int pid)
{
	const struct process_recycler *recycler = &instance->state->recycler;
	struct thaw_page_run runs[RUNS_MAX];
	struct copies copies = {.pid = pid};
	size_t count, i;

	if (own_pages(instance, runs, &count))
		return false;
	for (i = 0; i < count && runs[i].start < THAW_SHIM_BASE; i++)
		restore_run(instance->state, &copies, &runs[i]);
	/* An own page among the shim's code has been changed. */
	if (count - i > SHIM_RUNS_MAX || (i < count && (runs[i].start < recycler->shim_start ||
							runs[count - 1].end > recycler->shim_end)))
		return false;
	restore_shim(recycler, &copies, runs + i, count - i);
	flush(&copies);
	return !copies.failed;
}

bool process_recycle(struct thaw_instance *base)
{
	struct process_instance *instance = (struct process_instance *)base;
	struct thaw_backend_state *state = instance->state;
	struct thaw_mailbox *mailbox = instance->mailbox;
	int pid = __atomic_load_n(&state->control->pid[instance->slot], __ATOMIC_SEQ_CST);

	if (!can_recycle(state) || pid <= 0 || !open_files(instance, pid) ||
	    !comes_to_rest(instance) || !has_its_mappings(instance) ||
	    !restore_memory(instance, pid) ||
	    sched_setaffinity(pid, sizeof(state->cpus), &state->cpus))
		return false;
	process_clean_mailbox(state, instance->slot);
	instance->recycled = true;
	__atomic_store_n(&mailbox->up, UP_RECYCLED, __ATOMIC_RELEASE);
	/* The pid was its own all the while: its death is seen before it is reaped. */
	return !__atomic_load_n(&instance->dead, __ATOMIC_SEQ_CST);
}
