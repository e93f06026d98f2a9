#include "detectors/window_pack.h"

bool sw_trace_wanted(const sw_trace *trace, const sw_wants *wants) {
    bool slow = wants->min_duration_ms >= 0 && trace->duration_ms > wants->min_duration_ms;
    return slow || (wants->errors && trace->status == SW_STATUS_ERROR);
}

static void pack_span(msgpack_packer *pk, const sw_span *span) {
    msgpack_pack_map(pk, 10);
    sw_pack_key_str(pk, "id", span->id);
    sw_pack_key_str(pk, "parent_id", span->parent_id);
    sw_pack_key_str(pk, "service", span->service);
    sw_pack_key_str(pk, "name", span->name);
    sw_pack_key_str(pk, "kind", sw_span_kind_name(span->kind));
    sw_pack_key_str(pk, "status", sw_status_name(span->status));
    sw_pack_key_str(pk, "status_message", span->status_message);
    sw_pack_key_int(pk, "start_ns", span->start_ns);
    sw_pack_key_num(pk, "duration_ms",
                    span->duration_ns < 0 ? -1 : (double)span->duration_ns / (double)SW_NS_PER_MS);
    sw_pack_str(pk, "attributes");
    msgpack_pack_map(pk, span->n_attributes);
    for (size_t i = 0; i < span->n_attributes; i++) {
        sw_pack_key_str(pk, span->attributes[i].key, span->attributes[i].value);
    }
}

static void pack_trace(msgpack_packer *pk, const sw_trace *trace) {
    msgpack_pack_map(pk, 12);
    sw_pack_key_str(pk, "id", trace->id);
    sw_pack_key_str(pk, "source", trace->source);
    sw_pack_key_str(pk, "service", trace->service);
    sw_pack_key_str(pk, "operation", trace->operation);
    sw_pack_key_bool(pk, "root_known", trace->root_known);
    sw_pack_key_num(pk, "start", (double)trace->start_ns / (double)SW_NS_PER_S);
    sw_pack_key_int(pk, "start_ns", trace->start_ns);
    sw_pack_key_num(pk, "duration_ms", trace->duration_ms);
    sw_pack_key_str(pk, "status", sw_status_name(trace->status));
    sw_pack_key_str(pk, "error_message", trace->error_message);
    sw_pack_key_int(pk, "matched", (int64_t)trace->n_matched);
    sw_pack_str(pk, "spans");
    msgpack_pack_array(pk, trace->n_spans);
    for (size_t i = 0; i < trace->n_spans; i++) {
        pack_span(pk, &trace->spans[i]);
    }
}

static void pack_series(msgpack_packer *pk, const sw_series *series) {
    msgpack_pack_map(pk, 5);
    sw_pack_key_str(pk, "service", series->service);
    sw_pack_key_str(pk, "operation", series->operation);
    sw_pack_key_num(pk, "count", series->count);
    sw_pack_key_num(pk, "errors", series->errors);
    sw_pack_str(pk, "buckets");
    msgpack_pack_array(pk, series->n_buckets);
    for (size_t i = 0; i < series->n_buckets; i++) {
        msgpack_pack_array(pk, 3);
        msgpack_pack_double(pk, series->buckets[i].lower_ms);
        msgpack_pack_double(pk, series->buckets[i].upper_ms);
        msgpack_pack_double(pk, series->buckets[i].count);
    }
}

void sw_window_pack(msgpack_packer *pk, const sw_window *window, const size_t *chosen, size_t n_chosen,
                    bool series) {
    size_t n_series = series ? window->n_series : 0;
    msgpack_pack_map(pk, 9);
    sw_pack_key_str(pk, "source", window->source);
    sw_pack_key_int(pk, "from", window->from_s);
    sw_pack_key_int(pk, "to", window->to_s);
    sw_pack_key_bool(pk, "complete", window->complete);
    sw_pack_key_bool(pk, "estimated", window->estimated);
    sw_pack_key_str(pk, "reason", window->reason != NULL ? window->reason : "");
    sw_pack_key_int(pk, "revision", window->revision);
    sw_pack_str(pk, "traces");
    msgpack_pack_array(pk, n_chosen);
    for (size_t i = 0; i < n_chosen; i++) {
        pack_trace(pk, &window->traces[chosen[i]]);
    }
    sw_pack_str(pk, "series");
    msgpack_pack_array(pk, n_series);
    for (size_t i = 0; i < n_series; i++) {
        pack_series(pk, &window->series[i]);
    }
}
