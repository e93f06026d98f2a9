#include "net/h2_session.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/buf.h"
#include "telemetry/log.h"

#define WINDOW (1u << 20) /* bytes under way, of a stream and of the connection */
#define MAX_FIELDS 16     /* of a reply, in headers or trailers */
/* Acknowledgements that wait to be sent: nothing is read while the client does not take them. */
#define MAX_OUTBOUND_ACKS 256
/* Frames that cost a client nothing, such as pings: what it may send beyond those that come with requests. */
#define ALLOWANCE_MAX 1000
#define ALLOWANCE_PER_S 20
#define ALLOWANCE_PER_REQUEST 16
#define SMALL_DATA 64 /* bytes: a frame of less is one of those */

struct sw_h2_exchange {
    sw_h2_exchange *prev, *next;
    h2_session *session;
    int32_t stream_id;
    uint64_t since_ms;
    char *method, *path;
    sw_buf headers;      /* name NUL value NUL … */
    size_t header_bytes; /* as RFC 9113 counts them */
    bool headers_too_large;
    sw_buf body;
    bool received; /* the request is whole */
    bool answered;
    sw_buf reply;
    size_t reply_sent;
    sw_buf trailers; /* as headers */
};

struct h2_session {
    h2_config *config;
    nghttp2_session *ng;
    sw_h2_exchange *exchanges; /* oldest first */
    uint64_t now_ms, counted_ms;
    double allowance;
    bool greeted;
};

/* ---- exchanges ---- */

static sw_h2_exchange *new_exchange(h2_session *session, int32_t stream_id) {
    sw_h2_exchange *exchange = xcalloc(1, sizeof *exchange);
    exchange->session = session;
    exchange->stream_id = stream_id;
    exchange->since_ms = session->now_ms;
    sw_buf_init(&exchange->headers, session->config->max_header_bytes + 1024);
    sw_buf_init(&exchange->body, session->config->max_body);
    sw_buf_init(&exchange->reply, 1 << 20);
    sw_buf_init(&exchange->trailers, 64 << 10);
    DL_APPEND(session->exchanges, exchange);
    return exchange;
}

static void release_body(sw_h2_exchange *exchange) {
    exchange->session->config->body_bytes -= exchange->body.len;
    sw_buf_release(&exchange->body);
    exchange->body.len = 0;
}

static void free_exchange(sw_h2_exchange *exchange) {
    release_body(exchange);
    DL_DELETE(exchange->session->exchanges, exchange);
    sw_buf_release(&exchange->headers);
    sw_buf_release(&exchange->reply);
    sw_buf_release(&exchange->trailers);
    free(exchange->method);
    free(exchange->path);
    free(exchange);
}

static void append_field(sw_buf *to, const char *name, size_t name_len, const char *value, size_t value_len) {
    sw_buf_append(to, name, name_len);
    sw_buf_append_char(to, '\0');
    sw_buf_append(to, value, value_len);
    sw_buf_append_char(to, '\0');
}

/* Makes nghttp2's fields of those in `from`, which must outlive them. */
static size_t fields_of(const sw_buf *from, nghttp2_nv *out, size_t max) {
    size_t n = 0;
    for (size_t at = 0; at < from->len && n < max; n++) {
        char *name = from->data + at;
        char *value = name + strlen(name) + 1;
        at = (size_t)(value - from->data) + strlen(value) + 1;
        out[n] = (nghttp2_nv){
            .name = (uint8_t *)name,
            .namelen = strlen(name),
            .value = (uint8_t *)value,
            .valuelen = strlen(value),
            .flags = NGHTTP2_NV_FLAG_NONE,
        };
    }
    return n;
}

/* ---- replying ---- */

static ssize_t read_reply(nghttp2_session *ng, int32_t stream_id, uint8_t *out, size_t room, uint32_t *flags,
                          nghttp2_data_source *source, void *arg) {
    (void)arg;
    sw_h2_exchange *exchange = source->ptr;
    size_t left = exchange->reply.len - exchange->reply_sent;
    size_t len = left < room ? left : room;
    if (len > 0) {
        memcpy(out, exchange->reply.data + exchange->reply_sent, len);
    }
    exchange->reply_sent += len;
    if (exchange->reply_sent == exchange->reply.len) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        nghttp2_nv fields[MAX_FIELDS];
        size_t n = fields_of(&exchange->trailers, fields, MAX_FIELDS);
        if (n > 0 && nghttp2_submit_trailer(ng, stream_id, fields, n) == 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        }
    }
    return (ssize_t)len;
}

void sw_h2_reply(sw_h2_exchange *exchange, const sw_h2_reply_parts *parts) {
    if (exchange->answered) {
        sw_log(SW_LOG_ERROR, "a request was answered twice; the first answer stands", "path",
               sw_h2_path(exchange), NULL);
        return;
    }
    exchange->answered = true;
    sw_buf head;
    sw_buf_init(&head, 64 << 10);
    char status[16];
    snprintf(status, sizeof status, "%d", parts->status);
    append_field(&head, ":status", 7, status, strlen(status));
    for (const sw_h2_field *at = parts->headers; at != NULL && at->name != NULL; at++) {
        append_field(&head, at->name, strlen(at->name), at->value, strlen(at->value));
    }
    for (const sw_h2_field *at = parts->trailers; at != NULL && at->name != NULL; at++) {
        append_field(&exchange->trailers, at->name, strlen(at->name), at->value, strlen(at->value));
    }
    sw_buf_append(&exchange->reply, parts->body, parts->body_len);
    nghttp2_nv fields[MAX_FIELDS];
    size_t n = fields_of(&head, fields, MAX_FIELDS);
    nghttp2_data_provider body = {.source.ptr = exchange, .read_callback = read_reply};
    bool has_body = exchange->reply.len > 0 || exchange->trailers.len > 0;
    nghttp2_submit_response(exchange->session->ng, exchange->stream_id, fields, n, has_body ? &body : NULL);
    sw_buf_release(&head);
    release_body(exchange);
}

/* ---- receiving ---- */

static sw_h2_exchange *exchange_of(nghttp2_session *ng, int32_t stream_id) {
    return nghttp2_session_get_stream_user_data(ng, stream_id);
}

static bool is_request(const nghttp2_frame *frame) {
    return frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *arg) {
    if (is_request(frame)) {
        nghttp2_session_set_stream_user_data(ng, frame->hd.stream_id, new_exchange(arg, frame->hd.stream_id));
    }
    return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *arg) {
    (void)flags;
    const h2_session *session = arg;
    sw_h2_exchange *exchange = exchange_of(ng, frame->hd.stream_id);
    if (exchange == NULL || !is_request(frame)) { /* trailers: nobody asks for them */
        return 0;
    }
    exchange->header_bytes += name_len + value_len + 32;
    if (exchange->header_bytes > session->config->max_header_bytes) {
        exchange->headers_too_large = true;
        return 0;
    }
    const char *text = (const char *)value;
    if (name_len == 7 && memcmp(name, ":method", 7) == 0) {
        free(exchange->method);
        exchange->method = xstrndup(text, value_len);
    } else if (name_len == 5 && memcmp(name, ":path", 5) == 0) {
        free(exchange->path);
        exchange->path = xstrndup(text, value_len);
    } else {
        append_field(&exchange->headers, (const char *)name, name_len, text, value_len);
    }
    return 0;
}

static void received(h2_session *session, sw_h2_exchange *exchange) {
    exchange->received = true;
    session->allowance += ALLOWANCE_PER_REQUEST;
    if (!exchange->answered) {
        session->config->callbacks.handle(exchange, session->config->callbacks.arg);
    }
    if (!exchange->answered) {
        sw_log(SW_LOG_ERROR, "a handler gave no answer", "path", sw_h2_path(exchange), NULL);
        sw_h2_reply(exchange, &(sw_h2_reply_parts){.status = 500});
    }
}

static void begin_request(const h2_session *session, sw_h2_exchange *exchange) {
    if (exchange->headers_too_large) {
        sw_h2_reply(exchange, &(sw_h2_reply_parts){.status = 431});
    } else {
        session->config->callbacks.admit(exchange, session->config->callbacks.arg);
    }
}

/* Takes back what time and requests have earned, and pays for one frame. */
static bool may_go_on(h2_session *session, const nghttp2_frame_hd *frame) {
    double since_s = (double)(session->now_ms - session->counted_ms) / 1000;
    session->counted_ms = session->now_ms;
    session->allowance += since_s * ALLOWANCE_PER_S;
    if (session->allowance > ALLOWANCE_MAX) {
        session->allowance = ALLOWANCE_MAX;
    }
    if (frame->type != NGHTTP2_DATA || frame->length < SMALL_DATA) {
        session->allowance--;
    }
    return session->allowance >= 0;
}

static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *frame, void *arg) {
    h2_session *session = arg;
    if (!may_go_on(session, frame)) {
        sw_log(SW_LOG_DEBUG, "http/2: a client sends frames without end and is sent away", NULL);
        nghttp2_session_terminate_session(ng, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    return 0;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg) {
    h2_session *session = arg;
    session->greeted |= frame->hd.type == NGHTTP2_SETTINGS;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
        return 0;
    }
    sw_h2_exchange *exchange = exchange_of(ng, frame->hd.stream_id);
    if (exchange == NULL) {
        return 0;
    }
    if (is_request(frame)) {
        begin_request(session, exchange);
    }
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        received(session, exchange);
    }
    return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t len,
                   void *arg) {
    (void)flags;
    const h2_session *session = arg;
    h2_config *config = session->config;
    sw_h2_exchange *exchange = exchange_of(ng, stream_id);
    if (exchange == NULL || exchange->answered) {
        return 0;
    }
    bool too_large = len > config->max_body - exchange->body.len;
    if (too_large || config->body_bytes + len > config->max_bodies) {
        release_body(exchange);
        config->callbacks.refuse(exchange, too_large, config->callbacks.arg);
        return 0;
    }
    if (sw_buf_append(&exchange->body, data, len) == 0) {
        config->body_bytes += len;
    }
    return 0;
}

/* A client that was answered before it has sent everything need not go on (RFC 9113, 8.1). */
static int on_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *arg) {
    (void)arg;
    bool last = (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
                (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    const sw_h2_exchange *exchange = last ? exchange_of(ng, frame->hd.stream_id) : NULL;
    if (exchange != NULL && !exchange->received) {
        nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    }
    return 0;
}

static int on_close(nghttp2_session *ng, int32_t stream_id, uint32_t code, void *arg) {
    (void)code;
    (void)arg;
    sw_h2_exchange *exchange = exchange_of(ng, stream_id);
    if (exchange != NULL) {
        nghttp2_session_set_stream_user_data(ng, stream_id, NULL);
        free_exchange(exchange);
    }
    return 0;
}

/* ---- life ---- */

static nghttp2_session *new_nghttp2(h2_session *session) {
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    nghttp2_session *ng = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0) {
        abort(); /* no memory: the policy of base.h */
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_option_set_max_outbound_ack(option, MAX_OUTBOUND_ACKS);
    nghttp2_option_set_no_closed_streams(option, 1); /* priorities are not used */
    if (nghttp2_session_server_new2(&ng, callbacks, session, option) != 0) {
        abort();
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return ng;
}

h2_session *h2_session_new(h2_config *config, uint64_t now_ms) {
    h2_session *session = xcalloc(1, sizeof *session);
    session->config = config;
    session->now_ms = session->counted_ms = now_ms;
    session->allowance = ALLOWANCE_MAX;
    session->ng = new_nghttp2(session);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, config->max_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)config->max_header_bytes},
    };
    nghttp2_submit_settings(session->ng, NGHTTP2_FLAG_NONE, settings, SW_ARRAY_LEN(settings));
    nghttp2_session_set_local_window_size(session->ng, NGHTTP2_FLAG_NONE, 0, WINDOW);
    return session;
}

void h2_session_free(h2_session *session) {
    if (session == NULL) {
        return;
    }
    nghttp2_session_del(session->ng); /* does not call back */
    sw_h2_exchange *exchange = NULL, *next = NULL;
    DL_FOREACH_SAFE(session->exchanges, exchange, next) {
        free_exchange(exchange);
    }
    free(session);
}

bool h2_session_receive(h2_session *session, const void *data, size_t len, uint64_t now_ms) {
    session->now_ms = now_ms;
    ssize_t used = nghttp2_session_mem_recv(session->ng, data, len);
    if (used < 0) {
        sw_log(SW_LOG_DEBUG, "http/2: a connection is closed", "reason", nghttp2_strerror((int)used), NULL);
    }
    return used >= 0;
}

ssize_t h2_session_next(h2_session *session, const uint8_t **data) {
    ssize_t len = nghttp2_session_mem_send(session->ng, data);
    return len < 0 ? -1 : len;
}

void h2_session_stop(h2_session *session) {
    nghttp2_session_terminate_session(session->ng, NGHTTP2_NO_ERROR);
}

bool h2_session_is_over(const h2_session *session) {
    return nghttp2_session_want_read(session->ng) == 0 && nghttp2_session_want_write(session->ng) == 0;
}

bool h2_session_greeted(const h2_session *session) {
    return session->greeted;
}

bool h2_session_oldest_ms(const h2_session *session, uint64_t *since_ms) {
    if (session->exchanges != NULL) {
        *since_ms = session->exchanges->since_ms;
    }
    return session->exchanges != NULL;
}

/* ---- asking ---- */

const char *sw_h2_method(const sw_h2_exchange *exchange) {
    return exchange->method != NULL ? exchange->method : "";
}

const char *sw_h2_path(const sw_h2_exchange *exchange) {
    return exchange->path != NULL ? exchange->path : "";
}

const char *sw_h2_header(const sw_h2_exchange *exchange, const char *name) {
    for (size_t at = 0; at < exchange->headers.len;) {
        const char *found = exchange->headers.data + at;
        const char *value = found + strlen(found) + 1;
        if (strcmp(found, name) == 0) {
            return value;
        }
        at = (size_t)(value - exchange->headers.data) + strlen(value) + 1;
    }
    return NULL;
}

const char *sw_h2_body(const sw_h2_exchange *exchange, size_t *len) {
    *len = exchange->body.len;
    return exchange->body.data != NULL ? exchange->body.data : "";
}

uint64_t sw_h2_age_ms(const sw_h2_exchange *exchange) {
    return exchange->session->now_ms - exchange->since_ms;
}
