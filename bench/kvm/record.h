/* SPDX-License-Identifier: Apache-2.0 */
/* The figures for programs: one line of JSON for each. scripts/bench-compare holds them against
 * bench/baseline/. */
#ifndef THAW_BENCH_KVM_RECORD_H
#define THAW_BENCH_KVM_RECORD_H

#include <stdbool.h>
#include <stdint.h>

struct record {
	char name[64];
	double ns;  /* in the lab with --icount: instructions, 2 ns each */
	bool exact; /* the time repeats: it includes no wait for a thread or a grace period */
	/* For one of the things that NAME names; -1: not counted. */
	double exits, faults, kvm_run, other_ioctl, memory;
};

void record_add(const struct record *record);
/* Writes all records. Returns 0, or -1 with errno. */
int record_write(const char *path);

#endif
