/*
 * Questions by scripts (ctx.tempo.*), and by the host for a trace. Equal questions in one tick share one
 * answer; a few are asked at once, the others wait their turn within their own time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sources/json_value.h"
#include "sources/trace_json.h"
#include "sources/tempo/failing_span.h"
#include "sources/tempo/script_options.h"

#define AT_ONCE 4
#define MAX_WAITING 256
#define MAX_KEPT 256                      /* answers kept for the tick */
#define MAX_KEPT_BYTES ((size_t)32 << 20) /* all of them */
#define MAX_ANSWER ((size_t)16 << 20)     /* one of them */
#define MAX_SPANS 20000

struct ask;

struct waiter {
    struct ask *ask;
    struct waiter *next;
    sw_query_done done;
    sw_trace_done trace_done; /* instead, where the trace itself is asked for */
    void *arg;
};

struct ask {
    tempo_scripts *scripts;
    struct ask *next;
    char *key; /* kind and options in a fixed form */
    tempo_script_question question;
    struct waiter *waiters;
    tempo_query *query;
    int64_t give_up_mono_ns;
    bool started, answered, telling;
    bool stale; /* of an earlier tick, shared no more */

    /* The answer. */
    sw_buf out;
    size_t n;
    tempo_row row;
    bool cut;
    char message[400], code[32];
};

struct tempo_scripts {
    sw_tempo *tempo;
    struct ask *asks; /* newest first */
    unsigned n_running, n_waiting;
    size_t kept_bytes, n_asks;
};

tempo_scripts *tempo_scripts_new(sw_tempo *tempo) {
    tempo_scripts *scripts = xcalloc(1, sizeof *scripts);
    scripts->tempo = tempo;
    return scripts;
}

static void drop_ask(struct ask *ask) {
    tempo_scripts *scripts = ask->scripts;
    struct ask **at = &scripts->asks;
    while (*at != ask) {
        at = &(*at)->next;
    }
    *at = ask->next;
    scripts->n_asks--;
    if (ask->query != NULL) {
        tempo_query_cancel(ask->query);
        scripts->n_running--;
    }
    if (ask->answered) {
        scripts->kept_bytes -= ask->out.allocated;
    }
    for (struct waiter *waiter = ask->waiters, *next = NULL; waiter != NULL; waiter = next) {
        next = waiter->next;
        scripts->n_waiting--;
        free(waiter);
    }
    sw_buf_release(&ask->out);
    tempo_row_release(&ask->row);
    tempo_script_question_release(&ask->question);
    free(ask->key);
    free(ask);
}

void tempo_scripts_free(tempo_scripts *scripts) {
    while (scripts->asks != NULL) {
        drop_ask(scripts->asks);
    }
    free(scripts);
}

void tempo_scripts_next_tick(tempo_scripts *scripts) {
    for (struct ask *ask = scripts->asks, *next = NULL; ask != NULL; ask = next) {
        next = ask->next;
        ask->stale = true;
        if (ask->waiters == NULL && !ask->telling) {
            drop_ask(ask);
        }
    }
}

/* ---- reading answers ---- */

static void reset(void *arg) {
    struct ask *ask = arg;
    sw_buf_reset(&ask->out);
    tempo_row_release(&ask->row);
    ask->n = 0;
    ask->cut = false;
    static const char *const opening[] = {"{\"traces\": [", "{\"series\": [", ""};
    sw_buf_append_str(&ask->out, opening[ask->question.kind]);
}

/* What detectors see of a trace follows from its spans, as in the cache. */
static void complete_row(tempo_row *row) {
    sw_trace *trace = &row->trace;
    const sw_span *first = NULL;
    trace->source = "tempo";
    for (size_t i = 0; i < trace->n_spans; i++) {
        const sw_span *span = &trace->spans[i];
        double ms = (double)span->duration_ns / 1e6;
        trace->duration_ms = ms > trace->duration_ms ? ms : trace->duration_ms;
        trace->status = span->status == SW_STATUS_ERROR ? SW_STATUS_ERROR : trace->status;
        first = first == NULL || span->start_ns < first->start_ns ? span : first;
    }
    if (!trace->root_known && first != NULL) {
        free(trace->service);
        free(trace->operation);
        trace->service = xstrdup(first->service);
        trace->operation = xstrdup(first->name);
    }
    const sw_span *failing = tempo_failing_span(row, NULL);
    free(trace->error_message);
    trace->error_message = xstrdup(failing != NULL ? failing->status_message : "");
}

static bool search_element(struct ask *ask, const char *json, size_t len) {
    tempo_row row;
    char why[SW_JSON_WHY];
    if (!tempo_decode_search(json, len, &row, why)) {
        return false;
    }
    complete_row(&row);
    ask->cut = ask->cut || row.trace.n_matched > row.trace.n_spans;
    sw_buf_append_str(&ask->out, ask->n++ > 0 ? ", " : "");
    int result = sw_trace_append_json(&ask->out, &row.trace);
    tempo_row_release(&row);
    return result == 0;
}

static void append_labels(sw_buf *out, const json_t *labels) {
    sw_buf_append_str(out, "{\"labels\": {");
    for (size_t i = 0; i < json_array_size(labels); i++) {
        const json_t *label = json_array_get(labels, i);
        char *key = sw_json_member_text(label, "key");
        char *value = tempo_any_value_text(json_object_get(label, "value"));
        sw_buf_append_str(out, i > 0 ? ", " : "");
        sw_json_append_string(out, key);
        sw_buf_append_str(out, ": ");
        sw_json_append_string(out, value);
        free(key);
        free(value);
    }
    sw_buf_append_str(out, "}, \"samples\": [");
}

/* A value that is left out is zero; one that is no number (NaN) has no sample. */
static bool sample_value(const json_t *sample, double *value) {
    const json_t *member = json_object_get(sample, "value");
    *value = 0;
    return member == NULL || sw_json_number(member, value);
}

static void append_sample(sw_buf *out, bool first, double at_s, double value) {
    sw_buf_printf(out, "%s[%.17g, %.17g]", first ? "" : ", ", at_s, value);
}

static bool metrics_element(struct ask *ask, const char *json, size_t len) {
    tempo_series series;
    char why[SW_JSON_WHY];
    if (!tempo_series_open(json, len, &series, why)) {
        return false;
    }
    sw_buf_append_str(&ask->out, ask->n++ > 0 ? ", " : "");
    append_labels(&ask->out, json_object_get(series.json, "labels"));
    double value = 0;
    bool first = true;
    if (series.samples == NULL && sample_value(series.json, &value)) {
        append_sample(&ask->out, true, (double)ask->question.to_s, value);
    }
    for (size_t i = 0; i < json_array_size(series.samples); i++) {
        int64_t at_ms = 0;
        if (tempo_series_sample(&series, i, &at_ms, &value) &&
            sample_value(json_array_get(series.samples, i), &value)) {
            append_sample(&ask->out, first, (double)at_ms / 1e3, value);
            first = false;
        }
    }
    int result = sw_buf_append_str(&ask->out, "]}");
    tempo_series_close(&series);
    return result == 0;
}

static bool element(const char *json, size_t len, void *arg) {
    struct ask *ask = arg;
    char why[SW_JSON_WHY];
    return ask->question.kind == TEMPO_SCRIPT_SEARCH ? search_element(ask, json, len)
           : ask->question.kind == TEMPO_SCRIPT_METRICS
               ? metrics_element(ask, json, len)
               : tempo_decode_batch(json, len, MAX_SPANS, &ask->row, why);
}

/* ---- asking ---- */

static void pump(tempo_scripts *scripts);

static void hand_out_trace(const struct ask *ask, sw_trace_done done, void *arg) {
    bool known = ask->code[0] == '\0';
    done(known ? &ask->row.trace : NULL, known ? NULL : ask->message, arg);
}

static void hand_out(const struct ask *ask, sw_query_done done, void *arg) {
    if (ask->code[0] == '\0') {
        done(ask->out.data, ask->out.len, NULL, NULL, arg);
    } else {
        done(NULL, 0, ask->message, ask->code, arg);
    }
}

static void fail(struct ask *ask, const char *message, const char *code) {
    snprintf(ask->message, sizeof ask->message, "%s", message);
    snprintf(ask->code, sizeof ask->code, "%s", code);
}

static void conclude(struct ask *ask, const tempo_answer *answer) {
    bool whole = !answer->cut_short && !ask->cut;
    if (ask->question.kind == TEMPO_SCRIPT_TRACE) {
        if (ask->row.trace.n_spans == 0) {
            fail(ask, "Tempo has no such trace", "not_found");
            return;
        }
        memcpy(ask->row.trace.id, ask->question.id, sizeof ask->question.id);
        tempo_finish_batches(&ask->row);
        complete_row(&ask->row);
        sw_trace_append_json(&ask->out, &ask->row.trace); /* the row stays for whoever waits for the trace */
    } else {
        whole = whole && (ask->question.kind != TEMPO_SCRIPT_SEARCH || ask->n < ask->question.limit);
        sw_buf_printf(&ask->out, "], \"complete\": %s}", whole ? "true" : "false");
    }
    if (ask->out.overflow) {
        fail(ask, "the answer is too large", "too_large");
    }
}

/* Everybody who waits gets the answer. Somebody may ask again, or cancel, from inside. */
static void tell_waiters(struct ask *ask) {
    while (ask->waiters != NULL) {
        struct waiter *waiter = ask->waiters;
        ask->waiters = waiter->next;
        ask->scripts->n_waiting--;
        const struct waiter told = *waiter;
        free(waiter);
        if (told.trace_done != NULL) {
            hand_out_trace(ask, told.trace_done, told.arg);
        } else {
            hand_out(ask, told.done, told.arg);
        }
    }
}

static void start(struct ask *ask);

static bool ask_plainly(struct ask *ask, const tempo_answer *answer) {
    if (ask->question.plain_url == NULL || answer->result != TEMPO_REFUSED ||
        (answer->status != 400 && answer->status != 404)) {
        return false;
    }
    free(ask->question.url);
    ask->question.url = ask->question.plain_url;
    ask->question.plain_url = NULL;
    start(ask);
    return true;
}

static void answered(const tempo_answer *answer, void *arg) {
    struct ask *ask = arg;
    tempo_scripts *scripts = ask->scripts;
    ask->query = NULL;
    scripts->n_running--;
    if (ask_plainly(ask, answer)) {
        return;
    }
    if (answer->result == TEMPO_OK) {
        conclude(ask, answer);
    } else if (ask->question.kind == TEMPO_SCRIPT_TRACE && answer->status == 404) {
        fail(ask, "Tempo has no such trace", "not_found");
    } else {
        fail(ask, answer->message, answer->reason);
    }
    ask->answered = true;
    scripts->kept_bytes += ask->out.allocated;
    ask->telling = true;
    tell_waiters(ask);
    ask->telling = false;
    tempo_row_release(&ask->row);
    if (ask->stale || scripts->kept_bytes > MAX_KEPT_BYTES || scripts->n_asks > MAX_KEPT) {
        drop_ask(ask);
    }
    pump(scripts);
}

static void start(struct ask *ask) {
    static const char *const search_paths[] = {"traces", NULL}, *const metrics_paths[] = {"series", NULL},
                             *const trace_paths[] = {"trace.resourceSpans", "trace.batches", "resourceSpans",
                                                     "batches", NULL};
    static const char *const *const paths[] = {search_paths, metrics_paths, trace_paths};
    const tempo_decoder decoder = {
        .paths = paths[ask->question.kind], .reset = reset, .element = element, .arg = ask};
    int64_t left_ms = (ask->give_up_mono_ns - tempo_mono_ns(ask->scripts->tempo)) / SW_NS_PER_MS;
    ask->started = true;
    ask->scripts->n_running++;
    ask->query = tempo_query_start(ask->scripts->tempo, TEMPO_ASK_SCRIPT, xstrdup(ask->question.url),
                                   &decoder, left_ms > 0 ? left_ms : 1, ask->give_up_mono_ns, answered, ask);
}

/* Oldest first. */
static void pump(tempo_scripts *scripts) {
    while (scripts->n_running < AT_ONCE) {
        struct ask *oldest = NULL;
        for (struct ask *ask = scripts->asks; ask != NULL; ask = ask->next) {
            oldest = !ask->started ? ask : oldest;
        }
        if (oldest == NULL) {
            return;
        }
        start(oldest);
    }
}

static struct ask *find(const tempo_scripts *scripts, const char *key) {
    struct ask *ask = scripts->asks;
    while (ask != NULL && (ask->stale || strcmp(ask->key, key) != 0)) {
        ask = ask->next;
    }
    return ask;
}

static struct ask *add(tempo_scripts *scripts, char *key, tempo_script_question *question,
                       int64_t timeout_ms) {
    struct ask *ask = xcalloc(1, sizeof *ask);
    ask->scripts = scripts;
    ask->key = key;
    ask->question = *question;
    *question = (tempo_script_question){0};
    ask->give_up_mono_ns = tempo_mono_ns(scripts->tempo) + timeout_ms * SW_NS_PER_MS;
    sw_buf_init(&ask->out, MAX_ANSWER);
    ask->next = scripts->asks;
    scripts->asks = ask;
    scripts->n_asks++;
    return ask;
}

static void *wait_for(struct ask *ask, const struct waiter *who) {
    struct waiter *waiter = xcalloc(1, sizeof *waiter);
    *waiter = *who;
    waiter->ask = ask;
    waiter->next = ask->waiters;
    ask->waiters = waiter;
    ask->scripts->n_waiting++;
    return waiter;
}

static char *key_of(const char *kind, const json_t *options) {
    char *text = json_dumps(options, JSON_COMPACT | JSON_SORT_KEYS);
    char *key = xasprintf("%s %s", kind, text != NULL ? text : "");
    free(text);
    return key;
}

void *tempo_scripts_query(sw_tempo *tempo, const char *kind, const char *options_json, int64_t timeout_ms,
                          sw_query_done done, void *arg) {
    tempo_scripts *scripts = tempo->scripts;
    char why[200] = "the options are not JSON", parse_why[SW_JSON_WHY];
    json_t *options = sw_json_parse(options_json, strlen(options_json), parse_why);
    tempo_script_question question = {0};
    void *handle = NULL;
    if (options == NULL ||
        tempo_script_question_init(tempo, kind, options, &question, why, sizeof why) != 0) {
        done(NULL, 0, why, "usage", arg);
        goto out;
    }
    char *key = key_of(kind, options);
    struct ask *ask = find(scripts, key);
    if (ask != NULL && ask->answered) {
        free(key);
        hand_out(ask, done, arg);
        goto out;
    }
    if (scripts->n_waiting >= MAX_WAITING) {
        free(key);
        done(NULL, 0, "too many questions wait for Tempo", "busy", arg);
        goto out;
    }
    if (ask != NULL) {
        free(key);
    } else {
        ask = add(scripts, key, &question, timeout_ms);
    }
    handle = wait_for(ask, &(struct waiter){.done = done, .arg = arg});
    pump(scripts);
out:
    tempo_script_question_release(&question);
    json_decref(options);
    return handle;
}

/* Shares the answer of a script that is still waiting for the same trace; one that was told keeps no spans.
 */
void *tempo_scripts_fetch_trace(sw_tempo *tempo, const char *id, int64_t timeout_ms, sw_trace_done done,
                                void *arg) {
    tempo_scripts *scripts = tempo->scripts;
    json_t *options = json_pack("{s:s}", "id", id);
    tempo_script_question question = {0};
    char why[200];
    void *handle = NULL;
    if (tempo_script_question_init(tempo, "trace", options, &question, why, sizeof why) != 0) {
        done(NULL, why, arg);
    } else if (scripts->n_waiting >= MAX_WAITING) {
        done(NULL, "too many questions wait for Tempo", arg);
    } else {
        char *key = key_of("trace", options);
        struct ask *ask = find(scripts, key);
        if (ask == NULL || ask->answered) {
            ask = add(scripts, key, &question, timeout_ms);
        } else {
            free(key);
        }
        handle = wait_for(ask, &(struct waiter){.trace_done = done, .arg = arg});
        pump(scripts);
    }
    tempo_script_question_release(&question);
    json_decref(options);
    return handle;
}

void tempo_scripts_cancel(sw_tempo *tempo, void *handle) {
    struct waiter *waiter = handle;
    struct ask *ask = waiter->ask;
    struct waiter **at = &ask->waiters;
    while (*at != waiter) {
        at = &(*at)->next;
    }
    *at = waiter->next;
    free(waiter);
    tempo->scripts->n_waiting--;
    if (ask->waiters == NULL && !ask->answered) {
        drop_ask(ask);
        pump(tempo->scripts);
    }
}
