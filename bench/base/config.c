/* SPDX-License-Identifier: Apache-2.0 */
/* What every part of a run derives from its configuration. */
#include "bench/base/config.h"

#include <stdarg.h>
#include <stdio.h>

void thaw_bench_note(const struct thaw_bench_config *config, const char *format, ...)
{
	char text[1280];
	va_list args;

	if (!config->note)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	config->note(config->context, text);
}

unsigned thaw_bench_clients_most(const struct thaw_bench_config *config)
{
	return config->clients > THAW_BENCH_SWEEP_CLIENTS ? config->clients
							  : THAW_BENCH_SWEEP_CLIENTS;
}
