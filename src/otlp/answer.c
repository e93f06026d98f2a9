#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "otlp/otlp.h"

static void append_json(sw_buf *out, json_t *value) {
    char *text = json_dumps(value, JSON_COMPACT);
    sw_buf_append_str(out, text != NULL ? text : "{}");
    free(text);
    json_decref(value);
}

/* ExportTracePartialSuccess: rejected_spans = 1, error_message = 2. */
void sw_otlp_response(sw_buf *out, bool json, uint64_t rejected, const char *message) {
    if (json) {
        json_t *partial = json_object();
        if (message != NULL) {
            char digits[24];
            snprintf(digits, sizeof digits, "%" PRIu64, rejected); /* 64-bit integers are texts in JSON */
            json_object_set_new(partial, "rejectedSpans", json_string(digits));
            json_object_set_new(partial, "errorMessage", json_string(message));
        }
        append_json(out, json_pack("{s:o}", "partialSuccess", partial));
        return;
    }
    sw_buf partial;
    sw_buf_init(&partial, 4096);
    if (message != NULL) {
        if (rejected > 0) {
            otlp_put_varint(&partial, 1, rejected);
        }
        otlp_put_bytes(&partial, 2, message, strlen(message));
    }
    otlp_put_bytes(out, 1, partial.data, partial.len);
    sw_buf_release(&partial);
}

void sw_otlp_status(sw_buf *out, bool json, sw_otlp_code code, const char *message) {
    if (json) {
        json_t *text = json_string(message);
        append_json(out, json_pack("{s:i, s:o}", "code", (int)code, "message",
                                   text != NULL ? text : json_string("not UTF-8")));
        return;
    }
    otlp_put_varint(out, 1, (uint64_t)code);
    otlp_put_bytes(out, 2, message, strlen(message));
}
