/* SPDX-License-Identifier: Apache-2.0 */
/* How many pages guest_writer.c writes in each invocation. */
#ifndef TEST_WRITER_H
#define TEST_WRITER_H

#define WRITER_PAGES 24u

#endif
