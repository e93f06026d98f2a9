#include "sources/otlp/assembly_internal.h"

#include <string.h>

#include <utlist.h>

struct otlp_assembly {
    otlp_trace *traces; /* uthash by id */
    otlp_trace *order;  /* utlist */
    otlp_trace *last;   /* that a span came for: most often the next is of the same; or NULL */
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

static void drop_built(otlp_trace *trace) {
    if (trace->built) {
        sw_trace_release(&trace->trace);
        trace->built = false;
    }
}

static void drop_trace(otlp_assembly *assembly, otlp_trace *trace) {
    assembly->bytes -= otlp_trace_clear(trace);
    drop_built(trace);
    assembly->bytes -= sizeof *trace;
    assembly->last = assembly->last == trace ? NULL : assembly->last;
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

static bool offends(const sw_wants *wants, const otlp_trace *trace) {
    double ms = (double)trace->longest_ns / SW_NS_PER_MS;
    return (wants->errors && trace->error) || (wants->min_duration_ms >= 0 && ms > wants->min_duration_ms);
}

static otlp_trace *find_trace(const otlp_assembly *assembly, sw_otlp_trace_id id) {
    otlp_trace *trace = assembly->last;
    if (trace == NULL || trace->id.low != id.low || trace->id.high != id.high) {
        HASH_FIND(hh, assembly->traces, &id, sizeof id, trace);
    }
    return trace;
}

/* The trace with this id, as the one that was heard of last. */
static otlp_trace *trace_of(otlp_assembly *assembly, otlp_trace *trace, sw_otlp_trace_id id,
                            int64_t mono_ns) {
    if (trace == NULL) {
        trace = xcalloc(1, sizeof *trace);
        trace->id = id;
        trace->first_mono_ns = mono_ns;
        assembly->bytes += sizeof *trace;
        HASH_ADD(hh, assembly->traces, id, sizeof trace->id, trace);
        DL_APPEND(assembly->order, trace);
    } else if (trace->next != NULL) {
        DL_DELETE(assembly->order, trace);
        DL_APPEND(assembly->order, trace);
    }
    trace->last_mono_ns = mono_ns;
    assembly->last = trace;
    return trace;
}

static otlp_kept_span *copy_span(const sw_otlp_span *span) {
    otlp_kept_span *kept = xmalloc(sizeof *kept + span->service.len + span->message.len);
    *kept = (otlp_kept_span){
        .id = span->id,
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
    otlp_trace *trace = find_trace(assembly, span->trace_id);
    if (trace != NULL && otlp_trace_find(trace, span->id) != NULL) {
        return false;
    }
    otlp_kept_span *kept = copy_span(span);
    trace = trace_of(assembly, trace, span->trace_id, mono_ns);
    otlp_trace_add(trace, kept);
    assembly->bytes += otlp_span_cost(kept);
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
            otlp_trace_build(trace);
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
