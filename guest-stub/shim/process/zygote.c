/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The zygote maps the image's memory privately, is sealed, and forks a clone of itself for each
 * order. It never touches guest memory, so that fork() has no page tables of it to copy and each
 * clone starts from the image alone.
 */
#include <cpuid.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "guest-stub/shim/process/rest.h"
#include "guest-stub/shim/process/shim.h"
#include "guest-stub/shim/process/sys.h"

_Static_assert(MAILBOX == THAW_MAILBOX && TURN_GUEST == THAW_TURN_GUEST &&
		       TURN_DEAD == THAW_TURN_DEAD && offsetof(struct thaw_mailbox, turn) == 0 &&
		       offsetof(struct thaw_mailbox, up) == 4,
	       "the assembly's numbers are the ABI's");

/* Newer than some headers. */
#define MADV_POPULATE_READ_  22
#define MADV_POPULATE_WRITE_ 23

/* For 4,096 processors; clones on a larger machine sleep where they happen to be. */
#define CPU_WORDS 64

/* What a clone needs of the control block, which it unmaps. Fork copies it with the zygote's
 * memory. */
static uint64_t arena_size;
static struct shim_prefault prefault[SHIM_PREFAULT_MAX];
static uint32_t prefault_count;
static bool records;
static long worker_pid;
static uint64_t all_cpus[CPU_WORDS]; /* the processors that the zygote may run on */
static long all_cpus_size;

/* Writes without a read first: the read would map the page read-only, and the write fault again. */
static void touch(volatile uint8_t *byte, bool write)
{
	if (write)
		__atomic_fetch_or(byte, 0, __ATOMIC_RELAXED);
	else
		(void)*byte;
}

/* Prefaults PAGES in one call where the kernel can (5.14), and otherwise by a fault for each.
 * Touches them in either case: a hypervisor that shadows page tables maps them only then, and
 * elsewhere it costs nothing. */
static void touch_pages(const struct shim_prefault *pages)
{
	uint64_t length = pages->pages * THAW_PAGE_SIZE;

	if (shim_is_early) /* the host brings these before all others */
		shim_early_open(pages->start, pages->start + length);
	if (pages->pages > 1)
		sys3(SYS_madvise, (long)pages->start, (long)length,
		     pages->write ? MADV_POPULATE_WRITE_ : MADV_POPULATE_READ_);
	for (uint64_t at = 0; at < length; at += THAW_PAGE_SIZE)
		touch((volatile uint8_t *)pages->start + at, pages->write);
}

/* Prefaults the pages that every invocation touches, before any caller waits for them. */
static void prefault_pages(struct thaw_mailbox *mailbox)
{
	volatile uint8_t stack = 0; /* on the shim's stack, whose page the registers share */

	touch(&stack, true);
	touch(mailbox->request_window, false);
	touch((volatile uint8_t *)&mailbox->call, true);
	for (uint32_t i = 0; i < prefault_count; i++)
		touch_pages(&prefault[i]);
}

/* Processors: a hand-over and back costs 10 us on the same processor, and 77 us on another that
 * idles (in a virtual machine, where a wake-up is an exit or two). So a clone sleeps at its home,
 * the processor of the thread that will wake it. Forks and the first steps of clones, which no
 * caller waits for, happen elsewhere. */
static bool is_home(uint32_t cpu)
{
	uint32_t here;

	/* The kernel keeps the processor's number in TSC_AUX, below its node's; RDTSCP reads it. */
	__asm__ volatile("rdtscp" : "=c"(here) : : "rax", "rdx");
	return (here & 0xfff) == cpu;
}

static bool usable(uint32_t cpu)
{
	return all_cpus_size > 0 && cpu < CPU_WORDS * 64 && (all_cpus[cpu / 64] >> cpu % 64 & 1);
}

/* Moves to CPU, and stays there until the host lets the clone run elsewhere. */
static void settle(uint32_t cpu)
{
	uint64_t there[CPU_WORDS] = {0};

	if (!usable(cpu))
		return;
	there[cpu / 64] = UINT64_C(1) << cpu % 64;
	sys3(SYS_sched_setaffinity, 0, all_cpus_size, (long)there);
}

/* Keeps off CPU from now on. Where it is the only processor the kernel refuses, which is fine. */
static void avoid(uint32_t cpu)
{
	uint64_t others[CPU_WORDS];

	if (!usable(cpu) || !is_home(cpu))
		return;
	memcpy(others, all_cpus, sizeof(others));
	others[cpu / 64] &= ~(UINT64_C(1) << cpu % 64);
	sys3(SYS_sched_setaffinity, 0, all_cpus_size, (long)others);
}

/* Unmaps what is left of the arena in a clone; a recording clone keeps its notes. */
static long drop_arena(void)
{
	uint64_t kept = records ? SHIM_NOTES_SIZE : 0;
	uint64_t behind = SHIM_NOTES_OFFSET + kept;
	long error = sys_munmap(SHIM_ARENA_ADDRESS, SHIM_NOTES_OFFSET);

	return error ? error : sys_munmap(SHIM_ARENA_ADDRESS + behind, arena_size - behind);
}

_Noreturn static void become_clone(const struct shim_control *control, uint32_t slot, uint32_t cpu,
				   bool early)
{
	static const struct rlimit none = {0, 0};
	struct thaw_mailbox *mailbox = SHIM_MAILBOX;
	uint64_t own = SHIM_ARENA_ADDRESS + SHIM_SLOT_OFFSET(slot);

	if (early)
		shim_early_begin(control);
	/* Before anything of the guest runs: moves the own mailbox to its place, and unmaps the
	 * control block and every other mailbox. */
	if (sys6(SYS_mremap, (long)own, THAW_MAILBOX_SIZE, THAW_MAILBOX_SIZE,
		 MREMAP_MAYMOVE | MREMAP_FIXED, (long)mailbox, 0) != (long)mailbox ||
	    drop_arena())
		sys_exit(1);
	/* Forbids further forks by a limit: the filter cannot tell a clone from the zygote. */
	if (sys6(SYS_prlimit64, 0, RLIMIT_NPROC, (long)&none, 0, 0, 0))
		sys_exit(1);
	/* Without a PID namespace that ends with the worker, the worker's death must end this
	 * clone. */
	if (sys3(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0) ||
	    sys3(SYS_getppid, 0, 0, 0) != worker_pid)
		sys_exit(1);

	if (shim_entries.end && shim_dispatch_arm())
		sys_exit(1);
	prefault_pages(mailbox);
	if (records)
		shim_record_begin(&((struct shim_control *)SHIM_ARENA_ADDRESS)->notes);
	settle(cpu);
	__atomic_store_n(&mailbox->up, UP_FRESH, __ATOMIC_RELEASE);
	shim_rest_new();
}

/* Mends mappings that an invocation has changed. A step that fails is ignored: the host examines
 * the result anyway. */
void shim_mend(void)
{
	struct thaw_mailbox *mailbox = SHIM_MAILBOX;
	const struct shim_repair *step = (const struct shim_repair *)mailbox->request_window;

	for (; step->kind != SHIM_REPAIR_END; step++) {
		if (step->kind == SHIM_REPAIR_UNMAP)
			sys_munmap(step->start, step->length);
		else if (step->kind == SHIM_REPAIR_MAP)
			sys_mmap(step->start, step->length, step->prot,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		else
			sys3(SYS_mprotect, (long)step->start, (long)step->length, step->prot);
	}
	__atomic_store_n(&mailbox->turn, THAW_TURN_HOST, __ATOMIC_RELEASE);
	sys_futex_wake(&mailbox->turn);
}

/* Removes what an invocation can have left in kernel and processor, beside general registers. */
void shim_woken(void)
{
	shim_dispatch_arm();
	shim_segments_restore();
	shim_vector_load();
	SHIM_MAILBOX->up = UP_FRESH;
}

/* CLONE_PARENT makes the worker the parent, so that it alone reaps and kills. CLONE_PARENT_SETTID
 * puts the pid into the control block before the clone runs. */
static long fork_clone(int32_t *pid)
{
	return sys6(SYS_clone, CLONE_PARENT | CLONE_PARENT_SETTID | SIGCHLD, 0, (long)pid, 0, 0, 0);
}

static void report_lost(uint32_t slot, int32_t *pid, long error)
{
	struct thaw_mailbox *mailbox =
		(struct thaw_mailbox *)(SHIM_ARENA_ADDRESS + SHIM_SLOT_OFFSET(slot));

	__atomic_store_n(pid, (int32_t)error, __ATOMIC_RELEASE);
	__atomic_store_n(&mailbox->turn, THAW_TURN_DEAD, __ATOMIC_RELEASE);
	sys_futex_wake(&mailbox->turn);
}

_Noreturn static void serve(struct shim_control *control)
{
	uint32_t made = 0;

	for (;;) {
		/* Acquire: the ring's entry was written before the count. */
		uint32_t ordered = __atomic_load_n(&control->ordered, __ATOMIC_ACQUIRE);

		if (made == ordered) {
			sys_futex_wait(&control->ordered, ordered);
			continue;
		}
		struct shim_order order = control->ring[made % SHIM_SLOTS_MAX];
		uint32_t slot = order.slot;
		long pid;

		if (!order.early) /* else the host has moved the zygote to the clone's home */
			avoid(order.cpu);
		pid = fork_clone(&control->pid[slot]);

		if (pid == 0)
			become_clone(control, slot, order.cpu, order.early);
		if (pid < 0)
			report_lost(slot, &control->pid[slot], pid);
		__atomic_store_n(&control->made, ++made, __ATOMIC_RELEASE);
	}
}

static bool has_rdtscp(void)
{
	unsigned eax, ebx, ecx, edx;

	return __get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && (edx >> 27 & 1);
}

_Noreturn void shim_zygote(struct shim_control *control)
{
	arena_size = control->size;
	prefault_count = control->prefault_count;
	records = control->record;
	memcpy(prefault, control->prefault, sizeof(prefault[0]) * prefault_count);
	worker_pid = sys3(SYS_getppid, 0, 0, 0);
	/* While it is empty, clones sleep where they happen to be. */
	if (has_rdtscp())
		all_cpus_size = sys3(SYS_sched_getaffinity, 0, sizeof(all_cpus), (long)all_cpus);

	shim_map_memory(control);
	shim_prepare(control);
	control->rest_point = (uint64_t)shim_rest_point;
	shim_seal(control);
	serve(control);
}
