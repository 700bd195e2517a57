/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls about memory. */
#include <sys/mman.h>

#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/linux/memory/shared.h"
#include "guest-stub/linux/memory/stash.h"
#include "guest-stub/linux/memory/user.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

/* Haskell's runtime reserves as much as it can get from 1 TiB down, and asks again for ever unless
 * it gets a place above 8 GiB. So reservations of this size get one there, or none. */
#define RESERVATION_LARGE (16ul << 30)
#define RESERVATION_FLOOR (8ul << 30)

#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE 3
#endif

/* What MAP_SHARED_VALIDATE lets pass: all that Linux had before it, but MAP_ANONYMOUS. */
#define KNOWN_FLAGS 0x17ffdf

/* From this size on, discarded pages are mapped anew instead of cleared by hand. */
#define DISCARD_BY_HAND (16 * THAW_PAGE_SIZE)

static uint64_t brk_start, brk_end;

void memory_set_brk(uint64_t start)
{
	brk_start = brk_end = start;
}

/* Maps memory without a file: at once if it is small, and else on demand. ACCOUNTED memory that the
 * limit could never hold is refused, as Linux refuses obvious overcommitment. */
static int map_anonymous(uint64_t start, uint64_t length, int prot, const struct backing *from,
			 bool accounted)
{
	struct backing backing = *from;

	if (accounted && prot & PROT_WRITE && memory_exceeds_limit(length))
		return memory_refuse(length);
	backing.on_demand |= length > LINUX_AT_ONCE;
	return memory_map(start, length, prot, &backing);
}

long sys_brk(const uint64_t *a)
{
	static const struct backing backing = {.name = "[heap]"};
	uint64_t old = page_up(brk_end), new = page_up(a[0]);

	if (a[0] < brk_start || a[0] >= LINUX_MMAP_TOP)
		return (long)brk_end;
	if (new > old && (!memory_is_open(old, new - old) ||
			  map_anonymous(old, new - old, PROT_READ | PROT_WRITE, &backing, true)))
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

/* As memory_map(), with the file's content, unless that comes on demand. After an error nothing is mapped there, not even pages
 * that are more open than PROT. */
static long map_filled(uint64_t start, uint64_t length, int prot, const struct backing *backing)
{
	long error;

	if (backing->on_demand)
		return memory_map(start, length, prot, backing);
	error = memory_map(start, length, PROT_READ | PROT_WRITE, backing);
	if (error)
		return error;
	error = fill_from(backing->file, start, length, backing->offset);
	if (!error && prot != (PROT_READ | PROT_WRITE))
		error = memory_protect(start, length, prot);
	if (error)
		memory_unmap(start, length);
	return error;
}

/* As memory_map(), one with the file. The pages come as they are touched. Those of a file that is
 * only read, by a program that nothing wrote so far, are there at once. */
static long map_shared(uint64_t start, uint64_t length, int prot, const struct backing *backing)
{
	const struct home *home = backing->home;
	bool read_only = (backing->file->flags & 3) == 0; /* O_RDONLY */
	uint64_t size = home->operations->size(home), here = 0;
	long error;

	if (prot & PROT_WRITE && home->seals & (SEAL_WRITE | SEAL_FUTURE))
		return -EPERM;
	error = memory_map(start, length, prot, backing);
	if (error || !read_only || prot == PROT_NONE || !home->operations->untouched(home))
		return error;
	if (size > backing->offset)
		here = page_up(size - backing->offset);
	if (shared_touch(start, here < length ? here : length, false))
		return 0;
	memory_unmap(start, length);
	return -ENOMEM;
}

static long map_file(uint64_t start, uint64_t length, int prot, const uint64_t *a)
{
	struct file *file = file_get((int)a[4]);
	bool shared = (a[3] & 0xf) != MAP_PRIVATE;
	/* A copy at once is made once for all invocations. A file that is large for the limit is
	 * copied as far as it is touched. */
	struct backing backing = {.file = file,
				  .offset = a[5],
				  .shared = shared,
				  .on_demand = !shared && !memory_fits_well(length)};
	long error;

	if (!file)
		return -EBADF;
	backing.name = file->path;
	if (!file->operations->mappable)
		error = -ENODEV;
	else if ((file->flags & 3) == 1 /* O_WRONLY */ ||
		 (backing.shared && prot & PROT_WRITE && (file->flags & 3) == 0))
		error = -EACCES;
	else if (backing.shared && file->operations->home) {
		backing.home = file->operations->home(file);
		backing.on_demand = true;
		error = map_shared(start, length, prot, &backing);
	} else
		error = map_filled(start, length, prot, &backing);
	file_drop(file);
	return error;
}

static long map_nothing(uint64_t start, uint64_t length, int prot, int flags)
{
	const struct backing backing = {.shared = (flags & 0xf) != MAP_PRIVATE,
					.on_demand = flags & MAP_STACK,
					.grows = flags & MAP_GROWSDOWN};

	return map_anonymous(start, length, prot, &backing, !(flags & MAP_NORESERVE));
}

/* Chooses the address of a mapping; 0: there is no room. */
static uint64_t place(uint64_t hint, uint64_t length, int prot, int flags)
{
	uint64_t start;

	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))
		return hint;
	hint = page_down(hint);
	if (hint && memory_is_open(hint, length))
		return hint;
	start = memory_find_below(length, flags & MAP_32BIT ? 0x80000000ul : LINUX_MMAP_TOP);
	if (prot == PROT_NONE && length >= RESERVATION_LARGE && start < RESERVATION_FLOOR)
		return 0;
	return start;
}

long sys_mmap(const uint64_t *a)
{
	uint64_t length = page_up(a[1]), start;
	int prot = (int)a[2] & 7, flags = (int)a[3], kind = flags & 0xf;
	long error;

	if (a[1] == 0 || a[5] % THAW_PAGE_SIZE ||
	    (kind != MAP_PRIVATE && kind != MAP_SHARED && kind != MAP_SHARED_VALIDATE))
		return -EINVAL;
	if (kind == MAP_SHARED_VALIDATE && flags & MAP_ANONYMOUS)
		return -EINVAL;
	if (kind == MAP_SHARED_VALIDATE && flags & ~KNOWN_FLAGS)
		return -EOPNOTSUPP;
	if (length < a[1] || length > LINUX_MMAP_TOP)
		return -ENOMEM;
	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) && a[0] % THAW_PAGE_SIZE)
		return -EINVAL;
	start = place(a[0], length, prot, flags);
	if (!start)
		return flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) ? -EPERM : -ENOMEM;
	if (flags & MAP_FIXED_NOREPLACE && !memory_is_free(start, length))
		return start + length > LINUX_MMAP_TOP ? -ENOMEM : -EEXIST;
	if (flags & MAP_ANONYMOUS)
		error = map_nothing(start, length, prot, flags);
	else
		error = map_file(start, length, prot, a);
	/* As in Linux, a mapping that cannot be populated is one nevertheless. */
	if (!error && prot != PROT_NONE && flags & (MAP_POPULATE | MAP_LOCKED))
		memory_supply(start, start + length);
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

/* Whether [START, START + LENGTH) lies in one mapping, whose part at its end is copied to LAST.
 * Memory that flips and memory that was touched in part are in pieces, of which the program must
 * not know. */
static bool whole(uint64_t start, uint64_t length, struct mapping *last)
{
	const struct mapping *mapping = memory_at_or_above(start);
	struct mapping all;
	uint64_t resident;

	if (mapping && prot_flips(mapping->prot))
		memory_flip(start, start + length, false);
	/* The pages of a shared mapping are at home for the move. */
	if (mapping && mapping->backing.home && shared_withdraw(start, start + length))
		return false;
	if (!memory_whole(start, &all, &resident) || all.start > start || all.end < start + length)
		return false;
	*last = *memory_at_or_above(start + length - 1);
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

	if (backing.home)
		return memory_map(start, length, from->prot, &backing);
	return backing.file ? map_filled(start, length, from->prot, &backing)
			    : map_anonymous(start, length, from->prot, &backing, true);
}

/* Maps the pages of [OLD, OLD + LENGTH), a part of FROM, at NEW, with their content. */
static long copy(const struct mapping *from, uint64_t old, uint64_t length, uint64_t new)
{
	struct backing backing = backing_at(from, old);
	int prot = from->present ? PROT_READ | PROT_WRITE : from->prot;
	long error;

	/* Pages that are copied are touched. */
	if (from->present)
		backing.on_demand = false;
	error = memory_map(new, length, prot, &backing);
	if (error)
		return error;
	if (from->present) {
		memcpy((void *)new, (const void *)old, length);
		return memory_protect(new, length, from->prot);
	}
	stash_move(old, old + length, new);
	return 0;
}

/* The same for a range of several pieces. */
static long copy_all(uint64_t old, uint64_t length, uint64_t new)
{
	uint64_t end = old + length, to;
	long error = 0;

	for (uint64_t at = old; at < end && !error; at = to) {
		struct mapping from = *memory_at_or_above(at);

		to = from.end < end ? from.end : end;
		error = copy(&from, at, to - at, new + (at - old));
	}
	return error;
}

static long move(const struct mapping *last, uint64_t old, uint64_t old_length, uint64_t new,
		 uint64_t new_length)
{
	uint64_t keep = old_length < new_length ? old_length : new_length;
	long error = copy_all(old, keep, new);

	if (!error && new_length > keep)
		error = grow(last, old + keep, new + keep, new_length - keep);
	if (!error)
		error = memory_unmap(old, old_length);
	if (!error)
		return (long)new;
	stash_move(new, new + keep, old);
	memory_unmap(new, new_length);
	return error;
}

/* mremap() of no bytes of a shared mapping maps its file a second time. */
static long duplicate(uint64_t old, uint64_t length, uint64_t flags, uint64_t new)
{
	const struct mapping *from = memory_at_or_above(old);
	struct backing backing;
	long error;

	if (!(flags & MREMAP_MAYMOVE) || !from || from->start > old || !from->backing.home)
		return -EINVAL;
	if (!(flags & MREMAP_FIXED))
		new = memory_find(length);
	if (!new || new % THAW_PAGE_SIZE)
		return new ? -EINVAL : -ENOMEM;
	backing = backing_at(from, old);
	error = memory_map(new, length, from->prot, &backing);
	return error ? error : (long)new;
}

long sys_mremap(const uint64_t *a)
{
	uint64_t old = a[0], old_length = page_up(a[1]), length = page_up(a[2]), new;
	struct mapping last;
	long error;

	if (old % THAW_PAGE_SIZE || length == 0 || length > LINUX_MMAP_TOP ||
	    a[3] & ~(uint64_t)(MREMAP_MAYMOVE | MREMAP_FIXED))
		return -EINVAL;
	if (old_length == 0)
		return duplicate(old, length, a[3], a[4]);
	if (old_length > LINUX_MMAP_TOP || old > LINUX_MMAP_TOP - old_length ||
	    !whole(old, old_length, &last))
		return -EFAULT;
	if (a[3] & MREMAP_FIXED) {
		new = a[4];
		if (!(a[3] & MREMAP_MAYMOVE) || new % THAW_PAGE_SIZE ||
		    (new < old + old_length &&old < new + length))
			return -EINVAL;
		return move(&last, old, old_length, new, length);
	}
	if (length <= old_length) {
		error = length < old_length ? memory_unmap(old + length, old_length - length) : 0;
		return error ? error : (long)old;
	}
	if (memory_is_open(old + old_length, length - old_length)) {
		error = grow(&last, old + old_length, old + old_length, length - old_length);
		return error ? error : (long)old;
	}
	new = a[3] & MREMAP_MAYMOVE ? memory_find(length) : 0;
	return new ? move(&last, old, old_length, new, length) : -ENOMEM;
}

/* Clears memory. Large pieces are mapped anew, so that the image does not keep their pages; small
 * ones are cleared by hand, which is cheaper. */
static long clear(const struct mapping *here, uint64_t from, uint64_t to)
{
	struct backing backing = backing_at(here, from);
	struct home *home = backing.home;

	if (home)
		return home->operations->clear(home, backing.offset, to - from);
	/* The file's content is not to come back. */
	if (backing.file)
		backing.on_demand = false;
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

/* Brings all pages at once. */
static long populate(uint64_t start, uint64_t length, bool write)
{
	uint64_t end = start + length;

	for (uint64_t at = start; at < end;) {
		const struct mapping *mapping = memory_at_or_above(at);

		if (!mapping || mapping->start > at)
			return -ENOMEM;
		if (mapping->prot == PROT_NONE || (write && !(mapping->prot & PROT_WRITE)))
			return -EINVAL;
		at = mapping->end;
	}
	return memory_supply(start, end);
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
	case MADV_POPULATE_READ:
		return populate(a[0], length, false);
	case MADV_POPULATE_WRITE:
		return populate(a[0], length, true);
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
	uint64_t at = a[0], end;

	if (at % THAW_PAGE_SIZE || a[2] & ~7ul || (a[2] & MS_ASYNC && a[2] & MS_SYNC))
		return -EINVAL;
	if (__builtin_add_overflow(at, page_up(a[1]), &end) || end < at)
		return -ENOMEM;
	while (at < end) {
		const struct mapping *mapping = memory_at_or_above(at);

		if (!mapping || mapping->start > at)
			return -ENOMEM;
		at = mapping->end;
	}
	return 0;
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
		((uint8_t *)a[2])[i] = mapping->present || mapping->backing.home;
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
	if (a[0] == 0 || a[0] & ~7ul)
		return -EINVAL;
	return a[0] & MCL_CURRENT && !(a[0] & 4 /* MCL_ONFAULT */)
		       ? memory_supply(THAW_REGION_BASE, LINUX_MMAP_TOP)
		       : 0;
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
