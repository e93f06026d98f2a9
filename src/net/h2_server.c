#include "net/h2_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "net/h2_session.h"
#include "net/http_server_internal.h"
#include "telemetry/log.h"

#define MAX_BODY ((size_t)4 << 20)
#define MAX_CONNECTIONS 128
#define MAX_STREAMS 100
#define IDLE_S 30
#define MAX_HEADER_BYTES (16 << 10)
#define OUT_PIECE (64 << 10) /* is made before it is written */
#define OUT_MAX (1 << 20)
#define BACKLOG 128

typedef struct h2_connection {
    struct h2_connection *prev, *next;
    sw_h2_server *server; /* NULL when it is being closed */
    uv_tcp_t tcp;
    h2_session *session;
    sw_tls_stream *tls; /* NULL: none */
    sw_buf out;         /* to be written */
    sw_buf writing;     /* by `write` */
    uv_write_t write;
    uint64_t came_ms, heard_ms;
} h2_connection;

struct sw_h2_server {
    uv_loop_t *loop;
    uv_tcp_t *listener;
    uv_timer_t *sweep;
    sw_tls_server *tls;
    h2_config config;
    h2_connection *connections;
    unsigned n_connections, max_connections;
    bool waiting; /* a client that was not accepted yet: there are too many */
    uint64_t idle_ms;
    int port;
    bool local;
    char input[65536]; /* of whichever connection is being read */
};

static void accept_one(sw_h2_server *server);

/* ---- one connection ---- */

static void on_closed(uv_handle_t *handle) {
    h2_connection *connection = handle->data;
    sw_buf_release(&connection->out);
    sw_buf_release(&connection->writing);
    free(connection);
}

static void close_connection(h2_connection *connection) {
    sw_h2_server *server = connection->server;
    if (server == NULL) {
        return;
    }
    connection->server = NULL;
    DL_DELETE(server->connections, connection);
    server->n_connections--;
    h2_session_free(connection->session);
    sw_tls_stream_free(connection->tls);
    uv_close((uv_handle_t *)&connection->tcp, on_closed);
    if (server->waiting) {
        server->waiting = false;
        accept_one(server);
    }
}

static bool is_writing(const h2_connection *connection) {
    return connection->writing.len > 0;
}

/* False: the connection is over. */
static bool fill(h2_connection *connection) {
    if (connection->tls != NULL && !sw_tls_stream_is_open(connection->tls)) {
        return true;
    }
    while (connection->out.len < OUT_PIECE) {
        const uint8_t *data = NULL;
        ssize_t len = h2_session_next(connection->session, &data);
        if (len <= 0) {
            return len == 0;
        }
        bool good = connection->tls != NULL ? sw_tls_stream_send(connection->tls, data, (size_t)len)
                                            : sw_buf_append(&connection->out, data, (size_t)len) == 0;
        if (!good) {
            return false;
        }
    }
    return true;
}

static void flush(h2_connection *connection);
static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer);

static void lend_input(uv_handle_t *handle, size_t size, uv_buf_t *out) {
    (void)size;
    const h2_connection *connection = handle->data;
    *out = connection->server != NULL
               ? uv_buf_init(connection->server->input, sizeof connection->server->input)
               : uv_buf_init(NULL, 0);
}

static void on_written(uv_write_t *write, int status) {
    h2_connection *connection = write->data;
    sw_buf_reset(&connection->writing);
    if (connection->server == NULL) {
        return;
    }
    if (status < 0) {
        close_connection(connection);
        return;
    }
    uv_read_start((uv_stream_t *)&connection->tcp, lend_input, on_read);
    flush(connection);
}

/* Writes what can be written now. What remains is written when the client takes it, and until then nothing is
 * read from it. */
static void flush(h2_connection *connection) {
    while (!is_writing(connection)) {
        if (!fill(connection)) {
            close_connection(connection);
            return;
        }
        sw_buf *out = &connection->out;
        if (out->len == 0) {
            break;
        }
        uv_buf_t bytes = uv_buf_init(out->data, (unsigned)out->len);
        int n = uv_try_write((uv_stream_t *)&connection->tcp, &bytes, 1);
        if (n == (int)out->len) {
            sw_buf_reset(out);
            continue;
        }
        if (n < 0 && n != UV_EAGAIN) {
            close_connection(connection);
            return;
        }
        size_t done = n > 0 ? (size_t)n : 0;
        sw_buf_append(&connection->writing, out->data + done, out->len - done);
        sw_buf_reset(out);
        bytes = uv_buf_init(connection->writing.data, (unsigned)connection->writing.len);
        connection->write.data = connection;
        uv_read_stop((uv_stream_t *)&connection->tcp);
        if (uv_write(&connection->write, (uv_stream_t *)&connection->tcp, &bytes, 1, on_written) != 0) {
            sw_buf_reset(&connection->writing);
            close_connection(connection);
        }
        return;
    }
    if (!is_writing(connection) && h2_session_is_over(connection->session)) {
        close_connection(connection);
    }
}

static bool take(const char *data, size_t len, void *arg) {
    h2_connection *connection = arg;
    return h2_session_receive(connection->session, data, len, uv_now(connection->server->loop));
}

/* Whoever does not begin as HTTP/2 does has most often mistaken the port, and can read this. */
static void turn_away(h2_connection *connection) {
    static const char answer[] =
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
        "Content-Length: 60\r\n\r\nHTTP/2 is spoken here, for gRPC: is this the port for HTTP?\n";
    if (connection->tls == NULL) {
        sw_buf_append_str(&connection->out, answer);
    } else if (sw_tls_stream_is_open(connection->tls)) {
        sw_tls_stream_send(connection->tls, answer, sizeof answer - 1);
    }
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer) {
    h2_connection *connection = stream->data;
    if (got == 0 || connection->server == NULL) {
        return;
    }
    bool good = got > 0;
    if (good) {
        connection->heard_ms = uv_now(connection->server->loop);
        good = connection->tls != NULL
                   ? sw_tls_stream_receive(connection->tls, buffer->base, (size_t)got, take, connection)
                   : take(buffer->base, (size_t)got, connection);
    }
    if (got > 0 && !good && !h2_session_greeted(connection->session)) {
        turn_away(connection);
    }
    if (!good && connection->out.len > 0) { /* this, or the alert that says why there is no TLS session */
        uv_buf_t bytes = uv_buf_init(connection->out.data, (unsigned)connection->out.len);
        uv_try_write(stream, &bytes, 1);
    }
    if (good) {
        flush(connection);
    } else {
        close_connection(connection);
    }
}

/* ---- listening ---- */

static void accept_one(sw_h2_server *server) {
    if (server->n_connections >= server->max_connections) {
        server->waiting = true; /* libuv asks the kernel for no more until this one is accepted */
        return;
    }
    h2_connection *connection = xcalloc(1, sizeof *connection);
    uv_tcp_init(server->loop, &connection->tcp);
    connection->tcp.data = connection;
    sw_buf_init(&connection->out, OUT_MAX);
    sw_buf_init(&connection->writing, OUT_MAX);
    connection->server = server;
    connection->came_ms = connection->heard_ms = uv_now(server->loop);
    connection->session = h2_session_new(&server->config, uv_now(server->loop));
    DL_APPEND(server->connections, connection);
    server->n_connections++;
    bool good = uv_accept((uv_stream_t *)server->listener, (uv_stream_t *)&connection->tcp) == 0;
    if (good && server->tls != NULL) {
        connection->tls = sw_tls_stream_new(server->tls, "h2", &connection->out);
        good = connection->tls != NULL;
    }
    if (!good) {
        close_connection(connection);
        return;
    }
    uv_tcp_nodelay(&connection->tcp, 1);
    /* The client speaks first: who does not speak HTTP/2 gets an answer that it can read. */
    uv_read_start((uv_stream_t *)&connection->tcp, lend_input, on_read);
}

static void on_connection(uv_stream_t *listener, int status) {
    if (status == 0) {
        accept_one(listener->data);
    }
}

/* What takes too long ends: a beginning, a request, or, after long, doing nothing. */
static void look_after(const sw_h2_server *server, h2_connection *connection, uint64_t now_ms) {
    uint64_t since_ms = 0;
    if (!h2_session_greeted(connection->session)) {
        if (now_ms - connection->came_ms > server->idle_ms) {
            close_connection(connection);
        }
    } else if (h2_session_oldest_ms(connection->session, &since_ms) || is_writing(connection)) {
        since_ms = since_ms != 0 ? since_ms : connection->heard_ms;
        if (now_ms > since_ms && now_ms - since_ms > 2 * server->idle_ms) {
            close_connection(connection);
        }
    } else if (now_ms - connection->heard_ms > 10 * server->idle_ms) {
        h2_session_stop(connection->session);
        flush(connection);
    }
}

void h2_server_sweep(sw_h2_server *server, uint64_t now_ms) {
    h2_connection *connection = NULL, *next = NULL;
    DL_FOREACH_SAFE(server->connections, connection, next) {
        look_after(server, connection, now_ms);
    }
}

static void on_sweep(uv_timer_t *timer) {
    sw_h2_server *server = timer->data;
    h2_server_sweep(server, uv_now(server->loop));
}

static void free_handle(uv_handle_t *handle) {
    free(handle);
}

static bool listen_at(sw_h2_server *server, const char *address, char **error) {
    int fd = http_listen(address, &server->port, error);
    if (fd < 0) {
        return false;
    }
    server->local = http_is_loopback(fd);
    server->listener = xcalloc(1, sizeof *server->listener);
    uv_tcp_init(server->loop, server->listener);
    server->listener->data = server;
    int rc = uv_tcp_open(server->listener, fd);
    if (rc != 0) {
        close(fd);
    } else {
        rc = uv_listen((uv_stream_t *)server->listener, BACKLOG, on_connection);
    }
    if (rc != 0) {
        *error = xasprintf("cannot listen on %s: %s", address, uv_strerror(rc));
    }
    return rc == 0;
}

sw_h2_server *sw_h2_server_new(uv_loop_t *loop, const sw_h2_server_options *options, char **error) {
    sw_h2_server *server = xcalloc(1, sizeof *server);
    size_t max_body = options->max_body > 0 ? options->max_body : MAX_BODY;
    server->loop = loop;
    server->max_connections = options->max_connections > 0 ? options->max_connections : MAX_CONNECTIONS;
    server->idle_ms = (options->idle_timeout_s > 0 ? options->idle_timeout_s : IDLE_S) * UINT64_C(1000);
    server->config = (h2_config){
        .max_body = max_body,
        .max_bodies = options->max_bodies > 0 ? options->max_bodies : 16 * max_body,
        .max_header_bytes = MAX_HEADER_BYTES,
        .max_streams = options->max_streams > 0 ? options->max_streams : MAX_STREAMS,
        .callbacks = options->callbacks,
    };
    bool good = true;
    if (options->tls != NULL) {
        server->tls = sw_tls_server_new(options->tls, error);
        good = server->tls != NULL;
    }
    if (!good || !listen_at(server, options->address, error)) {
        sw_h2_server_free(server);
        return NULL;
    }
    server->sweep = xcalloc(1, sizeof *server->sweep);
    uv_timer_init(loop, server->sweep);
    server->sweep->data = server;
    uv_timer_start(server->sweep, on_sweep, server->idle_ms / 2, server->idle_ms / 2);
    return server;
}

/* One last word, if it can be said at once. */
static void say_goodbye(h2_connection *connection) {
    h2_session_stop(connection->session);
    if (is_writing(connection) || !fill(connection)) {
        return;
    }
    if (connection->tls != NULL) {
        sw_tls_stream_bye(connection->tls);
    }
    uv_buf_t bytes = uv_buf_init(connection->out.data, (unsigned)connection->out.len);
    uv_try_write((uv_stream_t *)&connection->tcp, &bytes, 1);
}

void sw_h2_server_free(sw_h2_server *server) {
    if (server == NULL) {
        return;
    }
    server->waiting = false;
    while (server->connections != NULL) {
        say_goodbye(server->connections);
        close_connection(server->connections);
    }
    if (server->listener != NULL) {
        uv_close((uv_handle_t *)server->listener, free_handle);
    }
    if (server->sweep != NULL) {
        uv_timer_stop(server->sweep);
        uv_close((uv_handle_t *)server->sweep, free_handle);
    }
    sw_tls_server_free(server->tls);
    free(server);
}

int sw_h2_server_port(const sw_h2_server *server) {
    return server->port;
}

bool sw_h2_server_is_local(const sw_h2_server *server) {
    return server->local;
}
