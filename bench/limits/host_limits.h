/* SPDX-License-Identifier: Apache-2.0 */
/* The costs of the host's own primitives: nothing built on them can be cheaper. */
#ifndef THAW_BENCH_HOST_LIMITS_H
#define THAW_BENCH_HOST_LIMITS_H

#include <stdint.h>

#include "snapshot-format/base/error.h"

/* limit.page-fault: the mean of some hundred first writes to pages of a private mapping of a
 * memory file, which is the cost of copy-on-write. A source of the schedule; CONTEXT is
 * unused. */
int thaw_page_fault_measure(void *context, uint64_t *ns, struct thaw_error *err);

/* limit.clone: clone, exit and wait of an almost empty process. A helper program with nothing
 * mapped but itself takes the time (bench/limits/lean.c), because a fork costs what its parent
 * has mapped. */
struct thaw_lean;
int thaw_lean_start(const char *executable_dir, struct thaw_lean **out, struct thaw_error *err);
void thaw_lean_stop(struct thaw_lean *lean); /* NULL is fine */
int thaw_lean_measure(void *lean, uint64_t *ns, struct thaw_error *err);

/* limit.kvm-create-vm, limit.kvm-create-vcpu, limit.kvm-exit, where /dev/kvm can be opened. */
int thaw_kvm_create_vm_measure(void *context, uint64_t *ns, struct thaw_error *err);
int thaw_kvm_create_vcpu_measure(void *context, uint64_t *ns, struct thaw_error *err);
int thaw_kvm_exit_measure(void *bare_exit, uint64_t *ns, struct thaw_error *err);

#endif
