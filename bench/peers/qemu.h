/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.qemu-restore: a machine that was saved when it was ready is restored by QEMU for each
 * request, from a file in memory: exec, loading the state, the answer over its serial port. The
 * machine is the least that can be: a few instructions of firmware (bench/peers/machine.S), 8 MiB,
 * no device but the port. Under KVM where that is to be had, else emulated.
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
	bool kvm;	      /* else TCG */
	const void *request;  /* outlives what is opened, as all above */
	size_t request_length;
};

/* Boots the machine once and saves it. */
int thaw_qemu_open(const struct thaw_qemu_config *config, struct thaw_qemu **out,
		   struct thaw_error *err);
void thaw_qemu_close(struct thaw_qemu *qemu); /* NULL is fine */

/* One restored machine, from before the fork to the last byte of its response, as a source of the
 * schedule; it is then killed. */
int thaw_qemu_measure(void *qemu, uint64_t *ns, struct thaw_error *err);
/* The bytes of the latest response. */
uint64_t thaw_qemu_response_length(const struct thaw_qemu *qemu);

#endif
