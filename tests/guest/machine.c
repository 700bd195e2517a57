/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See machine.h. The program file is ours and trusted, so it is parsed without checks.
 *
 * Everything below run_child() happens in a child that becomes the guest: its memory is laid out as
 * abi.h says, and then it is entered. The child's clones report through memory that they share with
 * the test.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "guest-stub/include/thaw/abi.h"
#include "tests/guest/machine.h"

#define SPANS_MAX 1024

struct span {
	uintptr_t start;
	size_t length;
	uint8_t *copy; /* of a writable span, as at the ready point */
};

/* Variables of the child. */
static const struct machine *machine;
static const struct machine_request *requests, *request;
static size_t request_count, request_done;
static struct machine_outcome *outcome; /* of the running process: the boot or a clone */
static struct machine_outcome *outcomes;
static struct span spans[SPANS_MAX];
static size_t span_count, mapped;
static bool ready;

static struct thaw_mailbox *mailbox(void)
{
	return (struct thaw_mailbox *)THAW_MAILBOX;
}

static void die(const char *what)
{
	perror(what);
	_exit(99);
}

static void map_fixed(uintptr_t start, size_t length, int prot)
{
	void *got = mmap((void *)start, length, prot,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (got != (void *)start)
		die("machine: mmap");
}

static void add_span(uintptr_t start, size_t length)
{
	if (span_count == SPANS_MAX)
		die("machine: too many spans");
	spans[span_count++] = (struct span){start, length, NULL};
}

/* ---- Hypercalls ---- */

static void append_response(size_t length)
{
	size_t room = MACHINE_RESPONSE_MAX - outcome->response_length;

	if (length > THAW_WINDOW_SIZE || length > room)
		raise(SIGXFSZ);
	memcpy(outcome->response + outcome->response_length, mailbox()->response_window, length);
	outcome->response_length += length;
}

static void append_log(size_t length)
{
	size_t used = strlen(outcome->log);

	if (length > THAW_LOG_LINE_MAX)
		raise(SIGSYS);
	if (used + length + 2 > MACHINE_LOG_MAX)
		return;
	memcpy(outcome->log + used, mailbox()->scratch, length);
	outcome->log[used + length] = '\n';
}

static void count_changed_pages(void)
{
	for (size_t i = 0; i < span_count; i++)
		for (size_t at = 0; spans[i].copy && at < spans[i].length; at += THAW_PAGE_SIZE)
			outcome->pages_changed += memcmp((void *)(spans[i].start + at),
							 spans[i].copy + at, THAW_PAGE_SIZE) != 0;
}

static void finish(enum machine_end end, int status)
{
	outcome->end = end;
	outcome->status = status;
	if (ready)
		count_changed_pages();
	_exit(0);
}

static long put_request_piece(void)
{
	size_t left = request->length - request_done;
	size_t take = left < THAW_WINDOW_SIZE ? left : THAW_WINDOW_SIZE;

	if (take > 0)
		memcpy(mailbox()->request_window, (const uint8_t *)request->bytes + request_done,
		       take);
	request_done += take;
	return (long)take;
}

static uint64_t now(clockid_t which)
{
	struct timespec time;

	clock_gettime(which, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void put_clock(void)
{
	/* A sixteenth of a nanosecond for each tick is slower than any processor, so that computed
	 * time never overtakes requested time. */
	mailbox()->request.clock = (struct thaw_clock){
		.tsc_base = __rdtsc(),
		.wall_ns = now(CLOCK_REALTIME),
		.monotonic_ns = now(CLOCK_MONOTONIC),
		.mult = machine->no_tsc ? 0 : 1u << 16,
		.shift = 20,
	};
}

static void put_request(size_t index)
{
	struct thaw_request_header *header = &mailbox()->request;

	request = &requests[index];
	request_done = 0;
	outcome = &outcomes[index];
	header->generation = index + 1;
	header->length = request->length;
	header->window_length = (uint64_t)put_request_piece();
	header->deadline_ns = 12345;
	put_clock();
	if (getrandom(header->seed, sizeof(header->seed), 0) != (ssize_t)sizeof(header->seed))
		die("machine: getrandom");
}

static void copy_writable(void)
{
	for (size_t i = 0; i < span_count; i++) {
		spans[i].copy = malloc(spans[i].length);
		if (!spans[i].copy)
			die("machine: malloc");
		memcpy(spans[i].copy, (void *)spans[i].start, spans[i].length);
	}
}

/* The ready point: forks for each request, and returns in the forks. */
static void serve_all(void)
{
	ready = true;
	copy_writable();
	for (size_t i = 0; i < request_count; i++) {
		pid_t pid = fork();
		int status;

		if (pid < 0)
			die("machine: fork");
		if (pid == 0) {
			put_request(i);
			alarm(request->seconds ? request->seconds : 10);
			return;
		}
		if (waitpid(pid, &status, 0) != pid)
			die("machine: waitpid");
		if (WIFSIGNALED(status)) {
			outcomes[i].end = MACHINE_KILLED;
			outcomes[i].status = WTERMSIG(status);
		}
	}
	ready = false; /* the boot itself is not counted */
	finish(MACHINE_FINISHED, 0);
}

static long hypercall(long number)
{
	struct thaw_call call = mailbox()->call;

	outcome->exits++;
	if (call.number != (uint32_t)number)
		raise(SIGSYS);
	switch (number) {
	case THAW_HYPERCALL_next:
		if (ready) {
			append_response(call.length);
			finish(MACHINE_FINISHED, (int)call.status);
		}
		serve_all();
		return 0;
	case THAW_HYPERCALL_read:
		return put_request_piece();
	case THAW_HYPERCALL_write:
		append_response(call.length);
		return 0;
	case THAW_HYPERCALL_log:
		append_log(call.length);
		return 0;
	case THAW_HYPERCALL_random:
		if (call.length > THAW_RANDOM_MAX)
			raise(SIGSYS);
		return getrandom(mailbox()->scratch, call.length, 0) < 0 ? THAW_EAGAIN : 0;
	case THAW_HYPERCALL_call:
		return THAW_ENOTGRANTED;
	case THAW_HYPERCALL_exit:
		append_response(call.length);
		finish(MACHINE_EXITED, (int)call.status);
		break;
	case THAW_HYPERCALL_abort:
		append_log(call.length);
		finish(MACHINE_ABORTED, 0);
		break;
	default:
		raise(SIGSYS);
	}
	return THAW_EINVAL;
}

/* ---- Shim calls ---- */

static bool in_region(const struct thaw_shim_memory *memory)
{
	uint64_t end;

	return memory->start % THAW_PAGE_SIZE == 0 && memory->length % THAW_PAGE_SIZE == 0 &&
	       memory->length > 0 && memory->start >= THAW_REGION_BASE &&
	       !__builtin_add_overflow(memory->start, memory->length, &end) &&
	       end <= THAW_REGION_END && (memory->prot & 6) != 6;
}

static long map_pages(const struct thaw_shim_memory *memory)
{
	void *start = (void *)memory->start;

	if (mapped + memory->length > machine->memory_limit)
		return THAW_ENOMEM;
	if (mmap(start, memory->length, (int)memory->prot,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != start)
		return -errno;
	mapped += memory->length;
	if (!ready)
		add_span(memory->start, memory->length);
	return 0;
}

static long unmap_pages(const struct thaw_shim_memory *memory)
{
	/* A clone's changes are counted over the spans: memory that was unmapped must not be read
	 * again. */
	for (size_t i = 0; i < span_count; i++)
		if (memory->start < spans[i].start + spans[i].length &&
		    spans[i].start < memory->start + memory->length)
			spans[i].length =
				memory->start > spans[i].start ? memory->start - spans[i].start : 0;
	mapped -= memory->length;
	return munmap((void *)memory->start, memory->length);
}

static long shim_call(long number, void *argument)
{
	struct thaw_shim_clock *clock = argument;
	struct thaw_shim_memory memory;

	if (number == THAW_SHIM_CALL_clock) {
		clock->wall_ns = now(CLOCK_REALTIME);
		clock->monotonic_ns = now(CLOCK_MONOTONIC);
		return 0;
	}
	if (number < THAW_SHIM_CALL_map || number > THAW_SHIM_CALL_protect)
		return THAW_EINVAL;
	memcpy(&memory, argument, sizeof(memory));
	if (!in_region(&memory))
		return THAW_EINVAL;
	if (number == THAW_SHIM_CALL_map)
		return map_pages(&memory);
	if (number == THAW_SHIM_CALL_unmap)
		return unmap_pages(&memory);
	return mprotect((void *)memory.start, memory.length, (int)memory.prot) == 0 ? 0 : -errno;
}

static long gate(long number, void *argument)
{
	return number < THAW_SHIM_CALL_map ? hypercall(number) : shim_call(number, argument);
}

/* ---- Laying out ---- */

static void load_segment(int fd, const Elf64_Phdr *segment)
{
	uintptr_t start = segment->p_vaddr & ~(THAW_PAGE_SIZE - 1);
	uintptr_t end =
		(segment->p_vaddr + segment->p_memsz + THAW_PAGE_SIZE - 1) & ~(THAW_PAGE_SIZE - 1);
	int prot = (segment->p_flags & PF_R ? PROT_READ : 0) |
		   (segment->p_flags & PF_W ? PROT_WRITE : 0) |
		   (segment->p_flags & PF_X ? PROT_EXEC : 0);

	map_fixed(start, end - start, PROT_READ | PROT_WRITE);
	if (pread(fd, (void *)segment->p_vaddr, segment->p_filesz, (off_t)segment->p_offset) !=
	    (ssize_t)segment->p_filesz)
		die("machine: pread");
	if (mprotect((void *)start, end - start, prot) < 0)
		die("machine: mprotect");
	mapped += end - start;
	if (prot & PROT_WRITE)
		add_span(start, end - start);
}

static uintptr_t load_program(void)
{
	int fd = open(machine->program, O_RDONLY | O_CLOEXEC);
	Elf64_Ehdr header;

	if (fd < 0 || pread(fd, &header, sizeof(header), 0) != sizeof(header))
		die(machine->program);
	for (unsigned i = 0; i < header.e_phnum; i++) {
		Elf64_Phdr segment;

		if (pread(fd, &segment, sizeof(segment),
			  (off_t)(header.e_phoff + i * sizeof(segment))) != sizeof(segment))
			die("machine: program headers");
		if (segment.p_type == PT_LOAD)
			load_segment(fd, &segment);
	}
	close(fd);
	return header.e_entry;
}

static char *push_text(uintptr_t *top, const char *text)
{
	*top -= strlen(text) + 1;
	return strcpy((char *)*top, text);
}

/* Makes the stack of a new System V process. Returns its pointer. */
static uintptr_t make_stack(void)
{
	uintptr_t top = THAW_STACK_TOP;
	size_t extra = 0, at = 0;
	uintptr_t *words;

	map_fixed(THAW_STACK_TOP - THAW_STACK_SIZE, THAW_STACK_SIZE, PROT_READ | PROT_WRITE);
	add_span(THAW_STACK_TOP - THAW_STACK_SIZE, THAW_STACK_SIZE);
	mapped += THAW_STACK_SIZE;
	while (machine->args && machine->args[extra])
		extra++;
	/* Below the strings: argc, arguments and NULL, an empty environment's NULL, the end of an
	 * auxiliary vector. */
	words = (uintptr_t *)((THAW_STACK_TOP - 4096 - (extra + 8) * sizeof(*words)) &
			      ~(uintptr_t)63);
	words[at++] = 1 + extra;
	words[at++] = (uintptr_t)push_text(&top, machine->program);
	for (size_t i = 0; i < extra; i++)
		words[at++] = (uintptr_t)push_text(&top, machine->args[i]);
	return (uintptr_t)words;
}

static void make_gate(void)
{
	uint8_t code[] = {0x48, 0xb8, 0, 0, 0,	  0,
			  0,	0,    0, 0, 0xff, 0xe0}; /* movabs $gate, %rax; jmp *%rax */
	long (*function)(long, void *) = gate;

	memcpy(code + 2, &function, sizeof(function));
	map_fixed(THAW_GATE, THAW_PAGE_SIZE, PROT_READ | PROT_WRITE);
	memcpy((void *)THAW_GATE, code, sizeof(code));
	if (mprotect((void *)THAW_GATE, THAW_PAGE_SIZE, PROT_READ | PROT_EXEC) < 0)
		die("machine: gate");
	map_fixed(THAW_MAILBOX, THAW_MAILBOX_SIZE, PROT_READ | PROT_WRITE);
}

static void run_child(void)
{
	uintptr_t entry, stack;

	/* A test's crashes must leave no core file, and nothing may outlive the test. */
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int signal_number = 1; signal_number < 32; signal_number++)
		signal(signal_number, SIG_DFL);
	outcome = &outcomes[request_count];
	entry = load_program();
	stack = make_stack();
	make_gate();
	put_clock();
	__asm__ volatile("mov %0, %%rsp; jmp *%1" ::"r"(stack), "r"(entry) : "memory");
	__builtin_unreachable();
}

struct machine_outcome *machine_run(const struct machine *config,
				    const struct machine_request *list, size_t count)
{
	static struct machine with_defaults;
	pid_t pid;
	int status;

	with_defaults = *config;
	if (with_defaults.memory_limit == 0)
		with_defaults.memory_limit = (size_t)64 << 20;
	machine = &with_defaults;
	requests = list;
	request_count = count;
	outcomes = mmap(NULL, (count + 1) * sizeof(*outcomes), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (outcomes == MAP_FAILED)
		abort();
	pid = fork();
	if (pid == 0)
		run_child();
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		abort();
	if (WIFSIGNALED(status)) {
		outcomes[count].end = MACHINE_KILLED;
		outcomes[count].status = WTERMSIG(status);
	} else if (WEXITSTATUS(status) != 0) {
		abort();
	}
	return outcomes;
}

void machine_free(struct machine_outcome *list, size_t count)
{
	munmap(list, (count + 1) * sizeof(*list));
}
