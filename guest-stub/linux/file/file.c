/* SPDX-License-Identifier: Apache-2.0 */
/* Open files, counted by reference, and the table of descriptors. */
#include "guest-stub/linux/file/file.h"

#include <linux/fcntl.h>

#define KEPT_FLAGS                                                                                 \
	(O_ACCMODE | O_APPEND | O_NONBLOCK | O_DIRECTORY | O_PATH | O_SYNC | O_DIRECT |            \
	 O_LARGEFILE | O_NOATIME)

static struct file *files[FILES_MAX];
static bool close_on_exec[FILES_MAX];
static int files_end; /* no descriptor from here on is open */
static int files_limit = FILES_MAX;

struct file *file_new(const struct file_operations *operations, uint32_t flags, void *data)
{
	struct file *file = malloc(sizeof(*file));

	if (!file)
		return NULL;
	*file = (struct file){.operations = operations,
			      .references = 1,
			      .flags = flags & KEPT_FLAGS,
			      .data = data};
	return file;
}

struct file *file_hold(struct file *file)
{
	file->references++;
	return file;
}

/* As in Linux, the latest is told first; exclusive ones come last, in the order of their coming. */
void file_watch(struct watch *watch)
{
	struct watch **link = &watch->file->watches;

	while (watch->exclusive && *link)
		link = &(*link)->next;
	watch->next = *link;
	watch->link = link;
	if (watch->next)
		watch->next->link = &watch->next;
	*link = watch;
}

void file_unwatch(struct watch *watch)
{
	*watch->link = watch->next;
	if (watch->next)
		watch->next->link = watch->link;
}

void file_wake(struct file *file, unsigned events)
{
	if (!file)
		return;
	for (struct watch *watch = file->watches; watch; watch = watch->next)
		if (watch->wake(watch, events) && watch->exclusive && events)
			return;
}

void file_drop(struct file *file)
{
	if (!file || --file->references)
		return;
	while (file->watches) {
		struct watch *watch = file->watches;

		file_unwatch(watch);
		watch->closed(watch);
	}
	if (file->operations->release)
		file->operations->release(file);
	free(file);
}

int file_limit(void)
{
	return files_limit;
}

void file_set_limit(uint64_t limit)
{
	files_limit = limit < FILES_MAX ? (int)limit : FILES_MAX;
}

bool file_is_open(int fd)
{
	return fd >= 0 && fd < FILES_MAX && files[fd];
}

struct file *file_get(int fd)
{
	return file_is_open(fd) ? file_hold(files[fd]) : NULL;
}

static void put(int fd, struct file *file, bool closes)
{
	files[fd] = file;
	close_on_exec[fd] = closes;
	if (fd >= files_end)
		files_end = fd + 1;
}

int file_install(struct file *file, bool closes, int from)
{
	for (int fd = from; fd < files_limit; fd++)
		if (!files[fd]) {
			put(fd, file, closes);
			return fd;
		}
	file_drop(file);
	return -EMFILE;
}

int file_close(int fd)
{
	struct file *file;

	if (!file_is_open(fd))
		return -EBADF;
	file = files[fd];
	files[fd] = NULL;
	file_drop(file);
	return 0;
}

void file_install_at(int fd, struct file *file, bool closes)
{
	file_close(fd);
	put(fd, file, closes);
}

int file_end(void)
{
	return files_end;
}

bool file_closes_on_exec(int fd)
{
	return close_on_exec[fd];
}

void file_set_close_on_exec(int fd, bool closes)
{
	close_on_exec[fd] = closes;
}
