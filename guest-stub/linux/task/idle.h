/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that look for the request again and again instead of waiting for it: poll with a timeout
 * of 0, sleep, poll. Nothing but the request can end such a loop, so it is a wait for the request.
 *
 * The rule: two sleeps in a row that ended by time, or a thousand looks in a row, each with a look
 * before it that found nothing ready at all; and between the first look and the last no other task
 * ran, and the program made no call but looks, sleeps, questions for the time and a few that change
 * nothing. A program that does something else in its loop is still at work.
 */
#ifndef THAW_LINUX_IDLE_H
#define THAW_LINUX_IDLE_H

#include "guest-stub/linux/linux.h"

/* Whether the program has looked for the request and done nothing since. False from the ready point
 * on. */
extern bool idle_watching;

/* The current task has looked for the request, without waiting, and found nothing. May be the ready
 * point. */
void idle_look(void);

/* A sleep, or a wait for other files, has ended by time. May be the ready point. To be called where
 * idle_watching. */
void idle_slept(void);

/* System call NUMBER was answered with RESULT. To be called where idle_watching. */
void idle_call(uint64_t number, long result);

#endif
