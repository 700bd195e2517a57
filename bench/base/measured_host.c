/* SPDX-License-Identifier: Apache-2.0 */
/* Describes the host from the kernel's own files; executes nothing. */
#include "bench/base/measured_host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "snapshot-format/base/cleanup.h"

#define FLAWS_DIRECTORY "/sys/devices/system/cpu/vulnerabilities"
#define CLOCKSOURCE	"/sys/devices/system/clocksource/clocksource0/current_clocksource"

/* The first SIZE - 1 bytes of a file; empty when there is no such file. */
static void read_text(int directory_fd, const char *path, char *out, size_t size)
{
	thaw_autoclose int fd = openat(directory_fd, path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, out, size - 1);

	out[got > 0 ? got : 0] = '\0';
}

static void read_line(const char *path, char *out, size_t size)
{
	read_text(AT_FDCWD, path, out, size);
	out[strcspn(out, "\n")] = '\0';
	if (!*out)
		snprintf(out, size, "unknown");
}

bool thaw_bench_host_field(const char *text, const char *key, char *out, size_t size)
{
	size_t key_length = strlen(key);

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *rest = line + key_length;

		if (strncmp(line, key, key_length))
			continue;
		rest += strspn(rest, " \t");
		if (*rest != ':')
			continue;
		rest += 1 + strspn(rest + 1, " \t");
		snprintf(out, size, "%.*s", (int)strcspn(rest, "\n"), rest);
		return true;
	}
	snprintf(out, size, "unknown");
	return false;
}

int thaw_bench_host_kib(const char *text, const char *key, uint64_t *bytes)
{
	char value[64], *end;
	unsigned long long kib;

	if (!thaw_bench_host_field(text, key, value, sizeof(value)) || *value < '0' || *value > '9')
		return -1;
	errno = 0;
	kib = strtoull(value, &end, 10);
	if (errno || strcmp(end, " kB") || kib > UINT64_MAX / 1024)
		return -1;
	*bytes = kib * 1024;
	return 0;
}

void thaw_bench_host_mitigation(char *out, size_t size, const char *name, const char *state)
{
	static const char prefix[] = "Mitigation: ";
	size_t used = strlen(out);
	int added;

	if (!strncmp(state, "Not affected", strlen("Not affected")))
		return;
	if (!strncmp(state, prefix, strlen(prefix)))
		state += strlen(prefix);
	added = snprintf(out + used, size - used, "%s%s: %.*s", used ? "; " : "", name,
			 (int)strcspn(state, ",;\n"), state);
	if (added < 0 || (size_t)added >= size - used)
		out[used] = '\0';
}

static void read_mitigations(char *out, size_t size)
{
	DIR *directory = opendir(FLAWS_DIRECTORY);
	struct dirent *entry;
	char state[256];

	*out = '\0';
	while (directory && (entry = readdir(directory))) {
		if (*entry->d_name == '.')
			continue;
		read_text(dirfd(directory), entry->d_name, state, sizeof(state));
		if (*state)
			thaw_bench_host_mitigation(out, size, entry->d_name, state);
	}
	if (!*out)
		snprintf(out, size, "%s", directory ? "none needed" : "unknown");
	if (directory)
		closedir(directory);
}

static void read_processor(struct thaw_bench_host *out)
{
	/* The first processor's block fits well within a page or two; the others say the same. */
	char text[8192], flags[4096];

	read_text(AT_FDCWD, "/proc/cpuinfo", text, sizeof(text));
	thaw_bench_host_field(text, "model name", out->cpu, sizeof(out->cpu));
	out->virtual_machine = thaw_bench_host_field(text, "flags", flags, sizeof(flags)) &&
			       strstr(flags, "hypervisor");
	out->cores = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	out->memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

void thaw_bench_host_read(struct thaw_bench_host *out)
{
	struct utsname name;
	time_t now = time(NULL);
	struct tm utc;

	*out = (struct thaw_bench_host){.backend = "unknown"};
	read_processor(out);
	if (uname(&name) == 0)
		snprintf(out->kernel, sizeof(out->kernel), "%s %s", name.release, name.version);
	read_mitigations(out->mitigations, sizeof(out->mitigations));
	read_line(CLOCKSOURCE, out->clocksource, sizeof(out->clocksource));
	snprintf(out->version, sizeof(out->version), "%s", THAW_VERSION);
	if (gmtime_r(&now, &utc))
		strftime(out->date, sizeof(out->date), "%Y-%m-%dT%H:%M:%SZ", &utc);
	out->load = thaw_bench_host_load();
}

double thaw_bench_host_load(void)
{
	double load;

	return getloadavg(&load, 1) == 1 ? load : 0;
}

int thaw_bench_host_steal(const char *text, uint64_t *all, uint64_t *stolen)
{
	/* user nice system idle iowait irq softirq steal; user already includes guest time. */
	unsigned long long ticks[8];

	if (sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &ticks[0], &ticks[1],
		   &ticks[2], &ticks[3], &ticks[4], &ticks[5], &ticks[6], &ticks[7]) != 8)
		return -1;
	*all = 0;
	for (unsigned i = 0; i < 8; i++)
		*all += ticks[i];
	*stolen = ticks[7];
	return 0;
}

void thaw_bench_host_time(uint64_t *all, uint64_t *stolen)
{
	char text[512];

	read_text(AT_FDCWD, "/proc/stat", text, sizeof(text));
	if (thaw_bench_host_steal(text, all, stolen))
		*all = *stolen = 0;
}
