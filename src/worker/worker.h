/*
 * The worker: one process, one script, one lua_State. It takes calls from a socket and answers them; see
 * protocol/messages.md. It opens no file and knows no network.
 */
#ifndef SW_WORKER_WORKER_H
#define SW_WORKER_WORKER_H

#include <stdbool.h>

/* Says READY, serves calls until the other end closes the socket, and closes it. 0, or 1 when the other end
 * spoke nonsense. With `sandbox` the process first gives up its rights, for good. The process is
 * single-threaded and ends after this: the Lua state is left to the kernel, so that no finalizer runs. */
int sw_worker_run(int fd, bool sandbox);

#endif
