/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's figures, taken in a jailed child from a real image of a real function: each figure
 * measures what its name says, and the figures have the right order. Not Criterion: its children
 * are not the single-threaded process that an engine is opened in.
 *
 * With `counter` more than nine rounds show that each answer comes from a fresh instance: the tenth
 * answer of one instance has two digits.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/function/idle_memory.h"
#include "bench/function/measurer.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"

#define ROUNDS 12u

static void must(int failed, const char *what, const struct thaw_error *err)
{
	if (!failed)
		return;
	fprintf(stderr, "%s: %s\n", what, err->message);
	exit(1);
}

static void check(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "does not hold: %s\n", what);
	exit(1);
}

/* Freezes PROGRAM to a temporary file without a name. */
static int freeze(const char *program)
{
	struct thaw_engine_config config = {.backend = THAW_BACKEND_PROCESS, .max_instances = 1};
	char *const args[] = {(char[]){"function"}, NULL}, *const env[] = {NULL};
	thaw_autoclose int program_fd = open(program, O_RDONLY | O_CLOEXEC);
	int image_fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct thaw_boot_config boot = {
		.name = "function",
		.program = program,
		.program_fd = program_fd,
		.args = args,
		.env = env,
		.memory_size = (uint64_t)64 << 20,
		.timeout_ns = UINT64_C(10000000000),
	};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_engine *engine;

	must(thaw_engine_open(&config, &engine, &err), "open", &err);
	must(thaw_engine_boot(engine, &boot, &err), "boot", &err);
	must(thaw_engine_write(engine, image_fd, 1, NULL, NULL, NULL, &err), "save", &err);
	thaw_engine_close(engine);
	return image_fd;
}

/* A whole start, and a recycled one, have exactly their stages. */
static void check_stages(const struct thaw_measured *measured, enum thaw_measurement what)
{
	bool whole = what == THAW_MEASURE_COLD || what == THAW_MEASURE_DISK;
	const uint64_t *stage_ns = measured->stage_ns;

	check(!whole == !stage_ns[THAW_STAGE_CREATE], "a whole start opens a backend");
	check(!whole == !stage_ns[THAW_STAGE_LOAD], "a whole start loads something");
	check(!whole == !stage_ns[THAW_STAGE_ANSWER], "a whole start has an answer");
	check((what == THAW_MEASURE_COLD) == (stage_ns[THAW_STAGE_BOOT] > 0),
	      "a cold start boots, and no other does");
	check(what == THAW_MEASURE_RECYCLED || !stage_ns[THAW_STAGE_RECYCLE],
	      "a recycled one alone is put back");
	for (unsigned i = 0; whole && i < THAW_STAGES; i++)
		check(stage_ns[i] <= measured->value, "a stage is a part of the whole");
}

static uint64_t median(struct thaw_measurer *measurer, enum thaw_measurement what, const char *name,
		       uint64_t response_length)
{
	struct thaw_samples samples = {0};
	struct thaw_percentiles percentiles;
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_measured measured;
	unsigned put_back = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t began = thaw_monotonic_ns();

		must(thaw_measurer_ask(measurer, what, 0, &measured, &err), name, &err);
		check(measured.value > 0 && measured.value <= thaw_monotonic_ns() - began,
		      "the time is within the asking");
		check(measured.response_length == response_length && measured.exit_code == 0,
		      "a fresh instance answered");
		check(measured.backend == THAW_BACKEND_PROCESS,
		      "on the backend that was asked for");
		check_stages(&measured, what);
		put_back += measured.stage_ns[THAW_STAGE_RECYCLE] > 0;
		must(thaw_samples_add(&samples, measured.value, &err), name, &err);
	}
	check(what != THAW_MEASURE_RECYCLED || put_back > ROUNDS / 2, "it was put back");
	thaw_samples_percentiles(&samples, &percentiles);
	thaw_samples_finish(&samples);
	printf("%-12s p50 %9llu ns, max %9llu ns\n", name, (unsigned long long)percentiles.p50,
	       (unsigned long long)percentiles.max);
	return percentiles.p50;
}

/* A container may allow no procfs, without which nothing is recycled. */
static bool can_recycle(struct thaw_measurer *measurer)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_measured measured;

	if (!thaw_measurer_ask(measurer, THAW_MEASURE_RECYCLED, 0, &measured, &err))
		return true;
	check(strstr(err.message, "makes a new instance instead"), err.message);
	printf("thaw.recycled is left out: %s\n", err.message);
	return false;
}

static void check_idle_memory(struct thaw_measurer *measurer, bool recycles)
{
	struct thaw_idle_memory memory = {0};
	struct thaw_percentiles private;
	struct thaw_error err = THAW_ERROR_INIT;

	must(thaw_idle_memory_take(measurer, 16, &memory, &err), "idle memory", &err);
	/* The instances that the figures thaw.pool and thaw.recycled keep are weighed too. */
	check(memory.private.count == 17u + recycles, "each clone was weighed");
	thaw_samples_percentiles(&memory.private, &private);
	printf("idle clone   p50 %9llu bytes\n", (unsigned long long)private.p50);
	check(private.p50 > 4096 && private.p50 < (8 << 20), "a clone has pages, and not many");
	check(memory.system.count == memory.active.count, "each round was weighed idle and active");
	check(memory.system.count + memory.disturbed >= THAW_IDLE_MEMORY_ROUNDS ||
		      memory.system.count + memory.disturbed == THAW_IDLE_MEMORY_ATTEMPTS,
	      "no round is left out");
	thaw_idle_memory_finish(&memory);
}

int main(int argc, char **argv)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_bench_program program;
	struct thaw_bench_function function = {.name = "function"};
	struct thaw_measurer *standing, *opener;
	uint64_t cold, disk, memory, pool, recycled, length;
	bool recycles;

	check(argc == 4, "usage: engine_figures_test PROGRAM REQUEST RESPONSE-LENGTH");
	length = strtoull(argv[3], NULL, 10);
	function.request = argv[2];
	function.request_length = strlen(argv[2]);
	function.image_fd = freeze(argv[1]);
	function.program_fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	must(thaw_measurer_start(&function, &standing, &err), "standing", &err);
	must(thaw_measurer_start(&function, &opener, &err), "opener", &err);
	must(thaw_measurer_describe(standing, &program, &err), "description", &err);
	check(!strcmp(program.path, argv[1]), "the image names its program");
	check(program.arg_count == 1 && !strcmp(program.args, "function"), "and its arguments");
	cold = median(opener, THAW_MEASURE_COLD, "cold", length);
	disk = median(opener, THAW_MEASURE_DISK, "thaw.disk", length);
	memory = median(standing, THAW_MEASURE_MEMORY, "thaw.memory", length);
	pool = median(standing, THAW_MEASURE_POOL, "thaw.pool", length);
	recycles = can_recycle(standing);
	recycled = recycles ? median(standing, THAW_MEASURE_RECYCLED, "thaw.recycled", length) : 0;
	/* Each does all that the previous one does, and more. Making an instance takes several
	 * times as long as a short run in it. */
	check(2 * pool < memory && 2 * recycled < memory,
	      "an instance that stands ready is not made");
	check(memory < disk, "an image in memory is not loaded");
	check(disk < cold, "an image is not booted");
	check_idle_memory(standing, recycles);
	thaw_measurer_stop(opener);
	thaw_measurer_stop(standing);
	close(function.program_fd);
	close(function.image_fd);
	return 0;
}
