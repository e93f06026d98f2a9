/* Why an alert is what it is: where it stands now, and what the evaluations that are kept said of it. */
#include "agent/explain.h"

#include <stdlib.h>
#include <string.h>

#include "telemetry/text.h"

#define TEXT_MAX 65536

static const char *text_of(const json_t *object, const char *name) {
    return json_string_value(json_object_get(object, name));
}

void sw_explain_append_time(sw_buf *out, int64_t at_ns) {
    char text[32];
    sw_format_rfc3339(at_ns, text);
    sw_buf_append_str(out, text);
}

static int64_t after(int64_t at_ns, double seconds) {
    const double longest = 1e9;
    seconds = seconds > 0 ? seconds : 0;
    int64_t sum = 0, ns = (int64_t)((seconds < longest ? seconds : longest) * (double)SW_NS_PER_S);
    return __builtin_add_overflow(at_ns, ns, &sum) ? INT64_MAX : sum;
}

/* ---- one evaluation ---- */

static bool holds(const json_t *list, const char *text) {
    const json_t *one = NULL;
    size_t i = 0;
    json_array_foreach(list, i, one) {
        if (sw_streq(json_string_value(one), text)) {
            return true;
        }
    }
    return false;
}

/* `more` is another finding of the same alert: the higher value speaks, and traces are added up. */
static json_t *merge_findings(json_t *finding, const json_t *more) {
    if (finding == NULL) {
        return json_deep_copy(more);
    }
    static const char *const counts[] = {"n_traces", "new_traces"};
    int64_t sums[SW_ARRAY_LEN(counts)];
    for (size_t i = 0; i < SW_ARRAY_LEN(counts); i++) {
        sums[i] = json_integer_value(json_object_get(finding, counts[i])) +
                  json_integer_value(json_object_get(more, counts[i]));
    }
    json_t *traces = json_incref(json_object_get(finding, "traces"));
    json_array_extend(traces, json_object_get(more, "traces"));
    if (json_number_value(json_object_get(more, "value")) >
        json_number_value(json_object_get(finding, "value"))) {
        json_decref(finding);
        finding = json_deep_copy(more);
    }
    json_object_set_new(finding, "traces", traces);
    for (size_t i = 0; i < SW_ARRAY_LEN(counts); i++) {
        json_object_set_new(finding, counts[i], json_integer(sums[i]));
    }
    return finding;
}

/* What the record has found about the alert; NULL for nothing. */
static json_t *finding_about(const json_t *record, const char *fingerprint) {
    const json_t *one = NULL;
    json_t *finding = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(record, "findings"), i, one) {
        if (holds(json_object_get(one, "fingerprints"), fingerprint)) {
            finding = merge_findings(finding, one);
        }
    }
    return finding;
}

const json_t *sw_explain_verdict_on(const json_t *record, const char *fingerprint) {
    const json_t *one = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(record, "verdicts"), i, one) {
        if (sw_streq(text_of(one, "fingerprint"), fingerprint)) {
            return one;
        }
    }
    return NULL;
}

static const char *notice_text(const char *notice) {
    static const char *const texts[][2] = {
        {"firing", "begins to fire"},
        {"repeat", "still there: due again"},
        {"severity", "its severity has risen"},
        {"resolved", "over"},
        {"flapping", "it flaps"},
        {"calm", "it does not flap any more"},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(texts); i++) {
        if (sw_streq(notice, texts[i][0])) {
            return texts[i][1];
        }
    }
    return "something to say";
}

static void append_notice(const char *notice, const json_t *verdict, sw_buf *out) {
    sw_buf_append_str(out, notice_text(notice));
    if (sw_streq(notice, "resolved")) {
        sw_buf_append_str(out, ", found last at ");
        sw_explain_append_time(out, json_integer_value(json_object_get(verdict, "last_seen_ns")));
    }
}

static void append_state(const json_t *record, const json_t *verdict, sw_buf *out) {
    const char *state = text_of(verdict, "state");
    int64_t starts = json_integer_value(json_object_get(verdict, "starts_at_ns"));
    if (sw_streq(state, "pending")) {
        bool begins = starts >= json_integer_value(json_object_get(record, "at_ns"));
        sw_buf_append_str(out, begins ? "begins to be pending, fires at " : "pending, fires at ");
        sw_explain_append_time(out, after(starts, json_number_value(json_object_get(verdict, "for_s"))));
    } else if (sw_streq(state, "firing")) {
        int64_t told = json_integer_value(json_object_get(verdict, "last_notified_ns"));
        sw_buf_append_str(out, told > 0 ? "goes on, told before at " : "goes on, not told yet");
        if (told > 0) {
            sw_explain_append_time(out, told);
        }
    } else {
        sw_buf_append_str(out, sw_streq(state, "resolved")
                                   ? "over, its end is not told yet"
                                   : "no longer found: forgotten, there was nothing to tell");
    }
}

/* Why nobody can say whether it was there. */
static void append_unknown(const json_t *record, sw_buf *out) {
    const json_t *calls = json_object_get(record, "calls");
    const json_t *call = json_array_get(calls, json_array_size(calls) - 1);
    const char *message = text_of(call, "message"), *reason = text_of(call, "reason"),
               *result = text_of(call, "result");
    sw_buf_printf(out, "not found, which says nothing: %s%s%s",
                  sw_streq(result, "failed")    ? "the detector failed"
                  : sw_streq(result, "unknown") ? "the detector could not tell"
                                                : "there was no new and whole window",
                  message != NULL || reason != NULL ? ": " : "",
                  message != NULL  ? message
                  : reason != NULL ? reason
                                   : "");
}

void sw_explain_verdict(const json_t *record, const json_t *finding, const json_t *verdict, sw_buf *out) {
    const char *told = text_of(verdict, "told"), *withheld = text_of(verdict, "withheld");
    if (told != NULL) {
        append_notice(told, verdict, out);
        sw_buf_append_str(out, ": told");
    } else if (withheld != NULL) {
        append_notice(text_of(verdict, "notice"), verdict, out);
        sw_buf_printf(out, ": kept back (%s)", withheld);
    } else if (verdict != NULL) {
        append_state(record, verdict, out);
    } else if (finding != NULL && json_integer_value(json_object_get(finding, "n_traces")) > 0 &&
               json_integer_value(json_object_get(finding, "new_traces")) == 0) {
        sw_buf_append_str(out, "found, but each of its traces was reported before");
    } else if (finding != NULL) {
        sw_buf_append_str(out,
                          json_integer_value(json_object_get(record, "more_verdicts")) > 0
                              ? "found; what became of it is not kept, there was too much in this evaluation"
                              : "found, and refused: SPANWATCH_MAX_ALERTS alerts are known");
    } else if (json_is_true(json_object_get(record, "known"))) {
        sw_buf_append_str(out, "not found");
    } else {
        append_unknown(record, out);
    }
}

/* ---- all of them ---- */

struct looking {
    const char *prefix;
    char found[SW_FINGERPRINT_LEN + 1];
    char *detector, *source, *type;
    json_t *labels;
    size_t n_prints; /* different ones */
    json_t *rows;
};

static void note_print(struct looking *looking, const json_t *record, const json_t *about,
                       const char *fingerprint) {
    if (fingerprint == NULL || strncmp(fingerprint, looking->prefix, strlen(looking->prefix)) != 0) {
        return;
    }
    if (looking->n_prints == 0) {
        snprintf(looking->found, sizeof looking->found, "%s", fingerprint);
        looking->n_prints = 1;
    } else if (strcmp(looking->found, fingerprint) != 0) {
        looking->n_prints = 2;
        return;
    }
    const char *detector = text_of(record, "detector"), *type = text_of(about, "type");
    if (!sw_streq(detector, SW_AGENT_SELF) || looking->detector == NULL) {
        free(looking->detector);
        free(looking->source);
        looking->detector = xstrdup(detector);
        looking->source = xstrdup(text_of(record, "source"));
    }
    if (type != NULL) {
        free(looking->type);
        looking->type = xstrdup(type);
    }
    if (json_object_get(about, "labels") != NULL) {
        json_decref(looking->labels);
        looking->labels = json_deep_copy(json_object_get(about, "labels"));
    }
}

static bool mentions_prefix(const sw_kept_evaluation *kept, const void *arg) {
    const struct looking *looking = arg;
    return strstr(kept->json, looking->prefix) != NULL;
}

static void look_for_print(const json_t *record, const sw_judged *judged, void *arg) {
    struct looking *looking = arg;
    const json_t *one = NULL, *print = NULL;
    size_t i = 0, k = 0;
    (void)judged;
    json_array_foreach(json_object_get(record, "findings"), i, one) {
        json_array_foreach(json_object_get(one, "fingerprints"), k, print) {
            note_print(looking, record, one, json_string_value(print));
        }
    }
    json_array_foreach(json_object_get(record, "verdicts"), i, one) {
        note_print(looking, record, one, text_of(one, "fingerprint"));
    }
}

/* The requests of what the alert is about, in the record's newest window; null when that is not known. */
static json_t *requests_of(const json_t *record, const json_t *labels) {
    const char *service = text_of(labels, "service"), *operation = text_of(labels, "operation");
    const json_t *one = NULL;
    size_t i = 0, n = 0;
    double requests = 0, errors = 0;
    json_array_foreach(json_object_get(record, "series"), i, one) {
        bool same = sw_streq(json_string_value(json_array_get(one, 0)), service) &&
                    (operation == NULL || sw_streq(json_string_value(json_array_get(one, 1)), operation));
        if (same) {
            n++;
            requests += json_number_value(json_array_get(one, 2));
            errors += json_number_value(json_array_get(one, 3));
        }
    }
    bool all = json_integer_value(json_object_get(record, "more_series")) == 0;
    if (service == NULL) {
        const json_t *calls = json_object_get(record, "calls");
        const json_t *call = json_array_get(calls, json_array_size(calls) - 1);
        const json_t *sum = json_object_get(call, "requests");
        return sum == NULL
                   ? json_null()
                   : json_pack("{s:O, s:O}", "requests", sum, "errors", json_object_get(call, "errors"));
    }
    return n == 0 && (!all || json_array_size(json_object_get(record, "series")) == 0)
               ? json_null()
               : json_pack("{s:f, s:f}", "requests", requests, "errors", errors);
}

/* Of its detector, or about it all the same. */
static bool is_of_alert(const sw_kept_evaluation *kept, const void *arg) {
    const struct looking *looking = arg;
    return (sw_streq(kept->detector, looking->detector) && sw_streq(kept->source, looking->source)) ||
           strstr(kept->json, looking->found) != NULL;
}

static void add_row(const json_t *record, const sw_judged *judged, void *arg) {
    struct looking *looking = arg;
    json_t *finding = finding_about(record, looking->found);
    const json_t *verdict = sw_explain_verdict_on(record, looking->found);
    const json_t *calls = json_object_get(record, "calls");
    const json_t *call = json_array_get(calls, json_array_size(calls) - 1);
    bool of_detector = sw_streq(text_of(record, "detector"), looking->detector) &&
                       sw_streq(text_of(record, "source"), looking->source);
    (void)judged;
    if (!of_detector && finding == NULL && verdict == NULL) {
        return;
    }
    sw_buf text;
    sw_buf_init(&text, TEXT_MAX);
    sw_explain_verdict(record, finding, verdict, &text);
    json_t *row = json_object();
    json_object_set_new(row, "detector", json_string(text_of(record, "detector")));
    json_object_set_new(row, "source", json_string(text_of(record, "source")));
    json_object_set(row, "detector_sha256", json_object_get(record, "detector_sha256"));
    json_object_set_new(row, "at", sw_api_time_json(json_integer_value(json_object_get(record, "at_ns"))));
    json_object_set_new(row, "window", call == NULL ? json_null() : json_deep_copy(call));
    json_object_set_new(row, "known", json_boolean(json_is_true(json_object_get(record, "known"))));
    json_object_set_new(row, "finding", finding == NULL ? json_null() : finding);
    json_object_set_new(row, "requests", requests_of(record, looking->labels));
    json_object_set_new(row, "verdict", json_string(text.data != NULL ? text.data : ""));
    json_array_append_new(looking->rows, row);
    sw_buf_release(&text);
}

/* ---- now ---- */

static void append_when_told(const sw_agent *agent, const sw_alert *alert, const char *inhibited_by,
                             sw_buf *out) {
    const char *reason = sw_silencing_reason(agent, alert);
    if (alert->last_notified_ns > 0) {
        sw_buf_append_str(out, "; told at ");
        sw_explain_append_time(out, alert->last_notified_ns);
        sw_buf_append_str(out, sw_alert_label(alert, "trace_id") != NULL ? ", and not again"
                                                                         : ", and again not before ");
        if (sw_alert_label(alert, "trace_id") == NULL) {
            sw_explain_append_time(out, sw_alerting_repeat_at(agent, alert));
        }
    } else {
        sw_buf_append_str(out, "; not told yet");
    }
    if (reason != NULL) {
        sw_buf_printf(out, "; kept back now: %s", reason);
    } else if (inhibited_by != NULL) {
        sw_buf_printf(out, "; kept back now: inhibited by alert %s", inhibited_by);
    }
}

/* Where it stands, in a sentence. */
static json_t *standing(const sw_agent *agent, const sw_alert *alert, const char *inhibited_by) {
    sw_buf out;
    sw_buf_init(&out, TEXT_MAX);
    if (alert->state == SW_ALERT_PENDING) {
        sw_buf_append_str(&out, "pending since ");
        sw_explain_append_time(&out, alert->starts_at_ns);
        sw_buf_append_str(&out, ", fires at ");
        sw_explain_append_time(&out, after(alert->starts_at_ns, alert->for_s));
        sw_buf_append_str(&out, " if it is found until then");
    } else if (alert->state == SW_ALERT_FIRING) {
        sw_buf_append_str(&out, "firing since ");
        sw_explain_append_time(&out, alert->fired_at_ns);
        sw_buf_append_str(&out, ", found last at ");
        sw_explain_append_time(&out, alert->last_seen_ns);
        sw_buf_append_str(&out, alert->keep_firing_s > 0 ? ", and over when a whole window after "
                                                         : ", and over when a whole window does not show it");
        if (alert->keep_firing_s > 0) {
            sw_explain_append_time(&out, after(alert->last_seen_ns, alert->keep_firing_s));
            sw_buf_append_str(&out, " does not show it");
        }
        append_when_told(agent, alert, inhibited_by, &out);
    } else {
        const char *reason = sw_silencing_reason(agent, alert);
        sw_buf_append_str(&out, "over since ");
        sw_explain_append_time(&out, alert->ends_at_ns);
        sw_buf_printf(&out, "; its end is kept back: %s", reason != NULL ? reason : "until the next tick");
    }
    json_t *text = json_string(out.data);
    sw_buf_release(&out);
    return text;
}

/* The answer, of an alert that is known. */
static void describe_known(const sw_agent *agent, struct looking *looking, json_t **now, json_t **detail) {
    sw_inhibition *inhibition = sw_inhibiting_now(agent); /* looks at all alerts: it comes first */
    const sw_alert *alert = sw_alerts_find(agent->alerts, looking->found);
    looking->detector = xstrdup(alert->detector);
    looking->source = xstrdup(alert->source);
    looking->type = xstrdup(alert->type);
    looking->labels = json_object();
    for (size_t i = 0; i < alert->n_labels; i++) {
        json_object_set_new(looking->labels, alert->labels[i].name, json_string(alert->labels[i].value));
    }
    *now = standing(agent, alert, sw_inhibition_by(inhibition, looking->found));
    *detail = sw_api_alert_detail(agent, looking->found);
    sw_inhibition_free(inhibition);
}

static void release(struct looking *looking) {
    json_decref(looking->rows);
    json_decref(looking->labels);
    free(looking->detector);
    free(looking->source);
    free(looking->type);
}

static json_t *answer(const sw_evaluations *evaluations, struct looking *looking, json_t *now,
                      json_t *detail) {
    sw_evaluations_each(evaluations, NULL, NULL, is_of_alert, add_row, looking);
    return json_pack("{s:s, s:s*, s:s*, s:s*, s:O*, s:b, s:o, s:o, s:O}", "fingerprint", looking->found,
                     "type", looking->type, "detector", looking->detector, "source", looking->source,
                     "labels", looking->labels, "known", detail != NULL, "now", now, "alert",
                     detail != NULL ? detail : json_null(), "evaluations", looking->rows);
}

json_t *sw_explain_forgotten(const sw_evaluations *evaluations, const char *prefix, size_t *n) {
    struct looking looking = {.prefix = prefix, .rows = json_array()};
    sw_evaluations_each(evaluations, NULL, NULL, mentions_prefix, look_for_print, &looking);
    *n = looking.n_prints;
    json_t *now = json_string("not known any more: it is over, and nothing about it is left to tell");
    json_t *data = *n == 1 ? answer(evaluations, &looking, json_incref(now), NULL) : NULL;
    json_decref(now);
    release(&looking);
    return data;
}

static json_t *explain_known(const sw_agent *agent, const char *fingerprint) {
    struct looking looking = {.prefix = fingerprint, .rows = json_array()};
    json_t *now = NULL, *detail = NULL;
    snprintf(looking.found, sizeof looking.found, "%s", fingerprint);
    describe_known(agent, &looking, &now, &detail);
    json_t *data = answer(agent->evaluations, &looking, now, detail != NULL ? detail : json_object());
    release(&looking);
    return data;
}

void sw_explain_alert(sw_agent *agent, sw_http_exchange *exchange, const char *fingerprint) {
    char found[SW_FINGERPRINT_LEN + 1];
    size_t n = sw_api_find_alert(agent, fingerprint, found);
    json_t *data = n == 1 ? explain_known(agent, found) : NULL;
    if (n == 0 && fingerprint[0] != '\0') {
        data = sw_explain_forgotten(agent->evaluations, fingerprint, &n);
    }
    if (data != NULL) {
        sw_explain_reply(exchange, data);
    } else {
        sw_explain_refuse(exchange, n == 0 ? 404 : 409,
                          n == 0
                              ? "no alert, and no evaluation that is kept, has a fingerprint that begins so"
                              : "more than one alert has a fingerprint that begins so");
    }
}
