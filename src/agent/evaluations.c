#include "agent/evaluations.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "base/clock.h"
#include "telemetry/text.h"

struct judged_trace {
    unsigned char id[SW_TRACE_ID_LEN / 2];
    float duration_ms;
    uint16_t call; /* counted from the evaluation's first */
    uint8_t status;
};

/* ---- one that goes on ---- */

struct sw_evaluation {
    json_t *record;
    json_t *calls, *findings, *verdicts; /* of the record */
    json_t *verdict;                     /* the last one: all that is said of an alert is said in one go */
    size_t n_calls, n_findings, n_verdicts;
    char last_fingerprint[SW_FINGERPRINT_LEN + 1];
    int64_t at_ns;
    bool eventful;
    struct judged_trace *traces;
    size_t n_traces, traces_allocated, n_offered;
};

static void set_text(json_t *object, const char *name, const char *value) {
    if (value != NULL && value[0] != '\0') {
        json_t *text = json_string(value);
        json_object_set_new(object, name, text != NULL ? text : json_string("(not UTF-8)"));
    }
}

static void set_number(json_t *object, const char *name, bool has, double value) {
    if (has && json_object_set_new(object, name, json_real(value)) != 0) {
        json_object_del(object, name); /* not finite */
    }
}

static void set_count(json_t *object, const char *name, int64_t value) {
    json_object_set_new(object, name, json_integer(value));
}

sw_evaluation *sw_evaluation_begin(const char *detector, const char *source, int64_t at_ns) {
    sw_evaluation *evaluation = xcalloc(1, sizeof *evaluation);
    evaluation->at_ns = at_ns;
    evaluation->record = json_object();
    evaluation->calls = json_array();
    evaluation->findings = json_array();
    evaluation->verdicts = json_array();
    set_text(evaluation->record, "detector", detector);
    set_text(evaluation->record, "source", source);
    set_count(evaluation->record, "at_ns", at_ns);
    json_object_set_new(evaluation->record, "calls", evaluation->calls);
    json_object_set_new(evaluation->record, "findings", evaluation->findings);
    json_object_set_new(evaluation->record, "verdicts", evaluation->verdicts);
    return evaluation;
}

void sw_evaluation_free(sw_evaluation *evaluation) {
    if (evaluation != NULL) {
        json_decref(evaluation->record);
        free(evaluation->traces);
        free(evaluation);
    }
}

/* ---- what it was given ---- */

static bool says_more(const sw_series *a, const sw_series *b) {
    return a->errors != b->errors ? a->errors > b->errors : a->count > b->count;
}

/* The series that say most, in one pass: a window may hold very many. */
static size_t choose_series(const sw_window *window, const sw_series *chosen[SW_EVALUATION_SERIES]) {
    size_t n = 0;
    for (size_t i = 0; i < window->n_series; i++) {
        const sw_series *one = &window->series[i];
        if (n == SW_EVALUATION_SERIES && !says_more(one, chosen[n - 1])) {
            continue;
        }
        size_t at = n < SW_EVALUATION_SERIES ? n++ : n - 1;
        while (at > 0 && says_more(one, chosen[at - 1])) {
            chosen[at] = chosen[at - 1];
            at--;
        }
        chosen[at] = one;
    }
    return n;
}

/* Of the newest window alone: they replace those of the one before. */
static void record_series(sw_evaluation *evaluation, const sw_window *window) {
    const sw_series *chosen[SW_EVALUATION_SERIES];
    size_t n = choose_series(window, chosen);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, json_pack("[s, s, f, f]", chosen[i]->service, chosen[i]->operation,
                                              chosen[i]->count, chosen[i]->errors));
    }
    json_object_set_new(evaluation->record, "series", list);
    set_count(evaluation->record, "more_series", (int64_t)(window->n_series - n));
}

void sw_evaluation_window(sw_evaluation *evaluation, const sw_window *window) {
    if (evaluation == NULL) {
        return;
    }
    double requests = 0, errors = 0;
    for (size_t i = 0; i < window->n_series; i++) {
        requests += window->series[i].count;
        errors += window->series[i].errors;
    }
    json_t *call = json_object();
    set_count(call, "from", window->from_s);
    set_count(call, "to", window->to_s);
    set_count(call, "revision", window->revision);
    json_object_set_new(call, "complete", json_boolean(window->complete));
    json_object_set_new(call, "estimated", json_boolean(window->estimated));
    set_text(call, "reason", window->reason);
    set_count(call, "series", (int64_t)window->n_series);
    set_number(call, "requests", window->n_series > 0, requests);
    set_number(call, "errors", window->n_series > 0, errors);
    set_count(call, "traces", 0);
    if (json_array_size(evaluation->calls) == SW_EVALUATION_CALLS) {
        json_array_remove(evaluation->calls, 0);
    }
    json_array_append_new(evaluation->calls, call);
    evaluation->n_calls++;
    record_series(evaluation, window);
}

static json_t *this_call(const sw_evaluation *evaluation) {
    size_t n = json_array_size(evaluation->calls);
    return n > 0 ? json_array_get(evaluation->calls, n - 1) : NULL;
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_id(const char *id, unsigned char out[SW_TRACE_ID_LEN / 2]) {
    if (strlen(id) != SW_TRACE_ID_LEN) {
        return -1;
    }
    for (size_t i = 0; i < SW_TRACE_ID_LEN / 2; i++) {
        int high = hex_digit(id[2 * i]), low = hex_digit(id[2 * i + 1]);
        if (high < 0 || low < 0) {
            return -1;
        }
        out[i] = (unsigned char)(high << 4 | low);
    }
    return 0;
}

void sw_evaluation_trace(sw_evaluation *evaluation, const sw_trace *trace) {
    struct judged_trace judged = {.duration_ms = (float)trace->duration_ms, .status = (uint8_t)trace->status};
    if (evaluation == NULL || evaluation->n_calls == 0) {
        return;
    }
    evaluation->n_offered++;
    json_t *call = this_call(evaluation);
    json_integer_set(json_object_get(call, "traces"),
                     json_integer_value(json_object_get(call, "traces")) + 1);
    if (evaluation->n_traces == SW_EVALUATION_TRACES || parse_id(trace->id, judged.id) != 0) {
        return;
    }
    if (evaluation->n_traces == evaluation->traces_allocated) {
        evaluation->traces_allocated =
            evaluation->traces_allocated == 0 ? 16 : evaluation->traces_allocated * 2;
        evaluation->traces =
            xrealloc_array(evaluation->traces, evaluation->traces_allocated, sizeof *evaluation->traces);
    }
    judged.call = (uint16_t)(evaluation->n_calls - 1);
    evaluation->traces[evaluation->n_traces++] = judged;
}

void sw_evaluation_result(sw_evaluation *evaluation, const sw_check_result *result) {
    static const char *const names[] = {"ok", "unknown", "failed"};
    json_t *call = evaluation != NULL ? this_call(evaluation) : NULL;
    if (call != NULL) {
        set_text(call, "result", names[result->status]);
        set_text(call, "message", result->status != SW_CHECK_OK ? result->message : NULL);
    }
}

/* ---- what it found ---- */

static json_t *fingerprints_of(const sw_alerts *alerts, const sw_finding *finding) {
    json_t *list = json_array();
    char fingerprint[SW_FINGERPRINT_LEN + 1];
    for (size_t i = 0;
         i < SW_EVALUATION_FINGERPRINTS && sw_alerts_fingerprint(alerts, finding, i, fingerprint); i++) {
        json_array_append_new(list, json_string(fingerprint));
    }
    return list;
}

static json_t *trace_ids_of(const sw_finding *finding) {
    json_t *list = json_array();
    for (size_t i = 0; i < finding->n_traces && i < SW_EVALUATION_FINGERPRINTS; i++) {
        json_array_append_new(list, json_string(finding->traces[i].id));
    }
    return list;
}

json_t *sw_finding_to_record(const sw_alerts *alerts, const sw_finding *finding) {
    json_t *one = json_object();
    set_text(one, "type", finding->type);
    set_text(one, "service", finding->service);
    set_text(one, "operation", finding->operation);
    set_text(one, "severity", sw_severity_name(finding->severity));
    set_text(one, "summary", finding->summary);
    set_number(one, "value", finding->has_value, finding->value);
    set_number(one, "threshold", finding->has_threshold, finding->threshold);
    set_number(one, "baseline", finding->has_baseline, finding->baseline);
    set_number(one, "total_traces", finding->has_total, finding->total_traces);
    set_count(one, "window_to", finding->window_to_s);
    set_count(one, "n_traces", (int64_t)finding->n_traces);
    json_object_set_new(one, "traces", trace_ids_of(finding));
    json_object_set_new(one, "fingerprints", fingerprints_of(alerts, finding));
    return one;
}

void sw_evaluation_findings(sw_evaluation *evaluation, const sw_alerts *alerts, const sw_finding *findings,
                            size_t n, bool known) {
    if (evaluation == NULL) {
        return;
    }
    json_object_set_new(evaluation->record, "known", json_boolean(known));
    evaluation->n_findings = n;
    set_text(evaluation->record, "detector_sha256", n > 0 ? findings[0].detector_sha256 : NULL);
    for (size_t i = 0; i < n && i < SW_EVALUATION_FINDINGS; i++) {
        json_t *one = sw_finding_to_record(alerts, &findings[i]);
        set_count(one, "new_traces", (int64_t)sw_alerts_new_traces(alerts, &findings[i]));
        json_array_append_new(evaluation->findings, one);
    }
}

/* ---- what became of it ---- */

/* The verdict on an alert; NULL when there are too many. */
static json_t *verdict_on(sw_evaluation *evaluation, const char *fingerprint) {
    if (strcmp(evaluation->last_fingerprint, fingerprint) == 0) {
        return evaluation->verdict;
    }
    snprintf(evaluation->last_fingerprint, sizeof evaluation->last_fingerprint, "%s", fingerprint);
    evaluation->verdict = NULL;
    if (evaluation->n_verdicts++ < SW_EVALUATION_VERDICTS) {
        evaluation->verdict = json_object();
        set_text(evaluation->verdict, "fingerprint", fingerprint);
        json_array_append_new(evaluation->verdicts, evaluation->verdict);
    }
    return evaluation->verdict;
}

static void describe(json_t *verdict, const sw_alert *alert) {
    if (verdict == NULL) {
        return;
    }
    json_t *labels = json_object();
    for (size_t i = 0; i < alert->n_labels; i++) {
        set_text(labels, alert->labels[i].name, alert->labels[i].value);
    }
    set_text(verdict, "type", alert->type);
    json_object_set_new(verdict, "labels", labels);
    set_text(verdict, "state", sw_alert_state_name(alert->state));
    set_count(verdict, "starts_at_ns", alert->starts_at_ns);
    set_count(verdict, "last_seen_ns", alert->last_seen_ns);
    if (alert->last_notified_ns > 0) {
        set_count(verdict, "last_notified_ns", alert->last_notified_ns);
    }
    set_number(verdict, "for_s", alert->for_s > 0, alert->for_s);
}

static const char *notice_name(const sw_alert *alert, sw_notice notice) {
    if (notice != SW_NOTICE_FIRING) {
        return notice == SW_NOTICE_RESOLVED ? "resolved" : "repeat";
    }
    if (alert->last_notified_ns == 0) {
        return "firing";
    }
    return alert->flapping == alert->told_flapping ? "severity" : alert->flapping ? "flapping" : "calm";
}

void sw_evaluation_told(sw_evaluation *evaluation, const sw_alert *alert, sw_notice notice) {
    if (evaluation == NULL) {
        return;
    }
    json_t *verdict = verdict_on(evaluation, alert->fingerprint);
    describe(verdict, alert);
    evaluation->eventful = true;
    if (verdict != NULL) {
        set_text(verdict, "told", notice_name(alert, notice));
    }
}

void sw_evaluation_withheld(sw_evaluation *evaluation, const sw_alert *alert, sw_notice notice,
                            const char *reason, bool first) {
    if (evaluation == NULL) {
        return;
    }
    json_t *verdict = verdict_on(evaluation, alert->fingerprint);
    describe(verdict, alert);
    evaluation->eventful |= first;
    if (verdict != NULL) {
        set_text(verdict, "notice", notice_name(alert, notice));
        set_text(verdict, "withheld", reason);
    }
}

void sw_evaluation_changed(sw_evaluation *evaluation, const sw_alert *alert) {
    if (evaluation == NULL) {
        return;
    }
    describe(verdict_on(evaluation, alert->fingerprint), alert);
    evaluation->eventful |=
        alert->starts_at_ns >= evaluation->at_ns || alert->fired_at_ns >= evaluation->at_ns;
}

void sw_evaluation_removed(sw_evaluation *evaluation, const char *fingerprint) {
    if (evaluation == NULL) {
        return;
    }
    json_t *verdict = verdict_on(evaluation, fingerprint);
    evaluation->eventful = true;
    if (verdict != NULL) {
        set_text(verdict, "state", "gone");
    }
}

bool sw_evaluation_is_empty(const sw_evaluation *evaluation) {
    return evaluation == NULL || (evaluation->n_findings == 0 && evaluation->n_verdicts == 0);
}

bool sw_evaluation_is_eventful(const sw_evaluation *evaluation) {
    return evaluation != NULL && evaluation->eventful;
}

/* ---- those that are over ---- */

struct kept {
    struct kept *prev, *next;
    struct history *history;
    bool eventful;
    int64_t id;   /* in the store; 0 when it is not there */
    char *record; /* JSON: as a tree it would be several times as large */
    size_t len;
    size_t first_call; /* number of the first of the record's calls */
    size_t n_traces;
    struct judged_trace traces[];
};

/* How many are kept of one detector on one source. */
struct history {
    UT_hash_handle hh;
    size_t plain, eventful;
    char name[]; /* the detector's, and behind its NUL the source's */
};

struct sw_evaluations {
    struct kept *list; /* oldest first */
    struct history *histories;
    size_t bytes, max_bytes;
    int64_t last_id;
    sw_evaluations_sink sink; /* without functions: none */
};

sw_evaluations *sw_evaluations_new(size_t max_bytes) {
    sw_evaluations *evaluations = xcalloc(1, sizeof *evaluations);
    evaluations->max_bytes = max_bytes;
    return evaluations;
}

size_t sw_evaluations_bytes(const sw_evaluations *evaluations) {
    return evaluations->bytes;
}

static size_t size_of(const struct kept *kept) {
    return sizeof *kept + kept->n_traces * sizeof kept->traces[0] + kept->len + 1;
}

static void drop(sw_evaluations *evaluations, struct kept *kept) {
    struct history *history = kept->history;
    if (kept->id != 0 && evaluations->sink.dropped != NULL) {
        evaluations->sink.dropped(kept->id, evaluations->sink.arg);
    }
    evaluations->bytes -= size_of(kept);
    DL_DELETE(evaluations->list, kept);
    *(kept->eventful ? &history->eventful : &history->plain) -= 1;
    if (history->plain + history->eventful == 0) {
        HASH_DEL(evaluations->histories, history);
        free(history);
    }
    free(kept->record);
    free(kept);
}

void sw_evaluations_free(sw_evaluations *evaluations) {
    if (evaluations != NULL) {
        evaluations->sink = (sw_evaluations_sink){0}; /* what is stored stays */
    }
    while (evaluations != NULL && evaluations->list != NULL) {
        drop(evaluations, evaluations->list);
    }
    free(evaluations);
}

static struct history *history_of(sw_evaluations *evaluations, const json_t *record) {
    const char *detector = json_string_value(json_object_get(record, "detector"));
    const char *source = json_string_value(json_object_get(record, "source"));
    struct history *history = NULL;
    char *name = xasprintf("%s\n%s", detector, source);
    size_t len = strlen(name);
    name[strlen(detector)] = '\0';
    HASH_FIND(hh, evaluations->histories, name, len, history);
    if (history == NULL) {
        history = xcalloc(1, sizeof *history + len + 1);
        memcpy(history->name, name, len + 1);
        HASH_ADD(hh, evaluations->histories, name, len, history);
    }
    free(name);
    return history;
}

/* The oldest of one detector (NULL: of all) that is as eventful; NULL when there is none. */
static struct kept *oldest(const sw_evaluations *evaluations, const struct history *history, bool eventful) {
    for (struct kept *kept = evaluations->list; kept != NULL; kept = kept->next) {
        if (kept->eventful == eventful && (history == NULL || kept->history == history)) {
            return kept;
        }
    }
    return NULL;
}

static struct kept *pack(const sw_evaluation *evaluation) {
    struct kept *kept = xmalloc(sizeof *kept + evaluation->n_traces * sizeof kept->traces[0]);
    *kept = (struct kept){
        .eventful = evaluation->eventful,
        .first_call = evaluation->n_calls - json_array_size(evaluation->calls),
        .n_traces = evaluation->n_traces,
    };
    if (evaluation->n_traces > 0) {
        memcpy(kept->traces, evaluation->traces, evaluation->n_traces * sizeof kept->traces[0]);
    }
    set_count(evaluation->record, "more_calls", (int64_t)kept->first_call);
    set_count(evaluation->record, "more_findings",
              (int64_t)(evaluation->n_findings - json_array_size(evaluation->findings)));
    set_count(evaluation->record, "more_verdicts",
              (int64_t)(evaluation->n_verdicts - json_array_size(evaluation->verdicts)));
    set_count(evaluation->record, "traces", (int64_t)evaluation->n_offered);
    kept->record = json_dumps(evaluation->record, JSON_COMPACT | JSON_REAL_PRECISION(9));
    kept->len = strlen(kept->record);
    return kept;
}

static void append(sw_evaluations *evaluations, struct kept *kept, struct history *history) {
    kept->history = history;
    size_t *n = kept->eventful ? &history->eventful : &history->plain;
    DL_APPEND(evaluations->list, kept);
    evaluations->bytes += size_of(kept);
    if (++*n > SW_EVALUATIONS_KEPT) {
        drop(evaluations, oldest(evaluations, history, kept->eventful));
    }
    while (evaluations->bytes > evaluations->max_bytes && evaluations->list != NULL) {
        struct kept *first = oldest(evaluations, NULL, false);
        drop(evaluations, first != NULL ? first : evaluations->list);
    }
}

void sw_evaluations_keep(sw_evaluations *evaluations, sw_evaluation *evaluation) {
    if (evaluation == NULL || evaluations == NULL) {
        sw_evaluation_free(evaluation);
        return;
    }
    struct kept *kept = pack(evaluation);
    if (kept->eventful && evaluations->sink.kept != NULL) {
        kept->id = ++evaluations->last_id;
        evaluations->sink.kept(kept->id, kept->record, kept->len, evaluations->sink.arg);
    }
    append(evaluations, kept, history_of(evaluations, evaluation->record));
    sw_evaluation_free(evaluation);
}

void sw_evaluations_set_sink(sw_evaluations *evaluations, const sw_evaluations_sink *sink) {
    evaluations->sink = *sink;
}

int sw_evaluations_restore(sw_evaluations *evaluations, int64_t id, const char *json, size_t len) {
    json_t *record = json_loadb(json, len, 0, NULL);
    bool good = id > 0 && json_is_string(json_object_get(record, "detector")) &&
                json_is_string(json_object_get(record, "source"));
    if (good) {
        struct kept *kept = xmalloc(sizeof *kept);
        *kept = (struct kept){.eventful = true, .id = id, .record = xstrndup(json, len), .len = len};
        evaluations->last_id = id > evaluations->last_id ? id : evaluations->last_id;
        append(evaluations, kept, history_of(evaluations, record));
    }
    json_decref(record);
    return good ? 0 : -1;
}

static const struct judged_trace *find_trace(const struct kept *kept, const unsigned char *id) {
    for (size_t i = kept->n_traces; i-- > 0;) { /* the last time that it was judged */
        if (memcmp(kept->traces[i].id, id, sizeof kept->traces[i].id) == 0) {
            return &kept->traces[i];
        }
    }
    return NULL;
}

void sw_evaluations_each(const sw_evaluations *evaluations, const char *detector, const char *trace_id,
                         bool (*wanted)(const sw_kept_evaluation *kept, const void *arg),
                         void (*each)(const json_t *record, const sw_judged *judged, void *arg), void *arg) {
    unsigned char id[SW_TRACE_ID_LEN / 2];
    bool look = trace_id != NULL && parse_id(trace_id, id) == 0;
    for (const struct kept *kept = evaluations->list; kept != NULL; kept = kept->next) {
        if (detector != NULL && strcmp(kept->history->name, detector) != 0) {
            continue;
        }
        const struct judged_trace *trace = look ? find_trace(kept, id) : NULL;
        const char *name = kept->history->name;
        sw_kept_evaluation shown = {name, name + strlen(name) + 1, kept->record, trace != NULL};
        if (wanted != NULL && !wanted(&shown, arg)) {
            continue;
        }
        sw_judged judged = {0};
        if (trace != NULL) {
            judged = (sw_judged){
                .duration_ms = trace->duration_ms,
                .status = (sw_status)trace->status,
                .call = trace->call >= kept->first_call ? trace->call - kept->first_call : SIZE_MAX,
            };
        }
        json_t *record = json_loadb(kept->record, kept->len, 0, NULL);
        each(record, trace != NULL ? &judged : NULL, arg);
        json_decref(record);
    }
}
