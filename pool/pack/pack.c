/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of a tree while it is packed; see pack.h. */
#include "pool/pack/pack.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "guest-stub/include/thaw/tree.h"
#include "pool/pack/pack_internal.h"
#include "snapshot-format/base/cleanup.h"

#define BUCKETS	  65536u
#define LINKS_MAX 40 /* as many as Linux follows */

static const struct thaw_pack_meta plain_directory = {.mode = S_IFDIR | 0755};

static uint32_t bucket_of(uint32_t directory, const char *name, size_t length)
{
	return (uint32_t)(XXH3_64bits_withSeed(name, length, directory) % BUCKETS);
}

static int add_entry(struct thaw_pack *pack, uint32_t parent, const char *name, size_t length,
		     uint32_t *out, struct thaw_error *err)
{
	struct thaw_pack_entry *entry;

	if (pack->count == THAW_TREE_NODES_MAX)
		return thaw_fail(err, THAW_ERR_FAILURE,
				 "the file tree would have more than %u files: pack fewer",
				 THAW_TREE_NODES_MAX);
	if (pack->count == pack->room) {
		uint32_t room = pack->room ? 2 * pack->room : 1024;
		void *grown = realloc(pack->entries, room * sizeof(*pack->entries));

		if (!grown)
			return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
		pack->entries = grown;
		pack->room = room;
	}
	entry = &pack->entries[pack->count];
	*entry = (struct thaw_pack_entry){.parent = parent,
					  .first = THAW_PACK_NONE,
					  .next = THAW_PACK_NONE,
					  .chain = THAW_PACK_NONE,
					  .name_length = (uint16_t)length,
					  .name = strndup(name, length)};
	if (!entry->name)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	*out = pack->count++;
	return 0;
}

int thaw_pack_create(struct thaw_pack **out, struct thaw_error *err)
{
	struct thaw_pack *pack = calloc(1, sizeof(*pack));
	uint32_t root;

	if (!pack)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	pack->store.fd = -1;
	pack->buckets = malloc(BUCKETS * sizeof(*pack->buckets));
	if (!pack->buckets) {
		thaw_pack_destroy(pack);
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	}
	memset(pack->buckets, 0xff, BUCKETS * sizeof(*pack->buckets));
	if (thaw_pack_store_init(&pack->store, err) < 0 ||
	    add_entry(pack, THAW_PACK_ROOT, "", 0, &root, err) < 0) {
		thaw_pack_destroy(pack);
		return -1;
	}
	pack->entries[root].meta = plain_directory;
	pack->totals.directories = 1;
	*out = pack;
	return 0;
}

void thaw_pack_destroy(struct thaw_pack *pack)
{
	if (!pack)
		return;
	for (uint32_t i = 0; i < pack->count; i++) {
		free(pack->entries[i].name);
		free(pack->entries[i].target);
	}
	free(pack->entries);
	free(pack->buckets);
	thaw_pack_store_finish(&pack->store);
	free(pack);
}

void thaw_pack_meta_of(const struct stat *status, struct thaw_pack_meta *out)
{
	*out = (struct thaw_pack_meta){.mode = status->st_mode,
				       .uid = status->st_uid,
				       .gid = status->st_gid,
				       .mtime = status->st_mtim.tv_sec,
				       .mtime_ns = (uint32_t)status->st_mtim.tv_nsec};
}

void thaw_pack_totals(const struct thaw_pack *pack, struct thaw_pack_totals *out)
{
	*out = pack->totals;
}

/* ---- Looking ---- */

uint32_t thaw_pack_mode(const struct thaw_pack *pack, uint32_t entry)
{
	return pack->entries[entry].meta.mode;
}

uint32_t thaw_pack_parent(const struct thaw_pack *pack, uint32_t entry)
{
	return pack->entries[entry].parent;
}

const char *thaw_pack_target(const struct thaw_pack *pack, uint32_t link)
{
	return pack->entries[link].target;
}

uint32_t thaw_pack_child(const struct thaw_pack *pack, uint32_t directory, const char *name,
			 size_t length)
{
	for (uint32_t i = pack->buckets[bucket_of(directory, name, length)]; i != THAW_PACK_NONE;
	     i = pack->entries[i].chain) {
		const struct thaw_pack_entry *entry = &pack->entries[i];

		if (entry->parent == directory && entry->name_length == length &&
		    memcmp(entry->name, name, length) == 0)
			return i;
	}
	return THAW_PACK_NONE;
}

static uint32_t find(const struct thaw_pack *pack, uint32_t from, const char *path, bool follow,
		     int *links)
{
	uint32_t at = *path == '/' ? THAW_PACK_ROOT : from;

	for (;;) {
		size_t length;
		uint32_t child;

		path += strspn(path, "/");
		length = strcspn(path, "/");
		if (length == 0)
			return at;
		if (!S_ISDIR(pack->entries[at].meta.mode))
			return THAW_PACK_NONE;
		if (length == 2 && memcmp(path, "..", 2) == 0)
			child = pack->entries[at].parent;
		else if (length == 1 && *path == '.')
			child = at;
		else
			child = thaw_pack_child(pack, at, path, length);
		path += length;
		if (child != THAW_PACK_NONE && S_ISLNK(pack->entries[child].meta.mode) &&
		    (follow || *path)) {
			if (++*links > LINKS_MAX)
				return THAW_PACK_NONE;
			child = find(pack, at, pack->entries[child].target, true, links);
		}
		if (child == THAW_PACK_NONE)
			return child;
		at = child;
	}
}

uint32_t thaw_pack_find(const struct thaw_pack *pack, uint32_t from, const char *path, bool follow)
{
	int links = 0;

	return find(pack, from, path, follow, &links);
}

ssize_t thaw_pack_read(const struct thaw_pack *pack, uint32_t file, uint64_t offset, void *buffer,
		       size_t length)
{
	const struct thaw_pack_entry *entry = &pack->entries[file];

	if (!S_ISREG(entry->meta.mode) || offset >= entry->size)
		return 0;
	if (length > entry->size - offset)
		length = (size_t)(entry->size - offset);
	return pread(pack->store.fd, buffer, length, (off_t)(entry->data + offset));
}

/* ---- Putting ---- */

static int check_name(const char *name, size_t length, struct thaw_error *err)
{
	if (length == 0 || length > THAW_TREE_NAME_MAX || memchr(name, '/', length) ||
	    memchr(name, 0, length) || (length == 1 && name[0] == '.') ||
	    (length == 2 && name[0] == '.' && name[1] == '.'))
		return thaw_fail(err, THAW_ERR_FAILURE, "'%.*s' cannot be the name of a file",
				 (int)(length > THAW_TREE_NAME_MAX ? THAW_TREE_NAME_MAX : length),
				 name);
	return 0;
}

static void link_in(struct thaw_pack *pack, uint32_t entry)
{
	struct thaw_pack_entry *child = &pack->entries[entry];
	struct thaw_pack_entry *parent = &pack->entries[child->parent];
	uint32_t *bucket =
		&pack->buckets[bucket_of(child->parent, child->name, child->name_length)];

	child->next = parent->first;
	parent->first = entry;
	parent->children++;
	child->chain = *bucket;
	*bucket = entry;
}

static void count_in(struct thaw_pack *pack, const struct thaw_pack_entry *entry, uint32_t by)
{
	if (S_ISDIR(entry->meta.mode))
		pack->totals.directories += by;
	else if (S_ISLNK(entry->meta.mode))
		pack->totals.links += by;
	else
		pack->totals.files += by;
}

/* Makes the entry NAME, or empties the existing one, and gives it META. */
static int put(struct thaw_pack *pack, uint32_t directory, const char *name, size_t length,
	       const struct thaw_pack_meta *meta, uint32_t *out, struct thaw_error *err)
{
	uint32_t id = thaw_pack_child(pack, directory, name, length);
	struct thaw_pack_entry *entry;

	if (id == THAW_PACK_NONE) {
		if (check_name(name, length, err) < 0 ||
		    add_entry(pack, directory, name, length, &id, err) < 0)
			return -1;
		link_in(pack, id);
		entry = &pack->entries[id];
	} else {
		entry = &pack->entries[id];
		if (S_ISDIR(entry->meta.mode) && !S_ISDIR(meta->mode) && entry->children)
			return thaw_fail(err, THAW_ERR_FAILURE,
					 "'%s' is a directory with files in it, and cannot become "
					 "one file",
					 entry->name);
		count_in(pack, entry, -1u);
		pack->totals.bytes -= entry->size;
		free(entry->target);
		entry->target = NULL;
		entry->size = 0;
		entry->data = 0;
		entry->absent = false;
	}
	entry->meta = *meta;
	count_in(pack, entry, 1);
	*out = id;
	return 0;
}

int thaw_pack_put_directory(struct thaw_pack *pack, uint32_t directory, const char *name,
			    size_t length, const struct thaw_pack_meta *meta, uint32_t *out,
			    struct thaw_error *err)
{
	return put(pack, directory, name, length, meta, out, err);
}

int thaw_pack_put_link(struct thaw_pack *pack, uint32_t directory, const char *name, size_t length,
		       const struct thaw_pack_meta *meta, const char *target,
		       struct thaw_error *err)
{
	size_t target_length = strlen(target);
	thaw_autofree char *copy = strdup(target);
	struct thaw_pack_meta link = *meta;
	uint32_t id;

	if (!copy)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	if (target_length == 0 || target_length > THAW_TREE_TARGET_MAX)
		return thaw_fail(err, THAW_ERR_FAILURE,
				 "the target of the symbolic link '%.*s' has %zu bytes",
				 (int)length, name, target_length);
	link.mode = S_IFLNK | 0777;
	if (put(pack, directory, name, length, &link, &id, err) < 0)
		return -1;
	pack->entries[id].target = thaw_take(copy);
	pack->entries[id].size = target_length;
	return 0;
}

int thaw_pack_put_file(struct thaw_pack *pack, uint32_t directory, const char *name, size_t length,
		       const struct thaw_pack_meta *meta, const struct thaw_pack_source *source,
		       struct thaw_error *err)
{
	uint32_t data, id;
	uint64_t size;
	bool known;

	if (thaw_pack_store_take(&pack->store, source, &data, &size, &known, err) < 0 ||
	    put(pack, directory, name, length, meta, &id, err) < 0)
		return -1;
	pack->entries[id].data = data;
	pack->entries[id].size = size;
	pack->totals.bytes += size;
	pack->totals.stored += known ? 0 : size;
	return 0;
}

int thaw_pack_put_absent(struct thaw_pack *pack, uint32_t directory, const char *name,
			 size_t length, const struct thaw_pack_meta *meta, uint64_t size,
			 struct thaw_error *err)
{
	uint32_t id;

	if (put(pack, directory, name, length, meta, &id, err) < 0)
		return -1;
	pack->entries[id].absent = true;
	pack->entries[id].size = size;
	pack->totals.bytes += size;
	return 0;
}

bool thaw_pack_is_absent(const struct thaw_pack *pack, uint32_t entry)
{
	return pack->entries[entry].absent;
}

int thaw_pack_put_same(struct thaw_pack *pack, uint32_t directory, const char *name, size_t length,
		       uint32_t from, struct thaw_error *err)
{
	const struct thaw_pack_entry same = pack->entries[from];
	uint32_t id;

	if (put(pack, directory, name, length, &same.meta, &id, err) < 0)
		return -1;
	pack->entries[id].data = same.data;
	pack->entries[id].size = same.size;
	pack->totals.bytes += same.size;
	return 0;
}

int thaw_pack_make_directories(struct thaw_pack *pack, const char *path, uint32_t *out,
			       struct thaw_error *err)
{
	uint32_t at = THAW_PACK_ROOT;
	const char *rest = path;

	for (;;) {
		size_t length;
		uint32_t next;

		rest += strspn(rest, "/");
		length = strcspn(rest, "/");
		if (length == 0)
			break;
		if (length <= 2 && memcmp(rest, "..", length) == 0) {
			at = length == 2 ? pack->entries[at].parent : at;
			rest += length;
			continue;
		}
		next = thaw_pack_child(pack, at, rest, length);
		if (next != THAW_PACK_NONE && S_ISLNK(pack->entries[next].meta.mode)) {
			next = thaw_pack_find(pack, at, pack->entries[next].target, true);
			if (next == THAW_PACK_NONE)
				return thaw_fail(
					err, THAW_ERR_FAILURE,
					"%s: '%.*s' is a symbolic link that leads nowhere in "
					"the file tree",
					path, (int)length, rest);
		}
		if (next == THAW_PACK_NONE &&
		    put(pack, at, rest, length, &plain_directory, &next, err) < 0)
			return -1;
		if (!S_ISDIR(pack->entries[next].meta.mode))
			return thaw_fail(err, THAW_ERR_FAILURE,
					 "%s: '%.*s' is not a directory in the file tree", path,
					 (int)length, rest);
		at = next;
		rest += length;
	}
	*out = at;
	return 0;
}

struct bytes {
	const uint8_t *at;
	size_t left;
};

static ssize_t read_bytes(void *context, void *buffer, size_t length)
{
	struct bytes *bytes = context;

	if (length > bytes->left)
		length = bytes->left;
	memcpy(buffer, bytes->at, length);
	bytes->at += length;
	bytes->left -= length;
	return (ssize_t)length;
}

int thaw_pack_put_bytes(struct thaw_pack *pack, uint32_t directory, const char *name,
			uint32_t permissions, const void *bytes, size_t count,
			struct thaw_error *err)
{
	struct bytes from = {bytes, count};
	const struct thaw_pack_source source = {read_bytes, &from, count, name};
	const struct thaw_pack_meta meta = {.mode = S_IFREG | permissions};

	return thaw_pack_put_file(pack, directory, name, strlen(name), &meta, &source, err);
}

int thaw_pack_put_default(struct thaw_pack *pack, const char *path, uint32_t mode, const char *text,
			  struct thaw_error *err)
{
	const char *slash = strrchr(path, '/');
	thaw_autofree char *directory = strndup(path, (size_t)(slash - path));
	uint32_t parent;

	if (!directory)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	if (thaw_pack_make_directories(pack, directory, &parent, err) < 0)
		return -1;
	if (thaw_pack_child(pack, parent, slash + 1, strlen(slash + 1)) != THAW_PACK_NONE)
		return 0;
	return thaw_pack_put_bytes(pack, parent, slash + 1, mode, text, strlen(text), err);
}
