/* SPDX-License-Identifier: Apache-2.0 */
/* For LD_PRELOAD: kills a jailed child of `thaw` by SIGILL right after it has sent its result,
 * which is recognized by its header. */
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pool/jailed/exchange.h"

__attribute__((visibility("default"))) ssize_t sendmsg(int fd, const struct msghdr *message,
						       int flags)
{
	ssize_t sent = syscall(SYS_sendmsg, fd, message, flags);
	uint32_t type = 0;

	if (message->msg_iovlen == 2 && message->msg_iov[0].iov_len == 2 * sizeof(type))
		memcpy(&type, message->msg_iov[0].iov_base, sizeof(type));
	if (sent > 0 && type == THAW_JAILED_RESULT)
		__builtin_trap();
	return sent;
}
