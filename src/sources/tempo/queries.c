#include "sources/tempo/queries.h"

#include <math.h>
#include <string.h>

#include "net/url.h"
#include "sources/json_value.h"

#define ENTRY "kind = server || kind = consumer || nestedSetParent < 0"
/* traceDuration is asked for because Tempo fills in durationMs of young traces only when it is. */
#define SELECTED "resource.service.name, name, kind, status, statusMessage, nestedSetParent, traceDuration"

void tempo_append_literal(sw_buf *out, const char *s) {
    sw_buf_append_char(out, '"');
    for (; *s != '\0'; s++) {
        switch (*s) {
        case '"':
        case '\\':
            sw_buf_append_char(out, '\\');
            sw_buf_append_char(out, *s);
            break;
        case '\n':
            sw_buf_append_str(out, "\\n");
            break;
        case '\r':
            sw_buf_append_str(out, "\\r");
            break;
        case '\t':
            sw_buf_append_str(out, "\\t");
            break;
        default:
            if ((unsigned char)*s < 0x20 || *s == 0x7f) {
                sw_buf_printf(out, "\\x%02x", (unsigned char)*s);
            } else {
                sw_buf_append_char(out, *s);
            }
        }
    }
    sw_buf_append_char(out, '"');
}

void tempo_append_duration(sw_buf *out, double ms) {
    double ns = fmin(fmax(ms, 0) * 1e6, 9e18);
    int64_t whole = (int64_t)llround(ns);
    if (whole % SW_NS_PER_MS == 0) {
        sw_buf_printf(out, "%lldms", (long long)(whole / SW_NS_PER_MS));
    } else {
        sw_buf_printf(out, "%lldns", (long long)whole);
    }
}

char *tempo_counts_query(bool histogram, bool modern) {
    return xasprintf("{ " ENTRY " } | %s by (resource.service.name, name, status)%s",
                     histogram ? "histogram_over_time(duration)" : "count_over_time()",
                     modern ? " with (exemplars=false)" : "");
}

char *tempo_entry_search_query(bool modern) {
    return xasprintf("{ " ENTRY " }%s | select(resource.service.name, name, kind, status)",
                     modern ? " | by(span:id)" : "");
}

static void append_longer(sw_buf *out, const char *what, double min_duration_ms) {
    sw_buf_append_str(out, what);
    sw_buf_append_str(out, " * 1 > ");
    tempo_append_duration(out, min_duration_ms);
}

/* A trace that takes too long although none of its spans does is told by its entry spans. */
char *tempo_offenders_query(bool errors, double min_duration_ms, bool modern) {
    sw_buf out;
    sw_buf_init(&out, TEMPO_QUERY_MAX);
    sw_buf_append_str(&out, errors ? "{ status = error" : "{ ");
    if (min_duration_ms >= 0) {
        append_longer(&out, errors ? " || duration" : "duration", min_duration_ms);
        append_longer(&out, " || ((" ENTRY ") && traceDuration", min_duration_ms);
        sw_buf_append_char(&out, ')');
    }
    sw_buf_append_str(&out, modern ? " } | by(span:id)" : " }");
    sw_buf_append_str(&out, " | select(" SELECTED ", span.http.response.status_code)");
    sw_buf_append_str(&out, modern ? " with (most_recent=true)" : "");
    return sw_buf_steal(&out, NULL);
}

char *tempo_sweep_query(double min_duration_ms) {
    sw_buf out;
    sw_buf_init(&out, TEMPO_QUERY_MAX);
    sw_buf_append_str(&out, "{ status = error");
    if (min_duration_ms >= 0) {
        append_longer(&out, " || duration", min_duration_ms);
    }
    sw_buf_append_str(
        &out, " } | max_over_time(duration) by (trace:id, span:id, resource.service.name, name, status)");
    return sw_buf_steal(&out, NULL);
}

/* ---- a script's portable terms ---- */

static void term(sw_buf *out, const char *what) {
    sw_buf_append_str(out, out->len > 2 ? " && " : "");
    sw_buf_append_str(out, what);
}

static void text_term(sw_buf *out, const json_t *terms, const char *key, const char *what) {
    const char *value = json_string_value(json_object_get(terms, key));
    if (value != NULL) {
        term(out, what);
        tempo_append_literal(out, value);
    }
}

static void duration_term(sw_buf *out, const json_t *terms, const char *key, const char *what) {
    double ms = 0;
    if (sw_json_number(json_object_get(terms, key), &ms)) {
        term(out, what);
        tempo_append_duration(out, ms);
    }
}

static bool plain_attribute_name(const char *name) {
    return name[0] != '\0' && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                           "._-/") == strlen(name);
}

static void attribute_term(sw_buf *out, const char *name, const json_t *value) {
    term(out, ".");
    if (plain_attribute_name(name)) {
        sw_buf_append_str(out, name);
    } else {
        tempo_append_literal(out, name);
    }
    sw_buf_append_str(out, " = ");
    if (json_is_string(value)) {
        tempo_append_literal(out, json_string_value(value));
    } else if (json_is_boolean(value)) {
        sw_buf_append_str(out, json_is_true(value) ? "true" : "false");
    } else if (json_is_integer(value)) {
        sw_buf_printf(out, "%lld", (long long)json_integer_value(value));
    } else {
        double number = json_real_value(value);
        bool whole = number == floor(number) && fabs(number) < 9e15;
        sw_buf_printf(out, whole ? "%.0f" : "%.17g", number);
    }
}

char *tempo_portable_query(const json_t *terms) {
    sw_buf out;
    sw_buf_init(&out, TEMPO_QUERY_MAX);
    sw_buf_append_str(&out, "{ ");
    text_term(&out, terms, "service", "resource.service.name = ");
    text_term(&out, terms, "operation", "name = ");
    const char *status = json_string_value(json_object_get(terms, "status"));
    if (status != NULL) {
        term(&out, "status = ");
        sw_buf_append_str(&out, status);
    }
    duration_term(&out, terms, "min_duration_ms", "duration * 1 >= ");
    duration_term(&out, terms, "max_duration_ms", "duration * 1 <= ");
    const char *name = NULL;
    json_t *value = NULL;
    json_t *attributes = json_object_get(terms, "attributes");
    json_object_foreach(attributes, name, value) {
        attribute_term(&out, name, value);
    }
    sw_buf_append_str(&out, " } | select(" SELECTED ")");
    return sw_buf_steal(&out, NULL);
}

/* ---- URLs ---- */

static void append_q(sw_buf *out, const char *base, const char *path, const char *q) {
    sw_buf_init(out, TEMPO_QUERY_MAX * 4);
    sw_buf_append_str(out, base);
    sw_buf_append_str(out, path);
    sw_buf_append_str(out, "?q=");
    sw_url_encode(out, q);
}

char *tempo_search_url(const char *base, const char *q, int64_t from_s, int64_t to_s, unsigned limit,
                       unsigned spss) {
    sw_buf out;
    append_q(&out, base, "/api/search", q);
    sw_buf_printf(&out, "&start=%lld&end=%lld&limit=%u&spss=%u", (long long)from_s, (long long)to_s, limit,
                  spss);
    return sw_buf_steal(&out, NULL);
}

char *tempo_range_url(const char *base, const char *q, int64_t from_s, int64_t to_s, int64_t step_s) {
    sw_buf out;
    append_q(&out, base, "/api/metrics/query_range", q);
    sw_buf_printf(&out, "&start=%lld&end=%lld&step=%llds", (long long)from_s, (long long)to_s,
                  (long long)step_s);
    return sw_buf_steal(&out, NULL);
}

char *tempo_instant_url(const char *base, const char *q, int64_t from_s, int64_t to_s) {
    sw_buf out;
    append_q(&out, base, "/api/metrics/query", q);
    sw_buf_printf(&out, "&start=%lld&end=%lld", (long long)from_s, (long long)to_s);
    return sw_buf_steal(&out, NULL);
}

char *tempo_trace_url(const char *base, const char *id, int version) {
    return xasprintf("%s/api/%s%s", base, version == 2 ? "v2/traces/" : "traces/", id);
}
