/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lazy loading; see lazy.h. A frame is absent, taken or there. The thread that takes a frame
 * decodes it, with a decoder of its own; other threads that want it wait. Three kinds of threads
 * take frames:
 *   - the thread that begins the load takes those of the wanted pages;
 *   - helpers first compare all frames with their checksums (a twentieth of what decoding costs),
 *     and then take what is left, wanted pages first;
 *   - a thread whose clone came to a page that is not there takes that page's frame.
 * A thread that waits for the comparison takes part in it, so that its wait does not depend on when
 * a helper is scheduled.
 */
#include "engine/image/lazy.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "engine/image/decode.h"
#include "engine/image/frame_map.h"
#include "engine/image/target.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"
#include "snapshot-format/base/thread.h"

#define PAGE		 ((uint64_t)THAW_IMAGE_PAGE) /* masks of addresses are made of it */
#define HELPERS_MAX	 63u
#define SPIN_NS		 1000000u
#define COMPARED_AT_ONCE 16u /* frames: a read's worth that caches hold */

struct thaw_lazy_load {
	/* Constant. */
	const struct thaw_image_file *image;
	const struct thaw_image_frame *table; /* the image's frames */
	struct thaw_frame_target target;
	void (*finished)(void *context, const struct thaw_error *failure);
	void *context;
	uint32_t *order; /* frames in the order in which helpers take them */
	size_t wanted;	 /* the first so many are for wanted pages */
	cpu_set_t cpus;	 /* those that helpers may be on */

	/* Atomic: used by every thread without the lock. */
	struct thaw_frame_map frames;
	atomic_size_t next;	/* index in `order` */
	atomic_size_t compare;	/* the next frame to be compared with its checksum */
	atomic_size_t compared; /* frames that were */
	atomic_bool stop;	/* set with the lock held, so that no waiter misses it */
	atomic_bool complete;	/* every frame is there and `finished` has returned */
	atomic_size_t behind;	/* the frame behind one that a thread waited for; 0: none */
	atomic_uint asker;	/* the processor where a thread last asked for frames */
	atomic_uint waiting;	/* threads that wait for frames, on `changed` */

	pthread_mutex_t lock;
	pthread_cond_t changed; /* what the lock guards, or a frame that a thread waits for */
	/* Lock: */
	struct thaw_decoder *decoders; /* that no thread uses at the moment */
	bool checked, failed, over;    /* all compared; something went wrong; no helper is left */
	unsigned busy;		       /* helpers that have yet to end */
	struct thaw_error failure;     /* the first; constant once `failed` */
	pthread_t helpers[HELPERS_MAX];
	unsigned helper_count; /* to be joined */
};

/* ---- Decoders ---- */

static struct thaw_decoder *take_decoder(struct thaw_lazy_load *lazy, struct thaw_error *err)
{
	struct thaw_decoder *decoder;

	pthread_mutex_lock(&lazy->lock);
	decoder = lazy->decoders;
	if (decoder)
		lazy->decoders = decoder->next;
	pthread_mutex_unlock(&lazy->lock);
	return decoder ? decoder : thaw_decoder_make(err);
}

static void give_decoder(struct thaw_lazy_load *lazy, struct thaw_decoder *decoder)
{
	bool keep;

	pthread_mutex_lock(&lazy->lock);
	keep = !lazy->over;
	if (keep) {
		decoder->next = lazy->decoders;
		lazy->decoders = decoder;
	}
	pthread_mutex_unlock(&lazy->lock);
	if (!keep)
		thaw_decoder_free(decoder);
}

/* With the lock held, or when no other thread is left. */
static void free_decoders(struct thaw_lazy_load *lazy)
{
	struct thaw_decoder *decoder;

	while ((decoder = lazy->decoders)) {
		lazy->decoders = decoder->next;
		thaw_decoder_free(decoder);
	}
}

/* ---- Frames ---- */

static int decode_frame(struct thaw_lazy_load *lazy, size_t number, struct thaw_decoder *decoder,
			struct thaw_error *err)
{
	int result;

	if (thaw_image_frames_read(lazy->image, number, 1, decoder->compressed, err) ||
	    thaw_image_frame_decode(lazy->image, number, decoder->compressed, decoder->raw,
				    decoder->context, err))
		return -1;
	result = thaw_image_frame_scatter(lazy->image, number, decoder->raw,
					  thaw_frame_target_place, &lazy->target);
	return result < 0 ? thaw_fail_errno(err, THAW_ERR_ENGINE, -result,
					    "cannot write the memory of the image")
			  : 0;
}

static void fail(struct thaw_lazy_load *lazy, const struct thaw_error *err)
{
	pthread_mutex_lock(&lazy->lock);
	if (!lazy->failed)
		lazy->failure = *err;
	lazy->failed = true;
	atomic_store(&lazy->stop, true);
	pthread_cond_broadcast(&lazy->changed);
	pthread_mutex_unlock(&lazy->lock);
}

/* With the lock held. */
static int refuse(const struct thaw_lazy_load *lazy, struct thaw_error *err)
{
	return lazy->failed ? thaw_fail(err, lazy->failure.kind, "%s", lazy->failure.message)
			    : thaw_fail(err, THAW_ERR_ENGINE, "loading the image was given up");
}

/* A frame under way takes half a millisecond at most. A wake-up on another processor, behind the
 * helper that is at work there, can take many times as long. */
static void spin_for_frame(const struct thaw_lazy_load *lazy, size_t number)
{
	uint64_t until = thaw_monotonic_ns() + SPIN_NS;

	while (atomic_load(&lazy->frames.states[number]) != THAW_FRAME_THERE &&
	       !atomic_load(&lazy->stop) && thaw_monotonic_ns() < until)
		sched_yield();
}

static int await_frame(struct thaw_lazy_load *lazy, size_t number, struct thaw_error *err)
{
	int result = 0;

	spin_for_frame(lazy, number);

	pthread_mutex_lock(&lazy->lock);
	/* Sequentially consistent against the thread that brings the frame: either it sees that a
	 * thread waits, or the frame is seen here. */
	atomic_fetch_add(&lazy->waiting, 1);
	while (atomic_load(&lazy->frames.states[number]) != THAW_FRAME_THERE &&
	       !atomic_load(&lazy->stop))
		pthread_cond_wait(&lazy->changed, &lazy->lock);
	atomic_fetch_sub(&lazy->waiting, 1);
	if (atomic_load(&lazy->frames.states[number]) != THAW_FRAME_THERE)
		result = refuse(lazy, err);
	pthread_mutex_unlock(&lazy->lock);
	return result;
}

/* Takes and decodes the frame if no thread has taken it. Returns 0 also when another thread has. */
static int take_frame(struct thaw_lazy_load *lazy, size_t number, struct thaw_decoder *decoder,
		      struct thaw_error *err)
{
	uint8_t absent = THAW_FRAME_ABSENT;

	if (!atomic_compare_exchange_strong(&lazy->frames.states[number], &absent,
					    THAW_FRAME_TAKEN))
		return 0;
	if (decode_frame(lazy, number, decoder, err)) {
		fail(lazy, err);
		return -1;
	}
	atomic_store(&lazy->frames.states[number], THAW_FRAME_THERE);
	if (atomic_load(&lazy->waiting)) {
		pthread_mutex_lock(&lazy->lock);
		pthread_cond_broadcast(&lazy->changed);
		pthread_mutex_unlock(&lazy->lock);
	}
	return 0;
}

/* ---- On demand ---- */

struct bringing {
	struct thaw_lazy_load *lazy;
	struct thaw_decoder *decoder; /* taken when first needed */
};

static int bring_frame(void *context, size_t frame, struct thaw_error *err)
{
	struct bringing *bringing = context;
	struct thaw_lazy_load *lazy = bringing->lazy;

	if (thaw_frame_is_there(&lazy->frames, frame))
		return 0;
	if (!bringing->decoder)
		bringing->decoder = take_decoder(lazy, err);
	if (!bringing->decoder || take_frame(lazy, frame, bringing->decoder, err))
		return -1;
	atomic_store(&lazy->behind, frame + 1);
	return thaw_frame_is_there(&lazy->frames, frame) ? 0 : await_frame(lazy, frame, err);
}

int thaw_lazy_bring(struct thaw_lazy_load *lazy, uint64_t start, uint64_t end, uint64_t *from,
		    uint64_t *to, struct thaw_error *err)
{
	const struct thaw_piece *piece = thaw_frame_piece(&lazy->frames, start);
	struct bringing bringing = {.lazy = lazy};
	int result;

	atomic_store_explicit(&lazy->asker, (unsigned)sched_getcpu(), memory_order_relaxed);
	result = thaw_frame_each(&lazy->frames, start, end, bring_frame, &bringing, err);
	if (bringing.decoder)
		give_decoder(lazy, bringing.decoder);
	start &= ~(PAGE - 1);
	*from = *to = start;
	if (result || !piece)
		return result;
	*from = thaw_frame_run_start(&lazy->frames, start, piece->start);
	*to = thaw_frame_run_end(&lazy->frames, start, piece->start + piece->length);
	return 0;
}

/* ---- Helpers ---- */

/* Compares the frames from FIRST on that one read brings, up to END. Returns the next one to
 * compare, or 0 when a frame is wrong. A frame that is there was compared when it was decoded, but
 * to leave it out costs more than to compare it again. */
static size_t compare_some(const struct thaw_lazy_load *lazy, size_t first, size_t end,
			   const struct thaw_decoder *decoder, struct thaw_error *err)
{
	const struct thaw_image_frame *table = lazy->table;
	size_t next = first;

	while (next < end && table[next].offset + table[next].length - table[first].offset <=
				     THAW_DECODER_COMPRESSED)
		next++;
	if (thaw_image_frames_read(lazy->image, first, next - first, decoder->compressed, err))
		return 0;
	for (size_t i = first; i < next; i++)
		if (thaw_image_frame_check(
			    lazy->image, i,
			    decoder->compressed + (table[i].offset - table[first].offset), err))
			return 0;
	return next;
}

/* Takes part in comparing all frames. The thread that compares the last ones sets `checked`. */
static void compare_frames(struct thaw_lazy_load *lazy, struct thaw_decoder *decoder)
{
	struct thaw_error err = THAW_ERROR_INIT;
	size_t count = lazy->frames.frame_count, first, end;

	while (!atomic_load(&lazy->stop) &&
	       (first = atomic_fetch_add(&lazy->compare, COMPARED_AT_ONCE)) < count) {
		end = count - first < COMPARED_AT_ONCE ? count : first + COMPARED_AT_ONCE;
		for (size_t next = first; next < end;) {
			next = compare_some(lazy, next, end, decoder, &err);
			if (!next) {
				fail(lazy, &err);
				return;
			}
		}
		if (atomic_fetch_add(&lazy->compared, end - first) + end - first < count)
			continue;
		pthread_mutex_lock(&lazy->lock);
		lazy->checked = !atomic_load(&lazy->stop);
		pthread_cond_broadcast(&lazy->changed);
		pthread_mutex_unlock(&lazy->lock);
	}
}

/* Keeps helpers off the waiter's CPU: otherwise waiter and clone, which share it, each queue behind
 * a frame decode, and soon wake each other from different CPUs. */
static void make_room(const struct thaw_lazy_load *lazy)
{
	unsigned asker = atomic_load_explicit(&lazy->asker, memory_order_relaxed);
	cpu_set_t others = lazy->cpus;

	if ((unsigned)sched_getcpu() != asker || asker >= CPU_SETSIZE)
		return;
	CPU_CLR(asker, &others);
	if (CPU_COUNT(&others))
		sched_setaffinity(0, sizeof(others), &others);
}

/* A clone that came to a page often comes to the pages behind it. */
static int take_behind(struct thaw_lazy_load *lazy, struct thaw_decoder *decoder,
		       struct thaw_error *err)
{
	size_t behind = atomic_exchange(&lazy->behind, 0);

	return behind && behind < lazy->frames.frame_count ? take_frame(lazy, behind, decoder, err)
							   : 0;
}

static void take_all(struct thaw_lazy_load *lazy, struct thaw_decoder *decoder)
{
	struct thaw_error err = THAW_ERROR_INIT;
	size_t at;

	while (!atomic_load(&lazy->stop) &&
	       (at = atomic_fetch_add(&lazy->next, 1)) < lazy->frames.frame_count) {
		make_room(lazy);
		if (take_behind(lazy, decoder, &err) ||
		    take_frame(lazy, lazy->order[at], decoder, &err))
			return;
	}
}

/* Frames that other threads took last may still be under way. */
static void await_all(struct thaw_lazy_load *lazy)
{
	struct thaw_error err = THAW_ERROR_INIT;

	for (size_t i = 0; i < lazy->frames.frame_count; i++)
		if (!thaw_frame_is_there(&lazy->frames, i) && await_frame(lazy, i, &err))
			return;
}

/* By the last helper: no thread works on a frame once all are there. */
static void finish(struct thaw_lazy_load *lazy)
{
	bool failed;

	await_all(lazy);
	pthread_mutex_lock(&lazy->lock);
	failed = lazy->failed;
	pthread_mutex_unlock(&lazy->lock);
	if (failed || !atomic_load(&lazy->stop))
		lazy->finished(lazy->context, failed ? &lazy->failure : NULL);
	atomic_store(&lazy->complete, !atomic_load(&lazy->stop));
	pthread_mutex_lock(&lazy->lock);
	lazy->over = true;
	free_decoders(lazy);
	pthread_cond_broadcast(&lazy->changed);
	pthread_mutex_unlock(&lazy->lock);
}

static void *help(void *context)
{
	struct thaw_lazy_load *lazy = context;
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_decoder *decoder = take_decoder(lazy, &err);
	bool last;

	if (decoder) {
		compare_frames(lazy, decoder);
		take_all(lazy, decoder);
		give_decoder(lazy, decoder);
	} else {
		/* The other helpers might do without this one, but nothing guarantees it. */
		fail(lazy, &err);
	}
	pthread_mutex_lock(&lazy->lock);
	last = --lazy->busy == 0;
	pthread_mutex_unlock(&lazy->lock);
	if (last)
		finish(lazy);
	return NULL;
}

static int start_helpers(struct thaw_lazy_load *lazy, unsigned count, struct thaw_error *err)
{
	int error = 0;

	/* None ends before all are counted. */
	pthread_mutex_lock(&lazy->lock);
	for (unsigned i = 0; i < count && !error; i++) {
		error = thaw_thread_start(&lazy->helpers[i], NULL, help, lazy);
		lazy->helper_count += !error;
	}
	lazy->busy = lazy->helper_count;
	pthread_mutex_unlock(&lazy->lock);
	/* Fewer helpers do the same work. */
	return lazy->helper_count ? 0
				  : thaw_fail_errno(err, THAW_ERR_ENGINE, error,
						    "cannot start a thread to load the image");
}

/* ---- Beginning and ending ---- */

struct listing {
	struct thaw_lazy_load *lazy;
	bool *listed; /* of each frame */
};

static int add_wanted(void *context, size_t frame, struct thaw_error *err)
{
	struct listing *listing = context;
	struct thaw_lazy_load *lazy = listing->lazy;

	(void)err;
	if (!listing->listed[frame])
		lazy->order[lazy->wanted++] = (uint32_t)frame;
	listing->listed[frame] = true;
	return 0;
}

static int make_order(struct thaw_lazy_load *lazy, const struct thaw_lazy_config *config,
		      struct thaw_error *err)
{
	thaw_autofree bool *listed = calloc(lazy->frames.frame_count, sizeof(*listed));
	struct listing listing = {lazy, listed};
	size_t count;

	lazy->order = calloc(lazy->frames.frame_count, sizeof(*lazy->order));
	if (!listed || !lazy->order)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "loading the image");
	for (size_t i = 0; i < config->wanted_count; i++) {
		uint64_t start = config->wanted[i].start, end;

		if (!__builtin_add_overflow(start, config->wanted[i].pages * PAGE, &end))
			thaw_frame_each(&lazy->frames, start, end, add_wanted, &listing, err);
	}
	count = lazy->wanted;
	for (size_t i = 0; i < lazy->frames.frame_count; i++)
		if (!listed[i])
			lazy->order[count++] = (uint32_t)i;
	return 0;
}

/* Decodes wanted frames together with the helpers, and waits for those that the helpers have
 * taken. */
static int bring_wanted(struct thaw_lazy_load *lazy, struct thaw_error *err)
{
	struct thaw_decoder *decoder = take_decoder(lazy, err);
	int result = decoder ? 0 : -1;

	for (size_t i = lazy->wanted; i-- > 0 && !result;)
		result = take_frame(lazy, lazy->order[i], decoder, err);
	if (decoder)
		give_decoder(lazy, decoder);
	for (size_t i = 0; i < lazy->wanted && !result; i++)
		if (!thaw_frame_is_there(&lazy->frames, lazy->order[i]))
			result = await_frame(lazy, lazy->order[i], err);
	return result;
}

int thaw_lazy_begin(const struct thaw_lazy_config *config, struct thaw_lazy_load **out,
		    struct thaw_error *err)
{
	struct thaw_lazy_load *lazy = calloc(1, sizeof(*lazy));
	unsigned helpers = config->threads > 1 ? config->threads - 1 : 1;
	size_t table_count;

	if (!lazy)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "loading the image");
	lazy->image = config->image;
	lazy->table = thaw_image_frames(config->image, &table_count);
	lazy->finished = config->finished;
	lazy->context = config->context;
	lazy->asker = (unsigned)sched_getcpu();
	sched_getaffinity(0, sizeof(lazy->cpus), &lazy->cpus);
	pthread_mutex_init(&lazy->lock, NULL);
	pthread_cond_init(&lazy->changed, NULL);
	if (thaw_frame_map_make(&lazy->frames, config->image, config->map, err) ||
	    thaw_frame_target_open(&lazy->target, config->image, config->memory_fd, err) ||
	    make_order(lazy, config, err) ||
	    start_helpers(lazy, helpers < HELPERS_MAX ? helpers : HELPERS_MAX, err) ||
	    bring_wanted(lazy, err)) {
		thaw_lazy_end(lazy);
		return -1;
	}
	*out = lazy;
	return 0;
}

/* Joins them once, by the first caller. */
static void join_helpers(struct thaw_lazy_load *lazy)
{
	unsigned count;

	pthread_mutex_lock(&lazy->lock);
	count = lazy->helper_count;
	lazy->helper_count = 0;
	pthread_mutex_unlock(&lazy->lock);
	for (unsigned i = 0; i < count; i++)
		pthread_join(lazy->helpers[i], NULL);
}

void thaw_lazy_end(struct thaw_lazy_load *lazy)
{
	if (!lazy)
		return;
	pthread_mutex_lock(&lazy->lock);
	atomic_store(&lazy->stop, true);
	pthread_cond_broadcast(&lazy->changed);
	pthread_mutex_unlock(&lazy->lock);
	join_helpers(lazy);
	free_decoders(lazy);
	thaw_frame_target_close(&lazy->target);
	pthread_cond_destroy(&lazy->changed);
	pthread_mutex_destroy(&lazy->lock);
	thaw_frame_map_free(&lazy->frames);
	free(lazy->order);
	free(lazy);
}

/* ---- Waiting ---- */

bool thaw_lazy_complete(const struct thaw_lazy_load *lazy)
{
	return atomic_load(&lazy->complete);
}

int thaw_lazy_await_checked(struct thaw_lazy_load *lazy, struct thaw_error *err)
{
	struct thaw_decoder *decoder = take_decoder(lazy, err);
	int result = 0;

	if (!decoder)
		return -1;
	compare_frames(lazy, decoder);
	give_decoder(lazy, decoder);
	pthread_mutex_lock(&lazy->lock);
	while (!lazy->checked && !atomic_load(&lazy->stop))
		pthread_cond_wait(&lazy->changed, &lazy->lock);
	if (!lazy->checked || lazy->failed)
		result = refuse(lazy, err);
	pthread_mutex_unlock(&lazy->lock);
	return result;
}

int thaw_lazy_await_complete(struct thaw_lazy_load *lazy, struct thaw_error *err)
{
	int result = 0;

	pthread_mutex_lock(&lazy->lock);
	while (!lazy->over)
		pthread_cond_wait(&lazy->changed, &lazy->lock);
	if (!atomic_load(&lazy->complete))
		result = refuse(lazy, err);
	pthread_mutex_unlock(&lazy->lock);
	join_helpers(lazy);
	return result;
}
