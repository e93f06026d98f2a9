/* Gauges that a script names: whatever is accepted is rendered as well-formed lines. Lines of the input are
 * calls: name, then pairs of key and value, separated by tabs. */
#include <stdlib.h>
#include <string.h>

#include "telemetry/metrics.h"
#include "telemetry/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void call(sw_metrics *metrics, char *line) {
    char *parts[32] = {line};
    size_t n = 1;
    for (char *c = line; *c != '\0' && n < SW_ARRAY_LEN(parts); c++) {
        if (*c == '\t') {
            *c = '\0';
            parts[n++] = c + 1;
        }
    }
    const char *keys[16];
    const char *values[16];
    size_t pairs = (n - 1) / 2;
    for (size_t i = 0; i < pairs; i++) {
        keys[i] = parts[1 + 2 * i];
        values[i] = parts[2 + 2 * i];
    }
    const char *why = NULL;
    if (sw_metrics_set_custom(metrics, parts[n - 1], parts[0], (double)n, pairs, keys, values, &why) != 0 &&
        why == NULL) {
        abort();
    }
}

/* Every line is a comment or "name[{labels}] value": quotes balance and the last field is there. */
static void check(const char *text) {
    while (*text != '\0') {
        const char *end = strchr(text, '\n');
        if (end == NULL) {
            abort();
        }
        bool quoted = false;
        for (const char *c = text; c < end; c++) {
            if (*c == '\\' && quoted) {
                c++;
            } else if (*c == '"') {
                quoted = !quoted;
            }
        }
        if (*text != '#' && (quoted || end == text)) {
            abort();
        }
        text = end + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sw_metrics *metrics = sw_metrics_new();
    char *text = xstrndup((const char *)data, size);
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        call(metrics, line);
    }
    sw_buf out;
    sw_buf_init(&out, 64u << 20);
    sw_metrics_render(metrics, &out);
    if (out.overflow || !sw_text_valid(out.data, out.len)) {
        abort();
    }
    check(out.data);
    sw_buf_release(&out);
    free(text);
    sw_metrics_free(metrics);
    return 0;
}
