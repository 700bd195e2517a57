/* SPDX-License-Identifier: Apache-2.0 */
/* A program of the build: prints a C file with the guest's filters as libseccomp compiles them. */
#include <linux/filter.h>
#include <seccomp.h>
#include <stdio.h>

#include "engine/jail/guest_filter_table.h"

static int print_filter(const char *name, enum thaw_guest_filter which)
{
	struct sock_filter program[THAW_GUEST_FILTER_MAX];
	struct thaw_error err = THAW_ERROR_INIT;
	size_t count;

	if (thaw_guest_filter_compile(which, program, THAW_GUEST_FILTER_MAX, &count, &err)) {
		fprintf(stderr, "%s\n", err.message);
		return -1;
	}
	printf("static const struct sock_filter %s[] = {\n", name);
	for (size_t i = 0; i < count; i++)
		printf("\t{0x%02x, %u, %u, 0x%08x},\n", program[i].code, program[i].jt,
		       program[i].jf, program[i].k);
	puts("};\n");
	return 0;
}

int main(void)
{
	/* Use the actions of Linux 4.14, whatever the kernel of the building host has. */
	if (seccomp_api_set(3)) {
		fputs("this libseccomp is older than Linux 4.14\n", stderr);
		return 1;
	}
	puts("/* Written by engine/jail/guest_filter_generate.c from the table in "
	     "engine/jail/guest_filter_table.c. */\n"
	     "#include <linux/filter.h>\n\n"
	     "#include \"engine/jail/jail.h\"\n");
	if (print_filter("clone_filter", THAW_GUEST_FILTER_CLONE) ||
	    print_filter("boot_filter", THAW_GUEST_FILTER_BOOT))
		return 1;
	puts("const struct sock_filter *thaw_guest_filter(enum thaw_guest_filter which, size_t "
	     "*count)\n"
	     "{\n"
	     "\tconst bool boots = which == THAW_GUEST_FILTER_BOOT;\n\n"
	     "\t*count = boots ? sizeof(boot_filter) / sizeof(boot_filter[0])\n"
	     "\t\t       : sizeof(clone_filter) / sizeof(clone_filter[0]);\n"
	     "\treturn boots ? boot_filter : clone_filter;\n"
	     "}");
	return fflush(stdout) ? 1 : 0;
}
