#include "sources/otlp/build.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/keyed_hash.h"
#include "sources/otlp/text.h"

#define MAX_ATTRIBUTES 128
#define MAX_EXCEPTION_ATTRIBUTES 8 /* beyond these */
#define MAX_DEPTH 256              /* of parents that are followed */
#define MAX_FAILING 256            /* spans of one trace whose depth is looked at */

int64_t otlp_duration_ns(uint64_t start_ns, uint64_t end_ns) {
    uint64_t duration = end_ns > start_ns ? end_ns - start_ns : 0;
    return duration > INT64_MAX ? INT64_MAX : (int64_t)duration;
}

/* ---- one span ---- */

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

static void add_attribute(sw_span *out, const sw_otlp_attribute *attribute, sw_buf *value) {
    out->attributes = xrealloc_array(out->attributes, out->n_attributes + 1, sizeof *out->attributes);
    sw_buf_reset(value);
    sw_otlp_value_text(attribute->value, value);
    out->attributes[out->n_attributes++] = (sw_attribute){
        .key = otlp_text_copy(attribute->key),
        .value = otlp_text_copy((sw_otlp_text){value->data, value->len}),
    };
}

static bool has_attribute(const sw_span *span, sw_otlp_text key) {
    for (size_t i = 0; i < span->n_attributes; i++) {
        if (strlen(span->attributes[i].key) == key.len &&
            memcmp(span->attributes[i].key, key.data, key.len) == 0) {
            return true;
        }
    }
    return false;
}

/* What became of the span: its exception's attributes are shown as its own, where it has none of them. */
static void add_exception(sw_span *out, sw_otlp_text message, sw_buf *value) {
    static const char prefix[] = "exception.";
    sw_otlp_attributes attributes = sw_otlp_exception_of(message);
    sw_otlp_attribute attribute;
    size_t most = out->n_attributes + MAX_EXCEPTION_ATTRIBUTES;
    while (out->n_attributes < most && sw_otlp_next_attribute(&attributes, &attribute)) {
        if (attribute.key.len >= sizeof prefix &&
            memcmp(attribute.key.data, prefix, sizeof prefix - 1) == 0 &&
            !has_attribute(out, attribute.key)) {
            add_attribute(out, &attribute, value);
        }
    }
}

static void add_attributes(sw_span *out, sw_otlp_text message) {
    sw_otlp_attributes attributes = sw_otlp_attributes_of(message);
    sw_otlp_attribute attribute;
    sw_buf value;
    sw_buf_init(&value, (size_t)64 << 10);
    while (out->n_attributes < MAX_ATTRIBUTES && sw_otlp_next_attribute(&attributes, &attribute)) {
        add_attribute(out, &attribute, &value);
    }
    add_exception(out, message, &value);
    sw_buf_release(&value);
}

static void build_span(sw_span *out, const sw_otlp_span *span) {
    *out = (sw_span){
        .service = otlp_text_copy(span->service),
        .name = otlp_text_copy(span->name),
        .kind = kind_of(span->kind),
        .status = status_of(span->status),
        .status_message = otlp_text_copy(span->status_message),
        .start_ns = clamp_ns(span->start_ns),
        .duration_ns = otlp_duration_ns(span->start_ns, span->end_ns),
    };
    snprintf(out->id, sizeof out->id, "%016" PRIx64, span->id);
    if (span->parent_id != 0) {
        snprintf(out->parent_id, sizeof out->parent_id, "%016" PRIx64, span->parent_id);
    }
    add_attributes(out, span->message);
}

/* ---- who is whose parent ---- */

struct family {
    const sw_otlp_span *spans;
    uint32_t *by_id; /* open table of place + 1; 0: empty */
    size_t mask;
};

static size_t slot_of(const struct family *family, uint64_t id) {
    size_t at = sw_keyed_hash_u64(id, 0) & family->mask;
    while (family->by_id[at] != 0 && family->spans[family->by_id[at] - 1].id != id) {
        at = (at + 1) & family->mask;
    }
    return at;
}

static struct family family_of(const sw_otlp_span *spans, size_t n) {
    size_t size = 4;
    while (size < 2 * n) {
        size *= 2;
    }
    struct family family = {spans, xcalloc(size, sizeof *family.by_id), size - 1};
    for (size_t i = 0; i < n; i++) {
        family.by_id[slot_of(&family, spans[i].id)] = (uint32_t)i + 1;
    }
    return family;
}

/* How many known parents a span has above it; a circle ends at MAX_DEPTH. */
static unsigned depth_of(const struct family *family, const sw_otlp_span *span) {
    unsigned depth = 0;
    while (depth < MAX_DEPTH && span->parent_id != 0) {
        uint32_t parent = family->by_id[slot_of(family, span->parent_id)];
        if (parent == 0) {
            break;
        }
        span = &family->spans[parent - 1];
        depth++;
    }
    return depth;
}

/* ---- the trace ---- */

static bool is_failing(const sw_otlp_span *span) {
    return span->status == 2;
}

struct chosen {
    const sw_otlp_span *root;     /* or NULL */
    const sw_otlp_span *earliest; /* for what has no root */
    const sw_otlp_span *failing;  /* nearest to the root, then the earliest; or NULL */
    unsigned failing_depth;
    int64_t longest_ns;
};

static bool is_earlier(const sw_otlp_span *span, const sw_otlp_span *than) {
    return than == NULL || span->start_ns < than->start_ns ||
           (span->start_ns == than->start_ns && span->id < than->id);
}

static struct chosen choose(const struct family *family, size_t n) {
    struct chosen chosen = {0};
    size_t n_failing = 0;
    for (const sw_otlp_span *span = family->spans; span < family->spans + n; span++) {
        int64_t duration = otlp_duration_ns(span->start_ns, span->end_ns);
        chosen.longest_ns = duration > chosen.longest_ns ? duration : chosen.longest_ns;
        if (span->parent_id == 0 && is_earlier(span, chosen.root)) {
            chosen.root = span;
        }
        if (is_earlier(span, chosen.earliest)) {
            chosen.earliest = span;
        }
        if (is_failing(span) && n_failing++ < MAX_FAILING) {
            unsigned depth = depth_of(family, span);
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
static void add_spans(sw_trace *out, const sw_otlp_span *spans, size_t n, size_t most) {
    most = n < most ? n : most;
    out->spans = xcalloc(most, sizeof *out->spans);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < n && out->n_spans < most; i++) {
            bool first = spans[i].parent_id == 0 || is_failing(&spans[i]);
            if (first == (pass == 0)) {
                build_span(&out->spans[out->n_spans++], &spans[i]);
            }
        }
    }
}

void otlp_build_trace(sw_otlp_trace_id id, const sw_otlp_span *spans, size_t n, size_t n_known,
                      size_t max_spans, sw_trace *out) {
    struct family family = family_of(spans, n);
    struct chosen chosen = choose(&family, n);
    free(family.by_id);
    assert(chosen.earliest != NULL); /* a trace begins with a span */
    const sw_otlp_span *named = chosen.root != NULL ? chosen.root : chosen.earliest;
    *out = (sw_trace){
        .source = "otlp",
        .root_known = chosen.root != NULL,
        .service = otlp_text_copy(named->service),
        .operation = otlp_text_copy(named->name),
        .start_ns = clamp_ns(chosen.earliest->start_ns),
        .duration_ms = (double)chosen.longest_ns / SW_NS_PER_MS,
        .status = chosen.failing != NULL ? SW_STATUS_ERROR : SW_STATUS_UNSET,
        .error_message =
            otlp_text_copy(chosen.failing != NULL ? chosen.failing->status_message : (sw_otlp_text){NULL, 0}),
        .n_matched = n_known,
    };
    snprintf(out->id, sizeof out->id, "%016" PRIx64 "%016" PRIx64, id.high, id.low);
    add_spans(out, spans, n, max_spans);
    sw_trace_update_digest(out);
}

#define ALLOCATION 16 /* what each takes beside its bytes, about */

static size_t text_bytes(const char *text) {
    return strlen(text) + 1 + ALLOCATION;
}

size_t otlp_built_bytes(const sw_trace *trace) {
    size_t sum = text_bytes(trace->service) + text_bytes(trace->operation) + text_bytes(trace->error_message);
    for (size_t i = 0; i < trace->n_spans; i++) {
        const sw_span *span = &trace->spans[i];
        sum += sizeof *span + text_bytes(span->service) + text_bytes(span->name) +
               text_bytes(span->status_message) + span->n_attributes * sizeof *span->attributes;
        for (size_t k = 0; k < span->n_attributes; k++) {
            sum += text_bytes(span->attributes[k].key) + text_bytes(span->attributes[k].value);
        }
    }
    return sum;
}
