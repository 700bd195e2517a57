/* SPDX-License-Identifier: Apache-2.0 */
/* Precedes everything else in each file of the core (meson.build). Hidden symbols are addressed
 * relative to the program counter. Otherwise there would be a table of addresses, which the linker
 * cannot fill for code that lies so high. */
#pragma GCC visibility push(hidden)
