/* SPDX-License-Identifier: Apache-2.0 */
/* The machine that the figures were measured on: what they depend on besides the code. */
#ifndef THAW_BENCH_HOST_H
#define THAW_BENCH_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct thaw_bench_host {
	char cpu[128];	       /* model name, as the kernel reports it */
	unsigned cores;	       /* online */
	uint64_t memory_bytes; /* total */
	char kernel[256];      /* release and version */
	bool virtual_machine;  /* the processor reports a hypervisor */
	char mitigations[512]; /* of processor flaws: "name: state; ..." or "none needed" */
	char clocksource[64];
	char version[32]; /* of Thaw */
	char backend[16]; /* "process" or "kvm"; the run sets it */
	char date[32];	  /* UTC, ISO 8601 */
	double load;	  /* one-minute average when the run began */
};

/* An unknown field reads "unknown": a figure from a poorly known host is still a figure. */
void thaw_bench_host_read(struct thaw_bench_host *out);

/* Reads from TEXT, the contents of /proc/stat, the processors' time so far in ticks, and the part
 * that a hypervisor took. -1: TEXT lacks them. */
int thaw_bench_host_steal(const char *text, uint64_t *all, uint64_t *stolen);
/* The same for this host; both are 0 where the kernel does not report them. */
void thaw_bench_host_time(uint64_t *all, uint64_t *stolen);
double thaw_bench_host_load(void); /* one-minute average */

/* Copies the value of KEY from TEXT, lines of "key<tabs>: value". False, with OUT "unknown", when
 * there is none. */
bool thaw_bench_host_field(const char *text, const char *key, char *out, size_t size);

/* The same for a number of KiB ("1234 kB"), in bytes. -1 when it is missing or no number. */
int thaw_bench_host_kib(const char *text, const char *key, uint64_t *bytes);

/* Appends "NAME: STATE" for one processor flaw, with STATE cut at its first comma or semicolon.
 * Appends nothing for a flaw that is "Not affected", or for an entry that does not fit whole. */
void thaw_bench_host_mitigation(char *out, size_t size, const char *name, const char *state);

#endif
