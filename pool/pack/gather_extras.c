/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs what libraries open by paths of their own: glibc's conversions between character sets, and
 * the configuration and certificates of OpenSSL, GnuTLS and NSS. What an object calls shows in the
 * names of its dynamic symbols.
 */
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/pack/gather.h"
#include "pool/pack/gather_elf.h"
#include "snapshot-format/base/cleanup.h"

#define CERTIFICATES  "/etc/ssl/certs"
#define BUNDLE	      CERTIFICATES "/ca-certificates.crt"
#define LOOKED_AT_MAX (UINT64_C(256) << 20) /* bytes of one file, whatever its headers say */

#define WORD(text)                                                                                 \
	{                                                                                          \
		(text), sizeof(text)                                                               \
	} /* with the zero that ends a name */
#define PIECE(text)                                                                                \
	{                                                                                          \
		(text), sizeof(text) - 1                                                           \
	} /* a part of a path */

/* In the order of the bits of thaw_elf_find_words(). */
static const struct thaw_elf_word imports[] = {WORD("iconv_open"), WORD("setlocale"),
					       WORD("newlocale")};
/* A static program has no imports, but the paths that its C library would open. */
static const struct thaw_elf_word paths[] = {PIECE("/usr/lib/locale")};

enum { ICONV = 1, LOCALE = 2, LOCALE_STATIC = 4 };

static unsigned calls_of(const char *path)
{
	thaw_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct thaw_elf_needs needs = {0};
	uint32_t found;
	unsigned calls = 0;

	if (fd < 0 || thaw_elf_needs(fd, path, &needs, NULL) < 0)
		return 0;
	if (needs.names_size) {
		found = thaw_elf_find_words(fd, needs.names_offset,
					    needs.names_size < LOOKED_AT_MAX ? needs.names_size
									     : LOOKED_AT_MAX,
					    imports, 3);
		calls = (found & 1 ? ICONV : 0) | (found & 6 ? LOCALE : 0);
	} else {
		calls = thaw_elf_find_words(fd, 0, LOOKED_AT_MAX, paths, 1) ? LOCALE_STATIC : 0;
	}
	thaw_elf_needs_free(&needs);
	return calls;
}

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Finds glibc among the objects, and what the others call. *DIRECTORY, if not NULL, is that of glibc's
 * library, and the caller's to free. */
static unsigned look_at_objects(const struct thaw_gather *gather, char **directory)
{
	unsigned calls = 0;

	*directory = NULL;
	for (size_t i = 0; i < gather->object_count; i++) {
		const char *path = gather->objects[i].path, *name = name_of(path);

		if (strcmp(name, "libc.so.6") == 0) {
			free(*directory);
			*directory = strndup(path, (size_t)(name - path));
		} else if (strncmp(name, "ld-", 3) != 0 && strncmp(name, "libstdc++.so", 12) != 0) {
			/* libstdc++ converts only for a template of its own that hardly any program
			 * uses, and every program in C++ has it. */
			calls |= calls_of(path);
		}
	}
	return calls;
}

static bool has_object(const struct thaw_gather *gather, const char *pattern)
{
	for (size_t i = 0; i < gather->object_count; i++)
		if (fnmatch(pattern, name_of(gather->objects[i].path), 0) == 0)
			return true;
	return false;
}

static int add_if_there(struct thaw_gather *gather, const char *path, struct thaw_error *err)
{
	struct stat status;

	if (stat(path, &status) < 0 || access(path, R_OK) < 0)
		return 0;
	return thaw_gather_path(gather, path, false, err);
}

/* OpenSSL looks a certificate up by its hash, in a directory of links; the others read the bundle. */
static int add_certificates(struct thaw_gather *gather, struct thaw_error *err)
{
	static const char *const except[] = {"/java", NULL};
	const bool openssl = has_object(gather, "libssl.so*");

	if (has_object(gather, "libcrypto.so*") &&
	    (add_if_there(gather, "/usr/lib/ssl/openssl.cnf", err) < 0 ||
	     add_if_there(gather, "/usr/lib/ssl/certs", err) < 0))
		return -1;
	if ((openssl || has_object(gather, "libgnutls.so*") || has_object(gather, "libnss3.so*")) &&
	    add_if_there(gather, BUNDLE, err) < 0)
		return -1;
	return openssl && access(CERTIFICATES, R_OK | X_OK) == 0
		       ? thaw_gather_directory(gather, CERTIFICATES, NULL, except, true, err)
		       : 0;
}

int thaw_gather_conversions(struct thaw_gather *gather, struct thaw_error *err)
{
	thaw_autofree char *directory = NULL;
	char path[PATH_MAX];

	look_at_objects(gather, &directory);
	if (!directory ||
	    (size_t)snprintf(path, sizeof(path), "%sgconv", directory) >= sizeof(path) ||
	    access(path, R_OK | X_OK) < 0)
		return 0;
	return thaw_gather_directory(gather, path, NULL, NULL, true, err);
}

int thaw_gather_extras(struct thaw_gather *gather, bool *locale, struct thaw_error *err)
{
	thaw_autofree char *directory = NULL;
	unsigned calls = look_at_objects(gather, &directory);

	/* musl's locales and conversions are in its library. */
	*locale = (calls & LOCALE && directory) || calls & LOCALE_STATIC;
	if (calls & ICONV && directory && thaw_gather_conversions(gather, err) < 0)
		return -1;
	return add_certificates(gather, err);
}
