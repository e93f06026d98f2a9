/* A compressed body: never more than the cap comes out. */
#include <stdlib.h>

#include "otlp/otlp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sw_buf out;
    sw_buf_init(&out, 1 << 20);
    int result = sw_otlp_inflate((const char *)data, size, &out);
    if (out.len > out.cap || (result == 0 && out.overflow) || (result == -2 && !out.overflow)) {
        abort();
    }
    sw_buf_release(&out);
    return 0;
}
