/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's figures, taken in a jailed child from a real image of a real function: each one is
 * there, and they stand to each other as they must. Not Criterion: its children are not the
 * single-threaded process that an engine is opened in.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/figures/idle_memory.h"
#include "bench/figures/measurer.h"
#include "snapshot-format/base/cleanup.h"

#define ROUNDS 10u

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

static uint64_t median(struct thaw_measurer *measurer, enum thaw_measurement what, const char *name,
		       uint64_t response_length)
{
	struct thaw_samples samples = {0};
	struct thaw_percentiles percentiles;
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_measured measured;

	for (unsigned i = 0; i < ROUNDS; i++) {
		must(thaw_measurer_ask(measurer, what, 0, &measured, &err), name, &err);
		check(measured.response_length == response_length, "the function answered");
		check(measured.backend == THAW_BACKEND_PROCESS,
		      "on the backend that was asked for");
		must(thaw_samples_add(&samples, measured.value, &err), name, &err);
	}
	thaw_samples_percentiles(&samples, &percentiles);
	thaw_samples_finish(&samples);
	printf("%-12s p50 %9llu ns, max %9llu ns\n", name, (unsigned long long)percentiles.p50,
	       (unsigned long long)percentiles.max);
	return percentiles.p50;
}

static void check_idle_memory(struct thaw_measurer *measurer)
{
	struct thaw_idle_memory memory = {0};
	struct thaw_percentiles private;
	struct thaw_error err = THAW_ERROR_INIT;

	must(thaw_idle_memory_take(measurer, 16, &memory, &err), "idle memory", &err);
	/* The one that the pool figure keeps ready is weighed too: it is idle like the others. */
	check(memory.private.count == 17, "each clone was weighed");
	thaw_samples_percentiles(&memory.private, &private);
	printf("idle clone   p50 %9llu bytes\n", (unsigned long long)private.p50);
	check(private.p50 > 4096 && private.p50 < (8 << 20), "a clone has pages, and not many");
	thaw_idle_memory_finish(&memory);
}

int main(int argc, char **argv)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_bench_program program;
	struct thaw_bench_function function = {.name = "function"};
	struct thaw_measurer *standing, *opener;
	uint64_t cold, disk, memory, pool, length;

	check(argc == 3, "usage: engine_figures_test PROGRAM RESPONSE-LENGTH");
	length = strtoull(argv[2], NULL, 10);
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
	check(pool > 0 && memory > 0 && disk > 0 && cold > 0, "time passes");
	check(pool < cold && pool < disk, "a standing instance is the fastest");
	check_idle_memory(standing);
	thaw_measurer_stop(opener);
	thaw_measurer_stop(standing);
	close(function.program_fd);
	close(function.image_fd);
	return 0;
}
