#include "sources/trace_json.h"

#include "sources/json_value.h"

static void text_member(sw_buf *out, const char *key, const char *value) {
    sw_buf_printf(out, ", \"%s\": ", key);
    sw_json_append_string(out, value != NULL ? value : "");
}

static void append_attributes(sw_buf *out, const sw_span *span) {
    sw_buf_append_str(out, ", \"attributes\": {");
    for (size_t i = 0; i < span->n_attributes; i++) {
        sw_buf_append_str(out, i > 0 ? ", " : "");
        sw_json_append_string(out, span->attributes[i].key);
        sw_buf_append_str(out, ": ");
        sw_json_append_string(out, span->attributes[i].value);
    }
    sw_buf_append_char(out, '}');
}

static void append_span(sw_buf *out, const sw_span *span) {
    sw_buf_append_str(out, "{\"id\": ");
    sw_json_append_string(out, span->id);
    text_member(out, "parent_id", span->parent_id);
    text_member(out, "service", span->service);
    text_member(out, "name", span->name);
    text_member(out, "kind", sw_span_kind_name(span->kind));
    text_member(out, "status", sw_status_name(span->status));
    text_member(out, "status_message", span->status_message);
    sw_buf_printf(out, ", \"start_ns\": %lld", (long long)span->start_ns);
    if (span->duration_ns >= 0) {
        sw_buf_printf(out, ", \"duration_ms\": %.17g", (double)span->duration_ns / 1e6);
    } else {
        sw_buf_append_str(out, ", \"duration_ms\": -1");
    }
    append_attributes(out, span);
    sw_buf_append_char(out, '}');
}

int sw_trace_append_json(sw_buf *out, const sw_trace *trace) {
    sw_buf_append_str(out, "{\"id\": ");
    sw_json_append_string(out, trace->id);
    text_member(out, "source", trace->source);
    text_member(out, "service", trace->service);
    text_member(out, "operation", trace->operation);
    sw_buf_printf(out, ", \"root_known\": %s", trace->root_known ? "true" : "false");
    sw_buf_printf(out, ", \"start\": %.17g, \"start_ns\": %lld", (double)trace->start_ns / 1e9,
                  (long long)trace->start_ns);
    sw_buf_printf(out, ", \"duration_ms\": %.17g", trace->duration_ms);
    text_member(out, "status", sw_status_name(trace->status));
    text_member(out, "error_message", trace->error_message);
    sw_buf_printf(out, ", \"matched\": %llu, \"spans\": [", (unsigned long long)trace->n_matched);
    for (size_t i = 0; i < trace->n_spans; i++) {
        sw_buf_append_str(out, i > 0 ? ", " : "");
        append_span(out, &trace->spans[i]);
    }
    return sw_buf_append_str(out, "]}");
}
