/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run measures, in one table: the names are promised to programs (docs/benchmarks.md), the
 * order is that of every report. A figure's limit is what the same host, in the same run, needs for
 * the least that could be called the same; `none` where there is no such thing.
 */
#ifndef THAW_BENCH_FIGURES_H
#define THAW_BENCH_FIGURES_H

#include <stdbool.h>

#include "bench/base/config.h"
#include "bench/base/samples.h"

/* X(identifier, name, unit, limit, what it is). A name that ends in ".c" goes on with the number of
 * clients of the run. */
#define THAW_BENCH_FIGURES(X)                                                                      \
	X(cold, "cold", "ns", echo, "boot to first response")                                      \
	X(cold_create, "cold.create", "ns", none, "  opening the backend")                         \
	X(cold_load, "cold.load", "ns", none, "  loading the program")                             \
	X(cold_boot, "cold.boot", "ns", none, "  its boot to the ready point")                     \
	X(cold_answer, "cold.answer", "ns", none, "  first clone to first response")               \
	X(disk, "thaw.disk", "ns", cat, "image file to first response")                            \
	X(disk_create, "thaw.disk.create", "ns", none, "  opening the backend")                    \
	X(disk_load, "thaw.disk.load", "ns", cat, "  reading and unpacking the image")             \
	X(disk_answer, "thaw.disk.answer", "ns", none, "  first clone to first response")          \
	X(memory, "thaw.memory", "ns", echo, "loaded image to first response")                     \
	X(shell, "thaw.shell", "ns", echo, "a machine made ahead, to first response")              \
	X(pool, "thaw.pool", "ns", echo, "ready instance to response")                             \
	X(recycled, "thaw.recycled", "ns", echo, "recycled instance to response")                  \
	X(recycle, "thaw.recycle", "ns", none, "putting a spent instance back")                    \
	X(invoke, "invoke", "ns", echo, "whole invocation, by name")                               \
	X(worker, "invoke.worker", "ns", none, "  of that, in the worker")                         \
	X(run, "invoke.run", "ns", none, "  of that, in the guest and to it")                      \
	X(invoke_between, "invoke.interleaved", "ns", echo_between,                                \
	  "one at a time, after all else")                                                         \
	X(invoke_open, "invoke.open", "ns", echo_open, "arrival-timed, late ones charged")         \
	X(invoke_many, "invoke.c", "ns", echo_many, "many clients, back to back")                  \
	X(rate_invoke, "throughput.invoke", "per-second", rate_limit, "sustained, fresh state")    \
	X(echo, "limit.unix-echo", "ns", none, "bare AF_UNIX echo")                                \
	X(echo_between, "limit.unix-echo.interleaved", "ns", none,                                 \
	  "one at a time, after all else")                                                         \
	X(echo_open, "limit.unix-echo.open", "ns", none, "the same arrivals")                      \
	X(echo_many, "limit.unix-echo.c", "ns", none, "many clients, back to back")                \
	X(hand_over, "limit.hand-over", "ns", none, "echo through a waiting process")              \
	X(clone, "limit.clone", "ns", none, "clone+exit+wait, an almost empty process")            \
	X(fault, "limit.page-fault", "ns", none, "a write to a private page of a file")            \
	X(cat, "limit.cat-image", "ns", none, "cat of the image file")                             \
	X(kvm_exit, "limit.kvm-exit", "ns", none, "bare KVM exit and re-entry")                    \
	X(kvm_vm, "limit.kvm-create-vm", "ns", none, "KVM_CREATE_VM")                              \
	X(kvm_vcpu, "limit.kvm-create-vcpu", "ns", none, "KVM_CREATE_VCPU")                        \
	X(rate_echo, "throughput.unix-echo", "per-second", none, "the echo, many clients")         \
	X(rate_hand_over, "throughput.hand-over", "per-second", none, "hand-over, many clients")   \
	X(rate_limit, "limit.throughput", "per-second", none, "hand-over and clone on all cores")  \
	X(spawn, "peer.spawn", "ns", echo, "the same program, a process each")                     \
	X(prefork, "peer.prefork", "ns", echo, "the same program, pre-forked, shared state")       \
	X(prefork_many, "peer.prefork.c", "ns", echo_many, "many clients, back to back")           \
	X(rate_prefork, "throughput.prefork", "per-second", rate_limit, "pre-forked, many")        \
	X(wasm, "peer.wasm", "ns", echo, "a WebAssembly instance each, within node")               \
	X(wasm_many, "peer.wasm.c", "ns", echo_many, "many clients, back to back")                 \
	X(rate_wasm, "throughput.wasm", "per-second", rate_limit, "WebAssembly, many")             \
	X(qemu, "peer.qemu-restore", "ns", echo, "a saved machine, restored by QEMU each")         \
	X(criu, "peer.criu-restore", "ns", echo, "a dumped process, restored by criu each")        \
	X(idle, "memory.idle-clone", "bytes", none, "an idle clone, system-wide")                  \
	X(idle_rss, "memory.idle-clone.rss", "bytes", none, "  its own pages and tables")          \
	X(active, "memory.active-clone", "bytes", none, "one that has answered, system-wide")

#define THAW_ENUM_FIGURE(identifier, name, unit, limit, what) THAW_FIGURE_##identifier,
enum thaw_figure { THAW_FIGURE_none = -1, THAW_BENCH_FIGURES(THAW_ENUM_FIGURE) THAW_FIGURE_COUNT };

/* Peers that a user named come after the table's. */
#define THAW_BENCH_FIGURES_MAX ((unsigned)THAW_FIGURE_COUNT + THAW_BENCH_PEERS_MAX)

struct thaw_bench_figure {
	char name[64];
	char text[80];	  /* what it is, for people */
	const char *unit; /* static: "ns", "bytes", "per-second" */
	enum thaw_figure limit;
	struct thaw_percentiles values; /* a count of 0: absent */
	struct thaw_distribution distribution;
	/* The medians of the run's fifths: how far apart the lowest and the highest are, of the
	 * whole's; -1 where there are too few samples. */
	double spread;
};

/* Fills FIGURES[THAW_BENCH_FIGURES_MAX] with names, absent; CLIENTS is the run's many. */
void thaw_figures_init(struct thaw_bench_figure *figures, unsigned clients);

/* Takes percentiles, distribution and spread of SAMPLES, which come in the order of their taking
 * and are sorted after. */
void thaw_figure_take(struct thaw_bench_figure *figure, struct thaw_samples *samples);

/* The figure's median over its limit's; 0 where one of them is absent. For rates too: above 1 is
 * faster than the limit. */
double thaw_figure_ratio(const struct thaw_bench_figure *figures,
			 const struct thaw_bench_figure *figure);

#endif
