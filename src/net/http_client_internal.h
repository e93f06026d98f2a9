/* What the files of the HTTP client share; nobody else includes this. */
#ifndef SW_NET_HTTP_CLIENT_INTERNAL_H
#define SW_NET_HTTP_CLIENT_INTERNAL_H

#include <curl/curl.h>

#include "base/buf.h"
#include "net/http_client.h"
#include "net/secret.h"

#define HTTP_DEFAULT_MAX_BODY (1u << 20)
#define HTTP_ERROR_BODY_MAX (64u << 10)      /* kept of an answer that is not 2xx */
#define HTTP_HEADERS_MAX (64u << 10)         /* bytes of all header lines of one answer */
#define HTTP_PASS_SHARE_NS UINT64_C(4000000) /* of one pass of the loop, for all transfers together */
#define HTTP_MAX_IDLE_CONNECTIONS 16L

typedef enum call_state {
    CALL_UNUSABLE, /* will report SW_HTTP_BAD_REQUEST on the next pass of the loop */
    CALL_WAITING,  /* will be handed to curl when curl is not running */
    CALL_RUNNING,  /* curl has it */
    CALL_FINISHED, /* curl no longer has it, and no list */
} call_state;

typedef struct http_trust {
    char *folder; /* NULL: there is none that OpenSSL could search */
    char *bundle; /* NULL: curl knows of none */
    bool bundle_needed;
} http_trust;

struct sw_http_call {
    sw_http_call *prev, *next;
    sw_http_client *client;
    call_state state;
    bool dropped; /* cancelled: no callback any more */
    bool in_done; /* its last callback is running */
    CURL *easy;
    struct curl_slist *headers;
    bool (*on_headers)(const sw_http_response *so_far, void *arg);
    bool (*on_data)(const char *data, size_t len, void *arg);
    void (*done)(const sw_http_response *response, void *arg);
    void *arg;
    int64_t timeout_ms;
    size_t max_body;
    uint64_t started_ns;
    char *authority; /* host[:port] for messages */

    sw_http_response response;
    sw_http_error stopped_as; /* why our own callbacks stopped curl */
    sw_buf body;
    size_t received; /* bytes of the body, decompressed */
    size_t header_bytes;
    char retry_after[64];
    bool encoded;      /* the answer has a Content-Encoding */
    bool headers_done; /* the last header line of the final answer was seen */
    bool announced;    /* on_headers was called */
    bool cut;          /* enough of an error's body was read */
    bool paused;       /* goes on in the next pass of the loop */
    bool by_folder;    /* the system's authorities, without the bundle */
    bool by_bundle;    /* asked again with the bundle */
    CURLcode resumed;  /* what going on came to */
    char curl_error[CURL_ERROR_SIZE];
};

/* Sets up call->easy. False, with the response filled in, when the request cannot be sent. */
bool http_call_prepare(sw_http_call *call, const sw_http_request *request, sw_secrets *secrets,
                       const http_trust *trust);
/* Makes curl hand the answer to the call. */
void http_call_receive(sw_http_call *call);
/* Fills in the response when curl has finished with `code`. May call on_headers (an answer without a body).
 */
void http_call_conclude(sw_http_call *call, CURLcode code);
void http_call_fail(sw_http_call *call, sw_http_error error, const char *fmt, ...) SW_PRINTF(3, 4);

void http_trust_init(http_trust *trust);
/* A folder without hashed names counts as none. */
void http_trust_set(http_trust *trust, const char *folder, const char *bundle);
void http_trust_release(http_trust *trust);
/* Whether it was the folder: then a failed verification is worth another try with the bundle. */
bool http_trust_apply(const http_trust *trust, CURL *easy, bool with_bundle);

/* Whether the client has had its share of this pass of the loop, and has got something done in it. The call
 * that asks then pauses, and goes on in the next pass. */
bool http_client_must_pause(sw_http_client *client);

/* For tests: the share of one pass, and other authorities than the system's. */
void http_client_set_share(sw_http_client *client, uint64_t ns);
http_trust *http_client_trust(sw_http_client *client);

#endif
