#include "base/base64.h"

void sw_base64(sw_buf *out, const void *data, size_t len, bool padded) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t group = 0;
        for (size_t j = 0; j < 3; j++) {
            group = group << 8 | (j < n ? bytes[i + j] : 0u);
        }
        for (size_t j = 0; j < 4; j++) {
            if (j <= n) {
                sw_buf_append_char(out, digits[group >> (18 - 6 * j) & 63]);
            } else if (padded) {
                sw_buf_append_char(out, '=');
            }
        }
    }
}
