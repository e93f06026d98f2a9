#include "sources/tempo/trace_cache.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define uthash_fatal(msg) abort()
#include <uthash.h>

#include "sources/tempo/failing_span.h"

#define HOLD_NS (60 * SW_NS_PER_S)
#define DETAIL_TRIES 3
#define UNSEEN_POLLS 200

/* How much an answer tells of a span: more replaces less. */
enum detail { FROM_SWEEP, FROM_SEARCH, BY_ID };

struct trace {
    tempo_row row; /* the trace as it is offered; row.by_id: all of it was seen once */
    unsigned char *details;
    size_t details_allocated;
    int64_t end_ns; /* latest known end; 0 when no answer told times */
    int64_t first_mono_ns;
    uint64_t first_poll, last_poll, asked_poll; /* asked_poll: for it by its id */
    unsigned detail_tries;
    bool wants_detail, dirty;
    double message_depth; /* of the failing span whose message is shown, when seen by id; else infinite */
    UT_hash_handle hh;
};

struct tempo_cache {
    struct trace *traces;
    size_t n_traces, n_spans, max_traces, max_spans;
    uint64_t poll, dropped;
    sw_wants wants;
    int64_t mono_ns;
    const sw_trace **list;
    size_t n_list;
};

static int64_t add_ns(int64_t a, int64_t b) {
    int64_t sum = 0;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static int64_t span_end(const sw_span *span) {
    return add_ns(span->start_ns, span->duration_ns > 0 ? span->duration_ns : 0);
}

static bool offends(const sw_wants *wants, const sw_span *span) {
    return (wants->errors && span->status == SW_STATUS_ERROR) ||
           (wants->min_duration_ms >= 0 && (double)span->duration_ns > wants->min_duration_ms * 1e6);
}

tempo_cache *tempo_cache_new(size_t max_traces, size_t max_spans) {
    tempo_cache *cache = xcalloc(1, sizeof *cache);
    cache->max_traces = max_traces;
    cache->max_spans = max_spans;
    cache->wants = (sw_wants){.min_duration_ms = -1};
    return cache;
}

static void drop_list(tempo_cache *cache) {
    free(cache->list);
    cache->list = NULL;
    cache->n_list = 0;
}

static void drop_trace(tempo_cache *cache, struct trace *trace) {
    cache->n_spans -= trace->row.trace.n_spans;
    cache->n_traces--;
    HASH_DEL(cache->traces, trace);
    tempo_row_release(&trace->row);
    free(trace->details);
    free(trace);
}

void tempo_cache_free(tempo_cache *cache) {
    if (cache == NULL) {
        return;
    }
    struct trace *trace = NULL, *next = NULL;
    HASH_ITER(hh, cache->traces, trace, next) {
        drop_trace(cache, trace);
    }
    drop_list(cache);
    free(cache);
}

void tempo_cache_begin(tempo_cache *cache, const sw_wants *wants, int64_t mono_ns) {
    cache->poll++;
    cache->wants = *wants;
    cache->mono_ns = mono_ns;
    drop_list(cache);
}

static struct trace *find(const tempo_cache *cache, const char *id) {
    struct trace *trace = NULL;
    HASH_FIND(hh, cache->traces, id, SW_TRACE_ID_LEN, trace);
    return trace;
}

static struct trace *find_or_add(tempo_cache *cache, const char *id) {
    struct trace *trace = find(cache, id);
    if (trace == NULL && cache->n_traces < cache->max_traces) {
        trace = xcalloc(1, sizeof *trace);
        memcpy(trace->row.trace.id, id, SW_TRACE_ID_LEN + 1);
        trace->row.trace.source = "tempo";
        trace->row.trace.service = xstrdup("");
        trace->row.trace.operation = xstrdup("");
        trace->row.trace.error_message = xstrdup("");
        trace->first_poll = cache->poll;
        trace->first_mono_ns = cache->mono_ns;
        trace->message_depth = INFINITY;
        HASH_ADD(hh, cache->traces, row.trace.id, SW_TRACE_ID_LEN, trace);
        cache->n_traces++;
    }
    if (trace == NULL) {
        cache->dropped++;
        return NULL;
    }
    trace->last_poll = cache->poll;
    trace->dirty = true;
    return trace;
}

/* ---- spans ---- */

static sw_span *find_span(struct trace *trace, const char *id, size_t *at) {
    for (size_t i = 0; i < trace->row.trace.n_spans; i++) {
        if (memcmp(trace->row.trace.spans[i].id, id, SW_SPAN_ID_LEN) == 0) {
            *at = i;
            return &trace->row.trace.spans[i];
        }
    }
    return NULL;
}

/* NULL when the trace shows enough of them, or when there is no room at all (*full). */
static sw_span *add_span(tempo_cache *cache, struct trace *trace, size_t *at, bool *full) {
    if (trace->row.trace.n_spans >= TEMPO_MAX_SPANS_PER_TRACE) {
        return NULL;
    }
    if (cache->n_spans >= cache->max_spans) {
        cache->dropped++;
        *full = true;
        return NULL;
    }
    *at = trace->row.trace.n_spans;
    if (*at == trace->details_allocated) {
        trace->details_allocated = *at == 0 ? 8 : *at * 2;
        trace->details = xrealloc(trace->details, trace->details_allocated);
    }
    trace->details[*at] = FROM_SWEEP;
    cache->n_spans++;
    return tempo_row_add_span(&trace->row);
}

/* Moves a span of an answer into the trace. -1 when there is no room. */
static int take_span(tempo_cache *cache, struct trace *trace, sw_span *span, bool root, enum detail detail) {
    size_t at = 0;
    sw_span *known = find_span(trace, span->id, &at);
    if (known != NULL && detail < (enum detail)trace->details[at]) {
        return 0;
    }
    bool full = false;
    if (known == NULL) {
        known = add_span(cache, trace, &at, &full);
    }
    if (known == NULL) {
        return full ? -1 : 0;
    }
    sw_span_release(known);
    *known = *span;
    *span = (sw_span){0};
    trace->details[at] = (unsigned char)detail;
    trace->row.roots[at] = trace->row.roots[at] || root;
    return 0;
}

/* Of a trace by id only what says why it is here is kept: offending spans and the root. */
static int take_spans(tempo_cache *cache, struct trace *trace, tempo_row *row) {
    int result = 0;
    size_t offending = 0;
    for (size_t i = 0; i < row->trace.n_spans; i++) {
        sw_span *span = &row->trace.spans[i];
        bool offence = offends(&cache->wants, span);
        offending += offence;
        if (row->by_id && !offence && !row->roots[i]) {
            size_t at = 0;
            if (find_span(trace, span->id, &at) == NULL) {
                continue;
            }
        }
        if (take_span(cache, trace, span, row->roots[i], row->by_id ? BY_ID : FROM_SEARCH) != 0) {
            result = -1;
        }
    }
    uint64_t matched = row->by_id ? offending : row->trace.n_matched;
    sw_trace *known = &trace->row.trace;
    known->n_matched = matched > known->n_matched ? matched : known->n_matched;
    return result;
}

/* ---- what follows from the spans ---- */

static void replace_text(char **text, const char *with) {
    if (strcmp(*text, with) != 0) {
        free(*text);
        *text = xstrdup(with);
    }
}

static void learn_times(struct trace *trace, int64_t start_ns, int64_t end_ns) {
    sw_trace *known = &trace->row.trace;
    if (start_ns > 0) {
        known->start_ns = trace->end_ns == 0 || start_ns < known->start_ns ? start_ns : known->start_ns;
        trace->end_ns = end_ns > trace->end_ns ? end_ns : trace->end_ns;
    }
}

static void learn_root(struct trace *trace, const tempo_row *row) {
    sw_trace *known = &trace->row.trace;
    if (row->trace.root_known && (!known->root_known || row->by_id)) {
        known->root_known = true;
        replace_text(&known->service, row->trace.service);
        replace_text(&known->operation, row->trace.operation);
    }
}

/* Without a root the trace is called by the offending span that is nearest to where it entered. */
static void name_by_span(const tempo_cache *cache, struct trace *trace) {
    const sw_trace *known = &trace->row.trace;
    const sw_span *best = NULL;
    for (size_t i = 0; i < known->n_spans; i++) {
        const sw_span *span = &known->spans[i];
        bool better = best == NULL || offends(&cache->wants, span) > offends(&cache->wants, best) ||
                      (offends(&cache->wants, span) == offends(&cache->wants, best) &&
                       (span->start_ns > 0 && (best->start_ns == 0 || span->start_ns < best->start_ns)));
        best = better ? span : best;
    }
    if (best != NULL) {
        replace_text(&trace->row.trace.service, best->service);
        replace_text(&trace->row.trace.operation, best->name);
    }
}

/* What the spans of an answer say of their trace, whether they are kept or not. */
static void learn_spans(struct trace *trace, const sw_span *spans, size_t n) {
    sw_trace *known = &trace->row.trace;
    for (size_t i = 0; i < n; i++) {
        known->duration_ms = fmax(known->duration_ms, (double)spans[i].duration_ns / 1e6);
        if (spans[i].start_ns > 0) {
            learn_times(trace, spans[i].start_ns, span_end(&spans[i]));
        }
        if (spans[i].status == SW_STATUS_ERROR) {
            known->status = SW_STATUS_ERROR;
        }
    }
}

static void settle(const tempo_cache *cache, struct trace *trace) {
    sw_trace *known = &trace->row.trace;
    double whole_ms = trace->end_ns > known->start_ns ? (double)(trace->end_ns - known->start_ns) / 1e6 : 0;
    known->duration_ms = fmax(known->duration_ms, whole_ms);
    if (!known->root_known) {
        name_by_span(cache, trace);
    }
    if (!isfinite(trace->message_depth)) {
        const sw_span *failing = tempo_failing_span(&trace->row, NULL);
        replace_text(&known->error_message, failing != NULL ? failing->status_message : "");
    }
    known->n_matched = known->n_matched == 0 ? known->n_spans : known->n_matched;
}

/* Tempo says that it offends, but nothing that is known of it does: its duration came in whole milliseconds,
 * or is that of a fragment. */
static bool in_doubt(const tempo_cache *cache, const struct trace *trace) {
    bool fails = cache->wants.errors && trace->row.trace.status == SW_STATUS_ERROR;
    return !fails && cache->wants.min_duration_ms >= 0 &&
           trace->row.trace.duration_ms <= cache->wants.min_duration_ms;
}

static void want_detail(struct trace *trace, bool wanted) {
    trace->wants_detail =
        trace->wants_detail || (wanted && !trace->row.by_id && trace->detail_tries < DETAIL_TRIES);
}

int tempo_cache_merge(tempo_cache *cache, tempo_row *row) {
    struct trace *trace = find_or_add(cache, row->trace.id);
    int result = -1;
    if (trace != NULL) {
        double depth = INFINITY;
        const sw_span *failing = row->by_id ? tempo_failing_span(row, &depth) : NULL;
        if (failing != NULL && depth <= trace->message_depth) {
            trace->message_depth = depth;
            replace_text(&trace->row.trace.error_message, failing->status_message);
        }
        learn_times(trace, row->trace.start_ns,
                    add_ns(row->trace.start_ns, (int64_t)(row->trace.duration_ms * 1e6)));
        learn_spans(trace, row->trace.spans, row->trace.n_spans);
        learn_root(trace, row);
        result = take_spans(cache, trace, row);
        settle(cache, trace);
        if (row->by_id) {
            trace->row.by_id = true;
            trace->wants_detail = false;
        } else {
            want_detail(trace, !trace->row.trace.root_known || in_doubt(cache, trace));
        }
    }
    tempo_row_release(row);
    return result;
}

int tempo_cache_sweep(tempo_cache *cache, const tempo_series *series, int64_t at_ns) {
    char id[SW_TRACE_ID_LEN + 1], span_id[SW_SPAN_ID_LEN + 1];
    if (!tempo_hex_id(series->trace_id, SW_TRACE_ID_LEN, id) ||
        !tempo_hex_id(series->span_id, SW_SPAN_ID_LEN, span_id)) {
        return -1;
    }
    struct trace *trace = find_or_add(cache, id);
    if (trace == NULL) {
        return -1;
    }
    size_t at = 0;
    if (find_span(trace, span_id, &at) != NULL) {
        return 0;
    }
    bool news =
        trace->row.trace.n_spans == 0 || (series->error && trace->row.trace.status != SW_STATUS_ERROR);
    bool full = false;
    sw_span *span = add_span(cache, trace, &at, &full);
    if (span == NULL) {
        return full ? -1 : 0;
    }
    memcpy(span->id, span_id, sizeof span_id);
    span->service = xstrdup(series->service);
    span->name = xstrdup(series->name);
    span->status_message = xstrdup("");
    span->status = series->error ? SW_STATUS_ERROR : SW_STATUS_UNSET;
    span->duration_ns = series->has_value ? (int64_t)llround(fmin(series->value, 9e9) * 1e9) : -1;
    if (trace->row.trace.start_ns == 0) {
        trace->row.trace.start_ns = at_ns;
    }
    learn_spans(trace, span, 1);
    settle(cache, trace);
    want_detail(trace, news);
    return 0;
}

void tempo_cache_suspect(tempo_cache *cache, const tempo_row *row) {
    int64_t start_ns = INT64_MAX, end_ns = 0;
    for (size_t i = 0; i < row->trace.n_spans; i++) {
        const sw_span *span = &row->trace.spans[i];
        start_ns = span->start_ns < start_ns ? span->start_ns : start_ns;
        end_ns = span_end(span) > end_ns ? span_end(span) : end_ns;
    }
    double limit_ms = cache->wants.min_duration_ms;
    if (limit_ms < 0 || end_ns <= start_ns || (double)(end_ns - start_ns) <= limit_ms * 1e6) {
        return;
    }
    const struct trace *known = find(cache, row->trace.id);
    struct trace *trace =
        known != NULL && known->row.trace.duration_ms > limit_ms ? NULL : find_or_add(cache, row->trace.id);
    if (trace != NULL) {
        learn_times(trace, start_ns, end_ns);
        learn_root(trace, row);
        settle(cache, trace);
        want_detail(trace, true);
    }
}

/* ---- by id ---- */

bool tempo_cache_next_detail(tempo_cache *cache, char id[SW_TRACE_ID_LEN + 1]) {
    struct trace *trace = NULL, *next = NULL;
    HASH_ITER(hh, cache->traces, trace, next) {
        if (trace->wants_detail && trace->asked_poll != cache->poll) {
            trace->asked_poll = cache->poll;
            memcpy(id, trace->row.trace.id, SW_TRACE_ID_LEN + 1);
            return true;
        }
    }
    return false;
}

void tempo_cache_detail_failed(tempo_cache *cache, const char *id, bool gone) {
    struct trace *trace = find(cache, id);
    if (trace != NULL) {
        trace->detail_tries += gone ? DETAIL_TRIES : 1;
        trace->wants_detail = trace->wants_detail && trace->detail_tries < DETAIL_TRIES;
    }
}

/* ---- the list ---- */

static bool ready(const tempo_cache *cache, const struct trace *trace, int64_t origin_ns, int64_t mono_ns) {
    if (trace->end_ns > 0 && trace->end_ns < origin_ns) {
        return false;
    }
    bool over = mono_ns - trace->first_mono_ns >= HOLD_NS;
    bool looked = trace->row.by_id || (trace->detail_tries >= DETAIL_TRIES);
    if (trace->end_ns == 0) {
        return over || (looked && trace->first_poll != cache->poll);
    }
    return trace->row.trace.root_known || over || (looked && trace->first_poll != cache->poll);
}

void tempo_cache_end(tempo_cache *cache, int64_t origin_ns, int64_t mono_ns) {
    drop_list(cache);
    cache->list = xcalloc(cache->n_traces, sizeof *cache->list);
    struct trace *trace = NULL, *next = NULL;
    HASH_ITER(hh, cache->traces, trace, next) {
        if (ready(cache, trace, origin_ns, mono_ns)) {
            if (trace->dirty) {
                sw_trace_update_digest(&trace->row.trace);
                trace->dirty = false;
            }
            cache->list[cache->n_list++] = &trace->row.trace;
        }
    }
}

const sw_trace *const *tempo_cache_list(const tempo_cache *cache, size_t *n) {
    *n = cache->n_list;
    return cache->list;
}

/* A trace of a clock that is far ahead would never end: it goes when no answer had it for long. */
static bool old(const tempo_cache *cache, const struct trace *trace, int64_t before_ns) {
    int64_t end_ns = trace->end_ns > 0 ? trace->end_ns : trace->row.trace.start_ns;
    return end_ns < before_ns || cache->poll - trace->last_poll > UNSEEN_POLLS;
}

void tempo_cache_forget(tempo_cache *cache, int64_t before_ns) {
    size_t kept = 0;
    for (size_t i = 0; i < cache->n_list; i++) {
        const struct trace *trace = find(cache, cache->list[i]->id);
        if (!old(cache, trace, before_ns)) {
            cache->list[kept++] = cache->list[i];
        }
    }
    cache->n_list = kept;
    struct trace *trace = NULL, *next = NULL;
    HASH_ITER(hh, cache->traces, trace, next) {
        if (old(cache, trace, before_ns)) {
            drop_trace(cache, trace);
        }
    }
}

size_t tempo_cache_size(const tempo_cache *cache) {
    return cache->n_traces;
}

uint64_t tempo_cache_dropped(const tempo_cache *cache) {
    return cache->dropped;
}
