#include "net/http_server_internal.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool parse_port(const char *text, int *port) {
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits] != '\0') {
        return false;
    }
    *port = atoi(text);
    return *port <= 65535;
}

bool http_split_address(const char *address, char **host, int *port) {
    const char *colon = strrchr(address, ':');
    if (colon == NULL || !parse_port(colon + 1, port)) {
        return false;
    }
    const char *from = address;
    size_t len = (size_t)(colon - address);
    if (len > 0 && from[0] == '[') {
        if (len < 3 || from[len - 1] != ']') {
            return false;
        }
        from++;
        len -= 2;
    } else if (memchr(from, ':', len) != NULL) { /* IPv6 without brackets: which colon is the port's? */
        return false;
    }
    if (len > 253 || memchr(from, '[', len) != NULL || memchr(from, ']', len) != NULL) {
        return false;
    }
    *host = len > 0 ? xstrndup(from, len) : NULL;
    return true;
}

/* -1 with errno. */
static int open_listener(const struct sockaddr *address, socklen_t len) {
    int yes = 1;
    int no = 0;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (address->sa_family == AF_INET6) { /* [::] takes IPv4 as well */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    }
    if (bind(fd, address, len) != 0 || listen(fd, 128) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static int listen_everywhere(int port) {
    struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = in6addr_any};
    int fd = open_listener((struct sockaddr *)&six, sizeof six);
    if (fd < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) { /* a kernel without IPv6 */
        struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        fd = open_listener((struct sockaddr *)&four, sizeof four);
    }
    return fd;
}

/* Looks the host up, which may block: the agent listens once, when it starts. */
static int listen_at(const char *host, int port, const char **why) {
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int code = getaddrinfo(host, service, &hints, &found);
    if (code != 0 && strcmp(host, "localhost") == 0) { /* RFC 6761: whatever /etc/hosts lacks */
        code = getaddrinfo("127.0.0.1", service, &hints, &found);
    }
    if (code != 0) {
        *why = code == EAI_SYSTEM ? strerror(errno) : gai_strerror(code);
        return -1;
    }
    int fd = -1;
    for (struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next) {
        fd = open_listener(at->ai_addr, at->ai_addrlen);
    }
    if (fd < 0) {
        *why = strerror(errno);
    }
    freeaddrinfo(found);
    return fd;
}

static int bound_port(int fd) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {.v6 = {0}};
    socklen_t len = sizeof address;
    if (getsockname(fd, &address.any, &len) != 0) {
        return 0;
    }
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

int http_listen(const char *address, int *port, char **error) {
    char *host = NULL;
    int wanted = 0;
    if (address == NULL || !http_split_address(address, &host, &wanted)) {
        *error = xasprintf("cannot listen on \"%s\": it is not of the form host:port, [IPv6]:port or :port",
                           address != NULL ? address : "");
        return -1;
    }
    const char *why = NULL;
    int fd = host != NULL ? listen_at(host, wanted, &why) : listen_everywhere(wanted);
    if (fd < 0) {
        *error = xasprintf("cannot listen on %s: %s", address, why != NULL ? why : strerror(errno));
    } else {
        *port = bound_port(fd);
    }
    free(host);
    return fd;
}

bool http_is_loopback(int fd) {
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        return false;
    }
    if (address.ss_family == AF_INET) {
        return ntohl(((const struct sockaddr_in *)(const void *)&address)->sin_addr.s_addr) >> 24 == 127;
    }
    return address.ss_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)&address)->sin6_addr);
}
