/* SPDX-License-Identifier: Apache-2.0 */
/* Starting the peers that are to be had, and saying why the others are not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/peers/criu.h"
#include "bench/peers/peer_files.h"
#include "bench/peers/qemu.h"
#include "bench/peers/server.h"
#include "bench/peers/spawn.h"
#include "bench/subjects.h"

static char *const no_env[] = {NULL};

/* A peer whose answer has another length than the function's does other work, and is told. */
static void compare_length(const struct thaw_bench_config *config,
			   const struct thaw_subjects *subjects, const char *peer, uint64_t length)
{
	if (length != subjects->first.response_length)
		thaw_bench_note(config, "peer.%s answers %llu bytes, the function %llu", peer,
				(unsigned long long)length,
				(unsigned long long)subjects->first.response_length);
}

static void split_args(struct thaw_subjects *subjects)
{
	char *at = subjects->program.args;

	for (uint32_t i = 0; i < subjects->program.arg_count; i++, at += strlen(at) + 1)
		subjects->spawn_args[i] = at;
}

static void start_spawn(const struct thaw_bench_config *config, struct thaw_subjects *subjects)
{
	const char *program = subjects->program.path;
	struct thaw_error error = THAW_ERROR_INIT;
	struct thaw_spawn_config spawn = {
		.program = subjects->spawn_program,
		.args = subjects->spawn_args,
		/* Not the image's: that would let an image choose what a host program loads. */
		.env = no_env,
		.request = config->request,
		.request_length = config->request_length,
	};
	int exit_code;
	size_t length;
	uint64_t unused;

	if (!*program)
		return;
	if (thaw_spawn_find(program, config->executable_dir, subjects->spawn_program,
			    sizeof(subjects->spawn_program))) {
		thaw_bench_note(
			config,
			"peer.spawn is absent: no %s-linux, the same program as an ordinary one",
			program);
		return;
	}
	split_args(subjects);
	if (thaw_spawn_open(&spawn, &subjects->spawn, &error) ||
	    thaw_spawn_measure(subjects->spawn, &unused, &error)) {
		thaw_spawn_close(subjects->spawn);
		subjects->spawn = NULL;
		thaw_bench_note(config, "peer.spawn is absent: %s", error.message);
		return;
	}
	thaw_spawn_last(subjects->spawn, &exit_code, &length);
	if (exit_code != subjects->first.exit_code || length != subjects->first.response_length)
		thaw_bench_note(config,
				"%s answers %zu bytes with exit code %d, the function %llu with %d",
				subjects->spawn_program, length, exit_code,
				(unsigned long long)subjects->first.response_length,
				subjects->first.exit_code);
}

/* ---- Servers ---- */

/* The program that peer.spawn found, once more. */
static void start_prefork(const struct thaw_bench_config *config, struct thaw_subjects *subjects)
{
	struct thaw_error error = THAW_ERROR_INIT;
	char servers[32];
	char *const env[] = {servers, NULL};
	const struct thaw_server_config prefork = {
		.program = subjects->spawn_program,
		.args = subjects->spawn_args,
		.env = env,
		.programs = 1,
		.request = config->request,
		.request_length = config->request_length,
	};

	/* And one for single requests. */
	snprintf(servers, sizeof(servers), "THAW_PREFORK=%u", thaw_subjects_clients(config) + 1);
	if (subjects->spawn && thaw_server_start(&prefork, &subjects->prefork, &error))
		thaw_bench_note(config, "peer.prefork is absent: %s", error.message);
}

/* The base name of the function's program: what the build's peers are called after. */
static const char *base_name(const struct thaw_subjects *subjects)
{
	const char *slash = strrchr(subjects->program.path, '/');

	return slash ? slash + 1 : subjects->program.path;
}

static int find_wasm(const struct thaw_bench_config *config, struct thaw_subjects *subjects,
		     struct thaw_error *err)
{
	const char *dir = config->executable_dir;
	char module[300];

	snprintf(module, sizeof(module), "%.255s.wasm", base_name(subjects));
	if (thaw_peer_program("node", subjects->node, sizeof(subjects->node)))
		return thaw_fail(err, THAW_ERR_FAILURE, "node is not installed");
	if (thaw_peer_file(dir, module, R_OK, subjects->wasm_module,
			   sizeof(subjects->wasm_module)) ||
	    thaw_peer_file(dir, "wasm_server.js", R_OK, subjects->wasm_script,
			   sizeof(subjects->wasm_script)))
		return thaw_fail(err, THAW_ERR_FAILURE,
				 "there is no %s, which clang and lld make of the function",
				 module);
	return 0;
}

/* One server for each processor: each is one thread, and would leave the others idle. */
static void start_wasm(const struct thaw_bench_config *config, struct thaw_subjects *subjects)
{
	static char name[] = "node";
	struct thaw_error error = THAW_ERROR_INIT;
	char *const args[] = {name, subjects->wasm_script, subjects->wasm_module, NULL};
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	const struct thaw_server_config wasm = {
		.program = subjects->node,
		.args = args,
		.env = no_env,
		.stream = true,
		.programs = cores < 1			       ? 1
			    : cores > THAW_SERVER_PROGRAMS_MAX ? THAW_SERVER_PROGRAMS_MAX
							       : (unsigned)cores,
		.request = config->request,
		.request_length = config->request_length,
	};

	if (find_wasm(config, subjects, &error) ||
	    thaw_server_start(&wasm, &subjects->wasm, &error))
		thaw_bench_note(config, "peer.wasm is absent: %s", error.message);
	else
		compare_length(config, subjects, "wasm",
			       thaw_server_response_length(subjects->wasm));
}

/* ---- What is restored ---- */

static int try_qemu(const struct thaw_bench_config *config, struct thaw_subjects *subjects,
		    bool kvm, struct thaw_error *err)
{
	const struct thaw_qemu_config qemu = {
		.program = subjects->qemu_program,
		.firmware = subjects->qemu_firmware,
		.kvm = kvm,
		.request = config->request,
		.request_length = config->request_length,
	};
	uint64_t unused;

	if (thaw_qemu_open(&qemu, &subjects->qemu, err))
		return -1;
	if (thaw_qemu_measure(subjects->qemu, &unused, err) == 0)
		return 0;
	thaw_qemu_close(subjects->qemu);
	subjects->qemu = NULL;
	return -1;
}

/* The device may be there and not work: then it is emulated, too. */
static void start_qemu(const struct thaw_bench_config *config, struct thaw_subjects *subjects)
{
	bool kvm = access("/dev/kvm", R_OK | W_OK) == 0;
	struct thaw_error error = THAW_ERROR_INIT;

	if (thaw_peer_program("qemu-system-x86_64", subjects->qemu_program,
			      sizeof(subjects->qemu_program))) {
		thaw_bench_note(config, "peer.qemu-restore is absent: QEMU is not installed");
		return;
	}
	if (thaw_peer_file(config->executable_dir, "machine.bin", R_OK, subjects->qemu_firmware,
			   sizeof(subjects->qemu_firmware))) {
		thaw_bench_note(config, "peer.qemu-restore is absent: there is no machine.bin");
		return;
	}
	if (kvm && try_qemu(config, subjects, true, &error)) {
		thaw_bench_note(config, "peer.qemu-restore: not under KVM: %s", error.message);
		kvm = false;
	}
	if (!subjects->qemu && try_qemu(config, subjects, false, &error)) {
		thaw_bench_note(config, "peer.qemu-restore is absent: %s", error.message);
		return;
	}
	thaw_bench_note(config,
			"peer.qemu-restore: %s; its machine is a few instructions of "
			"firmware that answer like hello, and not the function",
			kvm ? "under KVM" : "emulated by TCG, for want of /dev/kvm");
}

static void start_criu(const struct thaw_bench_config *config, struct thaw_subjects *subjects)
{
	struct thaw_error error = THAW_ERROR_INIT;
	const struct thaw_criu_config criu = {
		.criu = subjects->criu_program,
		.program = subjects->spawn_program,
		.args = subjects->spawn_args,
		.request = config->request,
		.request_length = config->request_length,
	};
	uint64_t unused;

	if (!subjects->spawn)
		return; /* a note has said so */
	if (thaw_peer_program("criu", subjects->criu_program, sizeof(subjects->criu_program))) {
		thaw_bench_note(config, "peer.criu-restore is absent: criu is not installed");
		return;
	}
	if (thaw_criu_open(&criu, &subjects->criu, &error) ||
	    thaw_criu_measure(subjects->criu, &unused, &error)) {
		thaw_criu_close(subjects->criu);
		subjects->criu = NULL;
		thaw_bench_note(config, "peer.criu-restore is absent: %s", error.message);
	}
}

/* ---- Peers that were named ---- */

static void start_named(const struct thaw_bench_config *config, struct thaw_subjects *subjects)
{
	for (size_t i = 0; i < config->peer_count; i++) {
		static char shell[] = "sh", option[] = "-c";
		struct thaw_error error = THAW_ERROR_INIT;
		char **args = subjects->peer_args[i];
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
		args[2] = strdup(config->peers[i].command);
		if (!args[2] || thaw_spawn_open(&peer, &subjects->peers[i], &error) ||
		    thaw_spawn_measure(subjects->peers[i], &unused, &error)) {
			thaw_spawn_close(subjects->peers[i]);
			subjects->peers[i] = NULL;
			thaw_bench_note(config, "peer.%s is absent: %s", config->peers[i].name,
					error.message);
			continue;
		}
		thaw_spawn_last(subjects->peers[i], &exit_code, &length);
		if (exit_code)
			thaw_bench_note(config, "peer.%s ends with %d", config->peers[i].name,
					exit_code);
		else
			compare_length(config, subjects, config->peers[i].name, length);
	}
}

void thaw_subjects_start_peers(const struct thaw_bench_config *config,
			       struct thaw_subjects *subjects)
{
	start_spawn(config, subjects);
	start_prefork(config, subjects);
	start_named(config, subjects);
	if (!config->all_peers)
		return;
	start_wasm(config, subjects);
	start_qemu(config, subjects);
	start_criu(config, subjects);
}

void thaw_subjects_stop_peers(struct thaw_subjects *subjects)
{
	for (size_t i = 0; i < THAW_BENCH_PEERS_MAX; i++) {
		thaw_spawn_close(subjects->peers[i]);
		free(subjects->peer_args[i][2]);
	}
	thaw_criu_close(subjects->criu);
	thaw_qemu_close(subjects->qemu);
	thaw_server_stop(subjects->wasm);
	thaw_server_stop(subjects->prefork);
	thaw_spawn_close(subjects->spawn);
}
