/* SPDX-License-Identifier: Apache-2.0 */
/* The model of a guest's memory; see model.h. */
#include "tests/kvm/model.h"

#include <criterion/criterion.h>
#include <string.h>

#define PAGE THAW_PAGE_SIZE

/* The page's place in the table, or the free place where it would be. Pages are never removed. */
static struct model_page *place_of(struct model *model, uint64_t address)
{
	uint64_t page = address & ~(PAGE - 1),
		 at = page / PAGE * UINT64_C(0x9e3779b97f4a7c15) >> 40;

	for (unsigned tries = 0; tries < MODEL_SLOTS; tries++, at++) {
		struct model_page *found = &model->pages[at % MODEL_SLOTS];

		if (!found->address || found->address == page)
			return found;
	}
	cr_assert_fail("the model is full");
	return NULL;
}

static bool is_mapped(struct model *model, uint64_t address)
{
	const struct model_page *page = place_of(model, address);

	return page->address && page->prot;
}

static struct model_page *map_page(struct model *model, uint64_t address, uint32_t prot)
{
	struct model_page *page = place_of(model, address);

	*page = (struct model_page){.address = address, .prot = prot};
	model->mapped++;
	return page;
}

void model_make(struct model *model, const struct plain_layout *layout)
{
	memset(model, 0, sizeof(*model));
	model->limit = layout->limit / PAGE;
	for (size_t i = 0; i < layout->range_count; i++)
		for (uint64_t at = 0; at < layout->ranges[i].length; at += PAGE) {
			uint64_t address = layout->ranges[i].start + at;
			struct model_page *page = map_page(model, address, layout->ranges[i].prot);

			for (unsigned k = 0; k < MODEL_WORDS; k++)
				page->words[k] = plain_word(layout, address + k * 512);
		}
}

uint64_t *model_access(struct model *model, uint64_t address, enum walk_access access)
{
	struct model_page *page = place_of(model, address);

	if (!page->address || !page->prot || (access == WALK_WRITE && !(page->prot & 2)) ||
	    (access == WALK_FETCH && !(page->prot & 4)))
		return NULL;
	return &page->words[address % PAGE / 512];
}

/* Tells whether all pages are mapped, and whether any is. */
static void count(struct model *model, uint64_t start, uint64_t length, bool *all, bool *any)
{
	*all = true;
	*any = false;
	for (uint64_t at = start; at < start + length; at += PAGE) {
		bool mapped = is_mapped(model, at);

		*all &= mapped;
		*any |= mapped;
	}
}

long model_call(struct model *model, long number, uint64_t start, uint64_t length, uint32_t prot)
{
	bool all, any;

	if ((number != THAW_SHIM_CALL_unmap && prot == 7) || start + length > THAW_REGION_END ||
	    start < THAW_REGION_BASE)
		return THAW_EINVAL;
	count(model, start, length, &all, &any);
	if (number == THAW_SHIM_CALL_map ? any : !all)
		return THAW_EINVAL;
	if (number == THAW_SHIM_CALL_map && length / PAGE > model->limit - model->mapped)
		return THAW_ENOMEM;
	for (uint64_t at = start; at < start + length; at += PAGE) {
		if (number == THAW_SHIM_CALL_map)
			map_page(model, at, prot);
		else if (number == THAW_SHIM_CALL_protect)
			place_of(model, at)->prot = prot;
		else
			place_of(model, at)->prot = 0, model->mapped--;
	}
	return 0;
}

uint64_t model_somewhere(const struct model *model, uint64_t *seed)
{
	static const struct {
		uint64_t start, length;
	} windows[] = {{0x3be000, 0x46000},   {0x400000, 0x70000},    {0x10000000, 0x410000},
		       {0x20000000, 0x40000}, {0x7ffff0000, 0x20000}, {0xfffff0000, 0x10000},
		       {0x10000, 0x8000}};
	uint64_t which = plain_below(seed, sizeof(windows) / sizeof(windows[0]));

	(void)model;
	return (windows[which].start + plain_below(seed, windows[which].length)) & ~(PAGE - 1);
}
