/* spanwatch-worker: started by spanwatch with the socket on descriptor 3. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/base.h"
#include "worker/worker.h"

#define SOCKET_FD 3

static int is_socket(int fd) {
    int type;
    socklen_t size = sizeof(type);
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts("spanwatch-worker " SW_VERSION);
        return 0;
    }
    if (!is_socket(SOCKET_FD)) {
        fputs("spanwatch-worker runs scripts for spanwatch, which starts it; it is of no use alone.\n",
              stderr);
        return 64;
    }
    /* A terminal's Ctrl-C, or a supervisor that signals the whole group, means the agent, which then ends its
     * workers itself. */
    static const int not_ours[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < SW_ARRAY_LEN(not_ours); i++) {
        signal(not_ours[i], SIG_IGN);
    }
    return sw_worker_run(SOCKET_FD, true);
}
