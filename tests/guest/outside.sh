#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# outside.sh SOURCE_DIR BUILD_DIR RUNNER: builds a function outside of the tree with the one line that docs/functions.md
# gives, by every compiler and linker on this machine, and runs it.
set -eu

source=$1 build=$2 run=$(realpath "$3")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$source/guest-stub/functions/hello.c" "$work/greet.c"
cd "$work"
export PKG_CONFIG_PATH="$build/meson-uninstalled"
built=0
for compiler in gcc clang; do
	command -v "$compiler" >/dev/null || continue
	for linker in bfd lld; do
		command -v "ld.$linker" >/dev/null || continue
		# shellcheck disable=SC2046 # pkg-config prints one word for each flag
		"$compiler" -O2 -Wall -Wextra -Werror "-fuse-ld=$linker" -o greet greet.c $(pkg-config --cflags --libs thaw-guest)
		answer=$("$run" ./greet </dev/null)
		if [ "$answer" != "hello, world" ]; then
			echo "$compiler with $linker: the function answered '$answer'" >&2
			exit 1
		fi
		echo "$compiler with $linker: fine"
		built=$((built + 1))
	done
done
[ "$built" -gt 0 ]
