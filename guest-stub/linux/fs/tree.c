/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree. It is checked once and trusted from then on, since its memory cannot be written. All
 * sums add 32-bit numbers in 64 bits, so none overflows.
 */
#include "guest-stub/linux/fs/fs.h"

#include "thaw/guest.h"

#define KINDS (S_IFDIR | S_IFREG | S_IFLNK)

static const uint8_t *base;
static const struct thaw_tree_header *header;
static const struct thaw_tree_node *nodes;

const struct thaw_tree_header *tree_header(void)
{
	return header;
}

const struct thaw_tree_node *tree_node(uint32_t node)
{
	return &nodes[node];
}

const char *tree_text(struct thaw_tree_text text)
{
	return (const char *)base + text.offset;
}

const uint8_t *tree_bytes(uint32_t offset)
{
	return base + offset;
}

static bool is_text(const struct thaw_tree_header *head, const uint8_t *at, uint64_t offset,
		    uint64_t length, uint64_t max)
{
	return length <= max && offset >= head->strings_offset &&
	       offset - head->strings_offset + length < head->strings_size &&
	       at[offset + length] == 0 && !memchr(at + offset, 0, length);
}

static bool is_path(const struct thaw_tree_header *head, const uint8_t *at,
		    struct thaw_tree_text text)
{
	return is_text(head, at, text.offset, text.length, FS_PATH_MAX - 1) && text.length > 0 &&
	       at[text.offset] == '/';
}

static const char *check_header(const struct thaw_tree_header *head, uint64_t size_max)
{
	if (head->magic != THAW_TREE_MAGIC)
		return "there is no file tree";
	if (head->version != THAW_TREE_VERSION)
		return "the file tree has another version";
	if (head->size > size_max || head->size > THAW_TREE_SIZE_MAX ||
	    head->size < sizeof(*head) || head->size % THAW_PAGE_SIZE)
		return "the file tree's size is wrong";
	if (head->node_count == 0 || head->node_count > THAW_TREE_NODES_MAX ||
	    head->nodes_offset % 8 || head->nodes_offset < sizeof(*head) ||
	    head->nodes_offset + (uint64_t)head->node_count * sizeof(struct thaw_tree_node) >
		    head->size)
		return "the file tree's nodes lie outside";
	if ((uint64_t)head->strings_offset + head->strings_size > head->size)
		return "the file tree's strings lie outside";
	return NULL;
}

static bool is_name(const char *name, size_t length)
{
	return length > 0 && !memchr(name, '/', length) && !(length == 1 && name[0] == '.') &&
	       !(length == 2 && name[0] == '.' && name[1] == '.');
}

/* Checks that children come after their parent, name it as theirs, and are in order. */
static const char *check_children(const uint8_t *at, const struct thaw_tree_header *head,
				  const struct thaw_tree_node *all, uint32_t node)
{
	const struct thaw_tree_node *directory = &all[node];

	if (directory->size > head->node_count || directory->data > head->node_count ||
	    directory->data + directory->size > head->node_count ||
	    (directory->size && directory->data <= node))
		return "a directory's children lie outside";
	for (uint64_t i = directory->data; i < directory->data + directory->size; i++) {
		const struct thaw_tree_node *child = &all[i], *before = child - 1;
		const char *name = (const char *)at + child->name.offset;

		if (child->parent != node ||
		    !is_text(head, at, child->name.offset, child->name.length,
			     THAW_TREE_NAME_MAX) ||
		    !is_name(name, child->name.length))
			return "a directory's child is not one";
		if (i > directory->data &&
		    thaw_tree_compare((const char *)at + before->name.offset, before->name.length,
				      name, child->name.length) >= 0)
			return "a directory is out of order";
	}
	return NULL;
}

static const char *check_node(const uint8_t *at, const struct thaw_tree_header *head,
			      const struct thaw_tree_node *all, uint32_t i)
{
	const struct thaw_tree_node *node = &all[i];

	if (node->parent >= head->node_count || (i > 0 && node->parent >= i) ||
	    (i == 0 && node->parent != 0))
		return "a node's parent comes after it";
	if (!S_ISDIR(all[node->parent].mode) || node->mode & ~(uint32_t)(S_IFMT | 07777))
		return "a node's kind is wrong";
	if (node->mtime_ns >= 1000000000)
		return "a node's time is wrong";
	switch (node->mode & S_IFMT) {
	case S_IFDIR:
		return check_children(at, head, all, i);
	case S_IFREG:
		if (node->flags & THAW_TREE_NODE_ABSENT)
			return node->data || node->size > INT64_MAX ? "an absent file has content"
								    : NULL;
		return node->size > head->size || node->data + node->size > head->size
			       ? "a file lies outside"
			       : NULL;
	case S_IFLNK:
		return node->size == 0 || !is_text(head, at, node->data, node->size,
						   THAW_TREE_TARGET_MAX)
			       ? "a link's target lies outside"
			       : NULL;
	default:
		return "a node's kind is wrong";
	}
}

const char *tree_open(const void *bytes, uint64_t size_max)
{
	const struct thaw_tree_header *head = bytes;
	const uint8_t *at = bytes;
	const char *wrong = check_header(head, size_max);
	const struct thaw_tree_node *all;

	if (wrong)
		return wrong;
	all = (const struct thaw_tree_node *)(const void *)(at + head->nodes_offset);
	if (!S_ISDIR(all[0].mode))
		return "the file tree's root is no directory";
	if (!is_path(head, at, head->program) || !is_path(head, at, head->cwd))
		return "the file tree's program is no path";
	for (uint32_t i = 0; i < head->node_count; i++) {
		wrong = check_node(at, head, all, i);
		if (wrong)
			return wrong;
	}
	base = at;
	header = head;
	nodes = all;
	return NULL;
}

uint32_t tree_child(uint32_t node, const char *name, size_t length)
{
	const struct thaw_tree_node *directory = &nodes[node];
	uint32_t low = directory->data, high = low + (uint32_t)directory->size;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = thaw_tree_compare(name, length, tree_text(nodes[middle].name),
					      nodes[middle].name.length);

		if (order == 0)
			return middle;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return FS_NO_NODE;
}
