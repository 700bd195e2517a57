/* SPDX-License-Identifier: Apache-2.0 */
/* An image records arguments and environment for people and JSON, but a program's may be any
 * bytes. Internal to the engine. */
#ifndef THAW_SPELLED_H
#define THAW_SPELLED_H

/* Returns a copy of TEXT, which the caller frees; NULL when memory runs out. Where TEXT is not
 * UTF-8 free of control characters, the copy has C's escapes for it (a script's lines end in
 * \n). */
char *thaw_spelled(const char *text);

#endif
