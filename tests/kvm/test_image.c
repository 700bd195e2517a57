/* SPDX-License-Identifier: Apache-2.0 */
/* The image's data as clones see it: packed pieces of 2 MiB, and extents that locate each page. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kvm/plain.h"

#define PAGE THAW_PAGE_SIZE
#define MIB  (UINT64_C(1) << 20)

TestSuite(kvm_image, .timeout = 120);

/* Adds pieces with data between START and END: some touch, some are a few pages apart, some far. */
static void add_pieces(struct plain_layout *layout, uint64_t start, uint64_t end, uint64_t *seed)
{
	uint64_t at = start + plain_below(seed, 3) * PAGE;

	while (at < end && layout->piece_count < 500) {
		uint64_t length = (1 + plain_below(seed, plain_below(seed, 5) ? 4 : 700)) * PAGE;

		if (length > end - at)
			length = end - at;
		layout->pieces[layout->piece_count++] = (struct plain_piece){at, length};
		at += length;
		at += plain_below(seed, 4) ? plain_below(seed, 30) * PAGE
					   : plain_below(seed, 6 * MIB) & ~(PAGE - 1);
	}
}

static struct plain_layout random_layout(uint64_t *seed)
{
	struct plain_layout layout = {.limit = THAW_REGION_END};
	uint64_t at = THAW_REGION_BASE;

	for (unsigned i = 0; i < 1 + plain_below(seed, 12); i++) {
		uint64_t length = (1 + plain_below(seed, 2000)) * PAGE;

		/* Some are neighbours without a gap, some share 2 MiB, some are gigabytes apart. */
		at += plain_below(seed, 3) * plain_below(seed, 40) * PAGE;
		at += plain_below(seed, 5) ? 0 : plain_below(seed, 4096 * MIB) & ~(PAGE - 1);
		layout.ranges[layout.range_count++] = (struct thaw_range){at, length, 3};
		if (plain_below(seed, 4))
			add_pieces(&layout, at, at + length, seed);
		at += length;
	}
	return layout;
}

static const struct kvm_extent *extent_of(const struct kvm_description *description,
					  uint64_t address)
{
	for (uint32_t i = 0; i < description->extent_count; i++)
		if (address >= description->extents[i].start &&
		    address < description->extents[i].end)
			return &description->extents[i];
	return NULL;
}

static void check_page(const struct plain_layout *layout, const struct kvm_image *image,
		       uint64_t address)
{
	const struct kvm_extent *extent = extent_of(image->description, address);
	const uint64_t *words;
	uint64_t at;

	cr_assert_eq(extent != NULL, plain_word(layout, address) != 0, "%#llx",
		     (unsigned long long)address);
	if (!extent)
		return;
	at = extent->gpa + (address - extent->start) - KVM_IMAGE_GPA;
	cr_assert_lt(at, image->data_size);
	words = (const uint64_t *)(image->data + at);
	cr_assert_eq(words[0], plain_word(layout, address));
	cr_assert_eq(words[511], plain_word(layout, address + 511 * 8));
	/* Otherwise no huge page could serve both sides. */
	cr_assert_eq((extent->gpa - extent->start) % (2 * MIB), 0);
	cr_assert_eq((uintptr_t)image->data % (2 * MIB), 0);
}

static void check_image(const struct plain_layout *layout, const struct kvm_image *image)
{
	const struct kvm_description *description = image->description;
	uint64_t floor = 0, packed = 0, last = UINT64_MAX;

	for (uint32_t i = 0; i < description->extent_count; i++) {
		const struct kvm_extent *extent = &description->extents[i];

		cr_assert(extent->start >= floor && extent->end > extent->start);
		floor = extent->end;
		for (uint64_t at = extent->start / (2 * MIB); at <= (extent->end - 1) / (2 * MIB);
		     at++) {
			packed += at != last;
			last = at;
		}
	}
	/* Each piece of 2 MiB that has any data is there once. */
	cr_assert_eq(image->data_size, packed * 2 * MIB);
	for (size_t i = 0; i < layout->range_count; i++)
		for (uint64_t at = layout->ranges[i].start, end = at + layout->ranges[i].length;
		     at < end; at += PAGE)
			check_page(layout, image, at);
}

Test(kvm_image, each_page_of_random_layouts_is_where_its_extent_says)
{
	uint64_t seed = plain_seed("image");

	for (unsigned round = 0; round < plain_scaled(60); round++) {
		struct plain_layout layout = random_layout(&seed);
		struct plain_clone clone;

		plain_make_image(&clone, &layout);
		check_image(&layout, &clone.backend.image);
		plain_finish(&clone);
	}
}

Test(kvm_image, zeroes_come_from_a_page_of_zeroes)
{
	static const uint8_t zeroes[THAW_PAGE_SIZE];
	struct plain_clone clone;
	const struct kvm_image *image = &clone.backend.image;
	uint64_t at;

	plain_make_image(&clone, &plain_small);
	at = image->description->zero_gpa - KVM_SHIM_GPA;
	cr_assert_leq(at + PAGE, image->shim_size);
	cr_assert_geq(at, KVM_DESC_AT + sizeof(*image->description));
	cr_assert_arr_eq(image->shim + at, zeroes, PAGE);
	plain_finish(&clone);
}

Test(kvm_image, a_page_is_learned_once_and_no_more_than_there_is_room_for)
{
	struct plain_clone clone;
	struct kvm_image *image = &clone.backend.image;

	plain_make_image(&clone, &plain_small);
	for (unsigned i = 0; i < 3; i++)
		kvm_image_add_prefault(image, 0x40c000);
	cr_expect_eq(image->description->prefault_count, 1);
	cr_expect_eq(image->description->prefault[0], 0x40c000 | 1);
	for (uint64_t i = 0; i < KVM_PREFAULT_MAX + 10; i++)
		kvm_image_add_prefault(image, 0x10000000 + i * PAGE);
	cr_expect_leq(image->description->prefault_count, KVM_PREFAULT_MAX);
	plain_finish(&clone);
}

Test(kvm_image, vector_state_that_would_not_be_put_back_is_refused)
{
	static const struct thaw_dispatch no_dispatch;
	/* A component that a guest may use but that the image's state lacks. */
	struct thaw_cpu_features features = {.word = {[10] = 7}};
	struct thaw_vcpu vcpu = {.xsave_mask = 3, .xsave_length = 576};
	struct thaw_guest_memory memory = {.fd = -1, .limit = PAGE};
	struct kvm_device device = {.supported = calloc(1, sizeof(*device.supported))};
	struct kvm_image image;
	struct thaw_error err = THAW_ERROR_INIT;

	cr_expect_lt(kvm_image_make(&device, &memory, &vcpu, &no_dispatch, &features,
				    KVM_MODE_SERVE, &image, &err),
		     0);
	cr_expect_eq(err.kind, THAW_ERR_IMAGE);
	kvm_image_finish(&image);
	free(device.supported);
}
