/* SPDX-License-Identifier: Apache-2.0 */
/* Starts the peers that this machine offers, and notes why the others are absent. */
#include "bench/peers/peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/peers/criu.h"
#include "bench/peers/peer_files.h"
#include "bench/peers/qemu.h"
#include "bench/peers/server.h"
#include "bench/peers/spawn.h"

static char *const no_env[] = {NULL};

/* What every function here works with. */
struct starting {
	const struct thaw_bench_config *config;
	const struct thaw_peers_function *function;
	struct thaw_peers *peers;
};

/* A peer whose answer differs in length from the function's does other work: the report says so. */
static void compare_length(const struct starting *starting, const char *peer, uint64_t length)
{
	uint64_t expected = starting->function->measured->response_length;

	if (length != expected)
		thaw_bench_note(starting->config, "peer.%s answers %llu bytes, the function %llu",
				peer, (unsigned long long)length, (unsigned long long)expected);
}

/* ---- A process for each request ---- */

static void split_args(const struct starting *starting)
{
	struct thaw_bench_program *program = starting->function->program;
	char *at = program->args;

	for (uint32_t i = 0; i < program->arg_count; i++, at += strlen(at) + 1)
		starting->peers->spawn_args[i] = at;
}

static void compare_spawn(const struct starting *starting)
{
	const struct thaw_measured *function = starting->function->measured;
	int exit_code;
	size_t length;

	thaw_spawn_last(starting->peers->spawn, &exit_code, &length);
	if (exit_code != function->exit_code || length != function->response_length)
		thaw_bench_note(starting->config,
				"%s answers %zu bytes with exit code %d, the function %llu with %d",
				starting->peers->spawn_program, length, exit_code,
				(unsigned long long)function->response_length, function->exit_code);
}

static void start_spawn(const struct starting *starting)
{
	const struct thaw_bench_config *config = starting->config;
	struct thaw_peers *peers = starting->peers;
	const char *program = starting->function->program->path;
	struct thaw_error error = THAW_ERROR_INIT;
	const struct thaw_spawn_config spawn = {
		.program = peers->spawn_program,
		.args = peers->spawn_args,
		/* Not the image's: it would let an image choose what a host program loads. */
		.env = no_env,
		.request = config->request,
		.request_length = config->request_length,
	};
	uint64_t unused;

	if (!*program)
		return;
	if (thaw_spawn_find(program, config->executable_dir, peers->spawn_program,
			    sizeof(peers->spawn_program))) {
		thaw_bench_note(config,
				"peer.spawn is absent: no %s-linux, the same "
				"program as an ordinary one",
				program);
		return;
	}
	split_args(starting);
	if (thaw_spawn_open(&spawn, &peers->spawn, &error) ||
	    thaw_spawn_measure(peers->spawn, &unused, &error)) {
		thaw_spawn_close(peers->spawn);
		peers->spawn = NULL;
		thaw_bench_note(config, "peer.spawn is absent: %s", error.message);
		return;
	}
	compare_spawn(starting);
}

/* ---- Servers ---- */

/* Runs the program that peer.spawn found. */
static void start_prefork(const struct starting *starting)
{
	const struct thaw_bench_config *config = starting->config;
	struct thaw_peers *peers = starting->peers;
	struct thaw_error error = THAW_ERROR_INIT;
	char servers[32];
	char *const env[] = {servers, NULL};
	const struct thaw_server_config prefork = {
		.program = peers->spawn_program,
		.args = peers->spawn_args,
		.env = env,
		.programs = 1,
		.request = config->request,
		.request_length = config->request_length,
	};

	/* One server for each client, and one for single requests. */
	snprintf(servers, sizeof(servers), "THAW_PREFORK=%u", thaw_bench_clients_most(config) + 1);
	if (peers->spawn && thaw_server_start(&prefork, &peers->prefork, &error))
		thaw_bench_note(config, "peer.prefork is absent: %s", error.message);
}

/* The base name of the function's program: the build names its peers after it. */
static const char *base_name(const struct starting *starting)
{
	const char *path = starting->function->program->path;
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int find_wasm(const struct starting *starting, struct thaw_error *err)
{
	struct thaw_peers *peers = starting->peers;
	const char *dir = starting->config->executable_dir;
	char module[300];

	snprintf(module, sizeof(module), "%.255s.wasm", base_name(starting));
	if (thaw_peer_program("node", peers->node, sizeof(peers->node)))
		return thaw_fail(err, THAW_ERR_FAILURE, "node is not installed");
	if (thaw_peer_file(dir, module, R_OK, peers->wasm_module, sizeof(peers->wasm_module)) ||
	    thaw_peer_file(dir, "wasm_server.js", R_OK, peers->wasm_script,
			   sizeof(peers->wasm_script)))
		return thaw_fail(err, THAW_ERR_FAILURE,
				 "there is no %s, which clang and lld make from the function",
				 module);
	return 0;
}

/* One server for each processor: each is one thread, and one alone would leave the others idle. */
static unsigned wasm_servers(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (cores < 1)
		return 1;
	return cores > THAW_SERVER_PROGRAMS_MAX ? THAW_SERVER_PROGRAMS_MAX : (unsigned)cores;
}

static void start_wasm(const struct starting *starting)
{
	static char name[] = "node";
	const struct thaw_bench_config *config = starting->config;
	struct thaw_peers *peers = starting->peers;
	struct thaw_error error = THAW_ERROR_INIT;
	char *const args[] = {name, peers->wasm_script, peers->wasm_module, NULL};
	const struct thaw_server_config wasm = {
		.program = peers->node,
		.args = args,
		.env = no_env,
		.stream = true,
		.programs = wasm_servers(),
		.request = config->request,
		.request_length = config->request_length,
	};

	if (find_wasm(starting, &error) || thaw_server_start(&wasm, &peers->wasm, &error))
		thaw_bench_note(config, "peer.wasm is absent: %s", error.message);
	else
		compare_length(starting, "wasm", thaw_server_response_length(peers->wasm));
}

/* ---- Restored machines and processes ---- */

static int try_qemu(const struct starting *starting, bool kvm, struct thaw_error *err)
{
	struct thaw_peers *peers = starting->peers;
	const struct thaw_qemu_config qemu = {
		.program = peers->qemu_program,
		.firmware = peers->qemu_firmware,
		.kvm = kvm,
		.request = starting->config->request,
		.request_length = starting->config->request_length,
	};
	uint64_t unused;

	if (thaw_qemu_open(&qemu, &peers->qemu, err))
		return -1;
	if (thaw_qemu_measure(peers->qemu, &unused, err) == 0)
		return 0;
	thaw_qemu_close(peers->qemu);
	peers->qemu = NULL;
	return -1;
}

/* /dev/kvm may exist and not work: then QEMU emulates. */
static void start_qemu(const struct starting *starting)
{
	const struct thaw_bench_config *config = starting->config;
	struct thaw_peers *peers = starting->peers;
	bool kvm = access("/dev/kvm", R_OK | W_OK) == 0;
	struct thaw_error error = THAW_ERROR_INIT;

	if (thaw_peer_program("qemu-system-x86_64", peers->qemu_program,
			      sizeof(peers->qemu_program))) {
		thaw_bench_note(config, "peer.qemu-restore is absent: QEMU is not installed");
		return;
	}
	if (thaw_peer_file(config->executable_dir, "machine.bin", R_OK, peers->qemu_firmware,
			   sizeof(peers->qemu_firmware))) {
		thaw_bench_note(config, "peer.qemu-restore is absent: there is no machine.bin");
		return;
	}
	if (kvm && try_qemu(starting, true, &error)) {
		thaw_bench_note(config, "peer.qemu-restore: not under KVM: %s", error.message);
		kvm = false;
	}
	if (!peers->qemu && try_qemu(starting, false, &error)) {
		thaw_bench_note(config, "peer.qemu-restore is absent: %s", error.message);
		return;
	}
	thaw_bench_note(config,
			"peer.qemu-restore: %s; its machine is not the function but a few "
			"instructions of firmware that answer like hello",
			kvm ? "under KVM" : "emulated by TCG, for want of /dev/kvm");
}

static void start_criu(const struct starting *starting)
{
	const struct thaw_bench_config *config = starting->config;
	struct thaw_peers *peers = starting->peers;
	struct thaw_error error = THAW_ERROR_INIT;
	const struct thaw_criu_config criu = {
		.criu = peers->criu_program,
		.program = peers->spawn_program,
		.args = peers->spawn_args,
		.request = config->request,
		.request_length = config->request_length,
	};
	uint64_t unused;

	if (!peers->spawn)
		return; /* a note has said so */
	if (thaw_peer_program("criu", peers->criu_program, sizeof(peers->criu_program))) {
		thaw_bench_note(config, "peer.criu-restore is absent: criu is not installed");
		return;
	}
	if (thaw_criu_open(&criu, &peers->criu, &error) ||
	    thaw_criu_measure(peers->criu, &unused, &error)) {
		thaw_criu_close(peers->criu);
		peers->criu = NULL;
		thaw_bench_note(config, "peer.criu-restore is absent: %s", error.message);
	}
}

/* ---- Peers that the caller named ---- */

static void start_named(const struct starting *starting, size_t index)
{
	static char shell[] = "sh", option[] = "-c";
	const struct thaw_bench_config *config = starting->config;
	const char *name = config->peers[index].name;
	struct thaw_spawn **out = &starting->peers->named[index];
	char **args = starting->peers->named_args[index];
	struct thaw_error error = THAW_ERROR_INIT;
	const struct thaw_spawn_config peer = {
		.program = "/bin/sh",
		.args = args,
		.env = environ,
		.request = config->request,
		.request_length = config->request_length,
	};
	size_t length;
	int exit_code;
	uint64_t unused;

	args[0] = shell;
	args[1] = option;
	args[2] = strdup(config->peers[index].command);
	if (!args[2] || thaw_spawn_open(&peer, out, &error) ||
	    thaw_spawn_measure(*out, &unused, &error)) {
		thaw_spawn_close(*out);
		*out = NULL;
		thaw_bench_note(config, "peer.%s is absent: %s", name, error.message);
		return;
	}
	thaw_spawn_last(*out, &exit_code, &length);
	if (exit_code)
		thaw_bench_note(config, "peer.%s exits with %d", name, exit_code);
	else
		compare_length(starting, name, length);
}

void thaw_peers_start(const struct thaw_bench_config *config,
		      const struct thaw_peers_function *function, struct thaw_peers *peers)
{
	const struct starting starting = {config, function, peers};

	start_spawn(&starting);
	start_prefork(&starting);
	for (size_t i = 0; i < config->peer_count; i++)
		start_named(&starting, i);
	if (!config->all_peers)
		return;
	start_wasm(&starting);
	start_qemu(&starting);
	start_criu(&starting);
}

void thaw_peers_stop(struct thaw_peers *peers)
{
	for (size_t i = 0; i < THAW_BENCH_PEERS_MAX; i++) {
		thaw_spawn_close(peers->named[i]);
		free(peers->named_args[i][2]);
	}
	thaw_criu_close(peers->criu);
	thaw_qemu_close(peers->qemu);
	thaw_server_stop(peers->wasm);
	thaw_server_stop(peers->prefork);
	thaw_spawn_close(peers->spawn);
	*peers = (struct thaw_peers){0};
}
