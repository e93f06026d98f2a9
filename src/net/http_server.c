#include "net/http_server_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "telemetry/log.h"

static void free_handle(uv_handle_t *handle) {
    free(handle);
}

/* The daemon and the loop. */

static void on_soon(uv_idle_t *handle);
static void on_time(uv_timer_t *handle);

static void run(sw_http_server *server) {
    server->run_again = false;
    MHD_run(server->daemon);
    MHD_UNSIGNED_LONG_LONG wait_ms = 0;
    bool waits = MHD_get_timeout(server->daemon, &wait_ms) == MHD_YES;
    uv_timer_stop(server->timer);
    uv_idle_stop(server->soon);
    if (server->run_again || (waits && wait_ms == 0)) { /* more to do: after the others had their turn */
        uv_idle_start(server->soon, on_soon);
    } else if (waits) {
        uv_timer_start(server->timer, on_time, wait_ms, 0);
    }
}

void http_server_run_soon(sw_http_server *server) {
    server->run_again = true;
    uv_idle_start(server->soon, on_soon);
}

static void on_soon(uv_idle_t *handle) {
    run(handle->data);
}

static void on_time(uv_timer_t *handle) {
    run(handle->data);
}

static void on_ready(uv_poll_t *handle, int status, int events) {
    (void)status;
    (void)events;
    run(handle->data);
}

/* Connections. */

void http_server_sweep(sw_http_server *server, uint64_t now_ms) {
    http_peer *peer = NULL;
    DL_FOREACH(server->peers, peer) {
        if (!peer->deferred && now_ms > peer->since_ms && now_ms - peer->since_ms > server->patience_ms) {
            shutdown(peer->fd, SHUT_RDWR); /* microhttpd sees the end and closes it */
        }
    }
}

static void on_sweep(uv_timer_t *handle) {
    sw_http_server *server = handle->data;
    http_server_sweep(server, uv_now(server->loop));
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **slot,
                          enum MHD_ConnectionNotificationCode code) {
    sw_http_server *server = arg;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        http_peer *gone = *slot;
        if (gone != NULL) {
            DL_DELETE(server->peers, gone);
            sw_tls_identity_release(gone->identity);
            free(gone);
        }
        *slot = NULL;
        server->run_again = true; /* at the limit of connections, it listens again only then */
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info == NULL) {
        return;
    }
    http_peer *came = xcalloc(1, sizeof *came);
    came->fd = info->connect_fd;
    came->since_ms = uv_now(server->loop);
    if (server->tls != NULL) {
        info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        came->identity = info != NULL ? sw_tls_server_apply(server->tls, info->tls_session) : NULL;
    }
    DL_APPEND(server->peers, came);
    *slot = came;
}

static int hex_value(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* As microhttpd does it, but %00 stays: it would end the text in the middle. */
static size_t unescape(void *arg, struct MHD_Connection *connection, char *text) {
    (void)arg;
    (void)connection;
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        int high = from[0] == '%' ? hex_value(from[1]) : -1;
        int low = high >= 0 ? hex_value(from[2]) : -1;
        if (low >= 0 && high + low > 0) {
            *to++ = (char)(high * 16 + low);
            from += 2;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
    return (size_t)(to - text);
}

static void on_log(void *arg, const char *fmt, va_list args) {
    (void)arg;
    if (!sw_log_enabled(SW_LOG_DEBUG)) {
        return;
    }
    char text[512];
    vsnprintf(text, sizeof text, fmt, args);
    text[strcspn(text, "\n")] = '\0';
    sw_log(SW_LOG_DEBUG, "http server", "reason", text, NULL);
}

/* Life. */

static struct MHD_Daemon *start_daemon(sw_http_server *server, const sw_http_server_options *options, int fd,
                                       unsigned idle_s) {
    unsigned connections =
        options->max_connections > 0 ? options->max_connections : HTTP_SERVER_MAX_CONNECTIONS;
    /* Each connection gets the certificate as it is then (on_connection); these are for a beginning. */
    const struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0,
         server->tls != NULL ? (void *)(uintptr_t)sw_tls_server_cert(server->tls) : NULL},
        {MHD_OPTION_HTTPS_MEM_KEY, 0,
         server->tls != NULL ? (void *)(uintptr_t)sw_tls_server_key(server->tls) : NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (server->tls != NULL ? MHD_USE_TLS : 0),
        0, NULL, NULL, http_on_request, server, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, connections, MHD_OPTION_CONNECTION_TIMEOUT,
        idle_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_SERVER_CONNECTION_MEMORY,
        MHD_OPTION_NOTIFY_COMPLETED, http_on_request_end, server, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
        server, MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        server->tls != NULL ? MHD_OPTION_ARRAY : MHD_OPTION_END, tls, MHD_OPTION_END);
}

static void watch(sw_http_server *server, int epoll_fd, unsigned idle_s) {
    server->poll = xcalloc(1, sizeof *server->poll);
    server->timer = xcalloc(1, sizeof *server->timer);
    server->sweep = xcalloc(1, sizeof *server->sweep);
    server->soon = xcalloc(1, sizeof *server->soon);
    server->poll->data = server->timer->data = server->sweep->data = server->soon->data = server;
    uv_poll_init(server->loop, server->poll, epoll_fd);
    uv_timer_init(server->loop, server->timer);
    uv_timer_init(server->loop, server->sweep);
    uv_idle_init(server->loop, server->soon);
    uv_poll_start(server->poll, UV_READABLE, on_ready);
    uint64_t period_ms = (uint64_t)idle_s * 500;
    uv_timer_start(server->sweep, on_sweep, period_ms, period_ms);
    run(server);
}

bool sw_http_server_is_local(const sw_http_server *server) {
    return server->local;
}

sw_http_server *sw_http_server_new(uv_loop_t *loop, const sw_http_server_options *options, char **error) {
    unsigned idle_s = options->idle_timeout_s > 0 ? options->idle_timeout_s : HTTP_SERVER_IDLE_S;
    sw_http_server *server = xcalloc(1, sizeof *server);
    server->tls = options->tls != NULL ? sw_tls_server_new(options->tls, error) : NULL;
    bool good = options->tls == NULL || server->tls != NULL;
    int fd = good ? http_listen(options->address, &server->port, error) : -1;
    if (fd < 0) {
        sw_tls_server_free(server->tls);
        free(server);
        return NULL;
    }
    server->loop = loop;
    server->local = http_is_loopback(fd);
    server->admit = options->admit;
    server->admit_arg = options->admit_arg;
    server->refused = options->refused;
    server->refused_arg = options->refused_arg;
    server->max_body = options->max_body > 0 ? options->max_body : HTTP_SERVER_MAX_BODY;
    server->max_bodies = options->max_bodies > 0 ? options->max_bodies : 16 * server->max_body;
    server->plain_errors = options->plain_errors;
    sw_buf_init(&server->spare, server->max_body);
    server->patience_ms = (uint64_t)idle_s * 2000;
    server->daemon = start_daemon(server, options, fd, idle_s);
    const union MHD_DaemonInfo *info =
        server->daemon != NULL ? MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (info == NULL) {
        *error = xasprintf("cannot listen on %s: the HTTP server does not start", options->address);
        if (server->daemon != NULL) {
            MHD_stop_daemon(server->daemon);
        }
        sw_tls_server_free(server->tls);
        free(server);
        return NULL;
    }
    watch(server, info->epoll_fd, idle_s);
    return server;
}

static void close_handles(sw_http_server *server) {
    uv_poll_stop(server->poll);
    uv_timer_stop(server->timer);
    uv_timer_stop(server->sweep);
    uv_idle_stop(server->soon);
    uv_close((uv_handle_t *)server->poll, free_handle);
    uv_close((uv_handle_t *)server->timer, free_handle);
    uv_close((uv_handle_t *)server->sweep, free_handle);
    uv_close((uv_handle_t *)server->soon, free_handle);
}

void sw_http_server_free(sw_http_server *server) {
    if (server == NULL) {
        return;
    }
    close_handles(server); /* before the daemon closes the descriptor that is watched */
    sw_http_exchange *exchange = NULL;
    sw_http_exchange *next = NULL;
    DL_FOREACH_SAFE(server->deferred, exchange, next) {
        DL_DELETE(server->deferred, exchange);
        exchange->state = EXCHANGE_ORPHANED;
        MHD_resume_connection(exchange->connection); /* microhttpd does not stop with suspended ones */
    }
    MHD_stop_daemon(server->daemon);
    for (size_t i = 0; i < server->n_routes; i++) {
        free(server->routes[i]->method);
        free(server->routes[i]->path);
        free(server->routes[i]);
    }
    free(server->routes);
    sw_tls_server_free(server->tls);
    sw_buf_release(&server->spare);
    free(server);
}

int sw_http_server_port(const sw_http_server *server) {
    return server->port;
}

void sw_http_server_route(sw_http_server *server, const char *method, const char *path,
                          sw_http_handler handler, void *arg) {
    if (path[0] != '/') {
        fprintf(stderr, "spanwatch: route %s does not start with a slash\n", path);
        abort();
    }
    http_route *added = xcalloc(1, sizeof *added);
    added->method = xstrdup(method);
    added->path = xstrdup(path);
    added->handler = handler;
    added->arg = arg;
    server->routes = xrealloc_array(server->routes, server->n_routes + 1, sizeof(http_route *));
    server->routes[server->n_routes++] = added;
}
