/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc and /sys, as far as programs read them: about the program itself, and what C libraries and
 * runtimes ask of the machine when they start.
 */
#include <cpuid.h>

#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/fs/fs.h"
#include "guest-stub/linux/host/draws.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/task/task.h"
#include "guest-stub/linux/task/time.h"

#define NAME_COLUMN 73 /* of /proc/self/maps */
#define TICK_NS	    (SECOND_NS / 100)

/* ---- The program ---- */

static void put_maps(struct text *text)
{
	const struct mapping *mapping = memory_at_or_above(0);

	for (; mapping; mapping = memory_at_or_above(mapping->end)) {
		size_t start = text->length;

		text_add(text, "%08lx-%08lx %c%c%cp %08lx 00:01 0", mapping->start, mapping->end,
			 mapping->prot & PROT_READ_ ? 'r' : '-',
			 mapping->prot & PROT_WRITE_ ? 'w' : '-',
			 mapping->prot & PROT_EXEC_ ? 'x' : '-', mapping->backing.offset);
		if (mapping->backing.name) {
			do
				text_add(text, " ");
			while (!text->failed && text->length - start < NAME_COLUMN);
			text_put(text, mapping->backing.name, strlen(mapping->backing.name));
		}
		text_add(text, "\n");
	}
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

static void put_stat(struct text *text)
{
	uint64_t mapped = memory_mapped();

	text_add(text, "%d (%s) R 1 %d %d 0 -1 4194304 0 0 0 0 %lu 0 0 0 20 0 %d 0 %lu %lu %lu ",
		 task_told(fs_text_task), command_name(), task_pid(), task_pid(),
		 (unsigned long)(time_used_ns() / TICK_NS), task_count(),
		 (unsigned long)(time_started_ns() / TICK_NS), mapped, mapped / THAW_PAGE_SIZE);
	text_add(text,
		 "18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
}

static void put_statm(struct text *text)
{
	uint64_t pages = memory_mapped() / THAW_PAGE_SIZE;

	text_add(text, "%lu %lu 0 0 0 %lu 0\n", pages, pages, pages);
}

static void put_status(struct text *text)
{
	uint64_t kib = memory_mapped() / 1024;

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
		kib, kib, kib, kib, kib, LINUX_STACK / 1024);
	text_add(text,
		 "Threads:\t%d\nSigQ:\t0/1024\nNoNewPrivs:\t1\nSeccomp:\t2\nCpus_allowed:\t1\n"
		 "Cpus_allowed_list:\t0\nMems_allowed:\t1\nMems_allowed_list:\t0\n"
		 "voluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n",
		 task_count());
}

static void put_limits(struct text *text)
{
	text_add(text, "%-26s%-21s%-21s%-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	text_add(text, "%-26s%-21lu%-21lu%-10s\n", "Max stack size", LINUX_STACK, LINUX_STACK,
		 "bytes");
	text_add(text, "%-26s%-21d%-21d%-10s\n", "Max open files", FILES_MAX, FILES_MAX, "files");
}

static void put_mounts(struct text *text)
{
	text_add(text, "root / tmpfs rw 0 0\nproc /proc proc rw 0 0\n");
}

static void put_mountinfo(struct text *text)
{
	text_add(text, "1 1 0:1 / / rw - tmpfs root rw\n2 1 0:3 / /proc rw - proc proc rw\n");
}

static void put_cgroup(struct text *text)
{
	text_add(text, "0::/\n");
}

static void put_zero(struct text *text)
{
	text_add(text, "0\n");
}

/* ---- The machine ---- */

static void put_meminfo(struct text *text)
{
	const uint64_t total = UINT64_C(1) << 20, used = memory_mapped() / 1024; /* KiB */
	const uint64_t left = used < total ? total - used : 0;

	text_add(text,
		 "MemTotal:       %8lu kB\nMemFree:        %8lu kB\nMemAvailable:   %8lu kB\n",
		 total, left, left);
	text_add(text, "Buffers:               0 kB\nCached:                0 kB\nSwapTotal:       "
		       "      0 kB\n"
		       "SwapFree:              0 kB\nShmem:                 0 kB\n");
}

static void put_registers(char *to, unsigned a, unsigned b, unsigned c)
{
	memcpy(to, &a, 4);
	memcpy(to + 4, &b, 4);
	memcpy(to + 8, &c, 4);
}

static void put_cpuinfo(struct text *text)
{
	static const struct {
		unsigned leaf, subleaf, word, bit;
		const char *name;
	} flags[] = {
		{1, 0, 3, 25, "sse"},	  {1, 0, 3, 26, "sse2"},  {1, 0, 2, 0, "pni"},
		{1, 0, 2, 9, "ssse3"},	  {1, 0, 2, 12, "fma"},	  {1, 0, 2, 19, "sse4_1"},
		{1, 0, 2, 20, "sse4_2"},  {1, 0, 2, 22, "movbe"}, {1, 0, 2, 23, "popcnt"},
		{1, 0, 2, 25, "aes"},	  {1, 0, 2, 28, "avx"},	  {1, 0, 2, 29, "f16c"},
		{7, 0, 1, 3, "bmi1"},	  {7, 0, 1, 5, "avx2"},	  {7, 0, 1, 8, "bmi2"},
		{7, 0, 1, 16, "avx512f"},
	};
	unsigned r[4] = {0};
	char vendor[13] = "unknown";

	if (__get_cpuid(0, &r[0], &r[1], &r[2], &r[3])) {
		put_registers(vendor, r[1], r[3], r[2]);
		vendor[12] = '\0';
	}
	__get_cpuid(1, &r[0], &r[1], &r[2], &r[3]);
	text_add(text,
		 "processor\t: 0\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\nmodel name\t: "
		 "thaw\n"
		 "stepping\t: %u\ncpu cores\t: 1\nflags\t\t: fpu cx8 cmov mmx fxsr lm",
		 vendor, r[0] >> 8 & 15, r[0] >> 4 & 15, r[0] & 15);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (__get_cpuid_count(flags[i].leaf, flags[i].subleaf, &r[0], &r[1], &r[2],
				      &r[3]) &&
		    r[flags[i].word] >> flags[i].bit & 1)
			text_add(text, " %s", flags[i].name);
	text_add(text, "\nclflush size\t: 64\n\n");
}

static void put_machine_stat(struct text *text)
{
	unsigned long boot = (host_wall_ns() - host_monotonic_ns()) / SECOND_NS;

	text_add(text,
		 "cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\nbtime %lu\nprocesses 1\n",
		 boot);
}

static void put_uptime(struct text *text)
{
	uint64_t ns = host_monotonic_ns();

	text_add(text, "%lu.%02lu 0.00\n", (unsigned long)(ns / SECOND_NS),
		 (unsigned long)(ns % SECOND_NS / 10000000));
}

static void put_loadavg(struct text *text)
{
	text_add(text, "0.00 0.00 0.00 1/1 %d\n", task_pid());
}

static void put_version(struct text *text)
{
	text_add(text, "Linux version 6.1.0-thaw\n");
}

static void put_filesystems(struct text *text)
{
	text_add(text, "nodev\ttmpfs\nnodev\tproc\n");
}

static void put_osrelease(struct text *text)
{
	text_add(text, "6.1.0-thaw\n");
}

static void put_ostype(struct text *text)
{
	text_add(text, "Linux\n");
}

static void put_hostname(struct text *text)
{
	text_add(text, "thaw\n");
}

static void put_pid_max(struct text *text)
{
	text_add(text, "4194304\n");
}

static void put_ngroups_max(struct text *text)
{
	text_add(text, "65536\n");
}

static void put_cap_last_cap(struct text *text)
{
	text_add(text, "40\n");
}

static void put_uuid(struct text *text)
{
	uint16_t word[8];

	draw_random(word, sizeof(word), false);
	text_add(text, "%04x%04x-%04x-4%03x-%04x-%04x%04x%04x\n", word[0], word[1], word[2],
		 word[3] & 0xfff, (word[4] & 0x3fff) | 0x8000, word[5], word[6], word[7]);
}

static void put_entropy(struct text *text)
{
	text_add(text, "256\n");
}

static void put_max_map_count(struct text *text)
{
	text_add(text, "65530\n");
}

static void put_pipe_max(struct text *text)
{
	text_add(text, "65536\n");
}

static void put_never(struct text *text)
{
	text_add(text, "always madvise [never]\n");
}

static void put_online(struct text *text)
{
	text_add(text, "0\n");
}

#define SELF "/proc/2"
_Static_assert(LINUX_PID == 2, "SELF");

static const struct {
	const char *path;
	struct special special;
} texts[] = {
#define TEXT(path, function)                                                                       \
	{                                                                                          \
		path,                                                                              \
		{                                                                                  \
			text_open, NULL, function, 0, 0                                            \
		}                                                                                  \
	}
	TEXT(SELF "/maps", put_maps),
	TEXT(SELF "/comm", put_comm),
	TEXT(SELF "/cmdline", put_cmdline),
	TEXT(SELF "/environ", put_environ),
	TEXT(SELF "/stat", put_stat),
	TEXT(SELF "/statm", put_statm),
	TEXT(SELF "/status", put_status),
	TEXT(SELF "/limits", put_limits),
	TEXT(SELF "/mounts", put_mounts),
	TEXT(SELF "/mountinfo", put_mountinfo),
	TEXT(SELF "/cgroup", put_cgroup),
	TEXT(SELF "/oom_score", put_zero),
	TEXT(SELF "/oom_score_adj", put_zero),
	TEXT("/proc/meminfo", put_meminfo),
	TEXT("/proc/cpuinfo", put_cpuinfo),
	TEXT("/proc/stat", put_machine_stat),
	TEXT("/proc/uptime", put_uptime),
	TEXT("/proc/loadavg", put_loadavg),
	TEXT("/proc/version", put_version),
	TEXT("/proc/filesystems", put_filesystems),
	TEXT("/proc/sys/kernel/osrelease", put_osrelease),
	TEXT("/proc/sys/kernel/ostype", put_ostype),
	TEXT("/proc/sys/kernel/hostname", put_hostname),
	TEXT("/proc/sys/kernel/pid_max", put_pid_max),
	TEXT("/proc/sys/kernel/ngroups_max", put_ngroups_max),
	TEXT("/proc/sys/kernel/cap_last_cap", put_cap_last_cap),
	TEXT("/proc/sys/kernel/random/boot_id", put_uuid),
	TEXT("/proc/sys/kernel/random/uuid", put_uuid),
	TEXT("/proc/sys/kernel/random/entropy_avail", put_entropy),
	TEXT("/proc/sys/vm/overcommit_memory", put_zero),
	TEXT("/proc/sys/vm/max_map_count", put_max_map_count),
	TEXT("/proc/sys/fs/pipe-max-size", put_pipe_max),
	TEXT("/sys/devices/system/cpu/online", put_online),
	TEXT("/sys/devices/system/cpu/possible", put_online),
	TEXT("/sys/kernel/mm/transparent_hugepage/enabled", put_never),
#undef TEXT
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
	static const char *const directories[] = {
		SELF,
		"/proc/sys",
		"/proc/sys/kernel",
		"/proc/sys/kernel/random",
		"/proc/sys/vm",
		"/proc/sys/fs",
		"/sys",
		"/sys/devices",
		"/sys/devices/system",
		"/sys/devices/system/cpu",
		"/sys/kernel",
		"/sys/kernel/mm",
		"/sys/kernel/mm/transparent_hugepage",
	};

	ids_by_number = true;
	fs_make_directory("/proc", 0555, &proc_ids_directory);
	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++)
		fs_make_directory(directories[i], 0555, NULL);
	fs_make_directory(SELF "/task", 0555, &proc_tasks_directory);
	fs_make_directory(SELF "/fd", 0555, &proc_fd_directory);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		fs_make_special(texts[i].path, S_IFREG | 0444, &texts[i].special);
	fs_make_special("/proc/self", S_IFLNK | 0777, &proc_self_link);
	fs_make_special("/proc/thread-self", S_IFLNK | 0777, &proc_thread_link);
	fs_make_link("/proc/mounts", "self/mounts");
	make_exe();
	fs_make_link(SELF "/root", "/");
	ids_by_number = false;
}
