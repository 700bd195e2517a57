/* SPDX-License-Identifier: Apache-2.0 */
/* Describes an image as JSON, in the jail. Numbers are integers, addresses are hexadecimal text. */
#include "pool/jailed/image_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <uuid.h>

#include "engine/host/cpu.h"
#include "pool/cli/output.h"

static json_t *number(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *address(uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "0x%" PRIx64, value);
	return json_string(text);
}

static json_t *texts(char *const *list)
{
	json_t *array = json_array();

	for (; list && *list; list++)
		json_array_append_new(array, thaw_json_text(*list));
	return array;
}

static json_t *sizes_json(const struct thaw_image_file *image)
{
	struct thaw_image_sizes sizes;
	json_t *object = json_object();

	thaw_image_get_sizes(image, &sizes);
	json_object_set_new(object, "mapped", number(sizes.mapped_bytes));
	json_object_set_new(object, "nonzero", number(sizes.nonzero_bytes));
	json_object_set_new(object, "stored", number(sizes.stored_bytes));
	json_object_set_new(object, "file", number(sizes.file_bytes));
	return object;
}

static json_t *counts_json(const struct thaw_image_file *image)
{
	size_t ranges, extents, frames;
	json_t *object = json_object();

	thaw_image_ranges(image, &ranges);
	thaw_image_extents(image, &extents);
	thaw_image_frames(image, &frames);
	json_object_set_new(object, "ranges", number(ranges));
	json_object_set_new(object, "extents", number(extents));
	json_object_set_new(object, "frames", number(frames));
	return object;
}

static json_t *ranges_json(const struct thaw_image_file *image)
{
	json_t *array = json_array();
	const struct thaw_range *ranges;
	size_t count;

	ranges = thaw_image_ranges(image, &count);
	for (size_t i = 0; i < count; i++) {
		const char prot[] = {ranges[i].prot & THAW_PROT_READ ? 'r' : '-',
				     ranges[i].prot & THAW_PROT_WRITE ? 'w' : '-',
				     ranges[i].prot & THAW_PROT_EXEC ? 'x' : '-', '\0'};
		json_t *object = json_object();

		json_object_set_new(object, "start", address(ranges[i].start));
		json_object_set_new(object, "length", number(ranges[i].length));
		json_object_set_new(object, "prot", json_string(prot));
		json_array_append_new(array, object);
	}
	return array;
}

static void add_feature(void *context, const char *name)
{
	json_array_append_new(context, json_string(name));
}

static json_t *features_json(const struct thaw_cpu_features *features)
{
	json_t *array = json_array();

	thaw_cpu_names(features, add_feature, array);
	return array;
}

static void add_whole(json_t *object, const struct thaw_image_file *image)
{
	const struct thaw_image_meta *meta = thaw_image_meta(image);
	const struct thaw_vcpu *vcpu = thaw_image_vcpu(image);

	json_object_set_new(object, "env", texts(meta->env));
	json_object_set_new(object, "ranges", ranges_json(image));
	json_object_set_new(object, "entry", address(vcpu->registers[THAW_RIP]));
	json_object_set_new(object, "stack", address(vcpu->registers[THAW_RSP]));
	json_object_set_new(object, "xsave_mask", address(vcpu->xsave_mask));
	json_object_set_new(object, "cpu_features", features_json(&meta->cpu));
}

json_t *thaw_image_json(const struct thaw_image_file *image, bool whole)
{
	const struct thaw_image_meta *meta = thaw_image_meta(image);
	json_t *object = json_object();
	char uuid[UUID_STR_LEN];

	uuid_unparse_lower(meta->uuid, uuid);
	json_object_set_new(object, "name", thaw_json_text(meta->name));
	json_object_set_new(object, "uuid", json_string(uuid));
	json_object_set_new(object, "created_ns", number(meta->created_ns));
	json_object_set_new(object, "creator", thaw_json_text(meta->creator));
	json_object_set_new(object, "program", thaw_json_text(meta->program));
	json_object_set_new(object, "args", texts(meta->args));
	json_object_set_new(object, "abi_version", number(meta->abi_version));
	json_object_set_new(object, "memory_size", number(meta->memory_size));
	json_object_set_new(object, "timeout_ns", number(meta->timeout_ns));
	json_object_set_new(object, "boot_ns", number(meta->boot_ns));
	json_object_set_new(object, "warm_requests", number(meta->generation));
	json_object_set_new(object, "backend", thaw_json_text(meta->backend));
	json_object_set_new(object, "cpu_level", thaw_json_text(meta->cpu_level));
	json_object_set_new(object, "sizes", sizes_json(image));
	json_object_set_new(object, "counts", counts_json(image));
	if (whole)
		add_whole(object, image);
	return object;
}
