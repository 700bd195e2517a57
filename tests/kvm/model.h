/* SPDX-License-Identifier: Apache-2.0 */
/* The simplest model of a guest's memory: pages in a hash table, each with its protection and eight
 * words that stand for its content. */
#ifndef TEST_KVM_MODEL_H
#define TEST_KVM_MODEL_H

#include "tests/kvm/plain.h"

#define MODEL_WORDS 8u	       /* of a page, 512 bytes apart */
#define MODEL_SLOTS (1u << 15) /* more than four times the pages of plain_small's limit */

struct model_page {
	uint64_t address; /* 0: free */
	uint32_t prot;	  /* 0: it was unmapped */
	uint64_t words[MODEL_WORDS];
};

struct model {
	uint64_t mapped, limit;
	struct model_page pages[MODEL_SLOTS];
};

void model_make(struct model *model, const struct plain_layout *layout);
/* The word at ADDRESS, or NULL if the access would end the guest. */
uint64_t *model_access(struct model *model, uint64_t address, enum walk_access access);
/* Returns what the gate would return. */
long model_call(struct model *model, long number, uint64_t start, uint64_t length, uint32_t prot);
/* A random address in a page that a random program might use. */
uint64_t model_somewhere(const struct model *model, uint64_t *seed);

#endif
