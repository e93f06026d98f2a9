/*
 * What is read of OTLP requests, for comparing with other readers. From the standard input: messages, each
 * after its length (32 bits, little-endian); to the standard output one line of JSON for each, texts in hex:
 * {"why": "…"} or
 * {"spans": […]}.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "otlp/otlp.h"

#define MAX_SPANS 10000

static void print_text(const char *key, const char *data, size_t len) {
    printf("\"%s\": \"", key);
    for (size_t i = 0; i < len; i++) {
        printf("%02x", (unsigned char)data[i]);
    }
    printf("\", ");
}

static void print_attributes(const char *key, sw_otlp_attributes attributes) {
    sw_otlp_attribute attribute;
    const char *separator = "";
    sw_buf value;
    sw_buf_init(&value, 1 << 20);
    printf("\"%s\": [", key);
    while (sw_otlp_next_attribute(&attributes, &attribute)) {
        printf("%s{", separator);
        print_text("key", attribute.key.data, attribute.key.len);
        sw_buf_reset(&value);
        sw_otlp_value_text(attribute.value, &value);
        print_text("value", value.data, value.len);
        printf("\"n\": 0}");
        separator = ", ";
    }
    printf("], ");
    sw_buf_release(&value);
}

static void print_span(const sw_otlp_span *span) {
    printf("{\"trace_id\": \"%016" PRIx64 "%016" PRIx64 "\", \"span_id\": \"%016" PRIx64
           "\", \"parent_span_id\": \"%016" PRIx64 "\", ",
           span->trace_id.high, span->trace_id.low, span->id, span->parent_id);
    print_text("service", span->service.data, span->service.len);
    print_text("name", span->name.data, span->name.len);
    print_text("trace_state", span->trace_state.data, span->trace_state.len);
    print_text("status_message", span->status_message.data, span->status_message.len);
    print_attributes("attributes", sw_otlp_attributes_of(span->message));
    print_attributes("exception", sw_otlp_exception_of(span->message));
    printf("\"kind\": %" PRIu32 ", \"status\": %" PRIu32 ", \"start\": %" PRIu64 ", \"end\": %" PRIu64 "}",
           span->kind, span->status, span->start_ns, span->end_ns);
}

static void print_request(sw_otlp_text request) {
    sw_otlp_spans spans;
    char why[SW_OTLP_WHY] = "";
    sw_otlp_spans_init(&spans, MAX_SPANS);
    if (sw_otlp_read(request, &spans, why) != 0) {
        printf("{\"why\": \"%s\"}\n", why);
    } else {
        printf("{\"spans\": [");
        for (size_t i = 0; i < spans.n; i++) {
            printf("%s", i > 0 ? ", " : "");
            print_span(&spans.items[i]);
        }
        printf("]}\n");
    }
    sw_otlp_spans_release(&spans);
}

int main(void) {
    unsigned char len[4];
    while (fread(len, 1, sizeof len, stdin) == sizeof len) {
        size_t size = len[0] | (size_t)len[1] << 8 | (size_t)len[2] << 16 | (size_t)len[3] << 24;
        char *data = xmalloc(size > 0 ? size : 1); /* its exact size: reads beyond it are found */
        if (fread(data, 1, size, stdin) != size) {
            fprintf(stderr, "otlp_print: the input ends early\n");
            return 1;
        }
        print_request((sw_otlp_text){data, size});
        free(data);
    }
    return 0;
}
