/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps the records until the end. */
#include "bench/kvm/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

#define RECORDS_MAX 64u

static struct record records[RECORDS_MAX];
static unsigned count;

void record_add(const struct record *record)
{
	if (count == RECORDS_MAX)
		abort();
	records[count++] = *record;
}

static void write_count(FILE *out, const char *key, double value)
{
	if (value >= 0)
		fprintf(out, ", \"%s\": %g", key, value);
}

int record_write(const char *path)
{
	FILE *out = fopen(path, "we");
	struct utsname host = {0};

	if (!out)
		return -1;
	uname(&host);
	/* These move a count without a change of ours. */
	fprintf(out, "{\"kernel\": \"%s\", \"compiler\": \"%s\", \"figures\": [\n", host.version,
		__VERSION__);
	for (unsigned i = 0; i < count; i++) {
		const struct record *record = &records[i];

		fprintf(out, "  {\"name\": \"%s\", \"ns\": %.1f, \"exact\": %s", record->name,
			record->ns, record->exact ? "true" : "false");
		write_count(out, "exits", record->exits);
		write_count(out, "faults", record->faults);
		write_count(out, "kvm_run", record->kvm_run);
		write_count(out, "other_ioctl", record->other_ioctl);
		write_count(out, "memory", record->memory);
		fputs(i + 1 < count ? "},\n" : "}\n", out);
	}
	fputs("]}\n", out);
	return fclose(out) ? -1 : 0;
}
