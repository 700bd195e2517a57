/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records the working set of a booted image: a second backend of the image makes clones that note
 * the pages they touch (guest-stub/shim/process/working_set.c). It is opened with the engine,
 * because a jail forbids to start a program later. Notes are checked like everything that a guest
 * says.
 */
#include <errno.h>

#include "engine/host/request_source.h"
#include "engine/image/working_set.h"
#include "engine/process/process.h"

static int take_notes(struct process_backend *recorder, struct thaw_recording *recording)
{
	struct shim_notes *notes = &recorder->control->notes;
	uint32_t count = __atomic_load_n(&notes->count, __ATOMIC_ACQUIRE);

	count = count < SHIM_RECORD_MAX ? count : SHIM_RECORD_MAX;
	for (uint32_t i = 0; i < count; i++)
		if (thaw_recording_add(recording, notes->pages[i]))
			return -1;
	notes->count = 0;
	return 0;
}

int process_record(struct process_backend *backend, const struct thaw_source *source,
		   const struct thaw_run *run, struct thaw_recording *recording,
		   struct thaw_outcome *outcome, struct thaw_error *err)
{
	struct process_backend *recorder = backend->recorder;
	struct thaw_request_header header;
	struct thaw_instance *instance;

	if (!recorder)
		return thaw_fail(err, THAW_ERR_USAGE,
				 "the engine was not opened to record a working set");
	if (!recorder->reaper_started && process_start(recorder, source, err))
		return -1;
	if (process_create(recorder, &instance, err))
		return -1;
	thaw_request_source_fill(source->requests, run->request_length, run->deadline_ns, &header);
	process_run(instance, run, &header, outcome);
	/* A hostile or late clone may still write: each note is read once, and is only a hint. */
	process_destroy(instance);
	if (take_notes(recorder, recording))
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "no memory for notes");
	return 0;
}
