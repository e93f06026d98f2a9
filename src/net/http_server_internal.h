/* What the files of the HTTP server share; nobody else includes this. */
#ifndef SW_NET_HTTP_SERVER_INTERNAL_H
#define SW_NET_HTTP_SERVER_INTERNAL_H

#include <microhttpd.h>

#include "base/buf.h"
#include "net/http_server.h"

#define HTTP_SERVER_MAX_BODY (1u << 20)
#define HTTP_SERVER_MAX_CONNECTIONS 128u
#define HTTP_SERVER_IDLE_S 30u
/* Of one connection: request line and headers must fit. Bodies are read in pieces of half of it: smaller ones
 * make large bodies a tenth dearer. */
#define HTTP_SERVER_CONNECTION_MEMORY (64u << 10)
#define HTTP_SERVER_MAX_REPLY_HEADERS 16
#define HTTP_SERVER_SPARE_BODY (1u << 20) /* a larger body's memory is not kept for the next */

typedef struct http_route {
    char *method;
    char *path;
    sw_http_handler handler;
    void *arg;
} http_route;

/* One connection, so that one that takes too long can be closed. */
typedef struct http_peer {
    struct http_peer *prev, *next;
    int fd;
    uint64_t since_ms; /* when it came, or its last request was answered */
    bool deferred;     /* waits for us, not we for it */
    sw_tls_identity *identity;
} http_peer;

typedef enum exchange_state {
    EXCHANGE_READING,  /* the body is coming in */
    EXCHANGE_HANDLING, /* the handler runs */
    EXCHANGE_DEFERRED, /* the handler has kept it */
    EXCHANGE_ANSWERED, /* `response` is there, or was queued */
    EXCHANGE_ORPHANED, /* deferred, and the client or the server is gone */
} exchange_state;

struct sw_http_exchange {
    sw_http_exchange *prev, *next; /* among the deferred ones */
    sw_http_server *server;
    struct MHD_Connection *connection;
    http_peer *peer;
    const http_route *route;
    char *method;
    char *path;
    sw_buf body;
    size_t counted;   /* of the body, in what the server counts */
    size_t discarded; /* bytes of a body that nobody wants */
    bool too_large, too_many;
    bool denied; /* answered by who admits; the body is read and forgotten before that is sent */
    exchange_state state;
    bool kept; /* was deferred: the handler holds it until it replies */
    int status;
    struct MHD_Response *response;
    char *header_names[HTTP_SERVER_MAX_REPLY_HEADERS];
    char *header_values[HTTP_SERVER_MAX_REPLY_HEADERS];
    size_t n_headers;
};

struct sw_http_server {
    uv_loop_t *loop;
    struct MHD_Daemon *daemon;
    uv_poll_t *poll;
    uv_timer_t *timer;
    uv_timer_t *sweep; /* closes what takes too long */
    uv_idle_t *soon;
    http_route **routes;
    size_t n_routes;
    size_t max_body, max_bodies;
    size_t body_bytes; /* of all exchanges, now */
    bool plain_errors;
    sw_tls_server *tls;   /* NULL: none */
    sw_buf spare;         /* memory of a body that was answered, for the next one */
    uint64_t patience_ms; /* for one request, from the end of the one before to its answer */
    int port;
    bool local;
    bool (*admit)(sw_http_exchange *exchange, void *arg);
    void *admit_arg;
    void (*refused)(int status, void *arg);
    void *refused_arg;
    bool run_again;
    http_peer *peers;
    sw_http_exchange *deferred;
};

/* A listening, non-blocking socket; -1 with *error (caller frees) saying what and why. */
int http_listen(const char *address, int *port, char **error);
/* Splits "host:port", "[v6]:port", ":port" (*host is then NULL; caller frees). False when it is none of
 * these. */
bool http_split_address(const char *address, char **host, int *port);

/* Whether a listening socket can be reached from this machine alone. */
bool http_is_loopback(int fd);

/* Runs the daemon on the next pass of the loop, for what its descriptor does not tell of. */
void http_server_run_soon(sw_http_server *server);
/* Closes the connections that have not got a request through for longer than the server's patience. */
void http_server_sweep(sw_http_server *server, uint64_t now_ms);

/* microhttpd's callbacks. */
enum MHD_Result http_on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **slot);
void http_on_request_end(void *arg, struct MHD_Connection *connection, void **slot,
                         enum MHD_RequestTerminationCode code);

#endif
