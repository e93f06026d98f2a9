#include "sources/otlp/search.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <utlist.h>

#include "sources/json_value.h"
#include "sources/otlp/build.h"
#include "sources/otlp/text.h"
#include "sources/trace_json.h"

#define PASS_NS (5 * SW_NS_PER_MS) /* of work in one pass of the loop */
#define MAX_ANSWER ((size_t)16 << 20)
#define VALUE_MAX ((size_t)64 << 10) /* of an attribute, as text */

struct terms {
    const char *service, *operation; /* NULL: any */
    int status;                      /* as sent; -1: any */
    int64_t min_ns, max_ns;
    const json_t *attributes; /* or NULL */
    uint64_t from_ns, to_ns;
    size_t limit;
};

struct found {
    sw_otlp_trace_id id;
    int64_t last_mono_ns;
};

typedef struct otlp_search {
    struct otlp_search *prev, *next;
    otlp_searches *searches;
    json_t *options; /* what the terms borrow from */
    struct terms terms;
    sw_query_done done;
    void *arg;
    int64_t give_up_mono_ns;

    uint32_t seen;       /* number of the last trace that was looked at */
    bool all_seen, more; /* more fit than the limit */
    struct found *found; /* up to twice the limit; in the end, heard of last first */
    size_t n_found, found_allocated;
    int64_t newer_than_ns; /* what was heard of then, or before, is over the limit */

    size_t n_told;
    sw_buf out;
} otlp_search;

struct otlp_searches {
    const sw_clock *clock;
    const otlp_assembly *assembly;
    uv_idle_t *idle;
    otlp_search *all; /* oldest first */
    sw_buf value;
};

/* ---- one span ---- */

static bool is_text(sw_otlp_text text, const char *wanted) {
    size_t len = strlen(wanted);
    return text.len == len && (len == 0 || memcmp(text.data, wanted, len) == 0);
}

/* Numbers are compared as numbers, whatever the sender made of them. */
static bool is_value(const sw_buf *value, const json_t *wanted) {
    const char *text = value->data != NULL ? value->data : "";
    if (json_is_string(wanted)) {
        return strcmp(text, json_string_value(wanted)) == 0;
    }
    if (json_is_boolean(wanted)) {
        return strcmp(text, json_is_true(wanted) ? "true" : "false") == 0;
    }
    char *end = NULL;
    double number = strtod(text, &end);
    return end != text && *end == '\0' && number == json_number_value(wanted);
}

/* Its value is searches->value, then. */
static bool has_attribute(otlp_searches *searches, sw_otlp_attributes attributes, const char *name) {
    sw_otlp_attribute attribute;
    while (sw_otlp_next_attribute(&attributes, &attribute)) {
        if (is_text(attribute.key, name)) {
            sw_buf_reset(&searches->value);
            sw_otlp_value_text(attribute.value, &searches->value);
            return true;
        }
    }
    return false;
}

/* As Tempo answers what is asked without a scope: the span's own or its resource's. */
static bool fits_attribute(otlp_searches *searches, const sw_otlp_span *span, const char *name,
                           const json_t *wanted) {
    const sw_otlp_attributes scopes[] = {sw_otlp_attributes_of(span->message),
                                         sw_otlp_resource_attributes_of(span->resource)};
    for (size_t i = 0; i < SW_ARRAY_LEN(scopes); i++) {
        if (has_attribute(searches, scopes[i], name) && !searches->value.overflow &&
            is_value(&searches->value, wanted)) {
            return true;
        }
    }
    return false;
}

static bool fits(const otlp_search *search, const sw_otlp_span *span) {
    const struct terms *terms = &search->terms;
    int64_t duration_ns = otlp_duration_ns(span->start_ns, span->end_ns);
    uint64_t end_ns = span->end_ns > span->start_ns ? span->end_ns : span->start_ns;
    if ((terms->service != NULL && !is_text(span->service, terms->service)) ||
        (terms->operation != NULL && !is_text(span->name, terms->operation)) ||
        (terms->status >= 0 && span->status != (uint32_t)terms->status) || duration_ns < terms->min_ns ||
        duration_ns > terms->max_ns || span->start_ns >= terms->to_ns || end_ns < terms->from_ns) {
        return false;
    }
    const char *name = NULL;
    json_t *wanted = NULL;
    json_object_foreach((json_t *)(uintptr_t)terms->attributes, name, wanted) {
        if (!fits_attribute(search->searches, span, name, wanted)) {
            return false;
        }
    }
    return true;
}

/* ---- which traces ---- */

static bool stop_when_it_fits(const sw_otlp_span *span, void *arg) {
    otlp_search *search = *(otlp_search **)arg;
    if (fits(search, span)) {
        *(otlp_search **)arg = NULL;
        return false;
    }
    return true;
}

static bool has_span_that_fits(otlp_search *search, sw_otlp_trace_id id) {
    otlp_search *none_yet = search;
    otlp_assembly_each_span(search->searches->assembly, id, stop_when_it_fits, &none_yet);
    return none_yet == NULL;
}

static int heard_of_later(const void *a, const void *b) {
    const struct found *one = a, *other = b;
    return (one->last_mono_ns < other->last_mono_ns) - (one->last_mono_ns > other->last_mono_ns);
}

/* In order, and no more of them than the limit. */
static void keep_newest(otlp_search *search) {
    if (search->n_found > 0) {
        qsort(search->found, search->n_found, sizeof *search->found, heard_of_later);
    }
    if (search->n_found >= search->terms.limit) {
        search->more |= search->n_found > search->terms.limit;
        search->n_found = search->terms.limit;
        search->newer_than_ns = search->found[search->n_found - 1].last_mono_ns;
    }
}

static void take(otlp_search *search, const otlp_trace_summary *trace) {
    if (search->n_found == search->found_allocated) {
        search->found_allocated = search->found_allocated == 0 ? 16 : search->found_allocated * 2;
        search->found = xrealloc_array(search->found, search->found_allocated, sizeof *search->found);
    }
    search->found[search->n_found++] = (struct found){trace->id, trace->last_mono_ns};
    if (search->n_found >= 2 * search->terms.limit) {
        keep_newest(search);
    }
}

struct piece {
    otlp_search *search;
    int64_t until_mono_ns;
};

static bool look_at(const otlp_trace_summary *trace, void *arg) {
    const struct piece *piece = arg;
    otlp_search *search = piece->search;
    const struct terms *terms = &search->terms;
    bool newer = trace->last_mono_ns > search->newer_than_ns;
    bool may_fit = trace->longest_ns >= terms->min_ns && (terms->status != 2 || trace->error) &&
                   (newer || !search->more); /* whether there are more is known already */
    if (may_fit && has_span_that_fits(search, trace->id)) {
        if (newer) {
            take(search, trace);
        } else {
            search->more = true;
        }
    }
    return sw_mono_ns(search->searches->clock) < piece->until_mono_ns;
}

/* ---- what is told of them ---- */

struct told {
    otlp_search *search;
    uint64_t ids[OTLP_SPANS_TOLD];
    sw_otlp_text resources[OTLP_SPANS_TOLD]; /* in memory, where nothing moves meanwhile */
    size_t n, n_fitting;
};

static bool note_if_it_fits(const sw_otlp_span *span, void *arg) {
    struct told *told = arg;
    if (fits(told->search, span)) {
        told->n_fitting++;
        if (told->n < OTLP_SPANS_TOLD) {
            told->resources[told->n] = span->resource;
            told->ids[told->n++] = span->id;
        }
    }
    return true;
}

/* Its resource when it is told; else NULL. */
static const sw_otlp_text *resource_told(const struct told *told, const sw_span *span) {
    uint64_t id = strtoull(span->id, NULL, 16);
    for (size_t i = 0; i < told->n; i++) {
        if (told->ids[i] == id) {
            return &told->resources[i];
        }
    }
    return NULL;
}

static bool shows(const sw_span *span, const char *name) {
    for (size_t i = 0; i < span->n_attributes; i++) {
        if (strcmp(span->attributes[i].key, name) == 0) {
            return true;
        }
    }
    return false;
}

/* What was asked for and is its resource's is shown with the span, as Tempo does it. The service has a field
 * of its own. */
static void show_asked(const otlp_search *search, sw_otlp_text resource, sw_span *span) {
    sw_buf *value = &search->searches->value;
    const char *name = NULL;
    json_t *wanted = NULL;
    json_object_foreach((json_t *)(uintptr_t)search->terms.attributes, name, wanted) {
        if (strcmp(name, "service.name") != 0 && !shows(span, name) &&
            has_attribute(search->searches, sw_otlp_resource_attributes_of(resource), name)) {
            span->attributes =
                xrealloc_array(span->attributes, span->n_attributes + 1, sizeof *span->attributes);
            span->attributes[span->n_attributes++] =
                (sw_attribute){xstrdup(name), otlp_text_copy((sw_otlp_text){value->data, value->len})};
        }
    }
}

/* Its spans but for those that fit are dropped. */
static void keep_fitting(sw_trace *trace, const struct told *told) {
    size_t kept = 0;
    for (size_t i = 0; i < trace->n_spans; i++) {
        const sw_otlp_text *resource = resource_told(told, &trace->spans[i]);
        if (resource != NULL) {
            show_asked(told->search, *resource, &trace->spans[i]);
            sw_span span = trace->spans[kept];
            trace->spans[kept++] = trace->spans[i];
            trace->spans[i] = span;
        }
    }
    for (size_t i = kept; i < trace->n_spans; i++) {
        sw_span_release(&trace->spans[i]);
    }
    trace->n_spans = kept;
    trace->n_matched = told->n_fitting;
}

static void tell_next(otlp_search *search) {
    const otlp_assembly *assembly = search->searches->assembly;
    sw_otlp_trace_id id = search->found[search->n_told++].id;
    struct told told = {.search = search};
    sw_trace trace;
    otlp_assembly_each_span(assembly, id, note_if_it_fits, &told);
    if (told.n == 0 || !otlp_assembly_build(assembly, id, OTLP_MAX_SPANS_FETCHED, &trace)) {
        return; /* it went meanwhile */
    }
    keep_fitting(&trace, &told);
    search->more |= trace.n_matched > trace.n_spans;
    sw_buf_append_str(&search->out, search->out.data[search->out.len - 1] == '[' ? "" : ", ");
    sw_trace_append_json(&search->out, &trace);
    sw_trace_release(&trace);
}

/* ---- a search ---- */

static void drop(otlp_search *search) {
    otlp_searches *searches = search->searches;
    DL_DELETE(searches->all, search);
    if (searches->all == NULL) {
        uv_idle_stop(searches->idle);
    }
    json_decref(search->options);
    free(search->found);
    sw_buf_release(&search->out);
    free(search);
}

/* Somebody may ask again from inside. */
static void end(otlp_search *ended) {
    otlp_search last = *ended; /* what is told outlives the search */
    ended->out = (sw_buf){0};
    drop(ended);
    if (last.out.overflow) {
        last.done(NULL, 0, "the answer is too large", "too_large", last.arg);
    } else {
        last.done(last.out.data, last.out.len, NULL, NULL, last.arg);
    }
    sw_buf_release(&last.out);
}

static void give_up(otlp_search *search) {
    sw_query_done done = search->done;
    void *arg = search->arg;
    drop(search);
    done(NULL, 0, "no answer in time", "timeout", arg);
}

static void work(uv_idle_t *idle) {
    otlp_searches *searches = idle->data;
    otlp_search *search = searches->all;
    int64_t now = sw_mono_ns(searches->clock), until = now + PASS_NS;
    if (now > search->give_up_mono_ns) {
        give_up(search);
        return;
    }
    if (!search->all_seen) {
        struct piece piece = {search, until};
        search->seen = otlp_assembly_each_trace(searches->assembly, search->seen, look_at, &piece);
        search->all_seen = search->seen == 0;
        if (search->all_seen) {
            keep_newest(search);
        }
    }
    while (search->all_seen && search->n_told < search->n_found && sw_mono_ns(searches->clock) < until) {
        tell_next(search);
        if (search->out.len > OTLP_ANSWER && search->n_told < search->n_found) {
            search->more = true;
            search->n_told = search->n_found;
        }
    }
    if (search->all_seen && search->n_told == search->n_found) {
        sw_buf_printf(&search->out, "], \"complete\": %s}", search->more ? "false" : "true");
        end(search);
    }
}

/* ---- options ---- */

static int64_t nanoseconds(const json_t *options, const char *name, double unit_ns, int64_t otherwise) {
    const json_t *value = json_object_get(options, name);
    double ns = json_number_value(value) * unit_ns;
    return !json_is_number(value) ? otherwise : ns >= 9e18 ? INT64_MAX : ns <= 0 ? 0 : (int64_t)ns;
}

/* NULL, or what is wrong. They come from a worker, which was to check them. */
static const char *read_terms(const json_t *options, struct terms *terms) {
    static const char *const statuses[] = {"unset", "ok", "error"};
    const char *status = json_string_value(json_object_get(options, "status"));
    *terms = (struct terms){
        .service = json_string_value(json_object_get(options, "service")),
        .operation = json_string_value(json_object_get(options, "operation")),
        .status = -1,
        .min_ns = nanoseconds(options, "min_duration_ms", SW_NS_PER_MS, 0),
        .max_ns = nanoseconds(options, "max_duration_ms", SW_NS_PER_MS, INT64_MAX),
        .attributes = json_object_get(options, "attributes"),
        .from_ns = (uint64_t)nanoseconds(options, "from", SW_NS_PER_S, 0),
        .to_ns = (uint64_t)nanoseconds(options, "to", SW_NS_PER_S, INT64_MAX),
        .limit = OTLP_SEARCH_LIMIT,
    };
    for (int i = 0; status != NULL && i < 3; i++) {
        terms->status = strcmp(status, statuses[i]) == 0 ? i : terms->status;
    }
    if (status != NULL && terms->status < 0) {
        return "status must be \"error\", \"ok\" or \"unset\"";
    }
    double limit = json_number_value(json_object_get(options, "limit"));
    if (limit >= 1) {
        terms->limit = limit < OTLP_SEARCH_LIMIT_MAX ? (size_t)limit : OTLP_SEARCH_LIMIT_MAX;
    }
    return terms->from_ns >= terms->to_ns ? "from must be before to" : NULL;
}

void *otlp_searches_start(otlp_searches *searches, const char *options_json, int64_t timeout_ms,
                          sw_query_done done, void *arg) {
    char parse_why[SW_JSON_WHY];
    json_t *options = sw_json_parse(options_json, strlen(options_json), parse_why);
    struct terms terms;
    const char *why = json_is_object(options) ? read_terms(options, &terms) : "the options must be a table";
    if (why != NULL) {
        json_decref(options);
        done(NULL, 0, why, "usage", arg);
        return NULL;
    }
    otlp_search *search = xcalloc(1, sizeof *search);
    search->searches = searches;
    search->options = options;
    search->terms = terms;
    search->done = done;
    search->arg = arg;
    search->newer_than_ns = INT64_MIN;
    search->give_up_mono_ns = sw_mono_ns(searches->clock) + timeout_ms * SW_NS_PER_MS;
    sw_buf_init(&search->out, MAX_ANSWER);
    sw_buf_append_str(&search->out, "{\"traces\": [");
    DL_APPEND(searches->all, search);
    uv_idle_start(searches->idle, work);
    return search;
}

void otlp_searches_cancel(otlp_searches *searches, void *handle) {
    (void)searches;
    drop(handle);
}

/* ---- life ---- */

otlp_searches *otlp_searches_new(uv_loop_t *loop, const sw_clock *clock, const otlp_assembly *assembly) {
    otlp_searches *searches = xcalloc(1, sizeof *searches);
    searches->clock = clock;
    searches->assembly = assembly;
    searches->idle = xcalloc(1, sizeof *searches->idle);
    uv_idle_init(loop, searches->idle);
    searches->idle->data = searches;
    sw_buf_init(&searches->value, VALUE_MAX);
    return searches;
}

static void idle_closed(uv_handle_t *handle) {
    free(handle);
}

void otlp_searches_free(otlp_searches *searches) {
    otlp_search *search = NULL, *next = NULL;
    DL_FOREACH_SAFE(searches->all, search, next) {
        drop(search);
    }
    uv_close((uv_handle_t *)searches->idle, idle_closed);
    sw_buf_release(&searches->value);
    free(searches);
}
