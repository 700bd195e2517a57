/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.qemu-restore: QEMU restores a machine, saved when it was ready, for each request, from a
 * file in memory: exec, loading the state, the answer over its serial port. The machine is
 * minimal: a few instructions of firmware (bench/peers/machine.S), 8 MiB, no device but the port.
 * Runs under KVM where that works, else emulated.
 */
#ifndef THAW_BENCH_QEMU_PEER_H
#define THAW_BENCH_QEMU_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot-format/base/error.h"

struct thaw_qemu;

struct thaw_qemu_config {
	const char *program;  /* path of qemu-system-x86_64 */
	const char *firmware; /* path */
	bool kvm;	      /* else emulated by TCG */
	const void *request;  /* all of the above outlive the struct thaw_qemu */
	size_t request_length;
};

/* Boots the machine once and saves it. */
int thaw_qemu_open(const struct thaw_qemu_config *config, struct thaw_qemu **out,
		   struct thaw_error *err);
void thaw_qemu_close(struct thaw_qemu *qemu); /* NULL is fine */

/* Restores one machine, as a source of the schedule: from before the fork to the last byte of its
 * response. Then kills it. */
int thaw_qemu_measure(void *qemu, uint64_t *ns, struct thaw_error *err);
/* The bytes of the latest response. */
uint64_t thaw_qemu_response_length(const struct thaw_qemu *qemu);

#endif
