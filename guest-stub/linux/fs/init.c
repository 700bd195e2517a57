/* SPDX-License-Identifier: Apache-2.0 */
/* Starts the file system, as the program will find it. */
#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/fs/files.h"
#include "guest-stub/linux/fs/fs.h"
#include "guest-stub/linux/host/host.h"

static struct inode *find_cwd(const char *path)
{
	struct found found;
	int error = fs_walk(place_of(0), path, FS_FOLLOW | FS_DIRECTORY, &found);
	struct inode *inode;

	if (error || !found.exists)
		host_abort("the current directory %s is not in the file tree", path);
	inode = inode_of(found.place);
	if (!inode)
		host_abort("no memory for the current directory");
	return inode_hold(inode);
}

void files_init(void)
{
	files_start((const void *)THAW_TREE_BASE);
}

void files_start(const void *tree)
{
	const char *wrong = tree_open(tree, THAW_TREE_SIZE_MAX);
	const struct thaw_tree_header *header = tree_header();

	if (wrong)
		host_abort("%s", wrong);
	/* The files that the core makes belong to root, so the ids are set after that. */
	config = (struct linux_config){.program = tree_text(header->program),
				       .at_start = header->flags & THAW_TREE_AT_START,
				       .trace = header->flags & THAW_TREE_TRACE,
				       .memory_limit = header->memory_limit};
	special_init();
	proc_init();
	fs_cwd = find_cwd(tree_text(header->cwd));
	config.uid = header->uid;
	config.gid = header->gid;
	for (int which = 0; which < 3; which++) {
		struct file *file = stream_new(which);

		if (!file || file_install(file, false, which) != which)
			host_abort("no memory for standard input and output");
	}
	/* What is looked for from here on is the program's. */
	config.tell_sought = header->flags & THAW_TREE_TELL_SOUGHT;
}
