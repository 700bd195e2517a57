# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the scripts here share; to be sourced. Leaves the shell in the top directory of the tree.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD

say() { printf '\n== %s\n' "$*"; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# configure DIRECTORY [MESON OPTIONS]: a build directory that is ready to use, made anew where what is there
# is half a one or another meson's.
configure() {
	local directory=$1
	shift
	if [[ -f $directory/build.ninja ]] && meson configure "$directory" "$@" >/dev/null 2>&1; then
		return
	fi
	rm -rf "$directory"
	meson setup "$directory" "$@"
}
