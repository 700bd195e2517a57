/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A boot under KVM runs a clone of the program as it was loaded to its ready point, then copies the
 * pages that the clone wrote from its bank to the image's memory file. So there is one way to run a
 * guest and not two. The price is one copy of the written pages, once in the life of an image.
 */
#include "engine/kvm/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/boot/run_to_ready.h"
#include "engine/kvm/enter.h"
#include "engine/kvm/kick.h"
#include "engine/kvm/machine/bank.h"
#include "engine/kvm/run.h"
#include "engine/mailbox.h"
#include "snapshot-format/base/cleanup.h"

#define PAGE THAW_PAGE_SIZE

/* ---- What a boot leaves ---- */

static bool covers_from_image(const struct shim_ranges *ranges, uint64_t address, uint64_t *end)
{
	for (uint32_t i = 0; i < ranges->count; i++) {
		const struct shim_range *range = &ranges->at[i];

		if (range->end <= address)
			continue;
		*end = address < range->start ? range->start : range->end;
		return address >= range->start && range->source == SHIM_SOURCE_IMAGE;
	}
	*end = THAW_REGION_END;
	return false;
}

/* Empties the file where the program has given memory up: the content must not come back. */
static int punch(int fd, const struct thaw_guest_memory *memory, const struct shim_ranges *ranges)
{
	for (size_t i = 0; i < memory->range_count; i++) {
		uint64_t at = memory->ranges[i].start, end = at + memory->ranges[i].length, next;

		for (; at < end; at = next) {
			bool kept = covers_from_image(ranges, at, &next);

			next = next < end ? next : end;
			if (!kept && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					       (off_t)at, (off_t)(next - at)))
				return -1;
		}
	}
	return 0;
}

/* *LEFT bounds the pages that a guest which lies about its tables can have copied. */
static int copy_range(const struct kvm_image *image, const struct kvm_machine *machine, int fd,
		      const struct shim_range *range, uint64_t *left)
{
	uint64_t next, page;

	for (uint64_t at = range->start; at < range->end;) {
		const uint64_t *entry = kvm_bank_entry(image, machine->bank, at, &next);

		if (!entry) {
			at = next;
			continue;
		}
		for (; at < range->end && at < next; at += PAGE, entry++) {
			if (!(*entry & KVM_PTE_PRIVATE) || !kvm_bank_page_of(image, *entry, &page))
				continue;
			errno = ENOSPC;
			if (!(*left)--)
				return -1;
			if (pwrite(fd, machine->bank + page * PAGE, PAGE, (off_t)at) !=
			    (ssize_t)PAGE)
				return -1;
		}
	}
	return 0;
}

/* RANGES is a private copy of the guest's table; ranges_are_sane() has checked it. */
static int capture(const struct kvm_image *image, const struct kvm_machine *machine,
		   const struct thaw_guest_memory *memory, const struct shim_ranges *ranges,
		   struct thaw_error *err)
{
	uint64_t left = image->memory_pages;
	int result = punch(memory->fd, memory, ranges);

	for (uint32_t i = 0; i < ranges->count && !result; i++)
		result = copy_range(image, machine, memory->fd, &ranges->at[i], &left);
	return result ? thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
					"cannot copy the booted guest's memory")
		      : 0;
}

static bool ranges_are_sane(const struct shim_ranges *ranges)
{
	uint64_t floor = THAW_REGION_BASE;

	if (ranges->count > THAW_RANGES_MAX)
		return false;
	for (uint32_t i = 0; i < ranges->count; i++) {
		const struct shim_range *range = &ranges->at[i];

		if (range->start < floor || range->end <= range->start ||
		    range->end > THAW_REGION_END || (range->start | range->end) % PAGE)
			return false;
		floor = range->end;
	}
	return true;
}

static int take_memory(const struct kvm_image *image, const struct kvm_machine *machine,
		       const struct thaw_guest_memory *memory, struct thaw_error *err)
{
	thaw_autofree struct shim_ranges *ranges = malloc(sizeof(*ranges));

	if (!ranges)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "no memory for ranges");
	memcpy(ranges, machine->bank + KVM_PAGE_RANGES * PAGE, sizeof(*ranges));
	if (!ranges_are_sane(ranges))
		return thaw_fail(err, THAW_ERR_FAILURE,
				 "the guest spoiled the table of its memory");
	return capture(image, machine, memory, ranges, err);
}

/* ---- The boot ---- */

struct kvm_booting {
	struct thaw_booting common;
	struct kvm_instance *instance;
};

static int enter_until_call(struct thaw_booting *booting, struct thaw_error *err)
{
	struct kvm_booting *boot = (struct kvm_booting *)booting;
	struct kvm_machine *machine = &boot->instance->machine;
	struct thaw_outcome outcome = {0};
	enum kvm_exit left;

	if (!kvm_kick_begin(boot->instance, booting->deadline_ns))
		return thaw_fail(err, THAW_ERR_FAILURE, "the boot was cancelled");
	kvm_tick_look(boot->instance);
	while ((left = kvm_enter(machine)) == KVM_EXITED_KICKED && !kvm_exit_asked(machine))
		kvm_tick(boot->instance);
	kvm_kick_end(boot->instance);
	if (left == KVM_EXITED_CALL)
		return thaw_booting_check_time(booting, err);
	if (left == KVM_EXITED_KICKED)
		return thaw_booting_too_late(booting, err);
	kvm_outcome_broken(machine, &outcome);
	return thaw_fail(err, THAW_ERR_FAILURE, "%s failed before its ready point: %s",
			 booting->config->program, outcome.message);
}

static void resume(struct thaw_booting *booting)
{
	(void)booting; /* the next entry resumes the guest */
}

static int run(struct kvm_backend *backend, struct kvm_image *image, struct kvm_booting *boot,
	       const struct thaw_guest_memory *memory, struct thaw_ready_state *ready,
	       struct thaw_error *err)
{
	struct kvm_machine *machine = &boot->instance->machine;

	if (kvm_machine_make(&backend->device, image, machine, err))
		return -1;
	boot->common.mailbox = machine->mailbox;
	if (kvm_prefault(boot->instance))
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "the first steps of a guest failed (exit %u)",
				 machine->run->exit_reason);
	thaw_booting_begin(&boot->common);
	kvm_begin(boot->instance);
	return thaw_booting_run(&boot->common, ready, err) ||
			       take_memory(image, machine, memory, err)
		       ? -1
		       : 0;
}

int kvm_boot(struct kvm_backend *backend, const struct thaw_source *source,
	     const struct thaw_boot_config *config, struct thaw_ready_state *ready,
	     struct thaw_error *err)
{
	static const struct thaw_dispatch none;
	struct kvm_image image = KVM_IMAGE_NONE;
	struct kvm_booting boot = {.common = {.requests = source->requests,
					      .memory = source->memory,
					      .vcpu = source->vcpu,
					      .config = config,
					      .wait_for_call = enter_until_call,
					      .give_turn = resume},
				   .instance = &backend->instances[0]}; /* all are free yet */
	int result = -1;

	boot.instance->prefaulted = false;
	atomic_store(&boot.instance->killed, false);
	if (kvm_watch_start(backend, err))
		return -1;
	if (kvm_image_make(&backend->device, source->memory, source->vcpu, &none,
			   &source->meta->cpu, KVM_MODE_BOOT, &image, err) == 0)
		result = run(backend, &image, &boot, source->memory, ready, err);
	kvm_watch_stop(backend);
	kvm_machine_finish(&boot.instance->machine);
	kvm_image_finish(&image);
	return result;
}
