/* SPDX-License-Identifier: Apache-2.0 */
/* Packs time zones, by the rules of tzset(3). */
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/pack/gather_locale.h"

#define ZONES	   "/usr/share/zoneinfo"
#define LOCAL_TIME "/etc/localtime"

/* Writes the path of the file that TZ names. False: it names none. */
static bool path_of(const char *tz, char *path)
{
	tz += *tz == ':';
	if (!*tz || strlen(tz) > NAME_MAX)
		return false;
	snprintf(path, PATH_MAX, "%s%s", *tz == '/' ? "" : ZONES "/", tz);
	return true;
}

/* Whether TZ has an offset after the zone's abbreviation, or is the one zone that needs none. */
static bool describes_itself(const char *tz)
{
	const char *at = tz + (*tz == ':');

	if (!*at || strcmp(at, "UTC") == 0 || strcmp(at, "UTC0") == 0)
		return true;
	if (*at == '<')
		at = strchr(at, '>') ? strchr(at, '>') + 1 : "";
	else
		while (isalpha((unsigned char)*at))
			at++;
	at += *at == '+' || *at == '-';
	return at - tz >= 3 && isdigit((unsigned char)*at);
}

static bool is_file(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, R_OK) == 0;
}

bool thaw_zone_in_tree(const struct thaw_pack *pack, const char *tz)
{
	char path[PATH_MAX];

	return (path_of(tz, path) &&
		thaw_pack_find(pack, THAW_PACK_ROOT, path, true) != THAW_PACK_NONE) ||
	       describes_itself(tz);
}

int thaw_gather_zone(struct thaw_gather *gather, const char *tz, struct thaw_error *err)
{
	char path[PATH_MAX];

	if (path_of(tz, path) && is_file(path))
		return thaw_gather_path(gather, path, false, err) < 0 ? -1 : 1;
	return thaw_zone_in_tree(gather->pack, tz);
}

int thaw_gather_local_time(struct thaw_gather *gather, struct thaw_error *err)
{
	return is_file(LOCAL_TIME) ? thaw_gather_path(gather, LOCAL_TIME, false, err) : 0;
}
