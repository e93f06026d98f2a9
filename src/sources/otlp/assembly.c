#include "sources/otlp/assembly_internal.h"

#include <string.h>

#include <utlist.h>

struct otlp_assembly {
    otlp_kept_span *spans; /* uthash by key */
    otlp_trace *traces;    /* uthash by id */
    otlp_trace *order;     /* utlist */
    sw_wants wants;
    size_t bytes, max_bytes;
    const sw_trace **list;
    size_t n_list, list_allocated;
};

otlp_assembly *otlp_assembly_new(size_t max_bytes) {
    otlp_assembly *assembly = xcalloc(1, sizeof *assembly);
    assembly->max_bytes = max_bytes;
    /* Until it is known what offends, everything that may does. */
    assembly->wants = (sw_wants){.min_duration_ms = 0, .errors = true};
    return assembly;
}

static size_t cost(const otlp_kept_span *span) {
    return sizeof *span + span->service_len + span->message_len;
}

static void drop_built(otlp_trace *trace) {
    if (trace->built) {
        sw_trace_release(&trace->trace);
        trace->built = false;
    }
}

static void drop_trace(otlp_assembly *assembly, otlp_trace *trace) {
    while (trace->spans != NULL) {
        otlp_kept_span *span = trace->spans;
        trace->spans = span->next;
        assembly->bytes -= cost(span);
        HASH_DEL(assembly->spans, span);
        free(span);
    }
    drop_built(trace);
    assembly->bytes -= sizeof *trace;
    HASH_DEL(assembly->traces, trace);
    DL_DELETE(assembly->order, trace);
    free(trace);
}

void otlp_assembly_free(otlp_assembly *assembly) {
    while (assembly->order != NULL) {
        drop_trace(assembly, assembly->order);
    }
    free(assembly->list);
    free(assembly);
}

static bool is_quiet(const otlp_trace *trace, int64_t mono_ns) {
    return mono_ns - trace->last_mono_ns >= OTLP_QUIET_S * SW_NS_PER_S ||
           mono_ns - trace->first_mono_ns >= OTLP_HELD_S * SW_NS_PER_S;
}

static bool fits(const otlp_assembly *assembly, size_t more) {
    return more <= assembly->max_bytes && assembly->bytes <= assembly->max_bytes - more;
}

bool otlp_assembly_make_room(otlp_assembly *assembly, size_t n, size_t bytes, int64_t mono_ns) {
    size_t more = n * (sizeof(otlp_kept_span) + sizeof(otlp_trace)) + bytes;
    for (int pass = 0; pass < 2; pass++) {
        otlp_trace *trace = assembly->order, *next = NULL;
        for (; trace != NULL && !fits(assembly, more) && is_quiet(trace, mono_ns); trace = next) {
            next = trace->next;
            if (!trace->listed && (!trace->offends || (pass == 1 && trace->offered))) {
                drop_trace(assembly, trace);
            }
        }
    }
    return fits(assembly, more);
}

int64_t otlp_duration_ns(uint64_t start_ns, uint64_t end_ns) {
    uint64_t duration = end_ns > start_ns ? end_ns - start_ns : 0;
    return duration > INT64_MAX ? INT64_MAX : (int64_t)duration;
}

static bool offends(const sw_wants *wants, const otlp_trace *trace) {
    double ms = (double)trace->longest_ns / SW_NS_PER_MS;
    return (wants->errors && trace->error) || (wants->min_duration_ms >= 0 && ms > wants->min_duration_ms);
}

static otlp_trace *trace_of(otlp_assembly *assembly, sw_otlp_trace_id id, int64_t mono_ns) {
    otlp_trace *trace = NULL;
    HASH_FIND(hh, assembly->traces, &id, sizeof id, trace);
    if (trace == NULL) {
        trace = xcalloc(1, sizeof *trace);
        trace->id = id;
        trace->first_mono_ns = mono_ns;
        assembly->bytes += sizeof *trace;
        HASH_ADD(hh, assembly->traces, id, sizeof trace->id, trace);
    } else {
        DL_DELETE(assembly->order, trace);
    }
    DL_APPEND(assembly->order, trace);
    trace->last_mono_ns = mono_ns;
    return trace;
}

static otlp_kept_span *copy_span(const sw_otlp_span *span, struct otlp_span_key key) {
    otlp_kept_span *kept = xmalloc(sizeof *kept + span->service.len + span->message.len);
    *kept = (otlp_kept_span){
        .key = key,
        .parent_id = span->parent_id,
        .start_ns = span->start_ns,
        .end_ns = span->end_ns,
        .error = span->status == 2,
        .service_len = span->service.len,
        .message_len = span->message.len,
    };
    memcpy(kept->bytes, span->service.len > 0 ? span->service.data : "", span->service.len);
    memcpy(kept->bytes + kept->service_len, span->message.data, span->message.len);
    return kept;
}

bool otlp_assembly_add(otlp_assembly *assembly, const sw_otlp_span *span, int64_t mono_ns) {
    struct otlp_span_key key = {span->trace_id.high, span->trace_id.low, span->id};
    otlp_kept_span *kept = NULL;
    HASH_FIND(hh, assembly->spans, &key, sizeof key, kept);
    if (kept != NULL) {
        return false;
    }
    otlp_trace *trace = trace_of(assembly, span->trace_id, mono_ns);
    kept = copy_span(span, key);
    HASH_ADD(hh, assembly->spans, key, sizeof kept->key, kept);
    kept->next = trace->spans;
    trace->spans = kept;
    trace->n_spans++;
    assembly->bytes += cost(kept);
    int64_t duration = otlp_duration_ns(span->start_ns, span->end_ns);
    trace->longest_ns = duration > trace->longest_ns ? duration : trace->longest_ns;
    trace->error = trace->error || kept->error;
    trace->offends = offends(&assembly->wants, trace);
    trace->offered = false;
    trace->stale = true;
    return true;
}

void otlp_assembly_offer(otlp_assembly *assembly, const sw_wants *wants, int64_t mono_ns) {
    assembly->wants = *wants;
    assembly->n_list = 0;
    otlp_trace *trace = NULL;
    DL_FOREACH(assembly->order, trace) {
        trace->offends = offends(wants, trace);
        trace->listed = trace->offends && is_quiet(trace, mono_ns);
        if (!trace->listed) {
            continue;
        }
        if (trace->stale || !trace->built) {
            drop_built(trace);
            otlp_trace_build(trace, assembly->spans);
        }
        trace->offered = true;
        if (assembly->n_list == assembly->list_allocated) {
            assembly->list_allocated = assembly->list_allocated == 0 ? 64 : assembly->list_allocated * 2;
            assembly->list = xrealloc_array(assembly->list, assembly->list_allocated, sizeof *assembly->list);
        }
        assembly->list[assembly->n_list++] = &trace->trace;
    }
}

const sw_trace *const *otlp_assembly_list(const otlp_assembly *assembly, size_t *n) {
    *n = assembly->n_list;
    return assembly->list;
}

void otlp_assembly_forget(otlp_assembly *assembly, int64_t before_mono_ns) {
    otlp_trace *trace = assembly->order, *next = NULL;
    for (; trace != NULL && trace->last_mono_ns < before_mono_ns; trace = next) {
        next = trace->next;
        if (!trace->listed) {
            drop_trace(assembly, trace);
        }
    }
}

size_t otlp_assembly_bytes(const otlp_assembly *assembly) {
    return assembly->bytes;
}

size_t otlp_assembly_traces(const otlp_assembly *assembly) {
    return HASH_COUNT(assembly->traces);
}
