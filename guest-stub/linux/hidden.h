/* SPDX-License-Identifier: Apache-2.0 */
/* Comes before everything in each file of the core (meson.build): addresses are reached relative to
 * the program counter, and no table of them is made, which the linker could not fill so high up. */
#pragma GCC visibility push(hidden)
