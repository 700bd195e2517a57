/* SPDX-License-Identifier: Apache-2.0 */
/* Directories: the names of the tree, and above them those that the program added or removed. */
#include "guest-stub/linux/linux.h"

#include "guest-stub/linux/fs/fs.h"

/* Whether NAME is one of the directory's own names. *AT is its index, or where it belongs. */
static bool find_own(const struct inode *directory, const char *name, size_t length, uint32_t *at)
{
	uint32_t low = 0, high = directory->directory.count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct fs_name *own = &directory->directory.names[middle];
		int order = thaw_tree_compare(name, length, own->name, own->length);

		if (order == 0) {
			*at = middle;
			return true;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	*at = low;
	return false;
}

bool directory_find(struct place directory, const char *name, size_t length, struct place *out)
{
	uint32_t node = directory.node, at;

	if (directory.inode) {
		node = directory.inode->node;
		name = ids_kept(directory.inode, name, &length);
		if (find_own(directory.inode, name, length, &at)) {
			struct inode *inode = directory.inode->directory.names[at].inode;

			if (!inode)
				return false;
			*out = (struct place){inode, inode->node};
			return true;
		}
	}
	node = node == FS_NO_NODE ? node : tree_child(node, name, length);
	if (node == FS_NO_NODE)
		return false;
	*out = place_of(node);
	return true;
}

struct place directory_parent(struct place directory)
{
	if (directory.inode && directory.inode->directory.parent)
		return (struct place){directory.inode->directory.parent,
				      directory.inode->directory.parent->node};
	if (directory.node == FS_NO_NODE) /* the directory was removed */
		return directory;
	return place_of(tree_node(directory.node)->parent);
}

static int insert(struct inode *directory, uint32_t at, const char *name, size_t length,
		  struct inode *inode)
{
	uint32_t count = directory->directory.count;
	char *copy = malloc(length + 1);

	if (copy && count == directory->directory.room) {
		uint32_t room = count ? 2 * count : 8;
		void *grown = realloc(directory->directory.names, room * sizeof(struct fs_name));

		if (grown) {
			directory->directory.names = grown;
			directory->directory.room = room;
		}
	}
	if (!copy || count == directory->directory.room) {
		free(copy);
		return -ENOSPC;
	}
	memcpy(copy, name, length);
	copy[length] = '\0';
	memmove(&directory->directory.names[at + 1], &directory->directory.names[at],
		(count - at) * sizeof(struct fs_name));
	directory->directory.names[at] = (struct fs_name){copy, length, inode};
	directory->directory.count++;
	return 0;
}

static void touch(struct inode *directory)
{
	directory->modified = directory->changed = fs_now();
}

int directory_add(struct inode *directory, const char *name, size_t length, struct inode *inode)
{
	uint32_t at;
	int error = 0;

	if (find_own(directory, name, length, &at)) /* the entry hid a name of the tree until now */
		directory->directory.names[at].inode = inode;
	else
		error = insert(directory, at, name, length, inode);
	if (error)
		return error;
	inode->links++;
	if (S_ISDIR(inode->mode))
		inode->directory.parent = directory;
	touch(directory);
	return 0;
}

int directory_remove(struct inode *directory, const char *name, size_t length)
{
	bool in_tree = directory->node != FS_NO_NODE &&
		       tree_child(directory->node, name, length) != FS_NO_NODE;
	uint32_t at;

	if (!find_own(directory, name, length, &at)) {
		if (insert(directory, at, name, length, NULL))
			return -ENOSPC;
	} else if (in_tree) {
		directory->directory.names[at].inode = NULL;
	} else {
		free(directory->directory.names[at].name);
		directory->directory.count--;
		memmove(&directory->directory.names[at], &directory->directory.names[at + 1],
			(directory->directory.count - at) * sizeof(struct fs_name));
	}
	touch(directory);
	return 0;
}

/* The tree's next name that no own name hides or replaces. False at the end. */
static bool next_of_tree(const struct inode *directory, uint32_t *tree_at,
			 struct directory_name *out)
{
	const struct thaw_tree_node *node;
	uint32_t own;

	if (directory->node == FS_NO_NODE)
		return false;
	for (node = tree_node(directory->node); *tree_at < node->size; ++*tree_at) {
		uint32_t number = node->data + *tree_at;
		struct thaw_tree_text name = tree_node(number)->name;

		if (find_own(directory, tree_text(name), name.length, &own))
			continue;
		*out = (struct directory_name){tree_text(name), name.length, place_of(number)};
		return true;
	}
	return false;
}

static bool next_own(const struct inode *directory, uint32_t *own_at, struct directory_name *out)
{
	for (; *own_at < directory->directory.count; ++*own_at) {
		const struct fs_name *own = &directory->directory.names[*own_at];

		if (!own->inode)
			continue;
		*out = (struct directory_name){
			own->name, own->length, {own->inode, own->inode->node}};
		return true;
	}
	return false;
}

bool directory_next(struct inode *directory, uint32_t *tree_at, uint32_t *own_at,
		    struct directory_name *out)
{
	struct directory_name own;
	bool has_tree = next_of_tree(directory, tree_at, out);

	if (*tree_at == 0 && *own_at == 0)
		ids_refresh(directory);
	if (next_own(directory, own_at, &own) &&
	    (!has_tree || thaw_tree_compare(own.name, own.length, out->name, out->length) < 0)) {
		*out = own;
		out->name = ids_told(directory, own.name, &out->length);
		++*own_at;
		return true;
	}
	if (has_tree)
		++*tree_at;
	return has_tree;
}

bool directory_is_empty(struct place directory)
{
	struct directory_name name;
	uint32_t tree_at = 0, own_at = 0;

	if (!directory.inode)
		return tree_node(directory.node)->size == 0;
	return !directory_next(directory.inode, &tree_at, &own_at, &name);
}

/* The name of a directory in its parent. False: it has none, as it was removed. */
static bool name_of(struct place directory, struct place parent, const char **name, size_t *length)
{
	if (directory.inode && directory.inode->directory.parent) {
		const struct inode *above = parent.inode;

		for (uint32_t i = 0; i < above->directory.count; i++)
			if (above->directory.names[i].inode == directory.inode) {
				*length = above->directory.names[i].length;
				*name = ids_told(above, above->directory.names[i].name, length);
				return true;
			}
		return false;
	}
	if (directory.node == FS_NO_NODE || (directory.inode && !directory.inode->links))
		return false;
	*name = tree_text(tree_node(directory.node)->name);
	*length = tree_node(directory.node)->name.length;
	return true;
}

long directory_path(struct place directory, char *buffer, size_t size)
{
	size_t at = size - 1;

	buffer[at] = '\0';
	for (;;) {
		struct place parent = directory_parent(directory);
		const char *name = NULL;
		size_t length = 0;

		if (place_same(parent, directory) && directory.node == 0)
			break;
		if (!name_of(directory, parent, &name, &length))
			return -ENOENT;
		if (at < length + 1)
			return -ENAMETOOLONG;
		at -= length;
		memcpy(buffer + at, name, length);
		buffer[--at] = '/';
		directory = parent;
	}
	if (at == size - 1)
		buffer[--at] = '/';
	memmove(buffer, buffer + at, size - at);
	return (long)(size - at - 1);
}
