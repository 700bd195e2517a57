/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names, texts and exit codes of the numbers on the wire, from the tables in protocol.h and
 * engine/engine.h. Every function takes any number, because numbers come from the other side:
 * where the tables have no such number, a string is NULL. Strings are static. Any thread.
 */
#ifndef THAW_WIRE_NAMES_H
#define THAW_WIRE_NAMES_H

#include <stdint.h>

/* Of enum thaw_status: "ran", "busy", ... */
const char *thaw_wire_status_name(uint32_t status);
/* What a person is told: "too many requests wait already; try again". */
const char *thaw_wire_status_text(uint32_t status);
/* The exit code for a command-line caller; -1 for `ran`, where the outcome has it.
 * THAW_ERR_ENGINE for an unknown status. */
int thaw_wire_status_code(uint32_t status);
/* Of enum thaw_start: "none", "pool", "made". */
const char *thaw_wire_start_name(uint32_t start);
/* Of enum thaw_outcome_kind: "finished", ... Unlike thaw_outcome_name() it needs no engine. */
const char *thaw_wire_outcome_name(uint32_t outcome);

#endif
