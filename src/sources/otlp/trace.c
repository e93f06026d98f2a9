/* The spans of one trace, and the trace that detectors see. */
#include "sources/otlp/assembly_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sources/otlp/text.h"

#define MAX_ATTRIBUTES 128
#define MAX_DEPTH 256   /* of parents that are followed */
#define MAX_FAILING 256 /* spans of one trace whose depth is looked at: a trace may be as large as memory */
/* Up to here looking at each span is quicker than a hash of them, and most traces are no larger. */
#define FEW_SPANS 32

/* ---- its spans ---- */

size_t otlp_span_cost(const otlp_kept_span *span) {
    return sizeof *span + span->service_len + span->message_len;
}

otlp_kept_span *otlp_trace_find(const otlp_trace *trace, uint64_t id) {
    otlp_kept_span *span = trace->spans;
    if (trace->index != NULL) {
        HASH_FIND(hh, trace->index, &id, sizeof id, span);
        return span;
    }
    while (span != NULL && span->id != id) {
        span = span->next;
    }
    return span;
}

int64_t otlp_duration_ns(uint64_t start_ns, uint64_t end_ns) {
    uint64_t duration = end_ns > start_ns ? end_ns - start_ns : 0;
    return duration > INT64_MAX ? INT64_MAX : (int64_t)duration;
}

void otlp_trace_add(otlp_trace *trace, otlp_kept_span *span) {
    span->next = trace->spans;
    trace->spans = span;
    trace->n_spans++;
    if (trace->index != NULL) {
        HASH_ADD(hh, trace->index, id, sizeof span->id, span);
    } else if (trace->n_spans > FEW_SPANS) {
        for (otlp_kept_span *each = trace->spans; each != NULL; each = each->next) {
            HASH_ADD(hh, trace->index, id, sizeof each->id, each);
        }
    }
    int64_t duration = otlp_duration_ns(span->start_ns, span->end_ns);
    trace->longest_ns = duration > trace->longest_ns ? duration : trace->longest_ns;
    trace->error = trace->error || span->error;
}

size_t otlp_trace_clear(otlp_trace *trace) {
    size_t bytes = 0;
    HASH_CLEAR(hh, trace->index);
    while (trace->spans != NULL) {
        otlp_kept_span *span = trace->spans;
        trace->spans = span->next;
        bytes += otlp_span_cost(span);
        free(span);
    }
    return bytes;
}

/* ---- what detectors see ---- */

static sw_status status_of(uint32_t code) {
    return code == 1 ? SW_STATUS_OK : code == 2 ? SW_STATUS_ERROR : SW_STATUS_UNSET;
}

static sw_span_kind kind_of(uint32_t kind) {
    static const sw_span_kind kinds[] = {SW_KIND_UNSPECIFIED, SW_KIND_INTERNAL, SW_KIND_SERVER,
                                         SW_KIND_CLIENT,      SW_KIND_PRODUCER, SW_KIND_CONSUMER};
    return kind < SW_ARRAY_LEN(kinds) ? kinds[kind] : SW_KIND_UNSPECIFIED;
}

static int64_t clamp_ns(uint64_t ns) {
    return ns > INT64_MAX ? INT64_MAX : (int64_t)ns;
}

static sw_otlp_text service_of(const otlp_kept_span *kept) {
    return (sw_otlp_text){kept->bytes, kept->service_len};
}

static sw_otlp_text message_of(const otlp_kept_span *kept) {
    return (sw_otlp_text){kept->bytes + kept->service_len, kept->message_len};
}

static void add_attributes(sw_span *out, sw_otlp_text message) {
    sw_otlp_attributes attributes = sw_otlp_attributes_of(message);
    sw_otlp_attribute attribute;
    sw_buf value;
    sw_buf_init(&value, (size_t)64 << 10);
    while (out->n_attributes < MAX_ATTRIBUTES && sw_otlp_next_attribute(&attributes, &attribute)) {
        out->attributes = xrealloc_array(out->attributes, out->n_attributes + 1, sizeof *out->attributes);
        sw_buf_reset(&value);
        sw_otlp_value_text(attribute.value, &value);
        out->attributes[out->n_attributes++] = (sw_attribute){
            .key = otlp_text_copy(attribute.key),
            .value = otlp_text_copy((sw_otlp_text){value.data, value.len}),
        };
    }
    sw_buf_release(&value);
}

static void build_span(sw_span *out, const otlp_kept_span *kept) {
    sw_otlp_span span = {0};
    sw_otlp_read_span(message_of(kept), &span); /* it was read before */
    *out = (sw_span){
        .service = otlp_text_copy(service_of(kept)),
        .name = otlp_text_copy(span.name),
        .kind = kind_of(span.kind),
        .status = status_of(span.status),
        .status_message = otlp_text_copy(span.status_message),
        .start_ns = clamp_ns(span.start_ns),
        .duration_ns = otlp_duration_ns(span.start_ns, span.end_ns),
    };
    snprintf(out->id, sizeof out->id, "%016" PRIx64, span.id);
    if (span.parent_id != 0) {
        snprintf(out->parent_id, sizeof out->parent_id, "%016" PRIx64, span.parent_id);
    }
    add_attributes(out, message_of(kept));
}

/* How many known parents a span has above it; a circle ends at MAX_DEPTH. */
static unsigned depth_of(const otlp_kept_span *span, const otlp_trace *trace) {
    unsigned depth = 0;
    while (depth < MAX_DEPTH && span->parent_id != 0 &&
           (span = otlp_trace_find(trace, span->parent_id)) != NULL) {
        depth++;
    }
    return depth;
}

struct chosen {
    const otlp_kept_span *root;     /* or NULL */
    const otlp_kept_span *earliest; /* for what has no root */
    const otlp_kept_span *failing;  /* nearest to the root, then the earliest; or NULL */
    unsigned failing_depth;
};

static bool is_earlier(const otlp_kept_span *span, const otlp_kept_span *than) {
    return than == NULL || span->start_ns < than->start_ns ||
           (span->start_ns == than->start_ns && span->id < than->id);
}

static struct chosen choose(const otlp_trace *trace) {
    struct chosen chosen = {0};
    size_t n_failing = 0;
    for (const otlp_kept_span *span = trace->spans; span != NULL; span = span->next) {
        if (span->parent_id == 0 && is_earlier(span, chosen.root)) {
            chosen.root = span;
        }
        if (is_earlier(span, chosen.earliest)) {
            chosen.earliest = span;
        }
        if (span->error && n_failing++ < MAX_FAILING) {
            unsigned depth = depth_of(span, trace);
            if (chosen.failing == NULL || depth < chosen.failing_depth ||
                (depth == chosen.failing_depth && is_earlier(span, chosen.failing))) {
                chosen.failing = span;
                chosen.failing_depth = depth;
            }
        }
    }
    return chosen;
}

/* The root and what failed first, then the others. */
static void add_spans(sw_trace *out, const otlp_trace *trace) {
    size_t n = trace->n_spans < OTLP_MAX_SPANS_OFFERED ? trace->n_spans : OTLP_MAX_SPANS_OFFERED;
    out->spans = xcalloc(n, sizeof *out->spans);
    for (int pass = 0; pass < 2; pass++) {
        for (const otlp_kept_span *span = trace->spans; span != NULL && out->n_spans < n; span = span->next) {
            bool first = span->parent_id == 0 || span->error;
            if (first == (pass == 0)) {
                build_span(&out->spans[out->n_spans++], span);
            }
        }
    }
}

void otlp_trace_build(otlp_trace *trace) {
    assert(trace->spans != NULL); /* a trace begins with a span */
    struct chosen chosen = choose(trace);
    const otlp_kept_span *named = chosen.root != NULL ? chosen.root : chosen.earliest;
    sw_otlp_span span = {0}, failing = {0};
    sw_otlp_read_span(message_of(named), &span);
    if (chosen.failing != NULL) {
        sw_otlp_read_span(message_of(chosen.failing), &failing);
    }
    sw_trace *out = &trace->trace;
    *out = (sw_trace){
        .source = "otlp",
        .root_known = chosen.root != NULL,
        .service = otlp_text_copy(service_of(named)),
        .operation = otlp_text_copy(span.name),
        .start_ns = clamp_ns(chosen.earliest->start_ns),
        .duration_ms = (double)trace->longest_ns / SW_NS_PER_MS,
        .status = trace->error ? SW_STATUS_ERROR : SW_STATUS_UNSET,
        .error_message = otlp_text_copy(failing.status_message),
        .n_matched = trace->n_spans,
    };
    snprintf(out->id, sizeof out->id, "%016" PRIx64 "%016" PRIx64, trace->id.high, trace->id.low);
    add_spans(out, trace);
    sw_trace_update_digest(out);
    trace->built = true;
    trace->stale = false;
}
