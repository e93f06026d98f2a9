/*
 * The HTTP client: libcurl's multi interface on the libuv loop. Nothing here blocks, host names included.
 *
 * Life: sw_http_client_new → sw_http_start … → done callback, exactly once for each request that was started,
 * never from inside sw_http_start. sw_http_cancel is synchronous and the callback is then not called.
 * sw_http_client_free cancels what is under way.
 *
 * A body is either collected (`on_data` NULL; at most max_body bytes) or handed over piece by piece
 * (`on_data`), already decompressed and dechunked. A body over max_body (after decompression) ends the
 * request with SW_HTTP_TOO_LARGE. Redirects are not followed (an alert must not be sent to somebody else).
 * The body of an answer that is not 2xx is always collected, at most 64 KiB (or max_body) of it; it is never
 * SW_HTTP_TOO_LARGE. A compressed body that ends early inside a complete HTTP message is not noticed by
 * libcurl: it is SW_HTTP_OK with less data, and whoever decodes it must notice.
 *
 * All transfers together use about 4 ms of one pass of the loop and then go on in the next. Callbacks may
 * start and cancel requests and free the client. The first client sets SIGPIPE to be ignored unless it has a
 * handler.
 *
 * Proxies come from HTTP_PROXY, HTTPS_PROXY and NO_PROXY as curl does it; connections are kept and used
 * again.
 */
#ifndef SW_NET_HTTP_CLIENT_H
#define SW_NET_HTTP_CLIENT_H

#include <uv.h>

#include "base/base.h"

typedef struct sw_http_client sw_http_client;
typedef struct sw_http_call sw_http_call;

typedef enum sw_http_error {
    SW_HTTP_OK = 0,      /* a whole answer came, whatever its status */
    SW_HTTP_TIMEOUT,     /* the deadline passed */
    SW_HTTP_CONNECT,     /* could not resolve or connect */
    SW_HTTP_TLS,         /* certificate or handshake */
    SW_HTTP_TOO_LARGE,   /* body over max_body */
    SW_HTTP_BROKEN,      /* reset, half a body, not HTTP, bad compression */
    SW_HTTP_ABORTED,     /* on_data said stop */
    SW_HTTP_BAD_REQUEST, /* URL, header or secret file is unusable: nothing was sent */
} sw_http_error;

/* Stable lower-case word for metrics and logs: "ok", "timeout", "connect", "tls", "too_large", "broken",
 * "aborted", "bad_request". */
const char *sw_http_error_name(sw_http_error error);

/* How to talk to one server. Plain data; strings belong to the caller and must live as long as the requests
 * that use it. Files are read again when their modification time changes. NULL means "not used". */
typedef struct sw_http_profile {
    const char *basic_auth_file;    /* one line "user:password" */
    const char *bearer_token_file;  /* one line */
    const char *authorization_type; /* what stands before the token instead of Bearer */
    const char *ca_file;            /* PEM bundle instead of the system's */
    const char *pinned_cert_file; /* PEM: the server must have the key of this certificate; who signed it, for
                                   * which name and until when does not matter then */
    const char *client_cert_file; /* PEM */
    const char *client_key_file;  /* PEM */
    const char *const *headers;   /* NULL-terminated "Name: value" */
    const char *proxy;            /* overrides the environment; "" switches proxies off */
    bool insecure_tls;            /* do not check certificates */
} sw_http_profile;

typedef struct sw_http_response {
    sw_http_error error;
    char message[256];     /* for people: what failed; never contains a secret */
    int status;            /* 0 when no status line came */
    int64_t date_s;        /* the server's Date header in unix seconds; 0 when absent or unreadable */
    int64_t retry_after_s; /* from now, both forms of Retry-After; -1 when absent */
    char content_type[96];
    const char
        *body; /* collected body, NUL-terminated; "" when on_data took it. Valid in the callback only. */
    size_t body_len;     /* bytes (collected, or handed to on_data) */
    int64_t duration_ns; /* from start to the last byte */
} sw_http_response;

typedef struct sw_http_request {
    const char *method; /* "GET" (default when NULL), "POST", … */
    const char *url;
    const sw_http_profile *profile; /* may be NULL */
    const char *const *headers;     /* NULL-terminated; replace the profile's of the same name */
    const void *body;               /* copied by sw_http_start */
    size_t body_len;
    int64_t timeout_ms;     /* whole request; must be > 0 */
    size_t max_body;        /* bytes; 0 = 1 MiB */
    bool accept_compressed; /* send Accept-Encoding: gzip */
    /* Called once, before the first piece of the body (or before `done` when there is none), with status and
     * headers known, whatever the status; return false to stop. May be NULL. */
    bool (*on_headers)(const sw_http_response *so_far, void *arg);
    bool (*on_data)(const char *data, size_t len,
                    void *arg); /* only called for 2xx; other bodies are collected */
    void (*done)(const sw_http_response *response, void *arg);
    void *arg;
} sw_http_request;

sw_http_client *sw_http_client_new(uv_loop_t *loop);
/* Cancels all requests and closes its handles; run the loop once more before closing the loop. */
void sw_http_client_free(sw_http_client *client);

/* Everything in `request` is copied, except what the profile points to. Never NULL: a request that cannot be
 * sent reports SW_HTTP_BAD_REQUEST through the callback. */
sw_http_call *sw_http_start(sw_http_client *client, const sw_http_request *request);
void sw_http_cancel(sw_http_call *call);
/* Requests under way. */
size_t sw_http_client_active(const sw_http_client *client);

#endif
