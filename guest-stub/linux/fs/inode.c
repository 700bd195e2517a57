/* SPDX-License-Identifier: Apache-2.0 */
/* Inodes, and the questions that both an inode and a node of the tree can answer; see fs.h. */
#include "guest-stub/linux/linux.h"

#include <asm/stat.h>

#include "guest-stub/linux/fs/fs.h"

#define FIRST_ROOM 64u /* a power of two */

/* Inodes by node: open addressing, never more than half full. Nodes are never taken out. */
static struct inode **table;
static uint32_t table_room, table_count;
static uint64_t next_number = THAW_TREE_NODES_MAX + 2;

const struct special proc_fd_directory = {0};
const struct special proc_self_link = {0}, proc_thread_link = {0};

static uint32_t slot_of(uint32_t node)
{
	uint32_t at = (node * 2654435761u) & (table_room - 1);

	while (table[at] && table[at]->node != node)
		at = (at + 1) & (table_room - 1);
	return at;
}

static bool grow_table(void)
{
	struct inode **old = table;
	uint32_t old_room = table_room;
	uint32_t room = table_room ? 2 * table_room : FIRST_ROOM;
	struct inode **grown = calloc(room, sizeof(*grown));

	if (!grown)
		return false;
	table = grown;
	table_room = room;
	for (uint32_t i = 0; i < old_room; i++)
		if (old[i])
			table[slot_of(old[i]->node)] = old[i];
	free(old);
	return true;
}

struct place place_of(uint32_t node)
{
	return (struct place){table_count ? table[slot_of(node)] : NULL, node};
}

struct inode *inode_new(uint32_t mode)
{
	struct inode *inode = calloc(1, sizeof(*inode));

	if (!inode)
		return NULL;
	inode->node = FS_NO_NODE;
	inode->mode = mode;
	inode->uid = config.uid;
	inode->gid = config.gid;
	inode->number = next_number++;
	inode->access = inode->modified = inode->changed = fs_now();
	return inode;
}

static struct inode *make_inode(uint32_t number)
{
	const struct thaw_tree_node *node = tree_node(number);
	const struct fs_time time = {node->mtime, node->mtime_ns};
	struct inode *inode;

	if (2 * (table_count + 1) > table_room && !grow_table())
		return NULL;
	inode = calloc(1, sizeof(*inode));
	if (!inode)
		return NULL;
	*inode = (struct inode){.node = number,
				.mode = node->mode,
				.uid = node->uid,
				.gid = node->gid,
				.links = S_ISDIR(node->mode) ? 1 : node->links,
				.number = number + 1,
				.access = time,
				.modified = time,
				.changed = time};
	if (S_ISREG(node->mode)) {
		inode->file.size = node->size;
		inode->file.tree_size = node->flags & THAW_TREE_NODE_ABSENT ? 0 : node->size;
	}
	if (S_ISLNK(node->mode))
		inode->target = (const char *)tree_bytes(node->data);
	table[slot_of(number)] = inode;
	table_count++;
	return inode;
}

struct inode *inode_of(struct place place)
{
	/* The inode may have been made since the place was found. */
	if (!place.inode)
		place = place_of(place.node);
	return place.inode ? place.inode : make_inode(place.node);
}

struct inode *inode_hold(struct inode *inode)
{
	inode->references++;
	return inode;
}

void inode_settle(struct inode *inode)
{
	if (inode->references || inode->links)
		return;
	if (S_ISREG(inode->mode) && !inode->special)
		content_free(inode);
	/* A node's inode stays, since the node would come back in its place. */
	if (inode->node != FS_NO_NODE)
		return;
	if (S_ISDIR(inode->mode)) {
		for (uint32_t i = 0; i < inode->directory.count; i++)
			free(inode->directory.names[i].name);
		free(inode->directory.names);
	} else if (S_ISLNK(inode->mode)) {
		free((void *)(uintptr_t)inode->target);
	}
	free(inode);
}

void inode_drop(struct inode *inode)
{
	inode->references--;
	inode_settle(inode);
}

/* ---- Places ---- */

uint32_t place_mode(struct place place)
{
	return place.inode ? place.inode->mode : tree_node(place.node)->mode;
}

bool place_same(struct place a, struct place b)
{
	return a.inode == b.inode && (a.inode || a.node == b.node);
}

void place_owner(struct place place, uint32_t *uid, uint32_t *gid)
{
	*uid = place.inode ? place.inode->uid : tree_node(place.node)->uid;
	*gid = place.inode ? place.inode->gid : tree_node(place.node)->gid;
}

const char *place_target(struct place place, size_t *length)
{
	const char *target;

	if (place.inode && place.inode->special)
		return proc_is_cwd(place.inode->special) ? proc_cwd(length)
							 : ids_link(place.inode->special, length);
	target = place.inode ? place.inode->target
			     : (const char *)tree_bytes(tree_node(place.node)->data);
	*length = strlen(target);
	return target;
}

bool place_may(struct place place, unsigned mask)
{
	uint32_t mode = place_mode(place), uid, gid;

	if (config.uid == 0)
		return !(mask & 1) || S_ISDIR(mode) || mode & 0111;
	place_owner(place, &uid, &gid);
	if (uid == config.uid)
		mode >>= 6;
	else if (gid == config.gid)
		mode >>= 3;
	return (mode & mask) == mask;
}

static uint64_t size_of(const struct inode *inode)
{
	if (S_ISREG(inode->mode))
		return inode->special ? 0 : inode->file.size;
	if (S_ISLNK(inode->mode))
		return inode->special ? 0 : strlen(inode->target);
	return S_ISDIR(inode->mode) ? THAW_PAGE_SIZE : 0;
}

static void stat_node(uint32_t number, struct stat *out)
{
	const struct thaw_tree_node *node = tree_node(number);

	*out = (struct stat){
		.st_dev = FS_DEVICE,
		.st_ino = number + 1,
		.st_nlink = node->links,
		.st_mode = node->mode,
		.st_uid = node->uid,
		.st_gid = node->gid,
		.st_size = S_ISDIR(node->mode) ? (long)THAW_PAGE_SIZE : (long)node->size,
		.st_blksize = THAW_PAGE_SIZE,
		.st_atime = (unsigned long)node->mtime,
		.st_atime_nsec = node->mtime_ns,
		.st_mtime = (unsigned long)node->mtime,
		.st_mtime_nsec = node->mtime_ns,
		.st_ctime = (unsigned long)node->mtime,
		.st_ctime_nsec = node->mtime_ns,
	};
}

static void stat_inode(const struct inode *inode, struct stat *out)
{
	*out = (struct stat){
		.st_dev = FS_DEVICE,
		.st_ino = inode->number,
		.st_nlink = S_ISDIR(inode->mode) && inode->links ? 2 : inode->links,
		.st_mode = inode->mode,
		.st_uid = inode->uid,
		.st_gid = inode->gid,
		.st_rdev = inode->special ? inode->special->device : 0,
		.st_size = (long)size_of(inode),
		.st_blksize = THAW_PAGE_SIZE,
		.st_atime = (unsigned long)inode->access.seconds,
		.st_atime_nsec = inode->access.nanoseconds,
		.st_mtime = (unsigned long)inode->modified.seconds,
		.st_mtime_nsec = inode->modified.nanoseconds,
		.st_ctime = (unsigned long)inode->changed.seconds,
		.st_ctime_nsec = inode->changed.nanoseconds,
	};
}

void place_stat(struct place place, struct stat *out)
{
	if (place.inode)
		stat_inode(place.inode, out);
	else
		stat_node(place.node, out);
	out->st_blocks = (out->st_size + 511) / 512;
}
