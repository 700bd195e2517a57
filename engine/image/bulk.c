/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bulk loading; see bulk.h. The calling thread and its helpers read, decode and place batches of
 * neighbouring frames.
 *
 * Each batch is claimed once: either for the ring, which reads ahead into slots, or by a thread
 * that finds nothing read ahead and reads for itself. So progress never needs the ring, and plain
 * reads finish a batch that the ring read in part or not at all; errors are reported there.
 *
 * Only the calling thread uses the ring. The job's lock, taken once a batch, guards everything else
 * that is shared. The first error stops all threads; before the run returns, every helper is joined
 * and every read of the ring is back.
 */
#include "engine/image/bulk.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "engine/image/ring.h"
#include "engine/image/target.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/io.h"
#include "snapshot-format/base/thread.h"

#define READ_MAX     (UINT64_C(1) << 20) /* bytes for one read, unless a frame is larger */
#define SHARES	     4u /* at least so many batches a thread: all end at about the same time */
#define INLINE_BYTES (UINT64_C(512) << 10) /* below this a helper costs more than it brings */
#define THREADS_MAX  256u

struct thaw_loader {
	unsigned threads;
	struct thaw_read_ring ring;
};

/* Frames that one read fetches. */
struct batch {
	size_t first_frame, frame_count;
	uint64_t offset; /* in the image file */
	size_t length;
};

/* A buffer that the ring reads into. */
struct slot {
	uint8_t *buffer;
	const struct batch *batch;
	size_t have; /* bytes of the batch that are there */
};

/* Constant once the threads run, except for what follows the lock. */
struct job {
	struct thaw_loader *loader;
	const struct thaw_image_file *image;
	const struct thaw_image_frame *frames;
	struct batch *batches;
	size_t batch_count;
	size_t buffer_size; /* of the largest batch */
	struct thaw_frame_target target;

	pthread_mutex_t lock;
	pthread_cond_t changed; /* a slot became ready, or the job stops */
	/* Lock: */
	size_t next_batch; /* the first that is not claimed */
	struct slot slots[THAW_READ_RING_DEPTH];
	unsigned free_slots[THAW_READ_RING_DEPTH], free_count;
	unsigned ready_slots[THAW_READ_RING_DEPTH], ready_count;
	unsigned reading; /* slots that the ring reads into */
	bool stop;
	struct thaw_error error; /* why */
};

/* A thread of the job. */
struct worker {
	struct job *job;
	bool owns_ring;
	uint8_t *buffer; /* for its own reads; made when first needed */
	uint8_t *raw;	 /* one decoded frame */
	ZSTD_DCtx *dctx;
	pthread_t thread;
};

static void stop_job(struct job *job, const struct thaw_error *error)
{
	pthread_mutex_lock(&job->lock);
	if (!job->stop)
		job->error = *error;
	job->stop = true;
	pthread_cond_broadcast(&job->changed);
	pthread_mutex_unlock(&job->lock);
}

static bool is_stopped(struct job *job)
{
	bool stopped;

	pthread_mutex_lock(&job->lock);
	stopped = job->stop;
	pthread_mutex_unlock(&job->lock);
	return stopped;
}

/* ---- Reading ahead: the calling thread only ---- */

/* Takes a free slot and claims a batch for it. NULL when there is no slot or no batch. */
static struct slot *claim_slot(struct job *job)
{
	struct slot *slot = NULL;

	pthread_mutex_lock(&job->lock);
	if (!job->stop && job->free_count && job->next_batch < job->batch_count) {
		slot = &job->slots[job->free_slots[--job->free_count]];
		slot->batch = &job->batches[job->next_batch++];
		slot->have = 0;
		job->reading++;
	}
	pthread_mutex_unlock(&job->lock);
	return slot;
}

static void slot_is_ready(struct job *job, unsigned index, size_t have)
{
	pthread_mutex_lock(&job->lock);
	job->slots[index].have = have;
	job->ready_slots[job->ready_count++] = index;
	job->reading--;
	pthread_cond_signal(&job->changed);
	/* The last read is back: threads that wait for more must see that there is none. */
	if (!job->reading)
		pthread_cond_broadcast(&job->changed);
	pthread_mutex_unlock(&job->lock);
}

static bool take_completion(struct job *job, bool wait)
{
	unsigned index;
	size_t have;

	if (!thaw_read_ring_take(&job->loader->ring, wait, &index, &have))
		return false;
	slot_is_ready(job, index, have);
	return true;
}

/* Keeps the ring busy. Takes completions after each submission, because a submission itself reads
 * what is in the page cache, and other threads may wait for it. */
static void read_ahead(struct job *job)
{
	struct thaw_read_ring *ring = &job->loader->ring;
	struct slot *slot;

	while (take_completion(job, false))
		;
	while (ring->usable && (slot = claim_slot(job))) {
		const struct batch *batch = slot->batch;
		unsigned index = (unsigned)(slot - job->slots);

		if (!thaw_read_ring_read(ring, thaw_image_fd(job->image), slot->buffer,
					 (unsigned)batch->length, batch->offset, index))
			slot_is_ready(job, index, 0);
		while (take_completion(job, false))
			;
	}
}

/* ---- Reading, decoding, placing: any thread ---- */

/* Reads the rest of BATCH; the first HAVE bytes are in BUFFER. */
static int finish_read(struct job *job, const struct batch *batch, uint8_t *buffer, size_t have,
		       struct thaw_error *err)
{
	size_t missing = batch->length - have;
	ssize_t got = thaw_read_at(thaw_image_fd(job->image), buffer + have, missing,
				   batch->offset + have);

	if (got < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot read the image file");
	if ((size_t)got < missing)
		return thaw_fail(err, THAW_ERR_IMAGE, "the image file is cut short");
	return 0;
}

static int load_frame(struct worker *worker, size_t frame, const uint8_t *compressed,
		      struct thaw_error *err)
{
	struct job *job = worker->job;
	int result;

	if (thaw_image_frame_decode(job->image, frame, compressed, worker->raw, worker->dctx, err) <
	    0)
		return -1;
	result = thaw_image_frame_scatter(job->image, frame, worker->raw, thaw_frame_target_place,
					  &job->target);
	if (result < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, -result,
				       "cannot write the memory of the image");
	return 0;
}

static int load_batch(struct worker *worker, const struct batch *batch, uint8_t *buffer,
		      size_t have, struct thaw_error *err)
{
	struct job *job = worker->job;

	if (finish_read(job, batch, buffer, have, err) < 0)
		return -1;
	for (size_t i = 0; i < batch->frame_count && !is_stopped(job); i++) {
		size_t frame = batch->first_frame + i;

		if (load_frame(worker, frame, buffer + (job->frames[frame].offset - batch->offset),
			       err) < 0)
			return -1;
		if (worker->owns_ring)
			read_ahead(job);
	}
	return 0;
}

/* What a thread does next: a batch that was read ahead (slot is set), or one that it reads itself.
 * Batch NULL: nothing is left to do. */
struct work {
	struct slot *slot;
	const struct batch *batch;
};

/* The ring's owner does not read for itself while the ring reads: it would wait for a later batch
 * while earlier ones arrive, and no other thread takes those. With a cold page cache, that cost a
 * lone thread 15 %. */
static bool may_read(const struct job *job, const struct worker *worker)
{
	return job->next_batch < job->batch_count && !(worker->owns_ring && job->reading);
}

/* Waits for a read of the ring. The lock is held at the call and at the return. */
static void await_read(struct job *job, const struct worker *worker)
{
	if (!worker->owns_ring) {
		pthread_cond_wait(&job->changed, &job->lock);
		return;
	}
	pthread_mutex_unlock(&job->lock);
	take_completion(job, true);
	pthread_mutex_lock(&job->lock);
}

static struct work take_work(const struct worker *worker)
{
	struct job *job = worker->job;
	struct work work = {0};

	pthread_mutex_lock(&job->lock);
	while (!job->stop && !work.batch) {
		if (job->ready_count) {
			work.slot = &job->slots[job->ready_slots[--job->ready_count]];
			work.batch = work.slot->batch;
		} else if (may_read(job, worker)) {
			work.batch = &job->batches[job->next_batch++];
		} else if (job->reading) {
			await_read(job, worker);
		} else {
			break;
		}
	}
	pthread_mutex_unlock(&job->lock);
	return work;
}

static void give_slot_back(struct job *job, const struct slot *slot)
{
	pthread_mutex_lock(&job->lock);
	job->free_slots[job->free_count++] = (unsigned)(slot - job->slots);
	pthread_mutex_unlock(&job->lock);
}

static int prepare_worker(struct worker *worker, struct thaw_error *err)
{
	worker->raw = malloc(THAW_IMAGE_FRAME_PAGES_MAX * THAW_IMAGE_PAGE);
	worker->dctx = ZSTD_createDCtx();
	if (!worker->raw || !worker->dctx)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "loading the image");
	return 0;
}

static int do_work(struct worker *worker, const struct work *work, struct thaw_error *err)
{
	int result;

	if (work->slot) {
		result = load_batch(worker, work->batch, work->slot->buffer, work->slot->have, err);
		give_slot_back(worker->job, work->slot);
		return result;
	}
	if (!worker->buffer)
		worker->buffer = malloc(worker->job->buffer_size);
	if (!worker->buffer)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "loading the image");
	return load_batch(worker, work->batch, worker->buffer, 0, err);
}

static void *run_worker(void *context)
{
	struct worker *worker = context;
	struct job *job = worker->job;
	struct thaw_error err = THAW_ERROR_INIT;
	struct work work;
	int result = prepare_worker(worker, &err);

	while (result == 0) {
		if (worker->owns_ring)
			read_ahead(job);
		work = take_work(worker);
		if (!work.batch)
			break;
		result = do_work(worker, &work, &err);
	}
	if (result < 0)
		stop_job(job, &err);
	ZSTD_freeDCtx(worker->dctx);
	free(worker->raw);
	free(worker->buffer);
	return NULL;
}

/* ---- Planning ---- */

static bool fits(const struct batch *batch, const struct thaw_image_frame *frame, uint64_t pages,
		 uint64_t pages_max)
{
	return frame->offset == batch->offset + batch->length &&
	       batch->length + frame->length <= READ_MAX && pages + frame->page_count <= pages_max;
}

/* Cuts the frames into batches: large enough for efficient reads, small enough that every thread
 * gets some. */
static int plan_batches(struct job *job, size_t frame_count, struct thaw_error *err)
{
	uint64_t total_pages = 0, pages_max, pages = 0;

	job->batches = calloc(frame_count ? frame_count : 1, sizeof(*job->batches));
	if (!job->batches)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "loading the image");
	for (size_t i = 0; i < frame_count; i++)
		total_pages += job->frames[i].page_count;
	pages_max = total_pages / (job->loader->threads * SHARES);
	for (size_t i = 0; i < frame_count; i++) {
		const struct thaw_image_frame *frame = &job->frames[i];
		struct batch *batch = job->batch_count ? &job->batches[job->batch_count - 1] : NULL;

		if (!batch || !fits(batch, frame, pages, pages_max)) {
			batch = &job->batches[job->batch_count++];
			*batch = (struct batch){.first_frame = i, .offset = frame->offset};
			pages = 0;
		}
		batch->frame_count++;
		batch->length += frame->length;
		pages += frame->page_count;
		if (batch->length > job->buffer_size)
			job->buffer_size = batch->length;
	}
	return 0;
}

/* A slot without a buffer is not used; with a single batch there is nothing to read ahead. */
static void prepare_slots(struct job *job)
{
	if (!job->loader->ring.usable || job->batch_count < 2)
		return;
	for (unsigned i = 0; i < THAW_READ_RING_DEPTH; i++) {
		job->slots[i].buffer = malloc(job->buffer_size);
		if (job->slots[i].buffer)
			job->free_slots[job->free_count++] = i;
	}
}

/* ---- The whole ---- */

static void run_job(struct job *job, unsigned threads)
{
	struct worker caller = {.job = job, .owns_ring = true}, helpers[THREADS_MAX];
	unsigned started = 0;

	/* If a helper cannot be started, the other threads do its share. */
	for (; started + 1 < threads; started++) {
		helpers[started] = (struct worker){.job = job};
		if (thaw_thread_start(&helpers[started].thread, NULL, run_worker,
				      &helpers[started]))
			break;
	}
	run_worker(&caller);
	while (take_completion(job, true))
		;
	for (unsigned i = 0; i < started; i++)
		pthread_join(helpers[i].thread, NULL);
}

static unsigned threads_for(const struct job *job)
{
	struct thaw_image_sizes sizes;

	thaw_image_get_sizes(job->image, &sizes);
	if (sizes.stored_bytes <= INLINE_BYTES)
		return 1;
	return job->batch_count < job->loader->threads ? (unsigned)job->batch_count
						       : job->loader->threads;
}

static int load(struct job *job, int memory_fd, struct thaw_error *err)
{
	size_t frame_count;

	job->frames = thaw_image_frames(job->image, &frame_count);
	if (plan_batches(job, frame_count, err) < 0 ||
	    thaw_frame_target_open(&job->target, job->image, memory_fd, err) < 0)
		return -1;
	prepare_slots(job);
	run_job(job, threads_for(job));
	if (!job->stop)
		return 0;
	if (err)
		*err = job->error;
	return -1;
}

int thaw_loader_run(struct thaw_loader *loader, const struct thaw_image_file *image, int memory_fd,
		    struct thaw_error *err)
{
	struct job job = {
		.loader = loader,
		.image = image,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
	};
	int result = load(&job, memory_fd, err);

	thaw_frame_target_close(&job.target);
	for (unsigned i = 0; i < THAW_READ_RING_DEPTH; i++)
		free(job.slots[i].buffer);
	free(job.batches);
	pthread_cond_destroy(&job.changed);
	pthread_mutex_destroy(&job.lock);
	return result;
}

int thaw_loader_open(unsigned threads, bool no_uring, struct thaw_loader **out,
		     struct thaw_error *err)
{
	struct thaw_loader *loader = calloc(1, sizeof(*loader));
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	if (!loader)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "preparing to load images");
	/* sysconf() reads a file, which a jail forbids: so it is asked here and not at a load. */
	loader->threads = threads ? threads : online > 0 ? (unsigned)online : 1;
	if (loader->threads > THREADS_MAX)
		loader->threads = THREADS_MAX;
	if (!no_uring)
		thaw_read_ring_open(&loader->ring);
	*out = loader;
	return 0;
}

void thaw_loader_close(struct thaw_loader *loader)
{
	if (!loader)
		return;
	thaw_read_ring_close(&loader->ring);
	free(loader);
}

unsigned thaw_loader_threads(const struct thaw_loader *loader)
{
	return loader->threads;
}

bool thaw_loader_uses_uring(const struct thaw_loader *loader)
{
	return loader->ring.usable;
}
