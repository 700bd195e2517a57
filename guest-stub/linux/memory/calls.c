/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls about memory. */
#include <sys/mman.h>

#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/linux/memory/stash.h"
#include "guest-stub/linux/memory/user.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* From this size on, discarded pages are mapped anew instead of cleared by hand. */
#define DISCARD_BY_HAND (16 * THAW_PAGE_SIZE)

static uint64_t brk_start, brk_end;

void memory_set_brk(uint64_t start)
{
	brk_start = brk_end = start;
}

long sys_brk(const uint64_t *a)
{
	static const struct backing backing = {.name = "[heap]"};
	uint64_t old = page_up(brk_end), new = page_up(a[0]);

	if (a[0] < brk_start || a[0] >= LINUX_MMAP_TOP)
		return (long)brk_end;
	if (new > old && (!memory_is_free(old, new - old) ||
			  memory_map(old, new - old, PROT_READ | PROT_WRITE, &backing)))
		return (long)brk_end;
	if (new < old && memory_unmap(new, old - new))
		return (long)brk_end;
	brk_end = a[0];
	return (long)brk_end;
}

/* Fills pages from a file. Those beyond its end stay zero. */
static long fill_from(struct file *file, uint64_t start, uint64_t length, uint64_t offset)
{
	int64_t position = (int64_t)offset;

	while (length > 0) {
		long got =
			(file->operations->fill ? file->operations->fill : file->operations->read)(
				file, (void *)start, length, &position);

		if (got < 0)
			return got;
		if (got == 0)
			break;
		start += (uint64_t)got;
		length -= (uint64_t)got;
	}
	return 0;
}

/* As memory_map(), with the file's content. After an error nothing is mapped there, not even pages
 * that are more open than PROT. */
static long map_filled(uint64_t start, uint64_t length, int prot, const struct backing *backing)
{
	long error = memory_map(start, length, PROT_READ | PROT_WRITE, backing);

	if (error)
		return error;
	error = fill_from(backing->file, start, length, backing->offset);
	if (!error && prot != (PROT_READ | PROT_WRITE))
		error = memory_protect(start, length, prot);
	if (error)
		memory_unmap(start, length);
	return error;
}

static long map_file(uint64_t start, uint64_t length, int prot, const uint64_t *a)
{
	struct file *file = file_get((int)a[4]);
	struct backing backing = {
		.file = file, .offset = a[5], .shared = (a[3] & 0xf) != MAP_PRIVATE};
	long error;

	if (!file)
		return -EBADF;
	backing.name = file->path;
	if (!file->operations->mappable)
		error = -ENODEV;
	else if ((file->flags & 3) == 1 /* O_WRONLY */)
		error = -EACCES;
	else
		error = map_filled(start, length, prot, &backing);
	file_drop(file);
	return error;
}

static long map_nothing(uint64_t start, uint64_t length, int prot, int flags)
{
	const struct backing backing = {.shared = (flags & 0xf) != MAP_PRIVATE,
					.on_demand = flags & MAP_STACK};

	return memory_map(start, length, prot, &backing);
}

/* Chooses the address of a mapping; 0: there is no room. */
static uint64_t place(uint64_t hint, uint64_t length, int flags)
{
	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))
		return hint;
	if (flags & MAP_32BIT)
		return memory_find_below(length, 0x80000000ul);
	if (hint && memory_is_free(page_down(hint), length))
		return page_down(hint);
	return memory_find(length);
}

long sys_mmap(const uint64_t *a)
{
	uint64_t length = page_up(a[1]), start;
	int prot = (int)a[2] & 7, flags = (int)a[3], kind = flags & 0xf;
	long error;

	if (a[1] == 0 || a[5] % THAW_PAGE_SIZE ||
	    (kind != MAP_PRIVATE && kind != MAP_SHARED && kind != 3))
		return -EINVAL;
	if (length < a[1] || length > LINUX_MMAP_TOP)
		return -ENOMEM;
	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) && a[0] % THAW_PAGE_SIZE)
		return -EINVAL;
	start = place(a[0], length, flags);
	if (!start)
		return -ENOMEM;
	if (flags & MAP_FIXED_NOREPLACE && !(flags & MAP_FIXED) && !memory_is_free(start, length))
		return start + length > LINUX_MMAP_TOP ? -ENOMEM : -EEXIST;
	if (flags & MAP_ANONYMOUS)
		error = map_nothing(start, length, prot, flags);
	else
		error = map_file(start, length, prot, a);
	return error ? error : (long)start;
}

long sys_munmap(const uint64_t *a)
{
	if (a[0] % THAW_PAGE_SIZE || a[1] == 0)
		return -EINVAL;
	return memory_unmap(a[0], page_up(a[1]));
}

long sys_mprotect(const uint64_t *a)
{
	int prot = (int)a[2] & 7;

	if (a[0] % THAW_PAGE_SIZE)
		return -EINVAL;
	if (a[1] == 0)
		return 0;
	return memory_protect(a[0], page_up(a[1]), prot);
}

/* Whether [START, START + LENGTH) lies in one mapping, which is copied to OUT. */
static bool whole(uint64_t start, uint64_t length, struct mapping *out)
{
	const struct mapping *mapping = memory_at_or_above(start);

	/* Memory that flips may be in pieces, of which the program must not know. */
	if (mapping && prot_flips(mapping->prot) && !memory_flip(start, start + length, false))
		mapping = memory_at_or_above(start);
	/* A stack that was touched in part may be in pieces, too. */
	if (mapping && mapping->backing.on_demand && !memory_supply(start, start + length))
		mapping = memory_at_or_above(start);
	if (!mapping || mapping->start > start || mapping->end < start + length)
		return false;
	*out = *mapping;
	return true;
}

/* FROM's backing, as it is from ADDRESS on. */
static struct backing backing_at(const struct mapping *from, uint64_t address)
{
	struct backing backing = from->backing;

	backing.offset += address - from->start;
	return backing;
}

/* Maps what lies behind FROM's end at START. OLD is where it would lie if FROM only grew. */
static long grow(const struct mapping *from, uint64_t old, uint64_t start, uint64_t length)
{
	struct backing backing = backing_at(from, old);

	return backing.file ? map_filled(start, length, from->prot, &backing)
			    : memory_map(start, length, from->prot, &backing);
}

/* Maps the pages of [OLD, OLD + LENGTH), a part of FROM, at NEW, with their content. */
static long copy(const struct mapping *from, uint64_t old, uint64_t length, uint64_t new)
{
	struct backing backing = backing_at(from, old);
	int prot = from->present ? PROT_READ | PROT_WRITE : from->prot;
	long error = memory_map(new, length, prot, &backing);

	if (error)
		return error;
	if (from->present) {
		memcpy((void *)new, (const void *)old, length);
		return memory_protect(new, length, from->prot);
	}
	stash_move(old, old + length, new);
	return 0;
}

static long move(struct mapping *from, uint64_t old, uint64_t old_length, uint64_t new,
		 uint64_t new_length)
{
	uint64_t keep = old_length < new_length ? old_length : new_length;
	long error;

	/* Pages that are copied are touched. */
	if (from->present)
		from->backing.on_demand = false;
	error = copy(from, old, keep, new);
	if (!error && new_length > keep)
		error = grow(from, old + keep, new + keep, new_length - keep);
	if (!error)
		error = memory_unmap(old, old_length);
	if (!error)
		return (long)new;
	stash_move(new, new + keep, old);
	memory_unmap(new, new_length);
	return error;
}

long sys_mremap(const uint64_t *a)
{
	uint64_t old = a[0], old_length = page_up(a[1]), length = page_up(a[2]), new;
	struct mapping from;
	long error;

	if (old % THAW_PAGE_SIZE || length == 0 || old_length == 0 || length > LINUX_MMAP_TOP ||
	    a[3] & ~(uint64_t)(MREMAP_MAYMOVE | MREMAP_FIXED))
		return -EINVAL;
	if (old_length > LINUX_MMAP_TOP || old > LINUX_MMAP_TOP - old_length ||
	    !whole(old, old_length, &from))
		return -EFAULT;
	if (a[3] & MREMAP_FIXED) {
		new = a[4];
		if (!(a[3] & MREMAP_MAYMOVE) || new % THAW_PAGE_SIZE ||
		    (new < old + old_length &&old < new + length))
			return -EINVAL;
		return move(&from, old, old_length, new, length);
	}
	if (length <= old_length) {
		error = length < old_length ? memory_unmap(old + length, old_length - length) : 0;
		return error ? error : (long)old;
	}
	if (memory_is_free(old + old_length, length - old_length)) {
		error = grow(&from, old + old_length, old + old_length, length - old_length);
		return error ? error : (long)old;
	}
	new = a[3] & MREMAP_MAYMOVE ? memory_find(length) : 0;
	return new ? move(&from, old, old_length, new, length) : -ENOMEM;
}

/* Clears memory. Large pieces are mapped anew, so that the image does not keep their pages; small
 * ones are cleared by hand, which is cheaper. */
static long clear(const struct mapping *here, uint64_t from, uint64_t to)
{
	struct backing backing = backing_at(here, from);

	if (!here->present)
		stash_drop(from, to);
	else if (to - from < DISCARD_BY_HAND && user_writable(from, to - from))
		memset((void *)from, 0, to - from);
	else
		return memory_map(from, to - from, here->prot, &backing);
	return 0;
}

/* Restores pages of HERE to what they were before the program wrote to them. */
static long as_mapped(const struct mapping *here, uint64_t from, uint64_t to)
{
	struct backing backing = backing_at(here, from);

	if (backing.shared)
		return 0;
	return backing.file ? map_filled(from, to - from, here->prot, &backing)
			    : clear(here, from, to);
}

static long discard(uint64_t start, uint64_t end,
		    long (*how)(const struct mapping *here, uint64_t from, uint64_t to))
{
	while (start < end) {
		const struct mapping *mapping = memory_at_or_above(start);
		struct mapping here;
		uint64_t from, to;
		long error;

		if (!mapping || mapping->start >= end)
			return 0;
		here = *mapping;
		from = here.start > start ? here.start : start;
		to = here.end < end ? here.end : end;
		error = how(&here, from, to);
		if (error)
			return error;
		start = to;
	}
	return 0;
}

static long mark(uint64_t start, uint64_t end, enum memory_mark mark)
{
	return start == end ? 0 : memory_mark(start, end, mark);
}

long sys_madvise(const uint64_t *a)
{
	uint64_t length = page_up(a[1]);

	if (a[0] % THAW_PAGE_SIZE || a[0] > LINUX_MMAP_TOP || length > LINUX_MMAP_TOP)
		return -EINVAL;
	switch ((int)a[2]) {
	case MADV_DONTNEED:
	case 24: /* MADV_DONTNEED_LOCKED */
		return discard(a[0], a[0] + length, as_mapped);
	case MADV_REMOVE:
		return discard(a[0], a[0] + length, clear);
	case MADV_WIPEONFORK:
		return mark(a[0], a[0] + length, MARK_WIPED);
	case MADV_KEEPONFORK:
		return mark(a[0], a[0] + length, MARK_KEPT);
	case 100: /* MADV_HWPOISON */
	case 101:
		return -EPERM;
	default:
		return 0;
	}
}

long sys_msync(const uint64_t *a)
{
	return a[0] % THAW_PAGE_SIZE ? -EINVAL : user_readable(a[0], a[1]) ? 0 : -ENOMEM;
}

long sys_mincore(const uint64_t *a)
{
	uint64_t pages = page_up(a[1]) / THAW_PAGE_SIZE;

	if (a[0] % THAW_PAGE_SIZE)
		return -EINVAL;
	if (!user_writable(a[2], pages))
		return -EFAULT;
	for (uint64_t i = 0; i < pages; i++) {
		const struct mapping *mapping = memory_at_or_above(a[0] + i * THAW_PAGE_SIZE);

		if (!mapping || mapping->start > a[0] + i * THAW_PAGE_SIZE)
			return -ENOMEM;
		((uint8_t *)a[2])[i] = mapping->present;
	}
	return 0;
}

static long lock(uint64_t start, uint64_t length)
{
	return user_readable(page_down(start), page_up(start % THAW_PAGE_SIZE + length)) ? 0
											 : -ENOMEM;
}

long sys_mlock(const uint64_t *a)
{
	return lock(a[0], a[1]);
}

long sys_mlock2(const uint64_t *a)
{
	return a[2] & ~1ul ? -EINVAL : lock(a[0], a[1]);
}

long sys_munlock(const uint64_t *a)
{
	return lock(a[0], a[1]);
}

long sys_mlockall(const uint64_t *a)
{
	return a[0] == 0 || a[0] & ~7ul ? -EINVAL : 0;
}

long sys_munlockall(const uint64_t *a)
{
	(void)a;
	return 0;
}

long sys_membarrier(const uint64_t *a)
{
	/* The query's answer: every command up to the private expedited ones. They have nothing to
	 * do: there is one processor, and a task stops nowhere but in the core. */
	const long commands = 0x1f;

	if (a[1])
		return -EINVAL;
	if (a[0] == 0)
		return commands;
	return a[0] & ~(uint64_t)commands ? -EINVAL : 0;
}

long sys_mbind(const uint64_t *a)
{
	(void)a;
	return 0;
}

long sys_set_mempolicy(const uint64_t *a)
{
	(void)a;
	return 0;
}

long sys_get_mempolicy(const uint64_t *a)
{
	uint32_t policy = 0;
	uint64_t nodes = 1;

	if (a[0] && user_put(a[0], &policy, sizeof(policy)))
		return -EFAULT;
	if (a[1] && user_put(a[1], &nodes, a[2] < 64 ? 1 : sizeof(nodes)))
		return -EFAULT;
	return 0;
}
