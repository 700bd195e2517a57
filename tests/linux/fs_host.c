/* SPDX-License-Identifier: Apache-2.0 */
/* Stand-ins for the parts of the core that its file system calls; see fs_host.h. */
#include "tests/linux/fs_host.h"

#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/fs/fs.h"
#include "guest-stub/linux/host/draws.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/host/log.h"
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/linux/memory/shared.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/task/idle.h"
#include "guest-stub/linux/task/ready.h"
#include "guest-stub/linux/task/task.h"
#include "guest-stub/linux/task/time.h"

#define MAP_SHARED_    1
#define PROT_READ_ONLY 1

extern void *mmap(void *start, size_t length, int prot, int flags, int fd, long offset);
extern void abort(void) __attribute__((noreturn));
extern int printf(const char *format, ...);
extern int vprintf(const char *format, va_list arguments);

static struct task only = {.tid = LINUX_PID, .name = "test"};
struct task *current = &only;
const char *fs_host_request = "";

long fs_host(enum fs_host_call call, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	static linux_call *const calls[] = {
#define FS_HOST_ENTRY(name) sys_##name,
		FS_HOST_CALLS(FS_HOST_ENTRY)};
	const uint64_t arguments[6] = {a, b, c, d, 0, 0};

	return calls[call](arguments);
}

void fs_host_start(int fd, size_t size)
{
	void *at = mmap(NULL, size, PROT_READ_ONLY, MAP_SHARED_, fd, 0);

	if (at == (void *)-1)
		host_abort("the tree cannot be mapped");
	files_start(at);
}

static uint64_t look_at(uint32_t node)
{
	const struct thaw_tree_node *entry = tree_node(node);
	uint64_t sum = 0;

	if (S_ISREG(entry->mode))
		for (uint64_t i = 0; i < entry->size; i += 512)
			sum += tree_bytes(entry->data)[i];
	if (S_ISLNK(entry->mode))
		sum += strlen((const char *)tree_bytes(entry->data));
	if (!S_ISDIR(entry->mode))
		return sum;
	for (uint32_t i = 0; i < entry->size; i++) {
		const struct thaw_tree_text name = tree_node(entry->data + i)->name;

		if (tree_child(node, tree_text(name), name.length) != entry->data + i)
			host_abort("a child is not found");
		sum += look_at(entry->data + i);
	}
	return sum;
}

const char *fs_host_check(const void *tree, size_t size)
{
	const char *wrong = tree_open(tree, size);

	if (!wrong && look_at(0) == UINT64_MAX)
		return "cannot be";
	return wrong;
}

/* ---- Stand-ins ---- */

bool host_is_ready(void)
{
	return true;
}

void ready_point(void)
{
}

void host_log(const char *format, ...)
{
	(void)format;
}

void idle_look(void)
{
}

long host_look(void *buffer, size_t length)
{
	size_t left = strlen(fs_host_request);

	length = left < length ? left : length;
	memcpy(buffer, fs_host_request, length);
	return (long)length;
}

long host_read(void *buffer, size_t length)
{
	long count = host_look(buffer, length);

	fs_host_request += count;
	return count;
}

uint64_t host_unread(void)
{
	return strlen(fs_host_request);
}

long host_write(const void *buffer, size_t length)
{
	(void)buffer;
	return (long)length;
}

void host_error(const void *buffer, size_t length)
{
	(void)buffer, (void)length;
}

void host_abort(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	abort();
}

uint64_t host_wall_ns(void)
{
	static uint64_t now = UINT64_C(1700000000000000000);

	return now += 1000;
}

uint64_t host_monotonic_ns(void)
{
	return host_wall_ns() / 2;
}

uint64_t host_generation(void)
{
	return 0;
}

void host_random(void *buffer, size_t length)
{
	memset(buffer, 7, length);
}

void draw_random(void *buffer, size_t length, bool nonblock)
{
	(void)nonblock;
	host_random(buffer, length);
}

void log_once(unsigned key, const char *format, ...)
{
	(void)key, (void)format;
}

bool user_readable(uint64_t address, uint64_t length)
{
	return address >= THAW_PAGE_SIZE || length == 0;
}

bool user_writable(uint64_t address, uint64_t length)
{
	return user_readable(address, length);
}

const struct mapping *memory_at_or_above(uint64_t address)
{
	(void)address;
	return NULL;
}

bool memory_whole(uint64_t address, struct mapping *out, uint64_t *resident)
{
	(void)address, (void)out, (void)resident;
	return false;
}

uint64_t memory_taken(void)
{
	return 0;
}

uint64_t shared_where(const struct home *home, uint64_t at, uint64_t length, uint8_t **held)
{
	(void)home, (void)at;
	*held = NULL;
	return length;
}

bool shared_write(uint8_t *held, const void *from, uint64_t length)
{
	(void)held, (void)from, (void)length;
	return false;
}

bool shared_may_write(const struct home *home)
{
	(void)home;
	return false;
}

void shared_show(const struct home *home, uint64_t at, uint64_t length)
{
	(void)home, (void)at, (void)length;
}

void shared_clear(const struct home *home, uint64_t at, uint64_t length)
{
	(void)home, (void)at, (void)length;
}

void shared_cut(const struct home *home, uint64_t size)
{
	(void)home, (void)size;
}

uint64_t memory_mapped(void)
{
	return 0;
}

uint64_t system_memory(void)
{
	return THAW_PAGE_SIZE;
}

void system_limit(unsigned resource, uint64_t *soft, uint64_t *hard)
{
	*soft = *hard = resource;
}

struct task *task_by_tid(int told)
{
	return told == LINUX_PID ? &only : NULL;
}

struct task *task_by_number(int tid)
{
	return task_by_tid(tid);
}

struct task *task_nth(int i)
{
	return i == 0 ? &only : NULL;
}

int task_told(int tid)
{
	return tid;
}

uint64_t time_started_ns(void)
{
	return 0;
}

uint64_t time_used_ns(void)
{
	return 0;
}

int task_pid(void)
{
	return LINUX_PID;
}

int task_count(void)
{
	return 1;
}
