/* SPDX-License-Identifier: Apache-2.0 */
/* The costs of single primitives of the host. */
#include "bench/limits/host_limits.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/kvm/bare_exit.h"
#include "bench/peers/peer_files.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"

#define PAGE	    4096u
#define FAULT_PAGES 256u
#define EXITS	    100u

/* ---- A page ---- */

int thaw_page_fault_measure(void *context, uint64_t *ns, struct thaw_error *err)
{
	static const uint8_t content[(size_t)FAULT_PAGES * PAGE] = {1};
	static const size_t length = sizeof(content);
	thaw_autoclose int fd = memfd_create("thaw-bench-pages", MFD_CLOEXEC);
	volatile uint8_t *pages = MAP_FAILED;
	uint64_t start;

	(void)context;
	/* The file's pages exist, as an image's do. They are written: a page that is only
	 * allocated is cleared at its first touch. */
	if (fd >= 0 && pwrite(fd, content, length, 0) == (ssize_t)length)
		pages = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (pages == MAP_FAILED)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot map pages to write");
	start = thaw_monotonic_ns();
	for (size_t i = 0; i < FAULT_PAGES; i++)
		pages[i * PAGE] = 1;
	*ns = (thaw_monotonic_ns() - start) / FAULT_PAGES;
	munmap((void *)(uintptr_t)pages, length);
	return 0;
}

/* ---- A process ---- */

struct thaw_lean {
	int fd;
	pid_t pid;
};

int thaw_lean_start(const char *executable_dir, struct thaw_lean **out, struct thaw_error *err)
{
	char program[4096], *const args[] = {(char[]){"lean"}, NULL}, *const env[] = {NULL};
	thaw_autoclose int ours = -1, theirs = -1;
	struct thaw_lean *lean;
	int ends[2];

	if (thaw_peer_file(executable_dir, "lean", X_OK, program, sizeof(program)))
		return thaw_fail(err, THAW_ERR_FAILURE, "its helper program is missing");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot make a socket");
	ours = ends[0];
	theirs = ends[1];
	lean = calloc(1, sizeof(*lean));
	if (!lean)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, ENOMEM, "cannot start %s", program);
	lean->pid = fork();
	if (lean->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(theirs, STDIN_FILENO);
		execve(program, args, env);
		_exit(127);
	}
	if (lean->pid < 0) {
		free(lean);
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot start %s", program);
	}
	lean->fd = thaw_take_fd(&ours);
	*out = lean;
	return 0;
}

void thaw_lean_stop(struct thaw_lean *lean)
{
	if (!lean)
		return;
	close(lean->fd);
	kill(lean->pid, SIGKILL);
	while (waitpid(lean->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(lean);
}

int thaw_lean_measure(void *context, uint64_t *ns, struct thaw_error *err)
{
	struct thaw_lean *lean = context;
	char go = 1;

	if (send(lean->fd, &go, 1, MSG_NOSIGNAL) != 1 ||
	    recv(lean->fd, ns, sizeof(*ns), MSG_WAITALL) != (ssize_t)sizeof(*ns) || !*ns)
		return thaw_fail(err, THAW_ERR_FAILURE, "its helper program ended");
	return 0;
}

/* ---- Virtual machines ---- */

static int kvm_fail(struct thaw_error *err)
{
	return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "KVM does not work here");
}

int thaw_kvm_create_vm_measure(void *context, uint64_t *ns, struct thaw_error *err)
{
	thaw_autoclose int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	thaw_autoclose int vm = -1;
	uint64_t start = thaw_monotonic_ns();

	(void)context;
	vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0L);
	*ns = thaw_monotonic_ns() - start;
	return vm < 0 ? kvm_fail(err) : 0;
}

int thaw_kvm_create_vcpu_measure(void *context, uint64_t *ns, struct thaw_error *err)
{
	thaw_autoclose int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	thaw_autoclose int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0L);
	thaw_autoclose int vcpu = -1;
	uint64_t start = thaw_monotonic_ns();

	(void)context;
	vcpu = vm < 0 ? -1 : ioctl(vm, KVM_CREATE_VCPU, 0L);
	*ns = thaw_monotonic_ns() - start;
	return vcpu < 0 ? kvm_fail(err) : 0;
}

int thaw_kvm_exit_measure(void *context, uint64_t *ns, struct thaw_error *err)
{
	struct bare_exit *bare = context;
	uint64_t start = thaw_monotonic_ns();

	for (unsigned i = 0; i < EXITS; i++)
		if (bare_exit_run(bare))
			return kvm_fail(err);
	*ns = (thaw_monotonic_ns() - start) / EXITS;
	return 0;
}
