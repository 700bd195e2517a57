/* SPDX-License-Identifier: Apache-2.0 */
/* Starts and ends everything that a run measures. */
#include "bench/subjects.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/function/invoke_figures.h"
#include "bench/kvm/bare_exit.h"
#include "bench/limits/echo.h"
#include "bench/limits/host_limits.h"
#include "bench/peers/spawn.h"

/* Opens the program that the image names, with the caller's rights: an image can make the benchmark
 * open only what the caller could open anyway. */
static void open_program(const struct thaw_bench_config *config, struct thaw_subjects *subjects)
{
	struct thaw_error error = THAW_ERROR_INIT;

	if (thaw_measurer_describe(subjects->standing, &subjects->program, &error)) {
		thaw_bench_note(config, "cold and peer.spawn are absent: %s", error.message);
		return;
	}
	subjects->program_fd = open(subjects->program.path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (subjects->program_fd < 0)
		thaw_bench_note(config, "cold is absent: cannot open the program %s: %s",
				subjects->program.path, strerror(errno));
	subjects->function.program_fd = subjects->program_fd;
}

/* The first measurer describes the program, which the second one inherits: it is forked later. */
static int start_engines(const struct thaw_bench_config *config, struct thaw_subjects *subjects,
			 struct thaw_error *err)
{
	subjects->function = (struct thaw_bench_function){
		.name = config->name,
		.image_fd = config->image_fd,
		.program_fd = -1,
		.request = config->request,
		.request_length = config->request_length,
		.clones_max = config->scale ? THAW_BENCH_CLONES_MAX : THAW_BENCH_CLONES,
	};
	if (thaw_measurer_start(&subjects->function, &subjects->standing, err) ||
	    thaw_measurer_ask(subjects->standing, THAW_MEASURE_POOL, 0, &subjects->first, err))
		return -1;
	if (subjects->first.exit_code)
		thaw_bench_note(config, "%s answers this request with exit code %d", config->name,
				subjects->first.exit_code);
	open_program(config, subjects);
	return thaw_measurer_start(&subjects->function, &subjects->opener, err);
}

static void start_cat(const struct thaw_bench_config *config, struct thaw_subjects *subjects)
{
	static char cat[] = "cat";
	static char *const no_env[] = {NULL};
	struct thaw_error error = THAW_ERROR_INIT;
	const struct thaw_spawn_config spawn = {
		.program = "/bin/cat", .args = subjects->cat_args, .env = no_env, .discard = true};

	/* The image's name may be gone or replaced: cat opens the descriptor that is open here. */
	snprintf(subjects->image_path, sizeof(subjects->image_path), "/proc/%d/fd/%d", getpid(),
		 config->image_fd);
	subjects->cat_args[0] = cat;
	subjects->cat_args[1] = subjects->image_path;
	if (thaw_spawn_open(&spawn, &subjects->cat, &error))
		thaw_bench_note(config, "limit.cat-image is absent: %s", error.message);
}

/* ---- The host's own limits ---- */

static void start_limits(const struct thaw_bench_config *config, struct thaw_subjects *subjects)
{
	struct thaw_error error = THAW_ERROR_INIT;
	struct bare_exit *kvm = malloc(sizeof(*kvm));

	if (thaw_lean_start(config->executable_dir, &subjects->lean, &error))
		thaw_bench_note(config, "limit.clone is absent: %s", error.message);
	if (kvm && bare_exit_open(kvm) == 0) {
		subjects->kvm = kvm;
		return;
	}
	if (kvm)
		bare_exit_close(kvm);
	free(kvm);
}

static void start_invoke(const struct thaw_bench_config *config, struct thaw_subjects *subjects)
{
	struct thaw_error error = THAW_ERROR_INIT;
	char thawd[4096];
	int length = snprintf(thawd, sizeof(thawd), "%s/thawd", config->executable_dir);
	bool near = length > 0 && (size_t)length < sizeof(thawd) && access(thawd, X_OK) == 0;
	struct thaw_invoke_config invoke = {
		.run_dir = config->run_dir,
		.thawd = near ? thawd : "thawd",
		.name = config->name,
		.image_fd = config->image_fd,
		.request = config->request,
		.request_length = config->request_length,
	};

	if (thaw_invoke_open(&invoke, &subjects->invoke, &error))
		thaw_bench_note(config, "invoke is absent: %s", error.message);
}

static int start_echoes(const struct thaw_bench_config *config, struct thaw_subjects *subjects,
			struct thaw_error *err)
{
	struct thaw_echo_config echo = {
		.request_length = config->request_length,
		.response_length = subjects->first.response_length,
		.connections = thaw_bench_clients_most(config),
	};

	if (thaw_echo_start(&echo, &subjects->echo, err))
		return -1;
	echo.hand_over = true;
	return thaw_echo_start(&echo, &subjects->hand_over, err);
}

int thaw_subjects_open(const struct thaw_bench_config *config, struct thaw_subjects *out,
		       struct thaw_error *err)
{
	*out = (struct thaw_subjects){.program_fd = -1};
	if (start_engines(config, out, err) || start_echoes(config, out, err)) {
		thaw_subjects_close(out);
		return -1;
	}
	thaw_peers_start(config, &(struct thaw_peers_function){&out->program, &out->first},
			 &out->peers);
	start_cat(config, out);
	start_limits(config, out);
	start_invoke(config, out);
	return 0;
}

void thaw_subjects_close(struct thaw_subjects *subjects)
{
	thaw_invoke_close(subjects->invoke);
	if (subjects->kvm)
		bare_exit_close(subjects->kvm);
	free(subjects->kvm);
	thaw_lean_stop(subjects->lean);
	thaw_spawn_close(subjects->cat);
	thaw_peers_stop(&subjects->peers);
	thaw_echo_stop(subjects->hand_over);
	thaw_echo_stop(subjects->echo);
	thaw_measurer_stop(subjects->opener);
	thaw_measurer_stop(subjects->standing);
	if (subjects->program_fd >= 0)
		close(subjects->program_fd);
	*subjects = (struct thaw_subjects){.program_fd = -1};
}
