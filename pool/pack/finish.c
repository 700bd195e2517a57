/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the tree's nodes and strings behind the data of the files, and its header before them. */
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-stub/include/thaw/abi.h"
#include "guest-stub/include/thaw/tree.h"
#include "pool/pack/pack_internal.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/memory_file.h"

struct writing {
	struct thaw_pack *pack;
	uint32_t *order;    /* entries by node: a directory's children together, parents first */
	uint32_t *position; /* nodes by entry */
	struct thaw_tree_node *nodes;
	char *strings;
	uint64_t strings_used, strings_size, strings_at;
};

static int by_name(const void *a, const void *b, void *context)
{
	const struct thaw_pack_entry *entries = context;
	const struct thaw_pack_entry *x = &entries[*(const uint32_t *)a];
	const struct thaw_pack_entry *y = &entries[*(const uint32_t *)b];

	return thaw_tree_compare(x->name, x->name_length, y->name, y->name_length);
}

/* Orders the entries breadth first: when a directory's turn comes, its children are appended,
 * sorted by name. */
static void arrange(struct writing *writing)
{
	struct thaw_pack_entry *entries = writing->pack->entries;
	uint32_t end = 1;

	writing->order[0] = THAW_PACK_ROOT;
	for (uint32_t at = 0; at < end; at++) {
		struct thaw_pack_entry *entry = &entries[writing->order[at]];
		uint32_t first = end;

		writing->position[writing->order[at]] = at;
		if (!S_ISDIR(entry->meta.mode))
			continue;
		for (uint32_t child = entry->first; child != THAW_PACK_NONE;
		     child = entries[child].next)
			writing->order[end++] = child;
		qsort_r(&writing->order[first], end - first, sizeof(writing->order[0]), by_name,
			entries);
		entry->data = first;
		entry->size = end - first;
	}
	thaw_assert(end == writing->pack->count);
}

static struct thaw_tree_text put_string(struct writing *writing, const char *text, size_t length)
{
	const struct thaw_tree_text put = {(uint32_t)(writing->strings_at + writing->strings_used),
					   (uint32_t)length};

	memcpy(writing->strings + writing->strings_used, text, length);
	writing->strings[writing->strings_used + length] = '\0';
	writing->strings_used += length + 1;
	return put;
}

static uint32_t links_of(const struct writing *writing, const struct thaw_pack_entry *entry)
{
	const struct thaw_pack_entry *entries = writing->pack->entries;
	uint32_t links = 2;

	if (!S_ISDIR(entry->meta.mode))
		return 1;
	for (uint32_t child = entry->first; child != THAW_PACK_NONE; child = entries[child].next)
		links += S_ISDIR(entries[child].meta.mode);
	return links;
}

static void fill_nodes(struct writing *writing)
{
	struct thaw_pack *pack = writing->pack;

	for (uint32_t i = 0; i < pack->count; i++) {
		const struct thaw_pack_entry *entry = &pack->entries[writing->order[i]];
		struct thaw_tree_node *node = &writing->nodes[i];

		*node = (struct thaw_tree_node){
			.parent = writing->position[entry->parent],
			.mode = entry->meta.mode,
			.uid = entry->meta.uid,
			.gid = entry->meta.gid,
			.mtime = entry->meta.mtime,
			.mtime_ns = entry->meta.mtime_ns,
			.links = links_of(writing, entry),
			.name = put_string(writing, entry->name, entry->name_length),
			.size = entry->size,
			.data = entry->data,
			.flags = entry->absent ? THAW_TREE_NODE_ABSENT : 0,
		};
		if (entry->target)
			node->data = put_string(writing, entry->target, entry->size).offset;
	}
}

static int allocate(struct writing *writing, const struct thaw_pack_config *config,
		    struct thaw_error *err)
{
	const struct thaw_pack *pack = writing->pack;

	writing->strings_size = strlen(config->program) + strlen(config->cwd) + 2;
	for (uint32_t i = 0; i < pack->count; i++)
		writing->strings_size += pack->entries[i].name_length + 1u +
					 (pack->entries[i].target ? pack->entries[i].size + 1 : 0);
	writing->order = calloc(pack->count, sizeof(*writing->order));
	writing->position = calloc(pack->count, sizeof(*writing->position));
	writing->nodes = calloc(pack->count, sizeof(*writing->nodes));
	writing->strings = malloc(writing->strings_size);
	if (!writing->order || !writing->position || !writing->nodes || !writing->strings)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	return 0;
}

static int write_tables(struct writing *writing, const struct thaw_pack_config *config,
			struct thaw_error *err)
{
	struct thaw_pack *pack = writing->pack;
	struct thaw_pack_store *store = &pack->store;
	struct thaw_tree_header header = {.magic = THAW_TREE_MAGIC,
					  .version = THAW_TREE_VERSION,
					  .flags = config->flags,
					  .uid = config->uid,
					  .gid = config->gid,
					  .memory_limit = config->memory_limit,
					  .node_count = pack->count};
	uint64_t nodes_size = pack->count * sizeof(struct thaw_tree_node), at;

	if (thaw_pack_store_pages(store, nodes_size + writing->strings_size, &at, err) < 0)
		return -1;
	writing->strings_at = at + nodes_size;
	header.nodes_offset = (uint32_t)at;
	header.strings_offset = (uint32_t)writing->strings_at;
	header.strings_size = (uint32_t)writing->strings_size;
	header.size = store->end;
	arrange(writing);
	header.program = put_string(writing, config->program, strlen(config->program));
	header.cwd = put_string(writing, config->cwd, strlen(config->cwd));
	fill_nodes(writing);
	thaw_assert(writing->strings_used == writing->strings_size);
	if (ftruncate(store->fd, (off_t)store->end) < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
				       "cannot extend the memory file of the file tree");
	if (thaw_pack_store_write(store, at, writing->nodes, nodes_size, err) < 0 ||
	    thaw_pack_store_write(store, writing->strings_at, writing->strings,
				  writing->strings_size, err) < 0)
		return -1;
	return thaw_pack_store_write(store, 0, &header, sizeof(header), err);
}

int thaw_pack_finish(struct thaw_pack *pack, const struct thaw_pack_config *config, int *fd,
		     uint64_t *size, struct thaw_error *err)
{
	struct writing writing = {.pack = pack};
	int done = allocate(&writing, config, err);

	if (done == 0)
		done = write_tables(&writing, config, err);
	free(writing.order);
	free(writing.position);
	free(writing.nodes);
	free(writing.strings);
	if (done < 0 || thaw_memory_file_seal(pack->store.fd, err) < 0)
		return -1;
	*size = pack->store.end;
	*fd = thaw_take_fd(&pack->store.fd);
	return 0;
}
