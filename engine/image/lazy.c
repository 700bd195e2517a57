/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See lazy.h. A frame is absent, taken or there. Who takes it decodes it, with a decoder of
 * its own, and others who want it wait. Three kinds of threads take frames:
 *   - who begins, those of the wanted pages;
 *   - helpers: first they compare all frames with their checksums (a twentieth of what decoding
 *     costs), and then take what is left, wanted pages first;
 *   - whoever waits for a clone that came to a page which is not there.
 * Who waits for the comparison takes part in it, so that it does not depend on when a helper is
 * scheduled.
 */
#include "engine/image/lazy_internal.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/backend.h"
#include "engine/image/decode.h"
#include "engine/image/target.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"
#include "snapshot-format/base/thread.h"

#define SPIN_NS		 1000000u
#define COMPARED_AT_ONCE 16u /* frames: a read's worth that caches hold */

/* ---- Decoders ---- */

static struct thaw_decoder *take_decoder(struct thaw_residency *residency, struct thaw_error *err)
{
	struct thaw_decoder *decoder;

	pthread_mutex_lock(&residency->lock);
	decoder = residency->decoders;
	if (decoder)
		residency->decoders = decoder->next;
	pthread_mutex_unlock(&residency->lock);
	return decoder ? decoder : thaw_decoder_make(err);
}

static void give_decoder(struct thaw_residency *residency, struct thaw_decoder *decoder)
{
	bool keep;

	pthread_mutex_lock(&residency->lock);
	keep = !residency->over;
	if (keep) {
		decoder->next = residency->decoders;
		residency->decoders = decoder;
	}
	pthread_mutex_unlock(&residency->lock);
	if (!keep)
		thaw_decoder_free(decoder);
}

/* With the lock held, or alone. */
static void free_decoders(struct thaw_residency *residency)
{
	struct thaw_decoder *decoder;

	while ((decoder = residency->decoders)) {
		residency->decoders = decoder->next;
		thaw_decoder_free(decoder);
	}
}

/* ---- Frames ---- */

static int decode_frame(struct thaw_residency *residency, size_t number,
			struct thaw_decoder *decoder, struct thaw_error *err)
{
	int result;

	if (thaw_image_frames_read(residency->image, number, 1, decoder->compressed, err) ||
	    thaw_image_frame_decode(residency->image, number, decoder->compressed, decoder->raw,
				    decoder->context, err))
		return -1;
	result = thaw_image_frame_scatter(residency->image, number, decoder->raw,
					  thaw_loader_target_place, &residency->target);
	return result < 0 ? thaw_fail_errno(err, THAW_ERR_ENGINE, -result,
					    "cannot write the memory of the image")
			  : 0;
}

static void fail(struct thaw_residency *residency, const struct thaw_error *err)
{
	pthread_mutex_lock(&residency->lock);
	if (!residency->failed)
		residency->failure = *err;
	residency->failed = true;
	atomic_store(&residency->stop, true);
	pthread_cond_broadcast(&residency->changed);
	pthread_mutex_unlock(&residency->lock);
}

/* With the lock held. */
static int refuse(const struct thaw_residency *residency, struct thaw_error *err)
{
	return residency->failed
		       ? thaw_fail(err, residency->failure.kind, "%s", residency->failure.message)
		       : thaw_fail(err, THAW_ERR_ENGINE, "loading the image was given up");
}

/* A frame that somebody decodes takes half a millisecond at most, and being woken on another
 * processor, behind the helper that is at work there, can take many times as long. */
static void spin_for_frame(const struct thaw_residency *residency, size_t number)
{
	uint64_t until = thaw_monotonic_ns() + SPIN_NS;

	while (atomic_load(&residency->states[number]) != THERE && !atomic_load(&residency->stop) &&
	       thaw_monotonic_ns() < until)
		sched_yield();
}

static int await_frame(struct thaw_residency *residency, size_t number, struct thaw_error *err)
{
	int result = 0;

	spin_for_frame(residency, number);

	pthread_mutex_lock(&residency->lock);
	/* Sequentially consistent against who settles a frame: it sees that somebody waits, or the
	 * frame is seen here. */
	atomic_fetch_add(&residency->waiting, 1);
	while (atomic_load(&residency->states[number]) != THERE && !atomic_load(&residency->stop))
		pthread_cond_wait(&residency->changed, &residency->lock);
	atomic_fetch_sub(&residency->waiting, 1);
	if (atomic_load(&residency->states[number]) != THERE)
		result = refuse(residency, err);
	pthread_mutex_unlock(&residency->lock);
	return result;
}

/* Takes the frame if nobody has. Returns 0, also when it is another's. */
static int take_frame(struct thaw_residency *residency, size_t number, struct thaw_decoder *decoder,
		      struct thaw_error *err)
{
	uint8_t absent = ABSENT;

	if (!atomic_compare_exchange_strong(&residency->states[number], &absent, TAKEN))
		return 0;
	if (decode_frame(residency, number, decoder, err)) {
		fail(residency, err);
		return -1;
	}
	atomic_store(&residency->states[number], THERE);
	if (atomic_load(&residency->waiting)) {
		pthread_mutex_lock(&residency->lock);
		pthread_cond_broadcast(&residency->changed);
		pthread_mutex_unlock(&residency->lock);
	}
	return 0;
}

/* ---- For who waits ---- */

static int bring_frame(struct thaw_residency *residency, size_t frame, void *context,
		       struct thaw_error *err)
{
	struct thaw_decoder **decoder = context;

	if (residency_is_there(residency, frame))
		return 0;
	if (!*decoder)
		*decoder = take_decoder(residency, err);
	if (!*decoder || take_frame(residency, frame, *decoder, err))
		return -1;
	atomic_store(&residency->behind, frame + 1);
	return residency_is_there(residency, frame) ? 0 : await_frame(residency, frame, err);
}

int thaw_residency_bring(struct thaw_residency *residency, uint64_t start, uint64_t end,
			 uint64_t *from, uint64_t *to, struct thaw_error *err)
{
	const struct thaw_piece *piece = residency_piece_at(residency, start);
	struct thaw_decoder *decoder = NULL;
	int result;

	atomic_store_explicit(&residency->asker, (unsigned)sched_getcpu(), memory_order_relaxed);
	result = residency_each_frame(residency, start, end, bring_frame, &decoder, err);
	if (decoder)
		give_decoder(residency, decoder);
	start &= ~(PAGE - 1);
	*from = *to = start;
	if (result || !piece)
		return result;
	*from = residency_run_start(residency, start, piece->start);
	*to = residency_run_end(residency, start, piece->start + piece->length);
	return 0;
}

/* ---- Helpers ---- */

/* Those from FIRST on that one read brings, up to END; where the next one is. All of them: one that
 * is there was compared, but to leave it out costs more than to look again. 0 when one is wrong. */
static size_t compare_some(const struct thaw_residency *residency, size_t first, size_t end,
			   const struct thaw_decoder *decoder, struct thaw_error *err)
{
	const struct thaw_image_frame *frames = residency->frames;
	size_t next = first;

	while (next < end && frames[next].offset + frames[next].length - frames[first].offset <=
				     THAW_DECODER_COMPRESSED)
		next++;
	if (thaw_image_frames_read(residency->image, first, next - first, decoder->compressed, err))
		return 0;
	for (size_t i = first; i < next; i++)
		if (thaw_image_frame_check(
			    residency->image, i,
			    decoder->compressed + (frames[i].offset - frames[first].offset), err))
			return 0;
	return next;
}

/* Takes part in comparing all frames; whoever compares the last ones says so. */
static void compare_frames(struct thaw_residency *residency, struct thaw_decoder *decoder)
{
	struct thaw_error err = THAW_ERROR_INIT;
	size_t count = residency->frame_count, first, end;

	while (!atomic_load(&residency->stop) &&
	       (first = atomic_fetch_add(&residency->compare, COMPARED_AT_ONCE)) < count) {
		end = count - first < COMPARED_AT_ONCE ? count : first + COMPARED_AT_ONCE;
		for (size_t next = first; next < end;) {
			next = compare_some(residency, next, end, decoder, &err);
			if (!next) {
				fail(residency, &err);
				return;
			}
		}
		if (atomic_fetch_add(&residency->compared, end - first) + end - first < count)
			continue;
		pthread_mutex_lock(&residency->lock);
		residency->checked = !atomic_load(&residency->stop);
		pthread_cond_broadcast(&residency->changed);
		pthread_mutex_unlock(&residency->lock);
	}
}

/* Who waits for a clone shares a processor with it. Were a helper there too, each of the two would
 * come back behind a frame of the helper's, and soon wake the other one from elsewhere. */
static void make_room(const struct thaw_residency *residency)
{
	unsigned asker = atomic_load_explicit(&residency->asker, memory_order_relaxed);
	cpu_set_t others = residency->cpus;

	if ((unsigned)sched_getcpu() != asker || asker >= CPU_SETSIZE)
		return;
	CPU_CLR(asker, &others);
	if (CPU_COUNT(&others))
		sched_setaffinity(0, sizeof(others), &others);
}

/* Who came to a page often comes to the ones behind it. */
static int take_behind(struct thaw_residency *residency, struct thaw_decoder *decoder,
		       struct thaw_error *err)
{
	size_t behind = atomic_exchange(&residency->behind, 0);

	return behind && behind < residency->frame_count
		       ? take_frame(residency, behind, decoder, err)
		       : 0;
}

static void take_all(struct thaw_residency *residency, struct thaw_decoder *decoder)
{
	struct thaw_error err = THAW_ERROR_INIT;
	size_t at;

	while (!atomic_load(&residency->stop) &&
	       (at = atomic_fetch_add(&residency->next, 1)) < residency->frame_count) {
		make_room(residency);
		if (take_behind(residency, decoder, &err) ||
		    take_frame(residency, residency->order[at], decoder, &err))
			return;
	}
}

/* Frames that others took last may still be on their way. */
static void await_all(struct thaw_residency *residency)
{
	struct thaw_error err = THAW_ERROR_INIT;

	for (size_t i = 0; i < residency->frame_count; i++)
		if (!residency_is_there(residency, i) && await_frame(residency, i, &err))
			return;
}

/* By the last helper: nobody is at any frame when all are there. */
static void finish(struct thaw_residency *residency)
{
	bool failed;

	await_all(residency);
	pthread_mutex_lock(&residency->lock);
	failed = residency->failed;
	pthread_mutex_unlock(&residency->lock);
	if (failed || !atomic_load(&residency->stop))
		residency->finished(residency->context, failed ? &residency->failure : NULL);
	atomic_store(&residency->complete, !atomic_load(&residency->stop));
	pthread_mutex_lock(&residency->lock);
	residency->over = true;
	free_decoders(residency);
	pthread_cond_broadcast(&residency->changed);
	pthread_mutex_unlock(&residency->lock);
}

static void *help(void *context)
{
	struct thaw_residency *residency = context;
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_decoder *decoder = take_decoder(residency, &err);
	bool last;

	if (decoder) {
		compare_frames(residency, decoder);
		take_all(residency, decoder);
		give_decoder(residency, decoder);
	} else {
		/* It would not be missed if another could do its work, but who can tell. */
		fail(residency, &err);
	}
	pthread_mutex_lock(&residency->lock);
	last = --residency->busy == 0;
	pthread_mutex_unlock(&residency->lock);
	if (last)
		finish(residency);
	return NULL;
}

static int start_helpers(struct thaw_residency *residency, unsigned count, struct thaw_error *err)
{
	int error = 0;

	/* None ends before all are counted. */
	pthread_mutex_lock(&residency->lock);
	for (unsigned i = 0; i < count && !error; i++) {
		error = thaw_thread_start(&residency->helpers[i], NULL, help, residency);
		residency->helper_count += !error;
	}
	residency->busy = residency->helper_count;
	pthread_mutex_unlock(&residency->lock);
	/* Fewer than hoped for do the same work. */
	return residency->helper_count ? 0
				       : thaw_fail_errno(err, THAW_ERR_ENGINE, error,
							 "cannot start a thread to load the image");
}

/* ---- Beginning and ending ---- */

static int add_wanted(struct thaw_residency *residency, size_t frame, void *context,
		      struct thaw_error *err)
{
	bool *listed = context;

	(void)err;
	if (!listed[frame])
		residency->order[residency->wanted++] = (uint32_t)frame;
	listed[frame] = true;
	return 0;
}

static int make_order(struct thaw_residency *residency, const struct thaw_residency_config *config,
		      struct thaw_error *err)
{
	thaw_autofree bool *listed = calloc(residency->frame_count, sizeof(*listed));
	size_t count;

	residency->order = calloc(residency->frame_count, sizeof(*residency->order));
	residency->states = calloc(residency->frame_count, sizeof(*residency->states));
	if (!listed || !residency->order || !residency->states)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "loading the image");
	for (size_t i = 0; i < config->wanted_count; i++) {
		uint64_t start = config->wanted[i].start, end;

		if (!__builtin_add_overflow(start, config->wanted[i].pages * PAGE, &end))
			residency_each_frame(residency, start, end, add_wanted, listed, err);
	}
	count = residency->wanted;
	for (size_t i = 0; i < residency->frame_count; i++)
		if (!listed[i])
			residency->order[count++] = (uint32_t)i;
	return 0;
}

/* Takes wanted frames together with the helpers, and waits for those that these have. */
static int bring_wanted(struct thaw_residency *residency, struct thaw_error *err)
{
	struct thaw_decoder *decoder = take_decoder(residency, err);
	int result = decoder ? 0 : -1;

	for (size_t i = residency->wanted; i-- > 0 && !result;)
		result = take_frame(residency, residency->order[i], decoder, err);
	if (decoder)
		give_decoder(residency, decoder);
	for (size_t i = 0; i < residency->wanted && !result; i++)
		if (!residency_is_there(residency, residency->order[i]))
			result = await_frame(residency, residency->order[i], err);
	return result;
}

int thaw_residency_begin(const struct thaw_residency_config *config, struct thaw_residency **out,
			 struct thaw_error *err)
{
	struct thaw_residency *residency = calloc(1, sizeof(*residency));
	unsigned helpers = config->threads > 1 ? config->threads - 1 : 1;

	if (!residency)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "loading the image");
	residency->image = config->image;
	residency->frames = thaw_image_frames(config->image, &residency->frame_count);
	residency->frame_pages = thaw_image_frame_pages(config->image);
	residency->extents = thaw_image_extents(config->image, &residency->extent_count);
	residency->map = config->map;
	residency->finished = config->finished;
	residency->context = config->context;
	residency->asker = (unsigned)sched_getcpu();
	sched_getaffinity(0, sizeof(residency->cpus), &residency->cpus);
	pthread_mutex_init(&residency->lock, NULL);
	pthread_cond_init(&residency->changed, NULL);
	if (thaw_loader_target_open(&residency->target, config->image, config->memory_fd, err) ||
	    make_order(residency, config, err) ||
	    start_helpers(residency, helpers < HELPERS_MAX ? helpers : HELPERS_MAX, err) ||
	    bring_wanted(residency, err)) {
		thaw_residency_end(residency);
		return -1;
	}
	*out = residency;
	return 0;
}

/* Once, whoever comes first. */
static void join_helpers(struct thaw_residency *residency)
{
	unsigned count;

	pthread_mutex_lock(&residency->lock);
	count = residency->helper_count;
	residency->helper_count = 0;
	pthread_mutex_unlock(&residency->lock);
	for (unsigned i = 0; i < count; i++)
		pthread_join(residency->helpers[i], NULL);
}

void thaw_residency_end(struct thaw_residency *residency)
{
	if (!residency)
		return;
	pthread_mutex_lock(&residency->lock);
	atomic_store(&residency->stop, true);
	pthread_cond_broadcast(&residency->changed);
	pthread_mutex_unlock(&residency->lock);
	join_helpers(residency);
	free_decoders(residency);
	thaw_loader_target_close(&residency->target);
	pthread_cond_destroy(&residency->changed);
	pthread_mutex_destroy(&residency->lock);
	free(residency->states);
	free(residency->order);
	free(residency);
}

/* ---- Waiting ---- */

bool thaw_residency_complete(const struct thaw_residency *residency)
{
	return atomic_load(&residency->complete);
}

int thaw_residency_await_checked(struct thaw_residency *residency, struct thaw_error *err)
{
	struct thaw_decoder *decoder = take_decoder(residency, err);
	int result = 0;

	if (!decoder)
		return -1;
	compare_frames(residency, decoder);
	give_decoder(residency, decoder);
	pthread_mutex_lock(&residency->lock);
	while (!residency->checked && !atomic_load(&residency->stop))
		pthread_cond_wait(&residency->changed, &residency->lock);
	if (!residency->checked || residency->failed)
		result = refuse(residency, err);
	pthread_mutex_unlock(&residency->lock);
	return result;
}

int thaw_residency_await_complete(struct thaw_residency *residency, struct thaw_error *err)
{
	int result = 0;

	pthread_mutex_lock(&residency->lock);
	while (!residency->over)
		pthread_cond_wait(&residency->changed, &residency->lock);
	if (!atomic_load(&residency->complete))
		result = refuse(residency, err);
	pthread_mutex_unlock(&residency->lock);
	join_helpers(residency);
	return result;
}
