#include "sources/otlp/receiver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/http_server.h"
#include "sources/otlp/otlp_source.h"

#define PROTOBUF "application/x-protobuf"
#define JSON "application/json"

struct sw_otlp_receiver {
    sw_http_server *server;
    sw_source *source;
    size_t max_body;
    otlp_access access;
    bool stopping;
    sw_metric *m_requests;
};

/* One request. */
struct request {
    sw_otlp_receiver *receiver;
    sw_http_exchange *exchange;
    bool json;
    sw_buf inflated, protobuf;
};

static void count(int status, void *arg) {
    const sw_otlp_receiver *receiver = arg;
    char code[8];
    snprintf(code, sizeof code, "%d", status);
    sw_metric_add(receiver->m_requests, 1, code);
    if (status == 400 || status == 413) {
        sw_otlp_source_refused(receiver->source);
    }
}

static void reply(const struct request *request, int status, const sw_buf *body) {
    count(status, request->receiver);
    sw_http_reply(request->exchange, status, request->json ? JSON : PROTOBUF, body->data, body->len);
}

static void refuse(const struct request *request, int status, sw_otlp_code code, const char *why) {
    sw_buf body;
    sw_buf_init(&body, 4096);
    sw_otlp_status(&body, request->json, code, why);
    reply(request, status, &body);
    sw_buf_release(&body);
}

static void ask_to_wait(const struct request *request) {
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%d", OTLP_RETRY_AFTER_S);
    sw_http_reply_header(request->exchange, "Retry-After", seconds);
}

/* "application/json; charset=utf-8" is application/json. */
static bool is_type(const char *header, const char *type) {
    size_t len = strlen(type);
    if (header == NULL || strncasecmp(header, type, len) != 0) {
        return false;
    }
    header += len + strspn(header + len, " \t");
    return header[0] == '\0' || header[0] == ';';
}

/* False when it has replied. */
static bool inflate_body(struct request *request, sw_otlp_text *body) {
    const char *encoding = sw_http_header(request->exchange, "Content-Encoding");
    if (encoding == NULL || encoding[0] == '\0' || strcasecmp(encoding, "identity") == 0) {
        return true;
    }
    if (strcasecmp(encoding, "gzip") != 0 && strcasecmp(encoding, "deflate") != 0) {
        refuse(request, 400, SW_OTLP_INVALID_ARGUMENT, "Content-Encoding must be gzip, deflate or identity");
        return false;
    }
    int result = sw_otlp_inflate(body->data, body->len, &request->inflated);
    if (result == -2) {
        refuse(request, 413, SW_OTLP_INVALID_ARGUMENT, "the body is too large when it is decompressed");
    } else if (result != 0) {
        refuse(request, 400, SW_OTLP_INVALID_ARGUMENT, "the body is not what its Content-Encoding says");
    }
    *body = (sw_otlp_text){request->inflated.data, request->inflated.len};
    return result == 0;
}

static bool read_json(struct request *request, sw_otlp_text *body) {
    char why[SW_OTLP_WHY];
    if (!request->json) {
        return true;
    }
    if (sw_otlp_json_to_protobuf(body->data, body->len, &request->protobuf, why) != 0) {
        refuse(request, 400, SW_OTLP_INVALID_ARGUMENT, why);
        return false;
    }
    *body = (sw_otlp_text){request->protobuf.data, request->protobuf.len};
    return true;
}

static void take(const struct request *request, sw_otlp_text body) {
    char why[SW_OTLP_WHY];
    uint64_t rejected = 0;
    switch (sw_otlp_source_take(request->receiver->source, body, &rejected, why)) {
    case SW_OTLP_MALFORMED:
        refuse(request, 400, SW_OTLP_INVALID_ARGUMENT, why);
        return;
    case SW_OTLP_TOO_LARGE:
        refuse(request, 413, SW_OTLP_RESOURCE_EXHAUSTED, why);
        return;
    case SW_OTLP_BUSY:
        ask_to_wait(request);
        refuse(request, 429, SW_OTLP_RESOURCE_EXHAUSTED, why);
        return;
    case SW_OTLP_TAKEN:
        break;
    }
    sw_buf answer;
    sw_buf_init(&answer, 4096);
    sw_otlp_response(&answer, request->json, rejected, rejected > 0 ? why : NULL);
    reply(request, 200, &answer);
    sw_buf_release(&answer);
}

static bool admit(sw_http_exchange *exchange, void *arg) {
    sw_otlp_receiver *receiver = arg;
    struct request request = {.receiver = receiver, .exchange = exchange};
    request.json = is_type(sw_http_header(exchange, "Content-Type"), JSON);
    if (!otlp_access_admits(&receiver->access, sw_http_header(exchange, "Authorization"))) {
        sw_http_reply_header(exchange, "WWW-Authenticate", "Bearer realm=\"spanwatch\"");
        refuse(&request, 401, SW_OTLP_UNAUTHENTICATED, "the bearer token is missing or wrong");
    } else if (receiver->stopping) {
        ask_to_wait(&request);
        refuse(&request, 503, SW_OTLP_UNAVAILABLE, "the agent is stopping");
    } else {
        return true;
    }
    return false;
}

static void post_traces(sw_http_exchange *exchange, void *arg) {
    struct request request = {.receiver = arg, .exchange = exchange};
    const char *type = sw_http_header(exchange, "Content-Type");
    request.json = is_type(type, JSON);
    if (!request.json && !is_type(type, PROTOBUF)) {
        static const char why[] = "Content-Type must be " PROTOBUF " or " JSON "\n";
        count(415, request.receiver);
        sw_http_reply(exchange, 415, "text/plain; charset=utf-8", why, sizeof why - 1);
        return;
    }
    sw_buf_init(&request.inflated, request.receiver->max_body);
    sw_buf_init(&request.protobuf,
                2 * request.receiver->max_body); /* ids and numbers are shorter than in JSON */
    sw_otlp_text body = {0};
    body.data = sw_http_body(exchange, &body.len);
    if (inflate_body(&request, &body) && read_json(&request, &body)) {
        take(&request, body);
    }
    sw_buf_release(&request.inflated);
    sw_buf_release(&request.protobuf);
}

sw_otlp_receiver *sw_otlp_receiver_new(uv_loop_t *loop, const sw_otlp_receiver_options *options,
                                       sw_source *source, sw_metrics *metrics, char **error) {
    static const char *const by_code[] = {"code", NULL};
    sw_otlp_receiver *receiver = xcalloc(1, sizeof *receiver);
    sw_http_server_options listening = {.address = options->address,
                                        .max_body = options->max_body,
                                        .tls = options->tls,
                                        .plain_errors = true,
                                        .admit = admit,
                                        .admit_arg = receiver,
                                        .refused = count,
                                        .refused_arg = receiver};
    receiver->server = sw_http_server_new(loop, &listening, error);
    if (receiver->server == NULL) {
        free(receiver);
        return NULL;
    }
    receiver->source = source;
    receiver->max_body = options->max_body;
    otlp_access_init(&receiver->access, options);
    receiver->m_requests = sw_metrics_counter(metrics, "spanwatch_otlp_requests_total",
                                              "Requests over HTTP by the status of the answer.", by_code);
    sw_http_server_route(receiver->server, "POST", "/v1/traces", post_traces, receiver);
    return receiver;
}

void sw_otlp_receiver_free(sw_otlp_receiver *receiver) {
    if (receiver != NULL) {
        sw_http_server_free(receiver->server);
        otlp_access_release(&receiver->access);
        free(receiver);
    }
}

void sw_otlp_receiver_stop(sw_otlp_receiver *receiver) {
    if (receiver != NULL) {
        receiver->stopping = true;
    }
}

bool sw_otlp_receiver_is_local(const sw_otlp_receiver *receiver) {
    return sw_http_server_is_local(receiver->server);
}
