/* Values as JSON: whatever they hold, the document is valid. */
#include "alerts/alerts_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "telemetry/text.h"

static json_t *repaired(const char *s, size_t len) {
    sw_buf text;
    sw_buf_init(&text, len * 3 + 1);
    while (len > 0) {
        uint32_t code = 0;
        size_t n = sw_utf8_next(s, len, &code);
        bool good = code != 0xFFFD || n > 1; /* the replacement character itself is fine */
        sw_buf_append(&text, good ? s : SW_UTF8_REPLACEMENT, good ? n : strlen(SW_UTF8_REPLACEMENT));
        s += n;
        len -= n;
    }
    json_t *value = json_stringn(text.data, text.len);
    sw_buf_release(&text);
    return value;
}

json_t *sw_text_to_json(const char *s) {
    if (s == NULL) {
        return json_null();
    }
    size_t len = strlen(s);
    json_t *value = json_stringn(s, len);
    return value != NULL ? value : repaired(s, len);
}

json_t *sw_number_to_json(double value) {
    if (!isfinite(value)) {
        return json_null();
    }
    bool whole = value == trunc(value) && fabs(value) < 9007199254740992.0;
    return whole ? json_integer((json_int_t)value) : json_real(value);
}

static int append(const char *data, size_t len, void *out) {
    return sw_buf_append(out, data, len);
}

int sw_write_json(json_t *document, size_t flags, sw_buf *out) {
    int result = document == NULL ? -1 : json_dump_callback(document, append, out, JSON_COMPACT | flags);
    json_decref(document);
    return result == 0 ? 0 : -1;
}
