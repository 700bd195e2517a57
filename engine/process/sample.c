/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a clone that never ran is like: the recycler makes spent clones so. The first attempt to
 * recycle makes a new clone and examines it as a sample.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "engine/host/pagemap.h"
#include "engine/process/process.h"
#include "snapshot-format/base/cleanup.h"

#define MAPS_MAX (4u << 20)

static const uint8_t empty_page[THAW_PAGE_SIZE];

/* Finds the shim's variables: its writable mappings, which are contiguous. */
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

/* RUNS, COUNT: the sample's own pages. They were asked for before the variables are read here,
 * because reading maps the page of zeroes where there was no page. */
static int keep_shim(struct process_recycler *recycler, int pid, const struct thaw_page_run *runs,
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
			    !memcmp(recycler->shim + offset, empty_page, THAW_PAGE_SIZE))
				continue;
			recycler->shim_is_own[offset / THAW_PAGE_SIZE] = true;
			recycler->shim_own++;
		}
	return 0;
}

static int look_at(struct process_instance *sample, int pid)
{
	struct process_backend *backend = sample->backend;
	struct process_recycler *recycler = &backend->recycler;
	thaw_autofree char *maps = malloc(MAPS_MAX);
	struct thaw_page_run runs[PROCESS_RUNS_MAX];
	size_t count;

	if (!process_open_files(sample, pid) || !maps ||
	    !process_read_all(sample->files[PROCESS_FILE_MAPS], maps, MAPS_MAX,
			      &recycler->maps_length) ||
	    process_mappings_read(maps, &recycler->mappings) || find_shim_data(recycler) ||
	    process_own_pages(sample, runs, &count) || keep_shim(recycler, pid, runs, count))
		return -1;
	recycler->image = mmap(NULL, THAW_REGION_END, PROT_READ, MAP_SHARED | MAP_NORESERVE,
			       backend->memory_fd, 0);
	return recycler->image == MAP_FAILED ? -1 : 0;
}

/* Examines a clone that is made for this and runs nothing. */
static void examine_sample(struct process_backend *backend)
{
	struct process_recycler *recycler = &backend->recycler;
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_instance *sample;
	int pid;

	if (process_create(backend, &sample, &err))
		return; /* all instances are alive: try at a later recycle */
	pid = process_wait_ready(sample);
	if (pid > 0) { /* else the clone could not be made: try later */
		recycler->works = look_at((struct process_instance *)sample, pid) == 0;
		recycler->known = true;
	}
	process_destroy(sample);
}

bool process_can_recycle(struct process_backend *backend)
{
	struct process_recycler *recycler = &backend->recycler;
	bool works;

	if (recycler->proc_fd < 0 || process_is_early(backend))
		return false;
	pthread_mutex_lock(&recycler->lock);
	if (!recycler->known)
		examine_sample(backend);
	works = recycler->works;
	pthread_mutex_unlock(&recycler->lock);
	return works;
}

void process_recycler_open(struct process_backend *backend, const int *proc_fd)
{
	struct process_recycler *recycler = &backend->recycler;

	*recycler = (struct process_recycler){.proc_fd = -1, .image = MAP_FAILED};
	pthread_mutex_init(&recycler->lock, NULL);
	recycler->proc_fd = proc_fd ? *proc_fd : open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	recycler->owns_proc = !proc_fd;
}

void process_recycler_close(struct process_backend *backend)
{
	struct process_recycler *recycler = &backend->recycler;

	if (recycler->owns_proc)
		thaw_cleanup_close(&recycler->proc_fd);
	if (recycler->image != MAP_FAILED)
		munmap((void *)(uintptr_t)recycler->image, THAW_REGION_END);
	free(recycler->mappings.list);
	free(recycler->shim);
	free(recycler->shim_is_own);
	pthread_mutex_destroy(&recycler->lock);
}
