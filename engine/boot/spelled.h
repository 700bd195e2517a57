/* SPDX-License-Identifier: Apache-2.0 */
/* An image's record of arguments and environment is for people and JSON; a program's may be
 * anything. */
#ifndef THAW_SPELLED_H
#define THAW_SPELLED_H

/* TEXT, or where it is not UTF-8 free of control characters what C would write for it (a script's
 * lines end in \n). The caller's to free; NULL when memory is out. */
char *thaw_spelled(const char *text);

#endif
