/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gathers files of this host into a pack (pack.h), at the paths that they have here. The symbolic
 * links that lead there are packed too, so that every name that works here works in the guest, and
 * so are the shared libraries that the files need.
 */
#ifndef THAW_GATHER_H
#define THAW_GATHER_H

#include "pool/pack/pack.h"

struct thaw_gather_object {
	char *path;  /* on the host, absolute, without links */
	int loader;  /* the object that needs this one, whose RPATH counts too; or -1 */
	bool needed; /* a library of it that is missing is an error */
};

/* A file that a language's runtime runs before the program, because a variable says so (hooks/). */
struct thaw_gather_hook {
	const char *program; /* pattern of the runtime's name */
	const char *file;    /* its name in the guest */
	const uint8_t *begin, *end;
	const char *variable, *value;
	/* What stands between the value and the user's own, which comes behind it. NULL: where the
	 * user gives the variable a value, the hook does not run. */
	const char *between;
};

struct thaw_gather {
	struct thaw_pack *pack;
	const char *library_path;	    /* the program's LD_LIBRARY_PATH, or NULL */
	struct thaw_gather_object *objects; /* ELF files whose libraries are to be found */
	size_t object_count, object_room, object_done;
	char **library_directories; /* from ld.so.conf, read on first use */
	size_t library_directory_count;
	bool library_directories_read;
	const struct thaw_gather_hook *hook; /* of the program's runtime, packed; or NULL */
	size_t skipped; /* sockets, devices and other special files that were left out */
};

void thaw_gather_finish(struct thaw_gather *gather);

/* Packs the file or the directory (without its contents) at the absolute host path PATH, and all
 * symbolic links on the way to it. Existing entries stay. NEEDED is that of the object. */
int thaw_gather_path(struct thaw_gather *gather, const char *path, bool needed,
		     struct thaw_error *err);

/* The same for a file that the user names: the file, and the last link to it, replace existing
 * entries. The directories on the way are those of the tree. */
int thaw_gather_over(struct thaw_gather *gather, const char *path, struct thaw_error *err);

/* Packs the file HOST as GUEST, an absolute path, and replaces an existing entry. */
int thaw_gather_file(struct thaw_gather *gather, const char *host, const char *guest,
		     struct thaw_error *err);

/* Packs the directory HOST with its contents, as GUEST, or at its own path when that is NULL.
 * EXCEPT (NULL-terminated, may be NULL) lists what to leave out: patterns of fnmatch(3) for a name,
 * or, with a slash in front, for the path below HOST. LENIENT: unreadable files are left out, and
 * existing entries stay. */
int thaw_gather_directory(struct thaw_gather *gather, const char *host, const char *guest,
			  const char *const *except, bool lenient, struct thaw_error *err);

/* Packs the names in the directory HOST at its own path: its files without their content
 * (thaw_pack_put_absent()), its directories empty, its links. Existing entries stay. HIDDEN: those
 * that begin with a dot, too. */
int thaw_gather_names(struct thaw_gather *gather, const char *host, bool hidden,
		      struct thaw_error *err);

/* Packs the libraries of all objects gathered so far, and the libraries' own. */
int thaw_gather_libraries(struct thaw_gather *gather, struct thaw_error *err);

/* Packs what the objects gathered so far open by paths of their own: conversions of glibc for those
 * that call iconv_open(), certificates and openssl.cnf. *LOCALE: an object sets a locale by glibc. */
int thaw_gather_extras(struct thaw_gather *gather, bool *locale, struct thaw_error *err);
/* Packs glibc's conversions between character sets, where glibc is among the objects. */
int thaw_gather_conversions(struct thaw_gather *gather, struct thaw_error *err);

/* When PROGRAM, or a library gathered so far, belongs to a language runtime (python3, perl, ...),
 * packs the directories that the runtime needs. */
int thaw_gather_runtimes(struct thaw_gather *gather, const char *program, struct thaw_error *err);

/* When PROGRAM is a runtime that has a hook, packs it and notes it in GATHER. */
int thaw_gather_hooks(struct thaw_gather *gather, const char *program, struct thaw_error *err);

#endif
