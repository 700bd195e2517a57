/* SPDX-License-Identifier: Apache-2.0 */
/* The locales and time zones of this host, by the names that LANG, LC_* and TZ give them. */
#ifndef THAW_GATHER_LOCALE_H
#define THAW_GATHER_LOCALE_H

#include "pool/pack/gather.h"

/* Whether NAME says that its characters are UTF-8, as "de_DE.UTF-8" does. */
bool thaw_locale_is_utf8(const char *name);
/* Whether this host has the locale NAME, and whether a tree has it as a directory. */
bool thaw_locale_exists(const char *name);
bool thaw_locale_in_tree(const struct thaw_pack *pack, const char *name);

/* Packs the locale NAME of this host for glibc. Returns 1; 0 when the host has no such locale; -1. */
int thaw_gather_locale(struct thaw_gather *gather, const char *name, struct thaw_error *err);
/* The same from the archive at the path ARCHIVE alone. */
int thaw_locale_extract(struct thaw_pack *pack, const char *archive, const char *name,
			struct thaw_error *err);

/* Packs the file of the time zone that TZ names. Returns 1, also when TZ describes a zone by itself
 * and so needs no file; 0 when it names a file that this host does not have; -1. */
int thaw_gather_zone(struct thaw_gather *gather, const char *tz, struct thaw_error *err);
/* Whether TZ describes a zone by itself, as POSIX has it ("CET-1CEST"), or its file is in the tree. */
bool thaw_zone_in_tree(const struct thaw_pack *pack, const char *tz);
/* Packs this host's local time: /etc/localtime and the file that it leads to. */
int thaw_gather_local_time(struct thaw_gather *gather, struct thaw_error *err);

#endif
