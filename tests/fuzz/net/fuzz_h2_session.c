/* What a client of the HTTP/2 server sends: the first byte is the size of the pieces in which it comes.
 * Limits hold, and what was counted is given back. */
#include <stdlib.h>
#include <string.h>

#include "net/h2_session.h"
#include "telemetry/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_BODY 1000

static void need(bool ok) {
    if (!ok) {
        abort();
    }
}

static void reply(sw_h2_exchange *exchange, int status) {
    const sw_h2_field headers[] = {{"content-type", "text/plain"}, {NULL, NULL}};
    const sw_h2_field trailers[] = {{"grpc-status", "0"}, {NULL, NULL}};
    sw_h2_reply(
        exchange,
        &(sw_h2_reply_parts){
            .status = status, .headers = headers, .body = "text", .body_len = 4, .trailers = trailers});
}

static bool admit(sw_h2_exchange *exchange, void *arg) {
    (void)arg;
    bool good = strcmp(sw_h2_method(exchange), "POST") == 0;
    need(strlen(sw_h2_path(exchange)) <= 1000);
    if (!good) {
        reply(exchange, 405);
    }
    return good;
}

static void handle(sw_h2_exchange *exchange, void *arg) {
    (void)arg;
    size_t len = 0;
    const char *body = sw_h2_body(exchange, &len);
    const char *type = sw_h2_header(exchange, "content-type");
    need(len <= MAX_BODY && strlen(body) <= len && (type == NULL || strlen(type) <= 1000));
    reply(exchange, 200);
}

static void refuse(sw_h2_exchange *exchange, bool too_large, void *arg) {
    (void)arg;
    reply(exchange, too_large ? 413 : 503);
}

static void quiet(const char *line, void *arg) {
    (void)line;
    (void)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sw_log_set_sink(quiet, NULL);
    h2_config config = {.max_body = MAX_BODY,
                        .max_bodies = 3 * MAX_BODY,
                        .max_header_bytes = 1000,
                        .max_streams = 10,
                        .callbacks = {admit, handle, refuse, NULL}};
    size_t piece = size > 0 && data[0] > 0 ? data[0] : 1000;
    h2_session *session = h2_session_new(&config, 0);
    bool open = true;
    for (size_t at = size > 0; at < size && open; at += piece) {
        size_t len = size - at < piece ? size - at : piece;
        open = h2_session_receive(session, data + at, len, at);
        const uint8_t *out = NULL;
        ssize_t n = 0;
        while (open && (n = h2_session_next(session, &out)) > 0) {
        }
        open = open && n == 0 && !h2_session_is_over(session);
        need(config.body_bytes <= config.max_bodies);
    }
    h2_session_stop(session);
    h2_session_free(session);
    need(config.body_bytes == 0);
    return 0;
}
