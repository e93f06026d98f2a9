/* A request in protobuf: whatever it holds, what was read lies inside it and can be shown. */
#include <stdlib.h>

#include "otlp/otlp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_lie_inside(sw_otlp_text text, sw_otlp_text whole) {
    if (text.len > 0 && (text.data < whole.data || text.data + text.len > whole.data + whole.len)) {
        abort();
    }
}

static void read_attributes(const sw_otlp_span *span) {
    sw_otlp_attributes attributes = sw_otlp_attributes_of(span->message);
    sw_otlp_attribute attribute;
    sw_buf text;
    sw_buf_init(&text, 1 << 16);
    while (sw_otlp_next_attribute(&attributes, &attribute)) {
        must_lie_inside(attribute.key, span->message);
        sw_buf_reset(&text);
        sw_otlp_value_text(attribute.value, &text);
    }
    sw_buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const sw_otlp_text request = {(const char *)data, size};
    char why[SW_OTLP_WHY] = "";
    sw_otlp_spans spans;
    sw_otlp_spans_init(&spans, 1000);
    if (sw_otlp_read(request, &spans, why) != 0 && (why[0] == '\0' || spans.n > 0)) {
        abort();
    }
    for (size_t i = 0; i < spans.n; i++) {
        const sw_otlp_span *span = &spans.items[i];
        sw_otlp_span again;
        must_lie_inside(span->message, request);
        must_lie_inside(span->service, request);
        must_lie_inside(span->name, span->message);
        must_lie_inside(span->status_message, span->message);
        if (!sw_otlp_read_span(span->message, &again) || again.id != span->id ||
            !(sw_otlp_weight(span->trace_state) >= 1)) {
            abort();
        }
        read_attributes(span);
    }
    sw_otlp_spans_release(&spans);
    return 0;
}
