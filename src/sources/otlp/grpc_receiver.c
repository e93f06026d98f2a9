#include "sources/otlp/grpc_receiver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/h2_server.h"
#include "otlp/grpc.h"
#include "sources/otlp/otlp_source.h"

#define EXPORT "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
#define FRAME 5 /* bytes around a message */

struct sw_otlp_grpc {
    sw_h2_server *server;
    sw_source *source;
    size_t max_body;
    otlp_access access;
    bool stopping;
    sw_metric *m_requests;
};

static const char *name_of(sw_otlp_code code) {
    switch (code) {
    case SW_OTLP_OK:
        return "OK";
    case SW_OTLP_INVALID_ARGUMENT:
        return "INVALID_ARGUMENT";
    case SW_OTLP_DEADLINE_EXCEEDED:
        return "DEADLINE_EXCEEDED";
    case SW_OTLP_RESOURCE_EXHAUSTED:
        return "RESOURCE_EXHAUSTED";
    case SW_OTLP_UNIMPLEMENTED:
        return "UNIMPLEMENTED";
    case SW_OTLP_INTERNAL:
        return "INTERNAL";
    case SW_OTLP_UNAVAILABLE:
        return "UNAVAILABLE";
    case SW_OTLP_UNAUTHENTICATED:
        return "UNAUTHENTICATED";
    }
    return "UNKNOWN";
}

/* ---- answers ---- */

/* All in one block of headers. retry_after_s 0: it is not to be sent again. */
static void fail(const sw_otlp_grpc *receiver, sw_h2_exchange *exchange, sw_otlp_code code, const char *why,
                 unsigned retry_after_s) {
    sw_metric_add(receiver->m_requests, 1, name_of(code));
    if (code == SW_OTLP_INVALID_ARGUMENT || code == SW_OTLP_INTERNAL ||
        (code == SW_OTLP_RESOURCE_EXHAUSTED && retry_after_s == 0)) {
        sw_otlp_source_refused(receiver->source);
    }
    char number[16];
    snprintf(number, sizeof number, "%d", (int)code);
    sw_buf message, details;
    sw_buf_init(&message, 4096);
    sw_buf_init(&details, 4096);
    sw_grpc_message(&message, why);
    if (retry_after_s > 0) {
        sw_grpc_status_details(&details, code, why, retry_after_s);
    }
    const sw_h2_field headers[] = {
        {"content-type", "application/grpc"},
        {"grpc-accept-encoding", SW_GRPC_ENCODINGS},
        {"grpc-status", number},
        {"grpc-message", message.len > 0 ? message.data : ""},
        {details.len > 0 ? "grpc-status-details-bin" : NULL, details.data},
        {NULL, NULL},
    };
    sw_h2_reply(exchange, &(sw_h2_reply_parts){.status = 200, .headers = headers});
    sw_buf_release(&message);
    sw_buf_release(&details);
}

static void succeed(const sw_otlp_grpc *receiver, sw_h2_exchange *exchange, uint64_t rejected,
                    const char *why) {
    static const sw_h2_field headers[] = {
        {"content-type", "application/grpc"}, {"grpc-accept-encoding", SW_GRPC_ENCODINGS}, {NULL, NULL}};
    static const sw_h2_field trailers[] = {{"grpc-status", "0"}, {NULL, NULL}};
    sw_metric_add(receiver->m_requests, 1, name_of(SW_OTLP_OK));
    sw_buf response, body;
    sw_buf_init(&response, 4096);
    sw_buf_init(&body, 8192);
    sw_otlp_response(&response, false, rejected, why);
    sw_grpc_write(&body, response.data, response.len);
    sw_h2_reply(exchange, &(sw_h2_reply_parts){.status = 200,
                                               .headers = headers,
                                               .body = body.data,
                                               .body_len = body.len,
                                               .trailers = trailers});
    sw_buf_release(&response);
    sw_buf_release(&body);
}

static void refuse_http(const sw_otlp_grpc *receiver, sw_h2_exchange *exchange, int status,
                        const char *text) {
    static const sw_h2_field headers[] = {{"content-type", "text/plain; charset=utf-8"}, {NULL, NULL}};
    sw_metric_add(receiver->m_requests, 1, "NOT_GRPC");
    sw_h2_reply(exchange, &(sw_h2_reply_parts){
                              .status = status, .headers = headers, .body = text, .body_len = strlen(text)});
}

/* ---- requests ---- */

/* "application/grpc", "application/grpc+proto", "application/grpc;…" */
static bool is_grpc(const char *type) {
    static const char grpc[] = "application/grpc";
    if (type == NULL || strncasecmp(type, grpc, sizeof grpc - 1) != 0) {
        return false;
    }
    const char *rest = type + sizeof grpc - 1;
    return rest[0] == '\0' || rest[0] == ';' || strcasecmp(rest, "+proto") == 0;
}

static bool admit(sw_h2_exchange *exchange, void *arg) {
    sw_otlp_grpc *receiver = arg;
    if (strcmp(sw_h2_method(exchange), "POST") != 0) {
        refuse_http(receiver, exchange, 405, "gRPC is spoken here: the method must be POST\n");
    } else if (!is_grpc(sw_h2_header(exchange, "content-type"))) {
        refuse_http(receiver, exchange, 415, "gRPC is spoken here: content-type must be application/grpc\n");
    } else if (strcmp(sw_h2_path(exchange), EXPORT) != 0) {
        fail(receiver, exchange, SW_OTLP_UNIMPLEMENTED, "only " EXPORT " is implemented here", 0);
    } else if (!otlp_access_admits(&receiver->access, sw_h2_header(exchange, "authorization"))) {
        fail(receiver, exchange, SW_OTLP_UNAUTHENTICATED, "the bearer token is missing or wrong", 0);
    } else if (receiver->stopping) {
        fail(receiver, exchange, SW_OTLP_UNAVAILABLE, "the agent is stopping", OTLP_RETRY_AFTER_S);
    } else {
        return true;
    }
    return false;
}

static void refuse(sw_h2_exchange *exchange, bool too_large, void *arg) {
    if (too_large) {
        fail(arg, exchange, SW_OTLP_RESOURCE_EXHAUSTED, "the message is too large", 0);
    } else {
        fail(arg, exchange, SW_OTLP_RESOURCE_EXHAUSTED, "too many requests are coming in at once",
             OTLP_RETRY_AFTER_S);
    }
}

static bool is_too_late(const sw_h2_exchange *exchange) {
    const char *timeout = sw_h2_header(exchange, "grpc-timeout");
    int64_t ms = timeout != NULL ? sw_grpc_timeout_ms(timeout) : -1;
    return ms >= 0 && sw_h2_age_ms(exchange) > (uint64_t)ms;
}

static void take(const sw_otlp_grpc *receiver, sw_h2_exchange *exchange, sw_otlp_text message) {
    char why[SW_OTLP_WHY];
    uint64_t rejected = 0;
    switch (sw_otlp_source_take(receiver->source, message, &rejected, why)) {
    case SW_OTLP_MALFORMED:
        fail(receiver, exchange, SW_OTLP_INVALID_ARGUMENT, why, 0);
        return;
    case SW_OTLP_TOO_LARGE:
        fail(receiver, exchange, SW_OTLP_RESOURCE_EXHAUSTED, why, 0);
        return;
    case SW_OTLP_BUSY:
        fail(receiver, exchange, SW_OTLP_RESOURCE_EXHAUSTED, why, OTLP_RETRY_AFTER_S);
        return;
    case SW_OTLP_TAKEN:
        break;
    }
    succeed(receiver, exchange, rejected, rejected > 0 ? why : NULL);
}

static void handle(sw_h2_exchange *exchange, void *arg) {
    const sw_otlp_grpc *receiver = arg;
    if (is_too_late(exchange)) {
        fail(receiver, exchange, SW_OTLP_DEADLINE_EXCEEDED, "the request came after its deadline", 0);
        return;
    }
    char why[SW_OTLP_WHY];
    sw_buf inflated;
    sw_buf_init(&inflated, receiver->max_body);
    sw_otlp_text body = {0}, message = {0};
    body.data = sw_h2_body(exchange, &body.len);
    sw_otlp_code code = sw_grpc_read(body, sw_h2_header(exchange, "grpc-encoding"), &inflated, &message, why);
    if (code == SW_OTLP_OK) {
        take(receiver, exchange, message);
    } else {
        fail(receiver, exchange, code, why, 0);
    }
    sw_buf_release(&inflated);
}

/* ---- life ---- */

sw_otlp_grpc *sw_otlp_grpc_new(uv_loop_t *loop, const sw_otlp_receiver_options *options, sw_source *source,
                               sw_metrics *metrics, char **error) {
    static const char *const by_code[] = {"code", NULL};
    sw_otlp_grpc *receiver = xcalloc(1, sizeof *receiver);
    sw_h2_server_options server = {
        .address = options->address,
        .max_body = options->max_body + FRAME,
        .tls = options->tls,
        .callbacks = {.admit = admit, .handle = handle, .refuse = refuse, .arg = receiver},
    };
    receiver->server = sw_h2_server_new(loop, &server, error);
    if (receiver->server == NULL) {
        free(receiver);
        return NULL;
    }
    receiver->source = source;
    receiver->max_body = options->max_body;
    otlp_access_init(&receiver->access, options);
    receiver->m_requests =
        sw_metrics_counter(metrics, "spanwatch_otlp_grpc_requests_total",
                           "Calls over gRPC by the status of the answer; NOT_GRPC: it was none.", by_code);
    return receiver;
}

void sw_otlp_grpc_free(sw_otlp_grpc *receiver) {
    if (receiver != NULL) {
        sw_h2_server_free(receiver->server);
        otlp_access_release(&receiver->access);
        free(receiver);
    }
}

void sw_otlp_grpc_stop(sw_otlp_grpc *receiver) {
    if (receiver != NULL) {
        receiver->stopping = true;
    }
}

bool sw_otlp_grpc_is_local(const sw_otlp_grpc *receiver) {
    return sw_h2_server_is_local(receiver->server);
}
