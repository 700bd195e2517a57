/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of the front without a daemon: names and files of the registry, kept memory files, delays,
 * and a worker process that breaks off. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest-stub/include/thaw/abi.h"
#include "pool/front/internal.h"

static char base[64];
static int directory;

static void setup(void)
{
	strcpy(base, "/tmp/thaw-front-XXXXXX");
	cr_assert_not_null(mkdtemp(base));
	directory = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void teardown(void)
{
	char command[128];

	close(directory);
	snprintf(command, sizeof(command), "rm -rf %s", base);
	cr_assert_eq(system(command), 0);
}

TestSuite(front_parts, .init = setup, .fini = teardown);

static int put(const char *name, const char *text)
{
	int fd = openat(directory, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

Test(front_parts, image_file_names)
{
	static const char *const wrong[] = {"a",       "a.tha",	  ".thaw",   "A.thaw", "a b.thaw",
					    "-a.thaw", ".a.thaw", "a.thaw~", "",       "thaw"};
	char name[THAW_NAME_MAX + 1], longest[80];

	cr_assert(thaw_image_file_name("hello.thaw", name));
	cr_assert_str_eq(name, "hello");
	cr_assert(thaw_image_file_name("a.b-c_9.thaw", name));
	cr_assert_str_eq(name, "a.b-c_9");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_assert_not(thaw_image_file_name(wrong[i], name), "%s", wrong[i]);
	memset(longest, 'a', 63);
	strcpy(longest + 63, ".thaw");
	cr_assert(thaw_image_file_name(longest, name));
	memset(longest, 'a', 64);
	strcpy(longest + 64, ".thaw");
	cr_assert_not(thaw_image_file_name(longest, name));
}

static enum thaw_error_kind open_kind(const char *name, struct thaw_identity *identity)
{
	struct thaw_error err = THAW_ERROR_INIT;
	int fd;

	if (thaw_image_file_open(directory, name, &fd, identity, &err) < 0)
		return err.kind;
	close(fd);
	return THAW_OK;
}

Test(front_parts, only_plain_files_of_ours_are_images)
{
	struct thaw_identity identity;
	int fd;

	cr_assert_eq(open_kind("none", &identity), THAW_ERR_NOT_FOUND);
	close(put("plain.thaw", "x"));
	cr_assert_eq(open_kind("plain", &identity), THAW_OK);
	cr_assert_eq(symlinkat("plain.thaw", directory, "link.thaw"), 0);
	cr_assert_eq(open_kind("link", &identity), THAW_ERR_IMAGE);
	cr_assert_eq(mkdirat(directory, "dir.thaw", 0700), 0);
	cr_assert_eq(open_kind("dir", &identity), THAW_ERR_IMAGE);
	cr_assert_eq(mkfifoat(directory, "pipe.thaw", 0600), 0);
	cr_assert_eq(open_kind("pipe", &identity), THAW_ERR_IMAGE, "and does not hang");
	if (geteuid() == 0) {
		fd = put("other.thaw", "x");
		cr_assert_eq(fchown(fd, 12345, 12345), 0);
		close(fd);
		cr_assert_eq(open_kind("other", &identity), THAW_ERR_IMAGE);
	}
}

Test(front_parts, a_file_is_told_from_its_successor)
{
	struct thaw_identity before, after;

	close(put("f.thaw", "x"));
	cr_assert_eq(open_kind("f", &before), THAW_OK);
	cr_assert_eq(open_kind("f", &after), THAW_OK);
	cr_assert(thaw_identity_equal(&before, &after));
	close(put("new", "y"));
	cr_assert_eq(renameat(directory, "new", directory, "f.thaw"), 0);
	cr_assert_eq(open_kind("f", &after), THAW_OK);
	cr_assert_not(thaw_identity_equal(&before, &after));
}

static bool exists(const char *name)
{
	return faccessat(directory, name, F_OK, 0) == 0;
}

static struct thaw_memory_file open_memory(const char *name, int image)
{
	struct thaw_memory_file file;
	struct thaw_error err = THAW_ERROR_INIT;

	cr_assert_eq(thaw_memory_open(directory, name, image, &file, &err), 0, "%s", err.message);
	return file;
}

Test(front_parts, a_memory_file_has_a_name_only_when_filled)
{
	int image = put("image", "header one");
	struct thaw_memory_file file = open_memory("f", image), again;
	struct stat st;

	cr_assert_not(file.filled);
	cr_assert_not(exists(file.name));
	cr_assert_eq(fstat(file.read_fd, &st), 0);
	cr_assert_eq((uint64_t)st.st_size, THAW_REGION_END);
	cr_assert_lt(write(file.read_fd, "x", 1), 0);
	cr_assert_eq(pwrite(file.write_fd, "data", 4, 4096), 4);
	thaw_memory_commit(directory, "f", &file);
	cr_assert(exists(file.name));
	again = open_memory("f", image);
	cr_assert(again.filled);
	cr_assert_lt(again.write_fd, 0, "a filled file is not opened for writing again");
	thaw_memory_close(&again);
	thaw_memory_close(&file);
	close(image);
}

Test(front_parts, memory_files_of_other_images_of_the_function_go)
{
	int one = put("one", "header one"), two = put("two", "header two");
	struct thaw_memory_file first = open_memory("f", one), second, other;

	thaw_memory_commit(directory, "f", &first);
	other = open_memory("f-g", one);
	thaw_memory_commit(directory, "f-g", &other);
	second = open_memory("f", two);
	cr_assert_not(second.filled);
	cr_assert_str_neq(first.name, second.name);
	thaw_memory_commit(directory, "f", &second);
	cr_assert_not(exists(first.name));
	cr_assert(exists(second.name));
	cr_assert(exists(other.name), "another function's");
	thaw_memory_forget(directory, "f", NULL);
	cr_assert_not(exists(second.name));
	cr_assert(exists(other.name));
	thaw_memory_close(&first);
	thaw_memory_close(&second);
	thaw_memory_close(&other);
}

Test(front_parts, a_memory_file_that_could_be_changed_is_not_used)
{
	int image = put("image", "header one");
	struct thaw_memory_file file = open_memory("f", image), again;

	thaw_memory_commit(directory, "f", &file);
	cr_assert_eq(fchmodat(directory, file.name, 0600, 0), 0);
	again = open_memory("f", image);
	cr_assert_not(again.filled);
	thaw_memory_close(&again);
	thaw_memory_close(&file);
}

Test(front_parts, delays_double_up_to_their_bound)
{
	const uint64_t ms = 1000000;

	cr_assert_eq(thaw_function_delay_ns(0, false), 0);
	cr_assert_eq(thaw_function_delay_ns(1, false), 100 * ms);
	cr_assert_eq(thaw_function_delay_ns(2, false), 200 * ms);
	cr_assert_eq(thaw_function_delay_ns(7, false), 6400 * ms);
	cr_assert_eq(thaw_function_delay_ns(8, false), 10000 * ms);
	cr_assert_eq(thaw_function_delay_ns(UINT32_MAX, false), 10000 * ms);
	cr_assert_eq(thaw_function_delay_ns(3, true), 400 * ms);
	cr_assert_eq(thaw_function_delay_ns(50, true), 400 * ms);
}

/* A worker that has closed its control socket and its output pipe, and lives on. */
static void start_silent_worker(struct thaw_child *child)
{
	int control[2], output[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
	cr_assert_eq(pipe2(output, O_CLOEXEC | O_NONBLOCK), 0);
	*child = (struct thaw_child){.pid = fork()};
	cr_assert_geq(child->pid, 0);
	if (child->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(control[0]);
		close(control[1]);
		close(output[0]);
		close(output[1]);
		for (;;)
			pause();
	}
	close(control[1]);
	close(output[1]);
	child->words.fd = control[0];
	child->output.fd = output[0];
	child->death.fd = (int)syscall(SYS_pidfd_open, child->pid, 0);
	cr_assert_geq(child->death.fd, 0);
}

/* Until the worker has closed its end of FD. */
static void wait_for_end(int fd)
{
	struct pollfd end = {.fd = fd};

	cr_assert_eq(poll(&end, 1, 30000), 1);
	cr_assert(end.revents & POLLHUP);
}

static int wait_status(const struct thaw_child *child)
{
	int status;

	cr_assert_eq(waitpid(child->pid, &status, 0), child->pid);
	return status;
}

/* The end of a stream leaves errno as it was; EAGAIN is what the loop's last call left there. */
Test(front_parts, a_worker_that_closes_its_control_socket_is_killed, .timeout = 60)
{
	struct thaw_child child;
	int status;

	start_silent_worker(&child);
	wait_for_end(child.words.fd);
	errno = EAGAIN;
	thaw_child_words(&child.words, 0);
	cr_assert_lt(child.words.fd, 0, "the loop would watch a socket that is always readable");
	status = wait_status(&child);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

Test(front_parts, an_output_pipe_that_a_worker_closed_is_watched_no_longer, .timeout = 60)
{
	struct thaw_child child;

	start_silent_worker(&child);
	wait_for_end(child.output.fd);
	errno = EAGAIN;
	thaw_child_output(&child.output, 0);
	cr_assert_lt(child.output.fd, 0, "the loop would watch a pipe that is always readable");
	cr_assert_eq(waitpid(child.pid, NULL, WNOHANG), 0, "a worker may be silent");
	thaw_child_kill(&child);
	wait_status(&child);
}

Test(front_parts, a_worker_that_has_nothing_to_say_is_left_alone, .timeout = 60)
{
	struct thaw_child child = {.death.fd = -1};
	int control[2], output[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
	cr_assert_eq(pipe2(output, O_CLOEXEC | O_NONBLOCK), 0);
	child.words.fd = control[0];
	child.output.fd = output[0];
	errno = 0;
	thaw_child_words(&child.words, 0);
	thaw_child_output(&child.output, 0);
	cr_assert_eq(child.words.fd, control[0]);
	cr_assert_eq(child.output.fd, output[0]);
}
