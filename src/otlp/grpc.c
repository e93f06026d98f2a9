#include "otlp/grpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"

#define HEAD 5 /* compressed or not, and the length, big-endian */
#define RETRY_INFO "type.googleapis.com/google.rpc.RetryInfo"

static sw_otlp_code fail(char why[SW_OTLP_WHY], sw_otlp_code code, const char *text) {
    snprintf(why, SW_OTLP_WHY, "%s", text);
    return code;
}

static sw_otlp_code inflate_message(const char *encoding, sw_buf *inflated, sw_otlp_text *message,
                                    char why[SW_OTLP_WHY]) {
    if (encoding == NULL || strcmp(encoding, "identity") == 0) {
        return fail(why, SW_OTLP_INTERNAL,
                    "the message is marked as compressed, but grpc-encoding names nothing");
    }
    int result = sw_otlp_inflate(message->data, message->len, inflated);
    if (result == -2) {
        return fail(why, SW_OTLP_RESOURCE_EXHAUSTED, "the message is too large when it is decompressed");
    }
    if (result != 0) {
        return fail(why, SW_OTLP_INTERNAL, "the message is not what its grpc-encoding says");
    }
    *message = (sw_otlp_text){inflated->data, inflated->len};
    return SW_OTLP_OK;
}

sw_otlp_code sw_grpc_read(sw_otlp_text body, const char *encoding, sw_buf *inflated, sw_otlp_text *message,
                          char why[SW_OTLP_WHY]) {
    if (encoding != NULL && strcmp(encoding, "identity") != 0 && strcmp(encoding, "gzip") != 0 &&
        strcmp(encoding, "deflate") != 0) {
        return fail(why, SW_OTLP_UNIMPLEMENTED, "grpc-encoding must be gzip, deflate or identity");
    }
    const unsigned char *head = (const unsigned char *)body.data;
    if (body.len < HEAD) {
        return fail(why, SW_OTLP_INTERNAL, "the request holds no whole message");
    }
    uint32_t len = (uint32_t)head[1] << 24 | (uint32_t)head[2] << 16 | (uint32_t)head[3] << 8 | head[4];
    if (head[0] > 1) {
        return fail(why, SW_OTLP_INTERNAL, "the request is not framed as gRPC frames messages");
    }
    if (len > body.len - HEAD) {
        return fail(why, SW_OTLP_INTERNAL, "the request holds no whole message");
    }
    if (len < body.len - HEAD) {
        return fail(why, SW_OTLP_INTERNAL, "the request holds more than one message");
    }
    *message = (sw_otlp_text){body.data + HEAD, len};
    return head[0] == 1 ? inflate_message(encoding, inflated, message, why) : SW_OTLP_OK;
}

void sw_grpc_write(sw_buf *out, const void *message, size_t len) {
    const unsigned char head[HEAD] = {0, (unsigned char)(len >> 24), (unsigned char)(len >> 16),
                                      (unsigned char)(len >> 8), (unsigned char)len};
    sw_buf_append(out, head, sizeof head);
    sw_buf_append(out, message, len);
}

int64_t sw_grpc_timeout_ms(const char *text) {
    static const struct {
        char unit;
        int64_t ns;
    } units[] = {{'n', 1},          {'u', 1000},        {'m', 1000000},
                 {'S', 1000000000}, {'M', 60000000000}, {'H', 3600000000000}};
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 8 || text[digits] == '\0' || text[digits + 1] != '\0') {
        return -1;
    }
    int64_t value = strtoll(text, NULL, 10);
    for (size_t i = 0; i < SW_ARRAY_LEN(units); i++) {
        if (units[i].unit == text[digits]) {
            int64_t ns_per_ms = 1000000;
            return units[i].ns >= ns_per_ms ? value * (units[i].ns / ns_per_ms)
                                            : (value * units[i].ns + ns_per_ms - 1) / ns_per_ms;
        }
    }
    return -1;
}

void sw_grpc_message(sw_buf *out, const char *text) {
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        if (*at >= ' ' && *at <= '~' && *at != '%') {
            sw_buf_append_char(out, (char)*at);
        } else {
            sw_buf_printf(out, "%%%02X", *at);
        }
    }
}

/* Status.details = 3 of Any {type_url = 1, value = 2}; RetryInfo.retry_delay = 1 of Duration {seconds = 1}.
 */
void sw_grpc_status_details(sw_buf *out, sw_otlp_code code, const char *message, unsigned retry_after_s) {
    sw_buf delay, info, any, status;
    sw_buf_init(&delay, 64);
    sw_buf_init(&info, 64);
    sw_buf_init(&any, 256);
    sw_buf_init(&status, 4096);
    otlp_put_varint(&delay, 1, retry_after_s);
    otlp_put_bytes(&info, 1, delay.data, delay.len);
    otlp_put_bytes(&any, 1, RETRY_INFO, strlen(RETRY_INFO));
    otlp_put_bytes(&any, 2, info.data, info.len);
    sw_otlp_status(&status, false, code, message);
    otlp_put_bytes(&status, 3, any.data, any.len);
    sw_base64(out, status.data, status.len, false); /* unpadded, as gRPC prefers it */
    sw_buf_release(&delay);
    sw_buf_release(&info);
    sw_buf_release(&any);
    sw_buf_release(&status);
}
