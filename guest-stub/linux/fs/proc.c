/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID, as far as programs read it; machine.c has what is not of the program. */
#include <linux/fcntl.h>
#include <linux/resource.h>

#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/fs/fs.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/task/task.h"
#include "guest-stub/linux/task/time.h"

#define NAME_COLUMN 73 /* of /proc/self/maps */
#define TICK_NS	    (SECOND_NS / 100)

/* ---- The program ---- */

static void put_mapping(struct text *text, const struct mapping *mapping)
{
	size_t start = text->length;

	text_add(text, "%08lx-%08lx %c%c%c%c %08lx 00:01 0", mapping->start, mapping->end,
		 mapping->prot & PROT_READ_ ? 'r' : '-', mapping->prot & PROT_WRITE_ ? 'w' : '-',
		 mapping->prot & PROT_EXEC_ ? 'x' : '-', mapping->backing.shared ? 's' : 'p',
		 mapping->backing.offset);
	if (mapping->backing.name) {
		do
			text_add(text, " ");
		while (!text->failed && text->length - start < NAME_COLUMN);
		text_put(text, mapping->backing.name, strlen(mapping->backing.name));
	}
	text_add(text, "\n");
}

static void put_maps(struct text *text)
{
	struct mapping mapping;
	uint64_t resident;

	for (uint64_t at = 0; memory_whole(at, &mapping, &resident); at = mapping.end)
		put_mapping(text, &mapping);
}

/* The lines of smaps and smaps_rollup: SIZE KiB of addresses, of which RESIDENT have pages. What is
 * resident is the program's alone. */
static void put_sizes(struct text *text, uint64_t resident, bool dirty)
{
	text_add(text,
		 "Rss:            %8lu kB\nPss:            %8lu kB\nPss_Dirty:      %8lu kB\n",
		 resident, resident, dirty ? resident : 0);
	text_add(text,
		 "Shared_Clean:          0 kB\nShared_Dirty:          0 kB\n"
		 "Private_Clean:  %8lu kB\nPrivate_Dirty:  %8lu kB\n",
		 dirty ? 0 : resident, dirty ? resident : 0);
	text_add(text,
		 "Referenced:     %8lu kB\nAnonymous:      %8lu kB\nLazyFree:              0 kB\n",
		 resident, dirty ? resident : 0);
	text_add(text,
		 "AnonHugePages:         0 kB\nShmemPmdMapped:        0 kB\nFilePmdMapped:         "
		 "0 kB\nShared_Hugetlb:        0 kB\nPrivate_Hugetlb:       0 kB\nSwap:            "
		 "      "
		 "0 kB\nSwapPss:               0 kB\nLocked:                0 kB\n");
}

static void put_smaps(struct text *text)
{
	struct mapping mapping;
	uint64_t resident;

	for (uint64_t at = 0; memory_whole(at, &mapping, &resident); at = mapping.end) {
		put_mapping(text, &mapping);
		text_add(text,
			 "Size:           %8lu kB\nKernelPageSize:        4 kB\nMMUPageSize:       "
			 "    4 "
			 "kB\n",
			 (mapping.end - mapping.start) / 1024);
		put_sizes(text, resident / 1024, mapping.prot & PROT_WRITE_);
		text_add(text, "THPeligible:    0\nVmFlags:%s%s%s mr mw me \n",
			 mapping.prot & PROT_READ_ ? " rd" : "",
			 mapping.prot & PROT_WRITE_ ? " wr" : "",
			 mapping.prot & PROT_EXEC_ ? " ex" : "");
	}
}

static void put_rollup(struct text *text)
{
	text_add(text, "%08lx-%08lx ---p 00000000 00:00 0%*s[rollup]\n", LINUX_PIE_BASE,
		 LINUX_STACK_TOP, 28, "");
	put_sizes(text, memory_mapped() / 1024, true);
}

static const char *command_name(void)
{
	const struct task *task = task_by_number(fs_text_task);

	return task ? task->name : current->name;
}

static void put_comm(struct text *text)
{
	text_add(text, "%s\n", command_name());
}

static void put_cmdline(struct text *text)
{
	uint64_t length = config.arguments_end - config.arguments;

	/* The arguments lie on the program's stack, which it may have unmapped. */
	if (user_readable(config.arguments, length))
		text_put(text, (const void *)config.arguments, length);
}

static void put_environ(struct text *text)
{
	uint64_t length = config.environment_end - config.environment;

	if (user_readable(config.environment, length))
		text_put(text, (const void *)config.environment, length);
}

static void put_auxv(struct text *text)
{
	uint64_t length = config.auxiliary_end - config.auxiliary;

	if (user_readable(config.auxiliary, length))
		text_put(text, (const void *)config.auxiliary, length);
}

/* The core does not count. */
static void put_io(struct text *text)
{
	text_add(text, "rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\n"
		       "cancelled_write_bytes: 0\n");
}

static void put_stat(struct text *text)
{
	text_add(text, "%d (%s) R 1 %d %d 0 -1 4194304 0 0 0 0 %lu 0 0 0 20 0 %d 0 %lu %lu %lu ",
		 task_told(fs_text_task), command_name(), task_pid(), task_pid(),
		 (unsigned long)(time_used_ns() / TICK_NS), task_count(),
		 (unsigned long)(time_started_ns() / TICK_NS), memory_taken(),
		 memory_mapped() / THAW_PAGE_SIZE);
	text_add(text,
		 "18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
}

static void put_statm(struct text *text)
{
	uint64_t pages = memory_mapped() / THAW_PAGE_SIZE;

	text_add(text, "%lu %lu 0 0 0 %lu 0\n", memory_taken() / THAW_PAGE_SIZE, pages, pages);
}

static void put_status(struct text *text)
{
	uint64_t kib = memory_mapped() / 1024, taken = memory_taken() / 1024;

	text_add(text,
		 "Name:\t%s\nUmask:\t%04o\nState:\tR (running)\nTgid:\t%d\nNgid:\t0\nPid:\t%d\n",
		 command_name(), fs_umask, task_pid(), task_told(fs_text_task));
	text_add(text, "PPid:\t1\nTracerPid:\t0\nUid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n",
		 config.uid, config.uid, config.uid, config.uid, config.gid, config.gid, config.gid,
		 config.gid);
	text_add(
		text,
		"FDSize:\t64\nGroups:\t \nVmPeak:\t%8lu kB\nVmSize:\t%8lu kB\nVmLck:\t       0 kB\n"
		"VmHWM:\t%8lu kB\nVmRSS:\t%8lu kB\nVmData:\t%8lu kB\nVmStk:\t%8lu kB\nVmSwap:\t    "
		"   0 "
		"kB\n",
		taken, taken, kib, kib, kib, LINUX_STACK / 1024);
	text_add(text,
		 "Threads:\t%d\nSigQ:\t0/1024\nNoNewPrivs:\t1\nSeccomp:\t2\nCpus_allowed:\t1\n"
		 "Cpus_allowed_list:\t0\nMems_allowed:\t1\nMems_allowed_list:\t0\n"
		 "voluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n",
		 task_count());
}

static void put_limit_value(struct text *text, uint64_t value)
{
	if (value == RLIM64_INFINITY)
		text_add(text, "%-20s ", "unlimited");
	else
		text_add(text, "%-20lu ", value);
}

static void put_limits(struct text *text)
{
	static const struct {
		const char *name, *unit;
	} limits[RLIM_NLIMITS] = {
		[RLIMIT_CPU] = {"Max cpu time", "seconds"},
		[RLIMIT_FSIZE] = {"Max file size", "bytes"},
		[RLIMIT_DATA] = {"Max data size", "bytes"},
		[RLIMIT_STACK] = {"Max stack size", "bytes"},
		[RLIMIT_CORE] = {"Max core file size", "bytes"},
		[RLIMIT_RSS] = {"Max resident set", "bytes"},
		[RLIMIT_NPROC] = {"Max processes", "processes"},
		[RLIMIT_NOFILE] = {"Max open files", "files"},
		[RLIMIT_MEMLOCK] = {"Max locked memory", "bytes"},
		[RLIMIT_AS] = {"Max address space", "bytes"},
		[RLIMIT_LOCKS] = {"Max file locks", "locks"},
		[RLIMIT_SIGPENDING] = {"Max pending signals", "signals"},
		[RLIMIT_MSGQUEUE] = {"Max msgqueue size", "bytes"},
		[RLIMIT_NICE] = {"Max nice priority", ""},
		[RLIMIT_RTPRIO] = {"Max realtime priority", ""},
		[RLIMIT_RTTIME] = {"Max realtime timeout", "us"},
	};

	text_add(text, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	for (unsigned i = 0; i < RLIM_NLIMITS; i++) {
		uint64_t soft, hard;

		system_limit(i, &soft, &hard);
		text_add(text, "%-25s ", limits[i].name);
		put_limit_value(text, soft);
		put_limit_value(text, hard);
		text_add(text, "%-10s\n", limits[i].unit);
	}
}

static void put_mounts(struct text *text)
{
	text_add(text, "root / tmpfs rw 0 0\nproc /proc proc rw 0 0\nsysfs /sys sysfs ro 0 0\n"
		       "cgroup /sys/fs/cgroup cgroup2 ro 0 0\n");
}

static void put_mountinfo(struct text *text)
{
	text_add(text, "1 1 0:1 / / rw - tmpfs root rw\n2 1 0:3 / /proc rw - proc proc rw\n"
		       "3 1 0:4 / /sys ro - sysfs sysfs ro\n"
		       "4 3 0:5 / /sys/fs/cgroup ro - cgroup2 cgroup ro\n");
}

static void put_cgroup(struct text *text)
{
	text_add(text, "0::/\n");
}

static void put_zero(struct text *text)
{
	text_add(text, "0\n");
}

/* ---- Descriptors ---- */

const struct special proc_fdinfo_directory = {0};
static int shown_descriptor;

static void put_descriptor(struct text *text)
{
	struct file *file = file_get(shown_descriptor);

	if (!file)
		return;
	text_add(text, "pos:\t%ld\nflags:\t0%o\nmnt_id:\t1\n", (long)file->position,
		 file->flags | (file_closes_on_exec(shown_descriptor) ? O_CLOEXEC : 0));
	file_drop(file);
}

int proc_open_descriptor(int fd, struct file **out)
{
	static const struct special special = {.text = put_descriptor};

	if (fd < 0 || !file_is_open(fd))
		return -ENOENT;
	shown_descriptor = fd;
	return text_open(&special, O_RDONLY, out);
}

/* ---- The current directory ---- */

static const struct special cwd_link = {0};

bool proc_is_cwd(const struct special *special)
{
	return special == &cwd_link;
}

const char *proc_cwd(size_t *length)
{
	static char path[FS_PATH_MAX];
	long got = directory_path((struct place){fs_cwd, fs_cwd->node}, path, sizeof(path));

	*length = got < 0 ? 0 : (size_t)got;
	path[*length] = '\0';
	return path;
}

/* ---- Making them ---- */

#define SELF "/proc/2"
_Static_assert(LINUX_PID == 2, "SELF");

static const struct text_file texts[] = {
	TEXT_FILE(SELF "/maps", put_maps),	     TEXT_FILE(SELF "/smaps", put_smaps),
	TEXT_FILE(SELF "/smaps_rollup", put_rollup), TEXT_FILE(SELF "/comm", put_comm),
	TEXT_FILE(SELF "/cmdline", put_cmdline),     TEXT_FILE(SELF "/environ", put_environ),
	TEXT_FILE(SELF "/auxv", put_auxv),	     TEXT_FILE(SELF "/io", put_io),
	TEXT_FILE(SELF "/stat", put_stat),	     TEXT_FILE(SELF "/statm", put_statm),
	TEXT_FILE(SELF "/status", put_status),	     TEXT_FILE(SELF "/limits", put_limits),
	TEXT_FILE(SELF "/mounts", put_mounts),	     TEXT_FILE(SELF "/mountinfo", put_mountinfo),
	TEXT_FILE(SELF "/cgroup", put_cgroup),	     TEXT_FILE(SELF "/oom_score", put_zero),
	TEXT_FILE(SELF "/oom_score_adj", put_zero),
};

/* Makes /proc/self/exe, a link to the program's file, without links on the way. */
static void make_exe(void)
{
	char path[FS_PATH_MAX + THAW_TREE_NAME_MAX + 2];
	struct found found;
	long length = 0;

	if (fs_walk(place_of(0), config.program, FS_FOLLOW, &found) || !found.exists || !found.name)
		host_abort("the program %s is not in the file tree", config.program);
	length = directory_path(found.parent, path, FS_PATH_MAX);
	if (length < 0)
		host_abort("the program's path is too long");
	if (length > 1)
		path[length++] = '/';
	memcpy(path + length, found.name, found.length);
	path[length + (long)found.length] = '\0';
	fs_make_link(SELF "/exe", path);
}

/* What a thread's directory has. */
static const struct {
	const char *name;
	void (*text)(struct text *text);
} thread_texts[] = {{"comm", put_comm}, {"stat", put_stat}, {"status", put_status}};

#define THREAD_TEXTS (sizeof(thread_texts) / sizeof(thread_texts[0]))

void proc_make_thread(int tid)
{
	char path[sizeof(SELF "/task/2147483647/status")];
	struct special *specials;
	struct found found;

	snprintf(path, sizeof(path), SELF "/task/%d", tid);
	if (fs_walk(place_of(0), path, 0, &found) || found.exists)
		return;
	specials = calloc(THREAD_TEXTS, sizeof(*specials));
	if (!specials)
		return;
	fs_make_directory(path, 0555, NULL);
	for (size_t i = 0; i < THREAD_TEXTS; i++) {
		specials[i] = (struct special){
			.open = text_open, .text = thread_texts[i].text, .task = tid};
		snprintf(path, sizeof(path), SELF "/task/%d/%s", tid, thread_texts[i].name);
		fs_make_special(path, S_IFREG | 0444, &specials[i]);
	}
}

/* The directory's files stay: one that is open is still asked for its text's owner. */
void proc_remove_thread(struct inode *directory, int tid)
{
	char name[12];

	directory_remove(directory, name, (size_t)snprintf(name, sizeof(name), "%d", tid));
}

void proc_init(void)
{
	ids_by_number = true;
	fs_make_directory("/proc", 0555, &proc_ids_directory);
	fs_make_directory(SELF, 0555, NULL);
	fs_make_directory(SELF "/net", 0555, NULL);
	fs_make_directory(SELF "/task", 0555, &proc_tasks_directory);
	fs_make_directory(SELF "/fd", 0555, &proc_fd_directory);
	fs_make_directory(SELF "/fdinfo", 0555, &proc_fdinfo_directory);
	text_make_files(texts, sizeof(texts) / sizeof(texts[0]));
	fs_make_special("/proc/self", S_IFLNK | 0777, &proc_self_link);
	fs_make_special("/proc/thread-self", S_IFLNK | 0777, &proc_thread_link);
	fs_make_special(SELF "/cwd", S_IFLNK | 0777, &cwd_link);
	fs_make_link("/proc/mounts", "self/mounts");
	fs_make_link("/proc/net", "self/net");
	make_exe();
	fs_make_link(SELF "/root", "/");
	machine_init();
	ids_by_number = false;
}
