/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A clone in plain memory: the backend's own image, bank and instance, and its shim's C code
 * compiled for the host, but no virtual machine. The walker makes the guest's accesses. So
 * everything from the page tables to recycling can be tested without KVM and under the sanitizers,
 * and can be spoilt in ways that no guest of ours can.
 */
#ifndef TEST_KVM_PLAIN_H
#define TEST_KVM_PLAIN_H

#include "engine/kvm/backend.h"
#include "engine/kvm/machine/bank.h"
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
	struct kvm_backend backend; /* has the clone's image */
	struct kvm_instance instance;
	int memory_fd;
	uint8_t *around; /* the bank, with an inaccessible gigabyte on either side */
	uint64_t around_size;
	struct walk_memory memory;
};

/* A small program's memory: text, data with a hole, bss, a stack, 16 MiB at most. */
extern const struct plain_layout plain_small;

/* What the image has at ADDRESS, if a piece of LAYOUT covers it; else 0. */
uint64_t plain_word(const struct plain_layout *layout, uint64_t address);

/* These assert success. */
void plain_make_image(struct plain_clone *clone, const struct plain_layout *layout);
void plain_make(struct plain_clone *clone, const struct plain_layout *layout);
void plain_finish(struct plain_clone *clone);
/* Makes a second clone of the same image. Finish SIBLING first. */
void plain_make_sibling(struct plain_clone *sibling, struct plain_clone *clone);

/* ---- As its guest; plain_shim.c ---- */

/* Makes the shim work on CLONE from here on. */
void plain_enter(struct plain_clone *clone);
/* Set when the shim panics, which no guest must be able to cause. */
extern bool plain_panicked;

/* Prefaults the pages of a new clone. */
void plain_prefault(struct plain_clone *clone);
/* Makes an access at CPL 3, which the page tables or the shim answer. Returns a pointer to its
 * bytes, or NULL when the access ends the guest. */
uint8_t *plain_access(struct plain_clone *clone, uint64_t address, enum walk_access access);
/* The shim calls map, unmap and protect. Returns what the gate would return. */
long plain_call(struct plain_clone *clone, long number, uint64_t start, uint64_t length,
		uint32_t prot);
/* Ends the invocation as `next` does, then recycles. False when that fails. */
bool plain_recycle(struct plain_clone *clone);

/* ---- Chance ---- */

/* xorshift64*, which gives the same numbers on every machine; the seed is printed. */
uint64_t plain_random(uint64_t *seed);
static inline uint64_t plain_below(uint64_t *seed, uint64_t limit)
{
	return plain_random(seed) % limit;
}
/* The seed that THAW_TEST_SEED names, or a new one; prints it. */
uint64_t plain_seed(const char *test);
/* COUNT times THAW_TEST_SCALE, at least 1. */
unsigned plain_scaled(unsigned count);

#endif
