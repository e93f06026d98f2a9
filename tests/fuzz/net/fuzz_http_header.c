/* Header lines: those that a server sends, and those that a configuration file or a script wants sent. */
#include <stdlib.h>
#include <string.h>

#include "net/http_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool ok) {
    if (!ok) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"Date", "Retry-After", "Content-Type", "Content-Encoding"};
    for (size_t i = 0; i < SW_ARRAY_LEN(names); i++) {
        char value[64];
        if (!sw_http_header_value((const char *)data, size, names[i], value, sizeof value)) {
            continue;
        }
        need(strlen(value) < sizeof value && strpbrk(value, "\r\n\t\x7f") == NULL);
        need(sw_http_date(value) >= 0);
        int64_t wait = sw_http_retry_after(value, 1772359200);
        need(wait >= -1 && wait <= SW_RETRY_AFTER_MAX_S);
    }
    char *line = xstrndup((const char *)data, size);
    if (sw_http_header_check(line) == NULL) {
        size_t name = sw_http_header_name_len(line);
        need(name > 0 && line[name] == ':' && strpbrk(line, "\r\n") == NULL);
        need(sw_http_header_same_name(line, line));
    }
    need(!sw_http_method_check(line) || strpbrk(line, " \r\n/") == NULL);
    free(line);
    return 0;
}
