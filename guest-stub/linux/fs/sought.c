/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells `thaw freeze` which files the program looks for in vain, and which directories it lists, so
 * that it can boot the program again with what it missed. The lines are described in thaw/tree.h.
 */
#include "guest-stub/linux/fs/fs.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/host/log.h"

/* Programs ask for the same again and again: paths that were told of late are not told again. */
#define RECENT 256u

static uint64_t recent[RECENT];

static bool is_recent(const char *text)
{
	uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
	uint64_t *slot;

	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * UINT64_C(1099511628211);
	slot = &recent[hash >> 32 & (RECENT - 1)];
	if (*slot == hash)
		return true;
	*slot = hash;
	return false;
}

static bool is_told(void)
{
	return config.tell_sought && !host_is_ready();
}

/* The line to be told: two bytes, and the path. */
static char line[2 + 2 * FS_PATH_MAX];
static char *const path_told = line + 2;

static void tell(char kind)
{
	line[0] = THAW_TREE_SOUGHT;
	line[1] = kind;
	/* A path that does not fit a line of the log is not told of. */
	if (strlen(line) <= THAW_LOG_LINE_MAX && !is_recent(line))
		host_log("%s", line);
}

void sought_missing(struct place start, const char *path)
{
	long length = 0;

	if (!is_told())
		return;
	if (*path != '/') {
		length = directory_path(start, path_told, FS_PATH_MAX);
		if (length < 0)
			return;
		path_told[length++] = '/';
	}
	memcpy(path_told + length, path, strlen(path) + 1);
	tell(THAW_TREE_SOUGHT_MISSING);
}

void sought_listed(struct place directory)
{
	if (is_told() && directory_path(directory, path_told, FS_PATH_MAX) > 0)
		tell(THAW_TREE_SOUGHT_LISTED);
}

bool sought_absent(struct place place, struct place parent, const char *name, size_t length)
{
	const uint32_t node = place.inode ? place.inode->node : place.node;
	long at;

	if (node == FS_NO_NODE || !S_ISREG(place_mode(place)) ||
	    !(tree_node(node)->flags & THAW_TREE_NODE_ABSENT))
		return false;
	at = directory_path(parent, path_told, FS_PATH_MAX);
	if (at < 0 || !name)
		return true;
	path_told[at++] = '/';
	memcpy(path_told + at, name, length);
	path_told[at + (long)length] = '\0';
	if (is_told())
		tell(THAW_TREE_SOUGHT_MISSING);
	else
		log_once(LOG_KEY_ABSENT,
			 "%s: was seen and not packed, because nothing opened it before the image "
			 "was taken (ENOENT): freeze with --file for it, or --dir",
			 path_told);
	return true;
}
