# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Functions that the scripts share; a script sources this file. It changes to the top directory of the tree.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD

say() { printf '\n== %s\n' "$*"; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# configure DIRECTORY [MESON OPTIONS]: prepares a build directory. Makes it anew if it is incomplete, or was made by another
# version of meson.
configure() {
	local directory=$1
	shift
	if [[ -f $directory/build.ninja ]] && meson configure "$directory" "$@" >/dev/null 2>&1; then
		return
	fi
	rm -rf "$directory"
	meson setup "$directory" "$@"
}
