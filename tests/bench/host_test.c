/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing the kernel's texts about the host. */
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/base/measured_host.h"
#include "bench/function/process_memory.h"

Test(host, field_of_cpuinfo)
{
	static const char text[] =
		"processor\t: 0\nmodel\t\t: 85\nmodel name\t: Some CPU @ 2.0GHz\n"
		"flags\t\t: fpu hypervisor\n\nprocessor\t: 1\nmodel name\t: Other\n";
	char value[64];

	cr_assert(thaw_bench_host_field(text, "model name", value, sizeof(value)));
	cr_assert_str_eq(value, "Some CPU @ 2.0GHz");
	cr_assert(thaw_bench_host_field(text, "model", value, sizeof(value)));
	cr_assert_str_eq(value, "85");
	cr_assert(thaw_bench_host_field(text, "model name", value, 5));
	cr_assert_str_eq(value, "Some");
	cr_assert_not(thaw_bench_host_field(text, "mod", value, sizeof(value)));
	cr_assert_str_eq(value, "unknown");
	cr_assert_not(thaw_bench_host_field("", "model", value, sizeof(value)));
	/* A text cut in the middle of a line. */
	cr_assert(thaw_bench_host_field("a: 1\nmodel name\t: Cu", "model name", value,
					sizeof(value)));
	cr_assert_str_eq(value, "Cu");
	cr_assert_not(thaw_bench_host_field("a: 1\nmodel nam", "model name", value, sizeof(value)));
}

Test(host, mitigations_are_short)
{
	char text[80] = "";

	thaw_bench_host_mitigation(text, sizeof(text), "meltdown", "Not affected\n");
	cr_assert_str_eq(text, "");
	thaw_bench_host_mitigation(text, sizeof(text), "spectre_v2",
				   "Mitigation: Retpolines; STIBP: disabled; RSB filling\n");
	thaw_bench_host_mitigation(text, sizeof(text), "tsa", "Vulnerable: No microcode, sorry\n");
	cr_assert_str_eq(text, "spectre_v2: Retpolines; tsa: Vulnerable: No microcode");
	/* An entry that does not fit whole is left out. */
	thaw_bench_host_mitigation(text, sizeof(text), "spec_store_bypass",
				   "Mitigation: Speculative Store Bypass disabled");
	cr_assert_str_eq(text, "spectre_v2: Retpolines; tsa: Vulnerable: No microcode");
}

Test(host, this_one_is_known)
{
	struct thaw_bench_host host;

	thaw_bench_host_read(&host);
	cr_assert_geq(host.cores, 1);
	cr_assert_gt(host.memory_bytes, 1 << 20);
	cr_assert_gt(strlen(host.kernel), 0);
	cr_assert_gt(strlen(host.mitigations), 0);
	cr_assert_str_eq(host.version, THAW_VERSION);
	cr_assert_eq(strlen(host.date), strlen("2026-01-31T14:05:00Z"));
}

Test(host, kibibytes)
{
	static const char *const bad[] = {
		"MemTotal: 4 kB\n",
		"MemAvailable: x kB\n",
		"MemAvailable: -1 kB\n",
		"MemAvailable: 12\n",
		"MemAvailable: 99999999999999999999 kB\n",
		"MemAvailable: 18446744073709551615 kB\n",
	};
	uint64_t bytes;

	cr_assert_eq(thaw_bench_host_kib("MemTotal:  4 kB\nMemAvailable:   1234 kB\n",
					 "MemAvailable", &bytes),
		     0);
	cr_assert_eq(bytes, 1234 * 1024);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_lt(thaw_bench_host_kib(bad[i], "MemAvailable", &bytes), 0);
}

Test(process_memory, private_pages_and_tables_are_added_up)
{
	static const char rollup[] =
		"00010000-7fff0000 ---p 00000000 00:00 0    [rollup]\n"
		"Rss:   900 kB\nPrivate_Clean:   4 kB\nPrivate_Dirty:   60 kB\n";
	uint64_t bytes;

	cr_assert_eq(thaw_process_private_sum(rollup, "Name: x\nVmPTE:\t   40 kB\n", &bytes), 0);
	cr_assert_eq(bytes, (4 + 60 + 40 + 4) * 1024);
	cr_assert_lt(thaw_process_private_sum(rollup, "Name: x\n", &bytes), 0);
	cr_assert_lt(thaw_process_private_sum("", "VmPTE: 40 kB\n", &bytes), 0);
}

Test(process_memory, used_is_the_sum_of_the_accounts)
{
	static const char text[] =
		"MemFree: 9 kB\nAnonPages: 1 kB\nShmem: 2 kB\nShmemHugePages: 64 kB\n"
		"KernelStack: 4 kB\nPageTables: 8 kB\nSUnreclaim: 16 kB\nPercpu: 32 kB\n";
	uint64_t bytes;

	cr_assert_eq(thaw_memory_used(text, &bytes), 0);
	cr_assert_eq(bytes, 63 * 1024);
	cr_assert_lt(thaw_memory_used("AnonPages: 1 kB\n", &bytes), 0);
}

Test(process_memory, children_are_found_and_weighed)
{
	size_t count;
	pid_t children[8], child = fork();
	uint64_t bytes = 0;

	if (child == 0) {
		pause();
		_exit(0);
	}
	cr_assert_gt(child, 0);
	cr_assert_eq(thaw_process_children(getpid(), children, 8, &count, NULL), 0);
	cr_assert_eq(count, 1);
	cr_assert_eq(children[0], child);
	cr_assert_eq(thaw_process_private_bytes(child, &bytes, NULL), 0);
	cr_assert_gt(bytes, 4096);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	cr_assert_lt(thaw_process_private_bytes(child, &bytes, NULL), 0);
}
