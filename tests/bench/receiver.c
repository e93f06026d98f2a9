/*
 * The cheapest receiver of webhooks, so that whoever sends is measured: answers every request with 200 at
 * once, keeps connections, and counts. One thread, epoll.
 *
 *   receiver EXPECTED
 *
 * Prints its port. A GET marks the beginning (who raises the alerts asks for it just before). After EXPECTED
 * POSTs it prints the seconds since then and how many connections there were, and ends when its standard
 * input does.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROOM 262144

struct peer {
    int fd;
    size_t len;      /* bytes of the head so far */
    size_t body;     /* bytes of the body still to come */
    char head[8192]; /* of one request */
};

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
static long expected, posts, connections;
static double begun;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void request_is_complete(struct peer *peer) {
    if (write(peer->fd, answer, sizeof answer - 1) < 0) {
        return;
    }
    if (strncmp(peer->head, "GET", 3) == 0) {
        begun = now();
    } else if (++posts == expected) {
        printf("%.6f %ld\n", now() - begun, connections);
        fflush(stdout);
    }
}

static size_t length_of_body(const char *head) {
    const char *at = strcasestr(head, "\r\ncontent-length:");
    return at != NULL ? strtoul(at + 17, NULL, 10) : 0;
}

/* Takes one piece of what was read: as much as belongs to the request at hand. */
static size_t take(struct peer *peer, const char *data, size_t n) {
    if (peer->body > 0) {
        size_t used = n < peer->body ? n : peer->body;
        peer->body -= used;
        if (peer->body == 0) {
            request_is_complete(peer);
        }
        return used;
    }
    size_t room = sizeof peer->head - 1 - peer->len;
    size_t used = n < room ? n : room;
    memcpy(peer->head + peer->len, data, used);
    peer->head[peer->len + used] = '\0';
    char *end = strstr(peer->head, "\r\n\r\n");
    if (end == NULL) {
        peer->len += used;
        return used == 0 ? n : used; /* a head that is too long is dropped */
    }
    used = (size_t)(end + 4 - peer->head) - peer->len;
    end[2] = '\0';
    peer->len = 0;
    peer->body = length_of_body(peer->head);
    if (peer->body == 0) {
        request_is_complete(peer);
    } else if (strcasestr(peer->head, "\r\nexpect: 100-continue") != NULL) {
        static const char go[] = "HTTP/1.1 100 Continue\r\n\r\n";
        if (write(peer->fd, go, sizeof go - 1) < 0) {
            peer->body = 0;
        }
    }
    return used;
}

int main(int argc, char **argv) {
    static char data[ROOM];
    static char gone; /* standard input */
    expected = argc > 1 ? atol(argv[1]) : 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), epoll = epoll_create1(EPOLL_CLOEXEC),
        on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1024) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
        perror("receiver");
        return 1;
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &wanted);
    wanted.data.ptr = &gone;
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &wanted);
    for (;;) {
        struct epoll_event events[64];
        int n = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < n; i++) {
            struct peer *peer = events[i].data.ptr;
            if ((void *)peer == (void *)&gone) {
                return 0;
            }
            if (peer == NULL) {
                peer = calloc(1, sizeof *peer);
                peer->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                wanted.data.ptr = peer;
                epoll_ctl(epoll, EPOLL_CTL_ADD, peer->fd, &wanted);
                connections++;
                continue;
            }
            ssize_t got = read(peer->fd, data, sizeof data);
            if (got <= 0) {
                close(peer->fd);
                free(peer);
                continue;
            }
            for (size_t used = 0; used < (size_t)got;) {
                used += take(peer, data + used, (size_t)got - used);
            }
        }
    }
}
