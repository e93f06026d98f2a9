/* A request in JSON: what it is rewritten as can be read. */
#include <stdlib.h>

#include "otlp/otlp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char why[SW_OTLP_WHY] = "";
    sw_buf out;
    sw_otlp_spans spans;
    sw_buf_init(&out, 1 << 20);
    sw_otlp_spans_init(&spans, SIZE_MAX);
    if (sw_otlp_json_to_protobuf((const char *)data, size, &out, why) != 0) {
        if (why[0] == '\0') {
            abort();
        }
    } else if (sw_otlp_read((sw_otlp_text){out.data, out.len}, &spans, why) != 0) {
        abort();
    }
    sw_otlp_spans_release(&spans);
    sw_buf_release(&out);
    return 0;
}
