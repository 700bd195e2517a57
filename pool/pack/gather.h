/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gathering files of this host into a pack (pack.h), at the paths that they have here: with the
 * symbolic links that lead there, so that every name that works here works in the guest, and with
 * the shared libraries that they need.
 */
#ifndef THAW_GATHER_H
#define THAW_GATHER_H

#include "pool/pack/pack.h"

struct thaw_gather_object {
	char *path;  /* on the host, absolute */
	int loader;  /* the object that needs this one, or -1: for RPATH */
	bool needed; /* it is an error when a library of it is not there */
};

struct thaw_gather {
	struct thaw_pack *pack;
	const char *library_path;	    /* the program's LD_LIBRARY_PATH, or NULL */
	struct thaw_gather_object *objects; /* ELF files whose libraries are to be found */
	size_t object_count, object_room, object_done;
	char **library_directories; /* of ld.so.conf; read on first use */
	size_t library_directory_count;
	bool library_directories_read;
	size_t skipped; /* sockets, devices and the like */
};

void thaw_gather_finish(struct thaw_gather *gather);

/* Packs the file or (alone) the directory at the absolute host path PATH and all symbolic links on
 * the way to it; what is there already stays. NEEDED as of an object. */
int thaw_gather_path(struct thaw_gather *gather, const char *path, bool needed,
		     struct thaw_error *err);

/* The same for what was asked for by name: the file, and the last link to it, go over what is
 * there. On the way there what is in the tree counts. */
int thaw_gather_over(struct thaw_gather *gather, const char *path, struct thaw_error *err);

/* Packs the file HOST as GUEST, an absolute path, over what is there. */
int thaw_gather_file(struct thaw_gather *gather, const char *host, const char *guest,
		     struct thaw_error *err);

/* Packs a directory with everything in it but what EXCEPT (NULL-terminated, may be NULL) matches:
 * patterns of fnmatch(3), against a name, or with a slash in front against the path below HOST. To
 * GUEST, or where it is here when that is NULL. LENIENT: what cannot be read is left out, and what
 * is there already stays. */
int thaw_gather_directory(struct thaw_gather *gather, const char *host, const char *guest,
			  const char *const *except, bool lenient, struct thaw_error *err);

/* Packs the libraries of all objects gathered so far, and theirs. */
int thaw_gather_libraries(struct thaw_gather *gather, struct thaw_error *err);

#endif
