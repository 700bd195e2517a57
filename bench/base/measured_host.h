/* SPDX-License-Identifier: Apache-2.0 */
/* What a figure depends on besides the code: the machine that it was measured on. */
#ifndef THAW_BENCH_HOST_H
#define THAW_BENCH_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct thaw_bench_host {
	char cpu[128];	       /* model name, as the kernel tells it */
	unsigned cores;	       /* online */
	uint64_t memory_bytes; /* in all */
	char kernel[256];      /* release and version */
	bool virtual_machine;  /* the processor says that a hypervisor runs it */
	char mitigations[512]; /* of processor flaws: "name: state; ..."; "none needed" */
	char clocksource[64];
	char version[32]; /* of Thaw */
	char backend[16]; /* "process", "kvm": set by the run, which knows */
	char date[32];	  /* UTC, ISO 8601 */
	double load;	  /* one-minute average when the run began */
};

/* What cannot be found out reads "unknown": a figure from a poorly known host is still a figure. */
void thaw_bench_host_read(struct thaw_bench_host *out);

/* The processors' time so far, in ticks, and how much of it a hypervisor took; from TEXT, the text
 * of /proc/stat. -1: it is not there. */
int thaw_bench_host_steal(const char *text, uint64_t *all, uint64_t *stolen);
/* The same of this host; both 0 where it does not tell. */
void thaw_bench_host_time(uint64_t *all, uint64_t *stolen);
double thaw_bench_host_load(void); /* one-minute average */

/* Takes the value of KEY from TEXT, lines of "key<tabs>: value". False, and OUT "unknown", when it
 * is not there. */
bool thaw_bench_host_field(const char *text, const char *key, char *out, size_t size);

/* The same for a number of KiB ("1234 kB"), in bytes; -1 when it is not there or not one. */
int thaw_bench_host_kib(const char *text, const char *key, uint64_t *bytes);

/* Appends "NAME: STATE" for one processor flaw, STATE cut at its first comma or semicolon; nothing
 * for a processor that is "Not affected". An entry that does not fit whole is left out. */
void thaw_bench_host_mitigation(char *out, size_t size, const char *name, const char *state);

#endif
