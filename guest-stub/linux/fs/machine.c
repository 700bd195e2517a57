/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc and /sys, as far as C libraries, runtimes and tools ask of the machine: one processor, the
 * function's memory, no devices. What tells of memory agrees: meminfo, vmstat, the control group and
 * sysinfo(2).
 */
#include <cpuid.h>

#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/fs/fs.h"
#include "guest-stub/linux/host/draws.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/linux/task/task.h"
#include "guest-stub/linux/task/time.h"

static uint64_t memory_left(void)
{
	uint64_t used = memory_mapped(), total = system_memory();

	return used < total ? total - used : 0;
}

/* The function's limit is all the memory there is. */
static void put_meminfo(struct text *text)
{
	const uint64_t total = system_memory() / 1024, left = memory_left() / 1024;
	const struct {
		const char *name;
		uint64_t kib;
	} lines[] = {
		{"MemTotal:", total},
		{"MemFree:", left},
		{"MemAvailable:", left},
		{"Buffers:", 0},
		{"Cached:", 0},
		{"SwapCached:", 0},
		{"Active:", total - left},
		{"Inactive:", 0},
		{"Unevictable:", 0},
		{"Mlocked:", 0},
		{"SwapTotal:", 0},
		{"SwapFree:", 0},
		{"Dirty:", 0},
		{"Writeback:", 0},
		{"AnonPages:", total - left},
		{"Mapped:", 0},
		{"Shmem:", 0},
		{"KReclaimable:", 0},
		{"Slab:", 0},
		{"SReclaimable:", 0},
		{"SUnreclaim:", 0},
		{"CommitLimit:", total},
		{"Committed_AS:", total - left},
		{"Hugepagesize:", 2048},
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		text_add(text, "%-15s %8lu kB\n", lines[i].name, lines[i].kib);
}

static void put_vmstat(struct text *text)
{
	text_add(text,
		 "nr_free_pages %lu\nnr_anon_pages %lu\nnr_mapped 0\nnr_dirty 0\nnr_writeback 0\n"
		 "pgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\npgmajfault 0\noom_kill 0\n",
		 memory_left() / THAW_PAGE_SIZE, memory_mapped() / THAW_PAGE_SIZE);
}

static void put_memory_max(struct text *text)
{
	if (config.memory_limit)
		text_add(text, "%lu\n", config.memory_limit);
	else
		text_add(text, "max\n");
}

static void put_memory_current(struct text *text)
{
	text_add(text, "%lu\n", memory_mapped());
}

static void put_memory_stat(struct text *text)
{
	text_add(text, "anon %lu\nfile 0\nkernel 0\nshmem 0\ninactive_file 0\nactive_file 0\n",
		 memory_mapped());
}

static void put_memory_events(struct text *text)
{
	text_add(text, "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n");
}

static void put_max(struct text *text)
{
	text_add(text, "max\n");
}

/* One processor. */
static void put_cpu_max(struct text *text)
{
	text_add(text, "100000 100000\n");
}

static void put_cpu_weight(struct text *text)
{
	text_add(text, "100\n");
}

static void put_controllers(struct text *text)
{
	text_add(text, "cpuset cpu memory pids\n");
}

static void put_pid(struct text *text)
{
	text_add(text, "%d\n", task_pid());
}

static void put_cgroups(struct text *text)
{
	text_add(text,
		 "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t0\t1\t1\ncpu\t0\t1\t1\n"
		 "memory\t0\t1\t1\npids\t0\t1\t1\n");
}

/* There is no network, and so no interface but the one within. */
static void put_net_dev(struct text *text)
{
	text_add(text,
		 "Inter-|   Receive                                                |  Transmit\n"
		 " face |bytes    packets errs drop fifo frame compressed multicast|bytes    "
		 "packets "
		 "errs drop fifo colls carrier compressed\n"
		 "    lo:       0       0    0    0    0     0          0         0        0       "
		 "0    "
		 "0    0    0     0       0          0\n");
}

static void put_nothing(struct text *text)
{
	(void)text;
}

static void put_zero(struct text *text)
{
	text_add(text, "0\n");
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
		 "stepping\t: %u\nphysical id\t: 0\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\n"
		 "apicid\t\t: 0\nfpu\t\t: yes\ncpuid level\t: 13\nwp\t\t: yes\nflags\t\t: fpu cx8 "
		 "cmov mmx fxsr lm",
		 vendor, r[0] >> 8 & 15, r[0] >> 4 & 15, r[0] & 15);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (__get_cpuid_count(flags[i].leaf, flags[i].subleaf, &r[0], &r[1], &r[2],
				      &r[3]) &&
		    r[flags[i].word] >> flags[i].bit & 1)
			text_add(text, " %s", flags[i].name);
	text_add(text, "\nclflush size\t: 64\ncache_alignment\t: 64\n\n");
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
	text_add(text, "nodev\ttmpfs\nnodev\tproc\nnodev\tsysfs\nnodev\tcgroup2\n");
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

static void put_uuid_of(struct text *text, const uint16_t *word)
{
	text_add(text, "%04x%04x-%04x-4%03x-%04x-%04x%04x%04x\n", word[0], word[1], word[2],
		 word[3] & 0xfff, (word[4] & 0x3fff) | 0x8000, word[5], word[6], word[7]);
}

static void put_uuid(struct text *text)
{
	uint16_t word[8];

	draw_random(word, sizeof(word), false);
	put_uuid_of(text, word);
}

/* One for the boot, and one for each invocation: a thaw is a boot to what asks by this. */
static void put_boot_id(struct text *text)
{
	static uint16_t word[8];
	static uint64_t drawn_for = UINT64_MAX; /* the generation */

	if (drawn_for != host_generation()) {
		draw_random(word, sizeof(word), false);
		drawn_for = host_generation();
	}
	put_uuid_of(text, word);
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

static void put_swaps(struct text *text)
{
	text_add(text, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
}

#define CGROUP "/sys/fs/cgroup"

static const struct text_file texts[] = {
	TEXT_FILE("/proc/meminfo", put_meminfo),
	TEXT_FILE("/proc/cpuinfo", put_cpuinfo),
	TEXT_FILE("/proc/stat", put_machine_stat),
	TEXT_FILE("/proc/uptime", put_uptime),
	TEXT_FILE("/proc/loadavg", put_loadavg),
	TEXT_FILE("/proc/version", put_version),
	TEXT_FILE("/proc/filesystems", put_filesystems),
	TEXT_FILE("/proc/sys/kernel/osrelease", put_osrelease),
	TEXT_FILE("/proc/sys/kernel/ostype", put_ostype),
	TEXT_FILE("/proc/sys/kernel/hostname", put_hostname),
	TEXT_FILE("/proc/sys/kernel/pid_max", put_pid_max),
	TEXT_FILE("/proc/sys/kernel/ngroups_max", put_ngroups_max),
	TEXT_FILE("/proc/sys/kernel/cap_last_cap", put_cap_last_cap),
	TEXT_FILE("/proc/sys/kernel/random/boot_id", put_boot_id),
	TEXT_FILE("/proc/sys/kernel/random/uuid", put_uuid),
	TEXT_FILE("/proc/sys/kernel/random/entropy_avail", put_entropy),
	TEXT_FILE("/proc/sys/vm/overcommit_memory", put_zero),
	TEXT_FILE("/proc/sys/vm/max_map_count", put_max_map_count),
	TEXT_FILE("/proc/sys/fs/pipe-max-size", put_pipe_max),
	TEXT_FILE("/sys/devices/system/cpu/online", put_online),
	TEXT_FILE("/sys/devices/system/cpu/possible", put_online),
	TEXT_FILE("/sys/kernel/mm/transparent_hugepage/enabled", put_never),
	TEXT_FILE("/proc/vmstat", put_vmstat),
	TEXT_FILE("/proc/cgroups", put_cgroups),
	TEXT_FILE("/proc/swaps", put_swaps),
	TEXT_FILE("/proc/2/net/dev", put_net_dev),
	TEXT_FILE("/sys/devices/system/cpu/present", put_online),
	TEXT_FILE("/sys/devices/system/cpu/offline", put_nothing),
	TEXT_FILE("/sys/devices/system/cpu/kernel_max", put_zero),
	TEXT_FILE("/sys/devices/system/node/online", put_online),
	TEXT_FILE("/sys/devices/system/node/possible", put_online),
	TEXT_FILE(CGROUP "/cgroup.controllers", put_controllers),
	TEXT_FILE(CGROUP "/cgroup.subtree_control", put_nothing),
	TEXT_FILE(CGROUP "/cgroup.procs", put_pid),
	TEXT_FILE(CGROUP "/cpu.max", put_cpu_max),
	TEXT_FILE(CGROUP "/cpu.weight", put_cpu_weight),
	TEXT_FILE(CGROUP "/cpuset.cpus.effective", put_online),
	TEXT_FILE(CGROUP "/memory.max", put_memory_max),
	TEXT_FILE(CGROUP "/memory.high", put_max),
	TEXT_FILE(CGROUP "/memory.low", put_zero),
	TEXT_FILE(CGROUP "/memory.min", put_zero),
	TEXT_FILE(CGROUP "/memory.current", put_memory_current),
	TEXT_FILE(CGROUP "/memory.stat", put_memory_stat),
	TEXT_FILE(CGROUP "/memory.events", put_memory_events),
	TEXT_FILE(CGROUP "/memory.swap.max", put_zero),
	TEXT_FILE(CGROUP "/memory.swap.current", put_zero),
	TEXT_FILE(CGROUP "/pids.max", put_max),
};

void machine_init(void)
{
	static const char *const directories[] = {
		"/proc/sys",
		"/proc/sys/kernel",
		"/proc/sys/kernel/random",
		"/proc/sys/vm",
		"/proc/sys/fs",
		"/sys",
		"/sys/devices",
		"/sys/devices/system",
		"/sys/devices/system/cpu",
		"/sys/devices/system/cpu/cpu0",
		"/sys/devices/system/node",
		"/sys/devices/system/node/node0",
		"/sys/fs",
		CGROUP,
		"/sys/kernel",
		"/sys/kernel/mm",
		"/sys/kernel/mm/transparent_hugepage",
	};

	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++)
		fs_make_directory(directories[i], 0555, NULL);
	text_make_files(texts, sizeof(texts) / sizeof(texts[0]));
}
