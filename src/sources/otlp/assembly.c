#include "sources/otlp/assembly.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "sources/otlp/build.h"
#include "sources/otlp/rescued.h"
#include "sources/otlp/traces.h"

#define LARGEST_CHUNK (OTLP_HUGE_PAGE - sizeof(otlp_chunk))
#define CHUNKS 32         /* in a full memory, about */
#define AHEAD 8           /* spans whose traces are fetched into the cache */
#define SHOWN_SHARE 4     /* one in so many */
#define LOOKS_PER_SPAN 50 /* showing a span takes as long as looking at so many that are not shown */
#define LOOKS_IN_A_PIECE 50000
#define FORGET_AT_ONCE 1000 /* traces that offend */
#define SHOWN_SPAN 1200     /* about how many bytes a span takes that is shown */

_Static_assert(sizeof(otlp_trace) <= 128, "a trace is two lines of cache");

struct otlp_assembly {
    otlp_ring ring;
    otlp_traces traces;
    otlp_rescued rescued; /* copies of spans of what offends */
    size_t max_bytes;
    size_t kept_bytes;  /* of what offends, and of ids */
    size_t shown_bytes; /* of what is shown: at most a SHOWN_SHARE of max_bytes, and beside it */
    uint64_t dropped;

    sw_wants wants;
    int64_t longer_than_ns; /* the same */
    otlp_offence *fresh;    /* not in a list before the last */
    otlp_offence *judged;   /* were; the first to be so first */
    otlp_shown *orphans;    /* listed, and their traces are gone */
    const sw_trace **list;
    size_t n_list, list_allocated;
    size_t to_look_at, not_shown; /* while the list is made: of the first of `fresh`; and for want of room */

    /* The request at hand. */
    otlp_place place;
    otlp_kept_resource *resource; /* of the span that was kept last; or NULL */
    const char *request;
    int64_t mono_ns;
    otlp_trace *last; /* that a span came for: most often the next is of the same; or NULL */
};

/* ---- life ---- */

static void set_wants(otlp_assembly *assembly, const sw_wants *wants) {
    double limit_ns = wants->min_duration_ms * SW_NS_PER_MS;
    assembly->wants = *wants;
    assembly->longer_than_ns =
        wants->min_duration_ms < 0 || limit_ns >= (double)INT64_MAX ? INT64_MAX : (int64_t)floor(limit_ns);
}

otlp_assembly *otlp_assembly_new(size_t max_bytes) {
    otlp_assembly *assembly = xcalloc(1, sizeof *assembly);
    size_t chunk = max_bytes / CHUNKS / 16 * 16;
    assembly->max_bytes = max_bytes;
    otlp_ring_init(&assembly->ring, chunk < LARGEST_CHUNK ? chunk : LARGEST_CHUNK);
    otlp_traces_init(&assembly->traces);
    /* Until it is known what offends, everything that may does. */
    set_wants(assembly, &(sw_wants){.min_duration_ms = 0, .errors = true});
    return assembly;
}

static void free_shown(otlp_assembly *assembly, otlp_shown *shown) {
    assembly->shown_bytes -= shown->bytes;
    sw_trace_release(&shown->trace);
    free(shown);
}

static void forget_shown(otlp_assembly *assembly, otlp_offence *offence) {
    otlp_shown *shown = offence->shown;
    offence->shown = NULL;
    if (shown != NULL && shown->listed) {
        LL_PREPEND(assembly->orphans, shown);
    } else if (shown != NULL) {
        free_shown(assembly, shown);
    }
}

static void free_orphans(otlp_assembly *assembly) {
    while (assembly->orphans != NULL) {
        otlp_shown *shown = assembly->orphans;
        assembly->orphans = shown->next;
        free_shown(assembly, shown);
    }
}

static void forget_rescued(otlp_assembly *assembly, otlp_offence *offence) {
    otlp_trace *trace = offence->trace;
    while (offence->rescued != NULL) {
        otlp_kept_span *span = offence->rescued;
        offence->rescued = span->older;
        if (trace->ids != NULL) {
            otlp_ids_remove(trace->ids, span->id);
        }
        trace->n_spans--;
        otlp_rescued_remove(&assembly->rescued, span);
    }
}

/* It has no spans any more. */
static void remove_trace(otlp_assembly *assembly, otlp_trace *trace) {
    assembly->kept_bytes -= otlp_ids_bytes(trace->ids);
    free(trace->ids);
    assembly->last = assembly->last == trace ? NULL : assembly->last;
    otlp_traces_remove(&assembly->traces, trace);
}

/* From now on its trace is as one that does not offend: nothing of it is kept but what the ring still has.
 * The trace may be gone afterwards. */
static void give_up(otlp_assembly *assembly, otlp_offence *offence) {
    otlp_trace *trace = offence->trace;
    if (offence->judged) {
        DL_DELETE(assembly->judged, offence);
    } else {
        DL_DELETE(assembly->fresh, offence);
    }
    assert(assembly->judged != offence && assembly->fresh != offence);
    forget_shown(assembly, offence);
    forget_rescued(assembly, offence);
    trace->offence = NULL;
    assembly->kept_bytes -= sizeof *offence;
    free(offence);
    if (trace->n_spans == 0) {
        remove_trace(assembly, trace);
    }
}

static otlp_offence *begin_offence(otlp_assembly *assembly, otlp_trace *trace) {
    trace->offence = xcalloc(1, sizeof *trace->offence);
    trace->offence->trace = trace;
    assembly->kept_bytes += sizeof *trace->offence;
    return trace->offence;
}

void otlp_assembly_free(otlp_assembly *assembly) {
    while (assembly->fresh != NULL) {
        give_up(assembly, assembly->fresh);
    }
    while (assembly->judged != NULL) {
        give_up(assembly, assembly->judged);
    }
    for (uint32_t i = 1; i <= assembly->traces.n_numbered; i++) {
        otlp_trace *trace = otlp_traces_at(&assembly->traces, i);
        if (trace->n_spans > 0) {
            free(trace->ids);
        }
    }
    free_orphans(assembly);
    otlp_ring_release(&assembly->ring);
    otlp_traces_release(&assembly->traces);
    free(assembly->list);
    free(assembly);
}

/* ---- room ---- */

static bool is_quiet(const otlp_trace *trace, int64_t mono_ns) {
    return mono_ns - trace->last_mono_ns >= OTLP_QUIET_S * SW_NS_PER_S ||
           mono_ns - trace->first_mono_ns >= OTLP_HELD_S * SW_NS_PER_S;
}

/* The ring is about to drop the span. */
static void let_go(otlp_assembly *assembly, const otlp_kept_span *span, int64_t mono_ns) {
    otlp_trace *trace = otlp_traces_at(&assembly->traces, span->trace);
    if (trace->offence != NULL) {
        otlp_kept_span *copy = otlp_rescued_add(&assembly->rescued, span);
        LL_PREPEND2(trace->offence->rescued, copy, older);
        return;
    }
    assembly->dropped += !is_quiet(trace, mono_ns);
    if (trace->ids != NULL) {
        otlp_ids_remove(trace->ids, span->id);
    }
    if (--trace->n_spans == 0) {
        remove_trace(assembly, trace);
    }
}

static void drop_oldest(otlp_assembly *assembly, int64_t mono_ns) {
    otlp_batch *batch = NULL;
    while ((batch = otlp_ring_next(assembly->ring.oldest, batch)) != NULL) {
        for (size_t i = 0; i < batch->n_spans; i++) {
            if (i + AHEAD < batch->n_spans) {
                __builtin_prefetch(otlp_traces_at(&assembly->traces, batch->spans[i + AHEAD].trace), 1);
            }
            let_go(assembly, &batch->spans[i], mono_ns);
        }
    }
    otlp_ring_drop_oldest(&assembly->ring);
}

static bool fits(const otlp_assembly *assembly, size_t more) {
    size_t bytes = otlp_assembly_bytes(assembly) - assembly->shown_bytes;
    return more <= assembly->max_bytes && bytes <= assembly->max_bytes - more;
}

/* False when nothing is left that may go. */
static bool free_some(otlp_assembly *assembly, int64_t mono_ns) {
    bool much = assembly->kept_bytes + assembly->rescued.bytes > assembly->max_bytes / 2;
    if (assembly->judged != NULL && (much || assembly->ring.oldest == NULL)) {
        give_up(assembly, assembly->judged);
    } else if (assembly->ring.oldest != NULL) {
        drop_oldest(assembly, mono_ns);
    } else if (assembly->ring.spare != NULL) {
        otlp_ring_release(&assembly->ring);
    } else {
        return false;
    }
    return true;
}

void otlp_assembly_forget(otlp_assembly *assembly, int64_t before_mono_ns) {
    size_t n = 0;
    otlp_offence *lists[] = {assembly->judged, assembly->fresh};
    while (assembly->ring.oldest != NULL && assembly->ring.oldest->newest_mono_ns < before_mono_ns) {
        drop_oldest(assembly, INT64_MAX);
    }
    for (size_t i = 0; i < SW_ARRAY_LEN(lists); i++) {
        otlp_offence *offence = lists[i], *next = NULL;
        for (; offence != NULL && n < FORGET_AT_ONCE; offence = next) {
            next = offence->next;
            if (offence->trace->last_mono_ns < before_mono_ns) {
                give_up(assembly, offence);
                n++;
            }
        }
    }
}

/* ---- taking spans ---- */

static size_t need(const otlp_assembly *assembly, sw_otlp_text request, const sw_otlp_spans *spans) {
    return otlp_ring_need(&assembly->ring, spans, request.len) +
           otlp_traces_need(&assembly->traces, spans->n);
}

bool otlp_assembly_could_hold(const otlp_assembly *assembly, sw_otlp_text request,
                              const sw_otlp_spans *spans) {
    otlp_ring ring;
    otlp_traces traces;
    otlp_ring_init(&ring, assembly->ring.chunk_size);
    otlp_traces_init(&traces);
    return otlp_ring_need(&ring, spans, request.len) + otlp_traces_need(&traces, spans->n) <=
           assembly->max_bytes;
}

bool otlp_assembly_begin(otlp_assembly *assembly, sw_otlp_text request, const sw_otlp_spans *spans,
                         int64_t mono_ns) {
    while (!fits(assembly, need(assembly, request, spans))) {
        if (!free_some(assembly, mono_ns)) {
            return false;
        }
    }
    assembly->mono_ns = mono_ns;
    assembly->request = request.data;
    assembly->place = otlp_ring_add(&assembly->ring, spans, request, mono_ns);
    assembly->resource = NULL;
    return true;
}

void otlp_assembly_end(otlp_assembly *assembly) {
    if (assembly->place.batch->n_spans == 0) {
        otlp_ring_undo(&assembly->ring, assembly->place.batch);
    }
    assembly->place = (otlp_place){0};
}

/* Its spans from the newest to the oldest: begin with NULL. */
static const otlp_kept_span *next_span(const otlp_assembly *assembly, const otlp_trace *trace,
                                       const otlp_kept_span *span, bool *in_ring) {
    uint32_t chunk = span == NULL ? trace->newest_chunk : span->older_chunk;
    const otlp_kept_span *older = span == NULL ? trace->newest : span->older;
    if (span == NULL) {
        *in_ring = true;
    }
    if (!*in_ring) {
        return older;
    }
    if (older != NULL && otlp_ring_has(&assembly->ring, chunk)) {
        return older;
    }
    *in_ring = false;
    return trace->offence != NULL ? trace->offence->rescued : NULL;
}

static bool has_among(const otlp_assembly *assembly, const otlp_trace *trace, uint64_t id) {
    bool in_ring = true;
    const otlp_kept_span *span = NULL;
    do {
        span = next_span(assembly, trace, span, &in_ring);
    } while (span != NULL && span->id != id);
    return span != NULL;
}

/* Sixteen bits of the id that no sender counts up. */
static uint16_t print_of(uint64_t id) {
    return (uint16_t)(id * UINT64_C(0x9E3779B97F4A7C15) >> 48);
}

static bool has_span(const otlp_assembly *assembly, const otlp_trace *trace, uint64_t id) {
    if (trace->ids != NULL) {
        return otlp_ids_has(trace->ids, id);
    }
    uint16_t print = print_of(id);
    unsigned found = 0;
    for (unsigned i = 0; i < OTLP_PRINTS; i++) { /* all of them: without a branch it is quicker */
        found |= trace->prints[i] == print;
    }
    return found != 0 && has_among(assembly, trace, id);
}

static void remember_id(otlp_assembly *assembly, otlp_trace *trace, uint64_t id) {
    if (trace->n_prints < OTLP_PRINTS) {
        trace->prints[trace->n_prints++] = print_of(id);
        return;
    }
    size_t before = otlp_ids_bytes(trace->ids);
    if (trace->ids == NULL) {
        bool in_ring = true;
        const otlp_kept_span *span = NULL;
        while ((span = next_span(assembly, trace, span, &in_ring)) != NULL) {
            trace->ids = otlp_ids_add(trace->ids, span->id);
        }
    }
    trace->ids = otlp_ids_add(trace->ids, id);
    assembly->kept_bytes += otlp_ids_bytes(trace->ids) - before;
}

static bool offends(const otlp_assembly *assembly, const otlp_trace *trace) {
    return trace->longest_ns > assembly->longer_than_ns || (trace->error && assembly->wants.errors);
}

/* It has a span more, or something else is wanted. */
static void look_again(otlp_assembly *assembly, otlp_trace *trace) {
    otlp_offence *offence = trace->offence;
    if (!offends(assembly, trace)) {
        if (offence != NULL) {
            give_up(assembly, offence);
        }
        return;
    }
    if (offence == NULL) {
        offence = begin_offence(assembly, trace);
        DL_APPEND(assembly->fresh, offence);
    } else if (offence->judged) {
        DL_DELETE(assembly->judged, offence);
        DL_APPEND(assembly->fresh, offence);
    }
    offence->judged = offence->listed_once = false;
}

static otlp_trace *trace_of(otlp_assembly *assembly, sw_otlp_trace_id id) {
    otlp_trace *last = assembly->last;
    if (last != NULL && last->id.low == id.low && last->id.high == id.high) {
        return last;
    }
    return otlp_traces_find(&assembly->traces, id);
}

/* A text of the request at hand, in its copy. */
static const char *in_copy(const otlp_assembly *assembly, sw_otlp_text text) {
    return text.len > 0 ? assembly->place.bytes + (text.data - assembly->request) : "";
}

/* Spans come in the order of their resources. */
static otlp_kept_resource *resource_of(otlp_assembly *assembly, const sw_otlp_span *span) {
    const char *message = in_copy(assembly, span->resource);
    if (assembly->resource == NULL || assembly->resource->message != message) {
        assembly->resource = assembly->place.resources++;
        *assembly->resource = (otlp_kept_resource){
            .message = message,
            .message_len = (uint32_t)span->resource.len,
            .service = in_copy(assembly, span->service),
            .service_len = (uint32_t)span->service.len,
        };
    }
    return assembly->resource;
}

static void keep_span(otlp_assembly *assembly, otlp_trace *trace, const sw_otlp_span *span) {
    otlp_batch *batch = assembly->place.batch;
    otlp_kept_span *kept = &batch->spans[batch->n_spans++];
    *kept = (otlp_kept_span){
        .id = span->id,
        .older = trace->newest,
        .older_chunk = trace->newest_chunk,
        .message = in_copy(assembly, span->message),
        .message_len = (uint32_t)span->message.len,
        .resource = resource_of(assembly, span),
        .trace = trace->number,
    };
    trace->newest = kept;
    trace->newest_chunk = assembly->ring.newest->number;
    trace->n_spans++;
}

bool otlp_assembly_add(otlp_assembly *assembly, const sw_otlp_span *span) {
    otlp_trace *trace = trace_of(assembly, span->trace_id);
    if (trace != NULL && has_span(assembly, trace, span->id)) {
        return false;
    }
    if (trace == NULL) {
        trace = otlp_traces_add(&assembly->traces, span->trace_id);
        trace->first_mono_ns = assembly->mono_ns;
    }
    remember_id(assembly, trace, span->id);
    keep_span(assembly, trace, span);
    int64_t duration = otlp_duration_ns(span->start_ns, span->end_ns);
    trace->longest_ns = duration > trace->longest_ns ? duration : trace->longest_ns;
    trace->error |= span->status == 2;
    trace->last_mono_ns = assembly->mono_ns;
    assembly->last = trace;
    look_again(assembly, trace);
    return true;
}

/* ---- showing traces ---- */

static void build(const otlp_assembly *assembly, const otlp_trace *trace, size_t max_spans, sw_trace *out) {
    size_t most = trace->n_spans < OTLP_MAX_SPANS_READ ? trace->n_spans : OTLP_MAX_SPANS_READ, n = 0;
    sw_otlp_span *spans = xcalloc(most, sizeof *spans);
    bool in_ring = true;
    const otlp_kept_span *kept = NULL;
    while (n < most && (kept = next_span(assembly, trace, kept, &in_ring)) != NULL) {
        otlp_kept_read(kept, &spans[n++]);
    }
    assert(n == most);
    otlp_build_trace(trace->id, spans, n, trace->n_spans, max_spans, out);
    free(spans);
}

static void add_to_list(otlp_assembly *assembly, otlp_shown *shown) {
    if (assembly->n_list == assembly->list_allocated) {
        assembly->list_allocated = assembly->list_allocated == 0 ? 64 : assembly->list_allocated * 2;
        assembly->list = xrealloc_array(assembly->list, assembly->list_allocated, sizeof *assembly->list);
    }
    assembly->list[assembly->n_list++] = &shown->trace;
    shown->listed = true;
}

/* Nothing of the last list is lent any more, and what was in it has been judged. */
static void end_list(otlp_assembly *assembly) {
    assembly->n_list = 0;
    free_orphans(assembly);
    otlp_offence *offence = NULL, *next = NULL;
    DL_FOREACH(assembly->judged, offence) {
        offence->shown->listed = false;
    }
    DL_FOREACH_SAFE(assembly->fresh, offence, next) {
        if (offence->shown != NULL) {
            offence->shown->listed = false;
        }
        if (offence->listed_once) {
            DL_DELETE(assembly->fresh, offence);
            offence->judged = true;
            DL_APPEND(assembly->judged, offence);
        }
    }
}

static void want(otlp_assembly *assembly, const sw_wants *wants) {
    if (wants->errors == assembly->wants.errors &&
        wants->min_duration_ms == assembly->wants.min_duration_ms) {
        return;
    }
    set_wants(assembly, wants);
    uint32_t last = assembly->traces.n_numbered;
    for (uint32_t i = 1; i <= last && assembly->traces.n > 0; i++) {
        otlp_trace *trace = otlp_traces_at(&assembly->traces, i);
        if (trace->n_spans > 0 && offends(assembly, trace) != (trace->offence != NULL)) {
            look_again(assembly, trace);
        }
    }
}

/* False when there is no room for it: those that were judged make some. */
static bool show(otlp_assembly *assembly, otlp_offence *offence) {
    const otlp_trace *trace = offence->trace;
    size_t n = trace->n_spans < OTLP_MAX_SPANS_OFFERED ? trace->n_spans : OTLP_MAX_SPANS_OFFERED;
    forget_shown(assembly, offence); /* an older form */
    while (assembly->shown_bytes + n * SHOWN_SPAN > assembly->max_bytes / SHOWN_SHARE) {
        if (assembly->judged == NULL) {
            return false;
        }
        give_up(assembly, assembly->judged);
    }
    otlp_shown *shown = offence->shown = xcalloc(1, sizeof *shown);
    build(assembly, trace, OTLP_MAX_SPANS_OFFERED, &shown->trace);
    shown->bytes = sizeof *shown + otlp_built_bytes(&shown->trace);
    assembly->shown_bytes += shown->bytes;
    return true;
}

void otlp_assembly_offer(otlp_assembly *assembly, const sw_wants *wants) {
    end_list(assembly);
    want(assembly, wants);
    const otlp_offence *offence = NULL;
    assembly->to_look_at = assembly->not_shown = 0;
    DL_FOREACH(assembly->fresh, offence) {
        assembly->to_look_at++;
    }
}

/* How much of a piece of work it was to look at it. Spans that come between two pieces move offences about,
 * but to the end of the list only: the first ones are those that were not looked at. */
static size_t look_at_first(otlp_assembly *assembly, int64_t mono_ns) {
    otlp_offence *offence = assembly->fresh;
    DL_DELETE(assembly->fresh, offence);
    DL_APPEND(assembly->fresh, offence);
    if (offence->listed_once || !is_quiet(offence->trace, mono_ns)) {
        return 1;
    }
    if (!show(assembly, offence)) {
        assembly->not_shown++;
        return 1;
    }
    offence->listed_once = true;
    add_to_list(assembly, offence->shown);
    return LOOKS_PER_SPAN * (1 + offence->shown->trace.n_spans);
}

bool otlp_assembly_offer_more(otlp_assembly *assembly, int64_t mono_ns, size_t *not_shown) {
    for (size_t done = 0; assembly->to_look_at > 0 && assembly->fresh != NULL; assembly->to_look_at--) {
        if (done > LOOKS_IN_A_PIECE) {
            return true;
        }
        done += look_at_first(assembly, mono_ns);
    }
    const otlp_offence *offence = NULL;
    DL_FOREACH(assembly->judged, offence) {
        add_to_list(assembly, offence->shown);
    }
    *not_shown = assembly->not_shown;
    return false;
}

const sw_trace *const *otlp_assembly_list(const otlp_assembly *assembly, size_t *n) {
    *n = assembly->n_list;
    return assembly->list;
}

/* ---- looking things up ---- */

uint32_t otlp_assembly_each_trace(const otlp_assembly *assembly, uint32_t after,
                                  bool (*each)(const otlp_trace_summary *trace, void *arg), void *arg) {
    for (uint32_t i = after + 1; i <= assembly->traces.n_numbered; i++) {
        const otlp_trace *trace = otlp_traces_at(&assembly->traces, i);
        const otlp_trace_summary summary = {trace->id,      trace->last_mono_ns, trace->longest_ns,
                                            trace->n_spans, trace->error,        trace->offence != NULL};
        if (trace->n_spans > 0 && !each(&summary, arg)) {
            return i;
        }
    }
    return 0;
}

bool otlp_assembly_each_span(const otlp_assembly *assembly, sw_otlp_trace_id id,
                             bool (*each)(const sw_otlp_span *span, void *arg), void *arg) {
    const otlp_trace *trace = otlp_traces_find(&assembly->traces, id);
    const otlp_kept_span *kept = NULL;
    bool in_ring = true, more = trace != NULL;
    while (more && (kept = next_span(assembly, trace, kept, &in_ring)) != NULL) {
        sw_otlp_span span;
        otlp_kept_read(kept, &span);
        more = each(&span, arg);
    }
    return trace != NULL;
}

bool otlp_assembly_build(const otlp_assembly *assembly, sw_otlp_trace_id id, size_t max_spans,
                         sw_trace *out) {
    const otlp_trace *trace = otlp_traces_find(&assembly->traces, id);
    if (trace != NULL) {
        build(assembly, trace, max_spans, out);
    }
    return trace != NULL;
}

size_t otlp_assembly_bytes(const otlp_assembly *assembly) {
    return assembly->ring.bytes + otlp_traces_bytes(&assembly->traces) + assembly->kept_bytes +
           assembly->rescued.bytes + assembly->shown_bytes;
}

size_t otlp_assembly_traces(const otlp_assembly *assembly) {
    return assembly->traces.n;
}

uint64_t otlp_assembly_dropped(const otlp_assembly *assembly) {
    return assembly->dropped;
}
