/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directories of /proc whose names are ids: the process in /proc, its threads in /proc/PID/task.
 * They are kept under the tasks' numbers. The program is told others (task_told()), which change with
 * the thaw, so its names are translated on the way in and out and a thaw renames nothing.
 */
#include "guest-stub/linux/linux.h"

#include "guest-stub/linux/fs/fs.h"
#include "guest-stub/linux/task/task.h"

#define ID_SIZE 12u /* digits of an int, with the zero */

const struct special proc_ids_directory = {0};
const struct special proc_tasks_directory = {0};

bool ids_by_number;

static bool has_ids(const struct inode *directory)
{
	return !ids_by_number && (directory->special == &proc_ids_directory ||
				  directory->special == &proc_tasks_directory);
}

/* The id that NAME is, written as the kernel would; 0: none. */
static int id_of(const char *name, size_t length)
{
	int id = 0;

	if (length == 0 || length > 9 || name[0] == '0')
		return 0;
	for (size_t i = 0; i < length; i++) {
		if (name[i] < '0' || name[i] > '9')
			return 0;
		id = 10 * id + (name[i] - '0');
	}
	return id;
}

static const char *write_id(int id, size_t *length)
{
	static char name[ID_SIZE];

	*length = (size_t)snprintf(name, sizeof(name), "%d", id);
	return name;
}

/* A thread's directory exists from the first look at it until a look finds that the thread ended. */
static void make_threads(void)
{
	for (int i = 0; task_nth(i); i++)
		proc_make_thread(task_nth(i)->tid);
}

static void remove_threads(struct inode *directory)
{
	for (uint32_t i = directory->directory.count; i-- > 0;) {
		const struct fs_name *own = &directory->directory.names[i];
		int number = id_of(own->name, own->length);

		if (number != LINUX_PID && own->inode && !task_by_number(number))
			proc_remove_thread(directory, number);
	}
}

void ids_refresh(struct inode *directory)
{
	const struct linux_config program = config;

	if (ids_by_number || directory->special != &proc_tasks_directory)
		return;
	/* What the core makes is root's, here as at the start. */
	config.uid = config.gid = 0;
	ids_by_number = true;
	remove_threads(directory);
	make_threads();
	ids_by_number = false;
	config.uid = program.uid;
	config.gid = program.gid;
}

const char *ids_kept(struct inode *directory, const char *name, size_t *length)
{
	const struct task *task;
	int id;

	if (!has_ids(directory) || (id = id_of(name, *length)) == 0)
		return name;
	ids_refresh(directory);
	if (directory->special == &proc_ids_directory)
		return task_by_tid(id) ? write_id(LINUX_PID, length) : name;
	task = task_by_tid(id);
	return write_id(task ? task->tid : 0, length);
}

const char *ids_told(const struct inode *directory, const char *name, size_t *length)
{
	int number = has_ids(directory) ? id_of(name, *length) : 0;

	return number ? write_id(task_told(number), length) : name;
}

const char *ids_link(const struct special *special, size_t *length)
{
	static char target[2 * ID_SIZE + sizeof("/task/")];

	*length = (size_t)(special == &proc_self_link
				   ? snprintf(target, sizeof(target), "%d", task_pid())
				   : snprintf(target, sizeof(target), "%d/task/%d", task_pid(),
					      task_told(current->tid)));
	return target;
}
