/* SPDX-License-Identifier: Apache-2.0 */
/* Packs the hook of a language's runtime (hooks/), and says which variable makes the runtime run it.
 * Python's is packed with its files, since it needs no variable. */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "pool/pack/gather.h"
#include "snapshot-format/base/cleanup.h"

#define DIRECTORY "/usr/lib/thaw/hooks"

/* Each is a file of hooks/, from its first byte to its end. */
extern const uint8_t thaw_node_hook[], thaw_node_hook_end[];
extern const uint8_t thaw_perl_hook[], thaw_perl_hook_end[];
extern const uint8_t thaw_ruby_hook[], thaw_ruby_hook_end[];
extern const uint8_t thaw_lua_hook[], thaw_lua_hook_end[];

/* Hooks take their own value off the variable again: see there. */
static const struct thaw_gather_hook hooks[] = {
	{.program = "node*",
	 .file = "node.js",
	 .begin = thaw_node_hook,
	 .end = thaw_node_hook_end,
	 .variable = "NODE_OPTIONS",
	 .value = "--require=" DIRECTORY "/node.js",
	 .between = " "},
	{.program = "perl*",
	 .file = "thaw_seed.pm",
	 .begin = thaw_perl_hook,
	 .end = thaw_perl_hook_end,
	 .variable = "PERL5OPT",
	 .value = "-I" DIRECTORY " -Mthaw_seed",
	 .between = " "},
	{.program = "ruby*",
	 .file = "ruby.rb",
	 .begin = thaw_ruby_hook,
	 .end = thaw_ruby_hook_end,
	 .variable = "RUBYOPT",
	 .value = "-r" DIRECTORY "/ruby.rb",
	 .between = " "},
	/* Lua runs this variable instead of LUA_INIT, and the hook runs that. */
	{.program = "lua5.4*",
	 .file = "lua.lua",
	 .begin = thaw_lua_hook,
	 .end = thaw_lua_hook_end,
	 .variable = "LUA_INIT_5_4",
	 .value = "@" DIRECTORY "/lua.lua"},
};

int thaw_gather_hooks(struct thaw_gather *gather, const char *program, struct thaw_error *err)
{
	thaw_autofree char *real = realpath(program, NULL);
	const char *path = real ? real : program, *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	uint32_t directory;

	for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
		const struct thaw_gather_hook *hook = &hooks[i];

		if (fnmatch(hook->program, name, 0) != 0)
			continue;
		gather->hook = hook;
		if (thaw_pack_make_directories(gather->pack, DIRECTORY, &directory, err) < 0)
			return -1;
		return thaw_pack_put_bytes(gather->pack, directory, hook->file, 0644, hook->begin,
					   (size_t)(hook->end - hook->begin), err);
	}
	return 0;
}
