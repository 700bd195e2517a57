/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processor state and memory ranges that came from a guest or a file, and what this host demands of
 * them before it uses them. Internal to the engine. Any thread.
 */
#ifndef THAW_GUEST_STATE_H
#define THAW_GUEST_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "guest-stub/include/thaw/abi.h"
#include "snapshot-format/base/error.h"
#include "snapshot-format/image.h"

/* A booted guest at its ready point, checked. Free with free(vcpu.xsave). */
struct thaw_ready_state {
	struct thaw_range ranges[THAW_RANGES_MAX];
	size_t range_count;
	struct thaw_vcpu vcpu; /* xsave is owned */
	struct thaw_dispatch dispatch;
};

/* Checks RECORD, a private copy of the guest's record (RECORD_SIZE bytes), against the memory limit
 * and the vector state that the boot ASKED for, and converts it into READY. A record that does not
 * pass is THAW_ERR_FAILURE. */
int thaw_ready_take(const struct thaw_ready *record, size_t record_size, uint64_t memory_limit,
		    const struct thaw_vcpu *asked, struct thaw_ready_state *ready,
		    struct thaw_error *err);

/* Each of these refuses with THAW_ERR_IMAGE. */

/* Refuses processor state that this host cannot load, or whose registers point outside the guest's
 * memory. */
int thaw_vcpu_check(const struct thaw_vcpu *vcpu, struct thaw_error *err);
/* Refuses entries for system calls and faults that are not in the guest's memory. */
int thaw_dispatch_check(const struct thaw_dispatch *dispatch, struct thaw_error *err);
/* Refuses ranges that a guest may not have, and more bytes of them than MEMORY_LIMIT. */
int thaw_ranges_check(const struct thaw_range *ranges, size_t count, uint64_t memory_limit,
		      struct thaw_error *err);

/* Bytes of the standard XSAVE layout that the components of MASK need; 0 when this processor lacks
 * one. */
uint32_t thaw_xsave_size(uint64_t mask);

#endif
