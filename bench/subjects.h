/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that one run measures, started and answering: the function in its engines and through
 * its daemon, the limits of the host, and the peers. */
#ifndef THAW_BENCH_SUBJECTS_H
#define THAW_BENCH_SUBJECTS_H

#include "bench/base/config.h"
#include "bench/function/measurer.h"
#include "bench/peers/peers.h"

struct thaw_echo;
struct thaw_invoke;
struct thaw_lean;
struct bare_exit;

/* Zeroed by the caller, who must not move it while it is open. An absent subject is NULL. */
struct thaw_subjects {
	struct thaw_bench_program program; /* an empty path: not known */
	int program_fd;			   /* -1: the program cannot be opened */
	struct thaw_bench_function function;
	struct thaw_measurer *standing; /* its engine stays open */
	struct thaw_measurer *opener;	/* opens an engine for each sample */
	struct thaw_measured first;	/* the function's first answer; sets the echo's length */
	struct thaw_invoke *invoke;

	struct thaw_echo *echo;	     /* one connection for each client of the largest load */
	struct thaw_echo *hand_over; /* the same */
	struct thaw_lean *lean;
	struct thaw_spawn *cat;
	char image_path[64]; /* the image, as `cat` opens it */
	char *cat_args[3];
	struct bare_exit *kvm; /* NULL: KVM does not work here */

	struct thaw_peers peers;
};

/* Starts all of them. The function's engines and the echoes must work, for without them there is
 * nothing to compare; a note tells why any other subject is absent. On failure nothing stays open.
 * Call from a single-threaded process. */
int thaw_subjects_open(const struct thaw_bench_config *config, struct thaw_subjects *out,
		       struct thaw_error *err);
void thaw_subjects_close(struct thaw_subjects *subjects);

#endif
