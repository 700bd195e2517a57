/* SPDX-License-Identifier: Apache-2.0 */
/* Chooses and packs the files of a Linux program; see tree.h. */
#include "pool/freeze/tree.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-stub/include/thaw/tree.h"
#include "pool/freeze/environment.h"
#include "pool/pack/archive.h"
#include "pool/pack/gather.h"
#include "snapshot-format/base/cleanup.h"

struct making {
	const struct thaw_freeze_options *freeze;
	struct thaw_discovery *discovery;
	bool first;	/* nothing was looked for yet, and nothing said */
	bool discovers; /* the core tells what the program looks for */
	struct thaw_gather gather;
	struct thaw_command command;
	char here[PATH_MAX]; /* this process's directory */
	char cwd[PATH_MAX];  /* the guest's */
	uint32_t uid, gid;
	char home[128]; /* of a user that --user names, or "/" */
	struct thaw_environment environment;
	bool has_root;
	struct thaw_error *err;
};

static void say(const char *text)
{
	thaw_cli_say("%s", text);
}

/* ---- The user ---- */

static int parse_number(const char *text, uint32_t *out)
{
	char *end;
	unsigned long value;

	if (*text < '0' || *text > '9')
		return -1;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *end || value >= UINT32_MAX)
		return -1;
	*out = (uint32_t)value;
	return 0;
}

static void set_home(struct making *making, const char *home)
{
	if (*home == '/' && strlen(home) < sizeof(making->home) && !strpbrk(home, ":\n"))
		snprintf(making->home, sizeof(making->home), "%s", home);
}

static int parse_user(struct making *making)
{
	const char *text = making->freeze->user;
	size_t length = text ? strcspn(text, ":") : 0;
	thaw_autofree char *user = text ? strndup(text, length) : NULL;
	const char *group = text && text[length] ? text + length + 1 : NULL;

	snprintf(making->home, sizeof(making->home), "/");
	if (!text)
		return 0;
	if (!user)
		return thaw_fail(making->err, THAW_ERR_FAILURE, "out of memory");
	if (parse_number(user, &making->uid) == 0) {
		making->gid = making->uid;
	} else {
		const struct passwd *entry = getpwnam(user);

		if (!entry)
			return thaw_fail(making->err, THAW_ERR_USAGE,
					 "--user: this host has no user '%s'; give a number", user);
		making->uid = entry->pw_uid;
		making->gid = entry->pw_gid;
		set_home(making, entry->pw_dir);
	}
	if (group && parse_number(group, &making->gid) < 0) {
		const struct group *entry = getgrnam(group);

		if (!entry)
			return thaw_fail(making->err, THAW_ERR_USAGE,
					 "--user: this host has no group '%s'; give a number",
					 group);
		making->gid = entry->gr_gid;
	}
	return 0;
}

/* ---- Files that options name ---- */

/* Splits HOST[:GUEST]. A file whose name is the whole text comes first. *GUEST is NULL when there
 * is none; the caller frees *HOST, an absolute path. */
static int split(struct making *making, const char *option, const char *text, char **host,
		 const char **guest)
{
	const char *colon = strrchr(text, ':');
	thaw_autofree char *path = NULL;

	*guest = NULL;
	if (colon && access(text, F_OK) < 0) {
		if (colon[1] != '/' || colon == text)
			return thaw_fail(
				making->err, THAW_ERR_USAGE,
				"%s %s: what follows the colon must be an absolute path of "
				"the guest",
				option, text);
		*guest = colon + 1;
		path = strndup(text, (size_t)(colon - text));
	} else {
		path = strdup(text);
	}
	if (path && *path != '/' &&
	    asprintf(host, "%s/%s", strcmp(making->here, "/") == 0 ? "" : making->here, path) < 0)
		*host = NULL;
	else if (path && *path == '/')
		*host = thaw_take(path);
	return *host ? 0 : thaw_fail(making->err, THAW_ERR_FAILURE, "out of memory");
}

static int add_root(struct making *making, const char *path)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return thaw_fail_errno(making->err, THAW_ERR_FAILURE, errno, "--root %s", path);
	if (S_ISDIR(status.st_mode))
		return thaw_gather_directory(&making->gather, path, "/", NULL, false, making->err);
	return thaw_pack_archive(making->gather.pack, path, &making->gather.skipped, making->err);
}

static int add_file(struct making *making, const struct thaw_freeze_file *file)
{
	static const char *const options[] = {"--file", "--dir", "--root"};
	thaw_autofree char *host = NULL;
	const char *guest = NULL;
	struct stat status;
	int done;

	if (file->kind == THAW_FREEZE_ROOT)
		return add_root(making, file->text);
	if (split(making, options[file->kind], file->text, &host, &guest) < 0)
		return -1;
	if (file->kind == THAW_FREEZE_DIR) {
		done = thaw_gather_directory(&making->gather, host, guest, NULL, false,
					     making->err);
	} else if (stat(host, &status) == 0 && S_ISDIR(status.st_mode)) {
		return thaw_fail(making->err, THAW_ERR_USAGE,
				 "--file %s: is a directory: use --dir", file->text);
	} else if (guest) {
		done = thaw_gather_file(&making->gather, host, guest, making->err);
	} else {
		done = thaw_gather_over(&making->gather, host, making->err);
	}
	return done < 0 ? thaw_error_wrap(making->err, "%s %s", options[file->kind], file->text)
			: 0;
}

/* Adds the roots first, whatever the order of the options: the other files go on top. */
static int add_files(struct making *making)
{
	const struct thaw_freeze_options *freeze = making->freeze;

	for (size_t i = 0; i < freeze->file_count; i++)
		if (freeze->files[i].kind == THAW_FREEZE_ROOT) {
			if (add_file(making, &freeze->files[i]) < 0)
				return -1;
			/* A root brings its own libraries: do not look for them on this host. */
			making->gather.object_done = making->gather.object_count;
			making->has_root = true;
		}
	for (size_t i = 0; i < freeze->file_count; i++)
		if (freeze->files[i].kind != THAW_FREEZE_ROOT &&
		    add_file(making, &freeze->files[i]) < 0)
			return -1;
	return 0;
}

/* ---- Files that no option names ---- */

/* Adds the files of this host that the program's arguments name. */
static int add_arguments(struct making *making)
{
	const struct thaw_command *command = &making->command;

	/* A root that has the program has its files too. */
	if (command->in_tree)
		return 0;
	for (size_t i = 1; i < command->word_count; i++) {
		const char *word = command->words[i];
		thaw_autofree char *path = NULL;
		struct stat status;

		/* A relative name starts from the guest's directory. */
		if (asprintf(&path, "%s%s%s", *word == '/' ? "" : making->cwd,
			     *word == '/' ? "" : "/", word) < 0) {
			path = NULL;
			return thaw_fail(making->err, THAW_ERR_FAILURE, "out of memory");
		}
		if (*word == '\0' || strlen(path) >= PATH_MAX || stat(path, &status) < 0 ||
		    !S_ISREG(status.st_mode) ||
		    thaw_pack_find(making->gather.pack, THAW_PACK_ROOT, path, true) !=
			    THAW_PACK_NONE)
			continue;
		if (thaw_gather_path(&making->gather, path, false, making->err) < 0)
			return thaw_error_wrap(making->err, "argument '%s' names a file", word);
	}
	return 0;
}

/* Adds what the program looked for in earlier boots, and what comes beside a script. What has changed
 * since, and what does not fit into the tree that there is, is left out: the program will look for it
 * once more. */
static int add_discovered(struct making *making)
{
	struct thaw_discovery *discovery = making->discovery;
	const struct thaw_command *command = &making->command;
	char **words = making->freeze->args;

	/* A program from a root has all of its files. */
	if (making->freeze->no_discover || command->in_tree)
		return 0;
	/* A script's first line is not the operator's, so what it names makes no area. */
	if (making->first &&
	    thaw_discovery_init(discovery, making->cwd, words,
				strcmp(command->words[0], words[0]) == 0 ? command->program : NULL,
				making->freeze->verbose, making->err) < 0)
		return -1;
	for (size_t i = 0; i < discovery->count; i++) {
		const struct thaw_discovered *found = &discovery->found[i];
		struct thaw_error ignored = THAW_ERROR_INIT;

		if (found->names)
			thaw_gather_names(&making->gather, found->path, found->hidden, &ignored);
		else
			thaw_gather_path(&making->gather, found->path, false, &ignored);
	}
	making->discovers = true;
	return 0;
}

static int add_program(struct making *making)
{
	const char *program = making->command.program;
	thaw_autofree char *real = NULL;

	if (making->command.in_tree)
		return 0;
	real = realpath(program, NULL);
	if (!real)
		return thaw_fail_errno(making->err, THAW_ERR_FAILURE, errno,
				       "cannot open program %s", program);
	if (thaw_gather_path(&making->gather, program, true, making->err) < 0)
		return -1;
	/* An object is known by its real path. --file may have packed the program before, as an
	 * object whose libraries may be missing. */
	for (size_t i = 0; i < making->gather.object_count; i++)
		if (strcmp(making->gather.objects[i].path, real) == 0)
			making->gather.objects[i].needed = true;
	if (thaw_gather_libraries(&making->gather, making->err) < 0)
		return -1;
	if (thaw_gather_runtimes(&making->gather, program, making->err) < 0)
		return -1;
	return thaw_gather_hooks(&making->gather, program, making->err);
}

static int make_directory(struct making *making, const char *path, uint32_t mode, uint32_t uid,
			  uint32_t gid)
{
	struct thaw_pack *pack = making->gather.pack;
	const char *slash = strrchr(path, '/');
	thaw_autofree char *parent = strndup(path, (size_t)(slash - path));
	const struct thaw_pack_meta meta = {.mode = S_IFDIR | mode, .uid = uid, .gid = gid};
	uint32_t directory, made;

	if (thaw_pack_find(pack, THAW_PACK_ROOT, path, true) != THAW_PACK_NONE)
		return 0;
	if (!parent)
		return thaw_fail(making->err, THAW_ERR_FAILURE, "out of memory");
	if (thaw_pack_make_directories(pack, parent, &directory, making->err) < 0)
		return -1;
	return thaw_pack_put_directory(pack, directory, slash + 1, strlen(slash + 1), &meta, &made,
				       making->err);
}

static int add_users(struct making *making)
{
	char passwd[512], group[256];
	const char *name = making->freeze->user;
	size_t length = name ? strcspn(name, ":") : 0;

	if (name && (strspn(name, "0123456789") == length || length > 32)) {
		name = "user";
		length = 4;
	}
	snprintf(
		passwd, sizeof(passwd),
		"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n");
	snprintf(group, sizeof(group), "root:x:0:\nnogroup:x:65534:\n");
	if (making->uid != 0 && making->uid != 65534)
		snprintf(passwd + strlen(passwd), sizeof(passwd) - strlen(passwd),
			 "%.*s:x:%" PRIu32 ":%" PRIu32 ":%.*s:%s:/bin/sh\n", (int)length, name,
			 making->uid, making->gid, (int)length, name, making->home);
	if (making->gid != 0 && making->gid != 65534)
		snprintf(group + strlen(group), sizeof(group) - strlen(group),
			 "%.*s:x:%" PRIu32 ":\n", name ? (int)length : 5, name ? name : "group",
			 making->gid);
	if (thaw_pack_put_default(making->gather.pack, "/etc/passwd", 0644, passwd, making->err) <
	    0)
		return -1;
	return thaw_pack_put_default(making->gather.pack, "/etc/group", 0644, group, making->err);
}

/* Makes the directories that programs expect, where the tree has none. */
static int add_directories(struct making *making)
{
	static const struct {
		const char *path;
		uint32_t mode;
	} made[] = {{"/tmp", 01777}, {"/var/tmp", 01777}, {"/dev", 0755}, {"/proc", 0555},
		    {"/root", 0700}, {"/run", 0755},	  {"/home", 0755}};

	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
		if (make_directory(making, made[i].path, made[i].mode, 0, 0) < 0)
			return -1;
	if (strcmp(making->home, "/") == 0)
		return 0;
	return make_directory(making, making->home, 0755, making->uid, making->gid);
}

/* Adds what this host tells of its system and of the names of services. */
static int add_host_files(struct making *making)
{
	static const char *const files[] = {"/etc/os-release", "/etc/services", "/etc/protocols"};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (access(files[i], R_OK) == 0 &&
		    thaw_gather_path(&making->gather, files[i], false, making->err) < 0)
			return -1;
	return 0;
}

/* Adds the files that a C library looks for, where the tree has none. */
static int add_defaults(struct making *making)
{
	static const struct {
		const char *path, *text;
	} files[] = {
		{"/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n"
				       "networks: files\nprotocols: files\nservices: files\n"
				       "ethers: files\nrpc: files\n"},
		{"/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"},
		{"/etc/resolv.conf", "# There is no network.\n"},
	};

	if (add_directories(making) < 0 || add_users(making) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (thaw_pack_put_default(making->gather.pack, files[i].path, 0644, files[i].text,
					  making->err) < 0)
			return -1;
	return 0;
}

/* Makes the environment, and packs what it names and what the program's libraries open. If a root
 * has the program, nothing of this host is added. */
static int add_environment(struct making *making)
{
	const bool in_tree = making->command.in_tree;
	bool locale = false;

	if (thaw_environment_make(making->freeze, &making->gather, making->uid, in_tree,
				  &making->environment, making->err) < 0)
		return -1;
	if (in_tree)
		return 0;
	if (thaw_gather_extras(&making->gather, &locale, making->err) < 0 ||
	    thaw_environment_pack(&making->environment, &making->gather, locale, making->err) < 0 ||
	    add_host_files(making) < 0)
		return -1;
	return thaw_gather_libraries(&making->gather, making->err);
}

/* ---- The whole tree ---- */

static const char *library_path(const struct thaw_freeze_options *freeze)
{
	for (size_t i = 0; i < freeze->env_count; i++)
		if (strncmp(freeze->env[i], "LD_LIBRARY_PATH=", 16) == 0)
			return freeze->env[i] + 16;
	return NULL;
}

static int find_program(struct making *making)
{
	const struct thaw_freeze_options *freeze = making->freeze;
	const char *cwd = freeze->cwd ? freeze->cwd : making->has_root ? "/" : making->here;

	snprintf(making->cwd, sizeof(making->cwd), "%s", cwd);
	/* A name with a slash starts from the caller's directory, whatever the guest's is. */
	return thaw_command_find(making->has_root ? making->gather.pack : NULL, making->here,
				 freeze->args, making->first ? say : NULL, &making->command,
				 making->err);
}

static int finish(struct making *making, struct thaw_freeze_tree *out)
{
	const struct thaw_freeze_options *freeze = making->freeze;
	const struct thaw_pack_config config = {
		.program = making->command.program,
		.cwd = making->cwd,
		.uid = making->uid,
		.gid = making->gid,
		.flags = (freeze->at_start ? THAW_TREE_AT_START : 0) |
			 (freeze->trace ? THAW_TREE_TRACE : 0) |
			 (making->discovers ? THAW_TREE_TELL_SOUGHT : 0),
		.memory_limit = thaw_freeze_memory(freeze, true),
	};
	uint32_t directory;

	if (thaw_pack_make_directories(making->gather.pack, making->cwd, &directory, making->err) <
	    0)
		return thaw_error_wrap(making->err, "--cwd");
	return thaw_pack_finish(making->gather.pack, &config, &out->fd, &out->size, making->err);
}

static int pack_linux(struct making *making, struct thaw_freeze_tree *out)
{
	if (parse_user(making) < 0 || add_program(making) < 0 || add_arguments(making) < 0 ||
	    add_discovered(making) < 0 || thaw_gather_libraries(&making->gather, making->err) < 0 ||
	    add_defaults(making) < 0 || add_environment(making) < 0 || finish(making, out) < 0)
		return -1;
	out->discovers = making->discovers;
	if (making->gather.skipped && making->first)
		thaw_cli_say("left out %zu sockets, devices and other special files",
			     making->gather.skipped);
	return 0;
}

static int refuse_options(const struct making *making)
{
	const struct thaw_freeze_options *freeze = making->freeze;

	if (freeze->file_count || freeze->cwd || freeze->user || freeze->at_start || freeze->trace)
		return thaw_fail(
			making->err, THAW_ERR_USAGE,
			"%s is a native function and has no files: --file, --dir, --root, --cwd, "
			"--user, --at-start and --trace are for Linux programs",
			making->command.program);
	return 0;
}

static int make(struct making *making, struct thaw_freeze_tree *out)
{
	if (!getcwd(making->here, sizeof(making->here)))
		return thaw_fail_errno(making->err, THAW_ERR_FAILURE, errno,
				       "cannot find the current directory");
	if (thaw_pack_create(&making->gather.pack, making->err) < 0 || add_files(making) < 0 ||
	    find_program(making) < 0)
		return -1;
	return making->command.kind == THAW_ELF_NATIVE ? refuse_options(making)
						       : pack_linux(making, out);
}

int thaw_freeze_tree_make(const struct thaw_freeze_options *freeze,
			  struct thaw_discovery *discovery, struct thaw_freeze_tree *out,
			  struct thaw_error *err)
{
	struct making making = {.freeze = freeze,
				.discovery = discovery,
				.first = !discovery->found,
				.gather = {.library_path = library_path(freeze)},
				.err = err};
	struct thaw_freeze_tree made = THAW_FREEZE_TREE_INIT;
	int done = make(&making, &made);

	thaw_gather_finish(&making.gather);
	thaw_pack_destroy(making.gather.pack);
	if (done < 0) {
		thaw_command_free(&making.command);
		thaw_environment_free(&making.environment);
		return -1;
	}
	made.command = making.command;
	made.environment = making.environment;
	*out = made;
	return 0;
}

void thaw_freeze_tree_finish(struct thaw_freeze_tree *tree)
{
	if (tree->fd >= 0)
		close(tree->fd);
	tree->fd = -1;
	thaw_command_free(&tree->command);
	thaw_environment_free(&tree->environment);
}
