/* What scripts and backends bring into a log line: it stays one line of valid UTF-8, of limited length. */
#include <stdlib.h>
#include <string.h>

#include "telemetry/log.h"
#include "telemetry/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const char *line, void *arg) {
    (void)arg;
    size_t len = strlen(line);
    if (len + 1 > SW_LOG_LINE_MAX || !sw_text_valid(line, len) || strchr(line, '\n') != NULL) {
        abort();
    }
    size_t quotes = 0;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)line[i] < ' ') {
            abort();
        }
        if (line[i] == '\\') {
            i++;
        } else {
            quotes += line[i] == '"';
        }
    }
    if (quotes % 2 != 0 || (line[0] == '{' && line[len - 1] != '}')) {
        abort();
    }
}

/* The first byte picks the format and how often the value is repeated; then event, key and value, each ended
 * by NUL. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    char *text = xmalloc(size + 3);
    memcpy(text, data, size);
    memset(text + size, 0, 3);
    const char *event = text + 1;
    const char *key = event + strlen(event) + 1;
    key = key < text + size ? key : event;
    const char *value = key + strlen(key) + 1;
    value = value < text + size ? value : key;
    const char *keys[16];
    const char *values[16];
    size_t n = (data[0] >> 1) % SW_ARRAY_LEN(keys);
    for (size_t i = 0; i < n; i++) {
        keys[i] = key;
        values[i] = value;
    }
    sw_log_set_sink(check_line, NULL);
    sw_log_setup(SW_LOG_DEBUG, (data[0] & 1) != 0 ? SW_LOG_JSON : SW_LOG_LOGFMT);
    sw_log_pairs(SW_LOG_INFO, event, n, keys, values);
    free(text);
    return 0;
}
