/*
 * Gives up what a worker does not need, for good: new privileges, core dumps, files, processes, and all
 * system calls but a short list. What is missing in this kernel is a warning, not a failure.
 */
#ifndef SW_WORKER_SANDBOX_H
#define SW_WORKER_SANDBOX_H

#include "base/buf.h"

/* `fd` is the socket, the only descriptor that stays usable besides standard error. Appends one line per
 * warning. */
void sw_sandbox_enter(int fd, sw_buf *warnings);
/* Bounds the address space to what is mapped now and this much more: the last net, behind the state's cap. */
void sw_sandbox_limit_memory(size_t state_bytes);

/* False in a build with sanitizers, which need more than the sandbox leaves: there it is only a part of
 * itself. */
bool sw_sandbox_is_whole(void);

#endif
