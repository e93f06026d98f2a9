/* The body of a gRPC request; the first byte says which encoding, and the rest is a timeout and a message
 * too. */
#include <stdlib.h>
#include <string.h>

#include "otlp/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool ok) {
    if (!ok) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const encodings[] = {NULL, "identity", "gzip", "deflate", "br"};
    if (size == 0) {
        return 0;
    }
    sw_buf inflated, text;
    sw_buf_init(&inflated, 1 << 20);
    sw_buf_init(&text, 16 << 20);
    sw_otlp_text message = {0}, body = {(const char *)data + 1, size - 1};
    char why[SW_OTLP_WHY] = "";
    sw_otlp_code code =
        sw_grpc_read(body, encodings[data[0] % SW_ARRAY_LEN(encodings)], &inflated, &message, why);
    need((code == SW_OTLP_OK) == (why[0] == '\0'));
    if (code == SW_OTLP_OK && inflated.len == 0 && message.len > 0) {
        need(message.data == body.data + 5 && message.len == body.len - 5);
    }
    need(inflated.len <= inflated.cap);
    char *copy = xstrndup(body.data, body.len);
    need(sw_grpc_timeout_ms(copy) >= -1);
    sw_grpc_message(&text, copy);
    for (size_t i = 0; i < text.len; i++) {
        need(text.data[i] >= ' ' && text.data[i] <= '~');
    }
    sw_grpc_status_details(&text, SW_OTLP_UNAVAILABLE, copy, 1);
    free(copy);
    sw_buf_release(&inflated);
    sw_buf_release(&text);
    return 0;
}
