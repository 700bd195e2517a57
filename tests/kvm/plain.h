/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A clone in plain memory: the backend's own image, bank and instance, and its shim's C compiled
 * for the host, but no virtual machine. The guest's accesses are made by the walker. So everything
 * between the page tables and the recycling can be tested where there is no KVM, under the
 * sanitizers, and spoilt in ways that no guest of ours can.
 */
#ifndef TEST_KVM_PLAIN_H
#define TEST_KVM_PLAIN_H

#include "engine/kvm/backend.h"
#include "engine/kvm/bank.h"
#include "engine/kvm/recycle.h"
#include "tests/kvm/walk.h"

/* A piece of guest memory with data; the rest of the ranges has none. */
struct plain_piece {
	uint64_t start, length;
};

struct plain_layout {
	struct thaw_range ranges[THAW_RANGES_MAX];
	size_t range_count;
	struct plain_piece pieces[512];
	size_t piece_count;
	uint64_t limit;
};

struct plain_clone {
	struct kvm_device device;
	struct kvm_backend backend; /* its image is the clone's */
	struct kvm_instance instance;
	int memory_fd;
	uint8_t *around; /* the bank, with a gigabyte on either side that nobody may touch */
	uint64_t around_size;
	struct walk_memory memory;
};

/* A small program's memory: text, data with a hole, bss, a stack, 16 MiB at most. */
extern const struct plain_layout plain_small;

/* What the image has at ADDRESS, if a piece of LAYOUT covers it; else 0. */
uint64_t plain_word(const struct plain_layout *layout, uint64_t address);

/* Asserts. */
void plain_make_image(struct plain_clone *clone, const struct plain_layout *layout);
void plain_make(struct plain_clone *clone, const struct plain_layout *layout);
void plain_finish(struct plain_clone *clone);
/* A second clone of the same image; finish it first. */
void plain_make_sibling(struct plain_clone *sibling, struct plain_clone *clone);

/* ---- As its guest; plain_shim.c ---- */

/* Whatever the shim does next is done to CLONE. */
void plain_enter(struct plain_clone *clone);
/* Raised by the shim: a panic, which no guest should get it to. */
extern bool plain_panicked;

/* What a new clone does first. */
void plain_prefault(struct plain_clone *clone);
/* An access at CPL 3: answered by the page tables, or by the shim. A pointer to its bytes, or NULL
 * when it is the guest's end. */
uint8_t *plain_access(struct plain_clone *clone, uint64_t address, enum walk_access access);
/* map, unmap, protect; as the gate returns. */
long plain_call(struct plain_clone *clone, long number, uint64_t start, uint64_t length,
		uint32_t prot);
/* What the shim leaves at `next`; then recycles. */
bool plain_recycle(struct plain_clone *clone);

/* ---- Chance ---- */

/* xorshift64*: the same on every machine, from one seed that is printed. */
uint64_t plain_random(uint64_t *seed);
static inline uint64_t plain_below(uint64_t *seed, uint64_t limit)
{
	return plain_random(seed) % limit;
}
/* THAW_TEST_SEED, or one that is new each time; says which. */
uint64_t plain_seed(const char *test);
/* COUNT times THAW_TEST_SCALE, at least 1. */
unsigned plain_scaled(unsigned count);

#endif
