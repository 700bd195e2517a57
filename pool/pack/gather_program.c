/* SPDX-License-Identifier: Apache-2.0 */
/* Finds what a command line means; see gather_program.h. */
#include "pool/pack/gather_program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "snapshot-format/base/cleanup.h"

#define LINE_MAX_	 256 /* bytes of a script's first line, as in Linux */
#define INTERPRETERS_MAX 5
#define TREE_PATH	 "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct finding {
	const struct thaw_pack *pack; /* a root, or NULL */
	const char *cwd;
	void (*notice)(const char *text);
	struct thaw_command *command;
	struct thaw_error *err;
};

void thaw_command_free(struct thaw_command *command)
{
	free(command->program);
	for (size_t i = 0; i < command->word_count; i++)
		free(command->words[i]);
	free(command->words);
	*command = (struct thaw_command){0};
}

static int no_memory(const struct finding *finding)
{
	return thaw_fail(finding->err, THAW_ERR_FAILURE, "out of memory");
}

/* Puts WORDS in front of the command line, in place of its first word unless KEEP_FIRST. */
static int put_words(const struct finding *finding, const char *const *words, size_t count,
		     bool keep_first)
{
	struct thaw_command *command = finding->command;
	size_t tail = command->word_count ? command->word_count - !keep_first : 0;
	size_t from = command->word_count - tail;
	char **all;

	if (count + tail > THAW_COMMAND_WORDS_MAX)
		return thaw_fail(finding->err, THAW_ERR_USAGE, "at most %u arguments",
				 THAW_COMMAND_WORDS_MAX);
	all = calloc(count + tail + 1, sizeof(*all));
	if (!all)
		return no_memory(finding);
	for (size_t i = 0; i < count; i++) {
		all[i] = strdup(words[i]);
		if (!all[i]) {
			while (i-- > 0)
				free(all[i]);
			free(all);
			return no_memory(finding);
		}
	}
	for (size_t i = 0; i < tail; i++)
		all[count + i] = command->words[from + i];
	if (from)
		free(command->words[0]);
	free(command->words);
	command->words = all;
	command->word_count = count + tail;
	return 0;
}

/* ---- Finding the file of a name ---- */

static char *join(const char *directory, const char *name)
{
	char *path;

	while (strncmp(name, "./", 2) == 0)
		name += 2 + strspn(name + 2, "/");
	if (asprintf(&path, "%s%s%s", directory,
		     *directory && directory[strlen(directory) - 1] == '/' ? "" : "/", name) < 0)
		return NULL;
	return path;
}

static bool in_tree(const struct finding *finding, const char *path)
{
	uint32_t entry;

	if (!finding->pack)
		return false;
	entry = thaw_pack_find(finding->pack, THAW_PACK_ROOT, path, true);
	return entry != THAW_PACK_NONE && S_ISREG(thaw_pack_mode(finding->pack, entry)) &&
	       thaw_pack_mode(finding->pack, entry) & 0111;
}

static bool on_host(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

/* Version managers keep scripts named like programs in a directory "shims". Such a script starts
 * the real program, which a function cannot do, so the next directory of PATH is a better guess. */
static bool is_shim(const char *path)
{
	const char *slash = strrchr(path, '/');
	char begin[2] = {0};

	if (slash - path < 6 || memcmp(slash - 6, "/shims", 6) != 0)
		return false;
	thaw_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && read(fd, begin, 2) == 2 && memcmp(begin, "#!", 2) == 0;
}

/* Looks for NAME in the directories of LIST, a PATH, in the tree or on the host. An empty item is
 * the current directory. *FOUND stays NULL when there is none. */
static int search(const struct finding *finding, const char *name, const char *list, bool tree,
		  char **found)
{
	while (list) {
		size_t length = strcspn(list, ":");
		thaw_autofree char *directory =
			length ? strndup(list, length) : strdup(finding->cwd);
		thaw_autofree char *path = directory ? join(directory, name) : NULL;

		if (!path)
			return no_memory(finding);
		if (*path == '/' && (tree ? in_tree(finding, path) : on_host(path))) {
			if (tree || !is_shim(path)) {
				*found = thaw_take(path);
				return 0;
			}
			if (finding->notice) {
				char text[PATH_MAX + 128];

				snprintf(text, sizeof(text),
					 "%s is a version manager's script, which starts another "
					 "program: trying the next directory of PATH",
					 path);
				finding->notice(text);
			}
		}
		list = list[length] ? list + length + 1 : NULL;
	}
	return 0;
}

static int look_up(const struct finding *finding, const char *name, char **found, bool *tree)
{
	const char *path = getenv("PATH");

	*found = NULL;
	*tree = false;
	if (strchr(name, '/')) {
		thaw_autofree char *whole = *name == '/' ? strdup(name) : join(finding->cwd, name);

		if (!whole)
			return no_memory(finding);
		*tree = in_tree(finding, whole);
		if (*tree || on_host(whole))
			*found = thaw_take(whole);
		else if (access(whole, F_OK) == 0)
			return thaw_fail(finding->err, THAW_ERR_FAILURE,
					 "%s is not an executable file (chmod +x?)", whole);
	} else {
		if (finding->pack && search(finding, name, TREE_PATH, true, found) < 0)
			return -1;
		*tree = *found != NULL;
		if (!*found && search(finding, name, path ? path : TREE_PATH, false, found) < 0)
			return -1;
	}
	if (!*found)
		return thaw_fail(finding->err, THAW_ERR_FAILURE,
				 strchr(name, '/') ? "cannot open program %s: there is no such file"
						   : "cannot open program %s: it is not in PATH",
				 name);
	return 0;
}

/* ---- Looking at the file ---- */

static int read_begin(const struct finding *finding, const char *path, bool tree, char *buffer,
		      size_t size, struct thaw_elf_needs *needs)
{
	ssize_t got;

	memset(buffer, 0, size);
	*needs = (struct thaw_elf_needs){0};
	if (tree) {
		uint32_t entry = thaw_pack_find(finding->pack, THAW_PACK_ROOT, path, true);

		got = thaw_pack_read(finding->pack, entry, 0, buffer, size - 1);
		/* Whether the files of a root fit together is for the guest to find out. */
		needs->kind = got >= 4 && memcmp(buffer, "\177ELF", 4) == 0 ? THAW_ELF_LINUX
									    : THAW_ELF_NONE;
		return 0;
	}
	thaw_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return thaw_fail_errno(finding->err, THAW_ERR_FAILURE, errno,
				       "cannot open program %s", path);
	got = pread(fd, buffer, size - 1, 0);
	if (got < 0)
		return thaw_fail_errno(finding->err, THAW_ERR_FAILURE, errno,
				       "cannot read program %s", path);
	return thaw_elf_needs(fd, path, needs, finding->err);
}

/* Splits the first line of a script, "#! interpreter [argument]". The pieces point into LINE. */
static bool split_line(char *line, char **interpreter, char **argument)
{
	char *at, *end;

	line[strcspn(line, "\n")] = '\0';
	for (end = line + strlen(line); end > line && (end[-1] == ' ' || end[-1] == '\t'); end--)
		end[-1] = '\0';
	at = line + 2 + strspn(line + 2, " \t");
	*interpreter = at;
	at += strcspn(at, " \t");
	if (*at)
		*at++ = '\0';
	at += strspn(at, " \t");
	*argument = *at ? at : NULL;
	return **interpreter != '\0';
}

static bool is_env(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strcmp(slash ? slash + 1 : path, "env") == 0;
}

/* A function cannot start another program, as env(1) does, so its work is done here: "env NAME" and
 * "env -S NAME ARGUMENT...". */
static int put_env(const struct finding *finding, const char *script, char *argument)
{
	const char *words[32];
	size_t count = 0;

	if (argument && strncmp(argument, "-S", 2) == 0) {
		for (char *word = strtok(argument + 2, " \t"); word && count < 31;
		     word = strtok(NULL, " \t"))
			words[count++] = word;
	} else if (argument) {
		words[count++] = argument;
	}
	if (count == 0 || words[0][0] == '-' || strchr(words[0], '='))
		return thaw_fail(
			finding->err, THAW_ERR_FAILURE,
			"%s: its first line asks env(1) for more than a program's name: name "
			"the program yourself: thaw freeze NAME -- PROGRAM %s",
			script, script);
	words[count++] = script;
	return put_words(finding, words, count, false);
}

static int put_interpreter(const struct finding *finding, const char *script, char *line)
{
	const char *words[3];
	size_t count = 0;
	char *interpreter, *argument;

	if (!split_line(line, &interpreter, &argument))
		return thaw_fail(finding->err, THAW_ERR_FAILURE,
				 "%s: its first line names no interpreter", script);
	if (is_env(interpreter))
		return put_env(finding, script, argument);
	words[count++] = interpreter;
	if (argument)
		words[count++] = argument;
	words[count++] = script;
	return put_words(finding, words, count, false);
}

/* Returns 1 when the program is found, 0 when an interpreter was put before it, -1 on an error. */
static int find_once(const struct finding *finding)
{
	struct thaw_command *command = finding->command;
	thaw_autofree char *path = NULL;
	struct thaw_elf_needs needs;
	char line[LINE_MAX_];
	bool tree, typed = strchr(command->words[0], '/') != NULL;

	if (look_up(finding, command->words[0], &path, &tree) < 0 ||
	    read_begin(finding, path, tree, line, sizeof(line), &needs) < 0)
		return -1;
	command->kind = needs.kind;
	thaw_elf_needs_free(&needs);
	if (command->kind == THAW_ELF_OTHER)
		return thaw_fail(finding->err, THAW_ERR_FAILURE,
				 "%s is not a program for Linux on x86-64 (64 bits)", path);
	if (command->kind != THAW_ELF_NONE) {
		command->program = thaw_take(path);
		command->in_tree = tree;
		return 1;
	}
	if (memcmp(line, "#!", 2) != 0)
		return thaw_fail(finding->err, THAW_ERR_FAILURE,
				 "%s is neither an ELF program nor a script that begins with "
				 "\"#!\": name its interpreter: thaw freeze NAME -- sh %s",
				 path, path);
	return put_interpreter(finding, typed ? command->words[0] : path, line);
}

int thaw_command_find(const struct thaw_pack *pack, const char *cwd, char *const *words,
		      void (*notice)(const char *text), struct thaw_command *out,
		      struct thaw_error *err)
{
	struct thaw_command command = {0};
	const struct finding finding = {
		.pack = pack, .cwd = cwd, .notice = notice, .command = &command, .err = err};
	size_t count = 0;
	int found = 0;

	while (words[count])
		count++;
	found = put_words(&finding, (const char *const *)words, count, true);
	for (int i = 0; i <= INTERPRETERS_MAX && found == 0; i++)
		found = find_once(&finding);
	if (found == 0)
		found = thaw_fail(err, THAW_ERR_FAILURE,
				  "%s: more than %d interpreters in a chain of scripts", words[0],
				  INTERPRETERS_MAX);
	if (found < 0) {
		thaw_command_free(&command);
		return -1;
	}
	*out = command;
	return 0;
}
