/* What became of a trace: under which types it was reported, who judged it and when, or why nobody did. */
#include "agent/explain.h"

#include <stdlib.h>
#include <string.h>

#include "telemetry/text.h"

#define TEXT_MAX 65536

/* ---- reported ---- */

struct holder {
    const char *type, *trace_id;
    json_t *report;
};

static void note_holder(const sw_alert *alert, void *arg) {
    struct holder *holder = arg;
    if (!sw_streq(alert->type, holder->type)) {
        return;
    }
    for (size_t i = 0; i < alert->n_evidence; i++) {
        if (sw_streq(alert->evidence[i].trace_id, holder->trace_id)) {
            json_object_set_new(holder->report, "fingerprint", json_string(alert->fingerprint));
            json_object_set_new(holder->report, "state", json_string(sw_alert_state_name(alert->state)));
            json_object_set_new(holder->report, "told", json_boolean(alert->evidence[i].notified));
            return;
        }
    }
}

struct reporting {
    const sw_trace_question *question;
    json_t *list;
};

static bool is_detector(const sw_agent *agent, const char *name) {
    bool found = false;
    for (int i = 0; i < SW_SOURCES; i++) {
        found = found || sw_detectors_has(agent->detectors, name, i);
    }
    return found;
}

static bool mentions_trace(const sw_kept_evaluation *kept, const void *arg) {
    const struct holder *holder = arg;
    return strstr(kept->json, holder->trace_id) != NULL;
}

/* The alert that has it may be over: then an evaluation may still know which one that was. */
static void note_record(const json_t *record, const sw_judged *judged, void *arg) {
    struct holder *holder = arg;
    const json_t *finding = NULL, *id = NULL;
    size_t i = 0, k = 0;
    (void)judged;
    json_array_foreach(json_object_get(record, "findings"), i, finding) {
        json_array_foreach(json_object_get(finding, "traces"), k, id) {
            if (sw_streq(json_string_value(id), holder->trace_id) &&
                sw_streq(json_string_value(json_object_get(finding, "type")), holder->type)) {
                const json_t *prints = json_object_get(finding, "fingerprints");
                json_object_set(holder->report, "fingerprint",
                                json_array_get(prints, json_array_size(prints) > k ? k : 0));
            }
        }
    }
}

static void add_report(const char *type, int64_t at_ns, void *arg) {
    struct reporting *reporting = arg;
    const sw_trace_question *question = reporting->question;
    const sw_agent *agent = question->agent;
    if (question->rule != NULL && !sw_streq(question->rule, type) && !is_detector(agent, question->rule)) {
        return;
    }
    struct holder holder = {.type = type, .trace_id = question->trace_id, .report = json_object()};
    json_object_set_new(holder.report, "type", json_string(type));
    json_object_set_new(holder.report, "at", sw_api_time_json(at_ns));
    sw_alerts_each(agent->alerts, note_holder, &holder);
    if (json_object_get(holder.report, "fingerprint") == NULL) {
        sw_evaluations_each(agent->evaluations, NULL, NULL, mentions_trace, note_record, &holder);
    }
    json_array_append_new(reporting->list, holder.report);
}

json_t *sw_explain_reported(const sw_trace_question *question) {
    struct reporting reporting = {question, json_array()};
    sw_alerts_reported(question->agent->alerts, question->trace_id, add_report, &reporting);
    return reporting.list;
}

/* ---- judged ---- */

struct judging {
    const sw_trace_question *question;
    json_t *list;
};

static bool names_trace(const json_t *finding, const char *trace_id) {
    const json_t *id = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(finding, "traces"), i, id) {
        if (sw_streq(json_string_value(id), trace_id)) {
            return true;
        }
    }
    return false;
}

/* What was found in the trace then, and what became of that. */
static json_t *findings_of(const json_t *record, const char *trace_id) {
    json_t *list = json_array();
    const json_t *finding = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(record, "findings"), i, finding) {
        if (!names_trace(finding, trace_id)) {
            continue;
        }
        const char *print = json_string_value(json_array_get(json_object_get(finding, "fingerprints"), 0));
        sw_buf text;
        sw_buf_init(&text, TEXT_MAX);
        sw_explain_verdict(record, finding, print != NULL ? sw_explain_verdict_on(record, print) : NULL,
                           &text);
        json_t *copy = json_deep_copy(finding);
        json_object_set_new(copy, "verdict", json_string(text.data));
        json_array_append_new(list, copy);
        sw_buf_release(&text);
    }
    return list;
}

static bool is_judged(const sw_kept_evaluation *kept, const void *arg) {
    (void)arg;
    return kept->judged;
}

static void add_judged(const json_t *record, const sw_judged *judged, void *arg) {
    struct judging *judging = arg;
    json_t *row = json_object();
    const json_t *call = json_array_get(json_object_get(record, "calls"), judged->call);
    json_object_set_new(row, "at", sw_api_time_json(json_integer_value(json_object_get(record, "at_ns"))));
    json_object_set_new(row, "window", call == NULL ? json_null() : json_deep_copy(call));
    json_object_set_new(row, "duration_ms", json_real(judged->duration_ms));
    json_object_set_new(row, "trace_status", json_string(sw_status_name(judged->status)));
    json_object_set_new(row, "findings", findings_of(record, judging->question->trace_id));
    json_array_append_new(judging->list, row);
}

/* ---- why not ---- */

static bool is_wanted(const sw_trace *trace, const sw_wants *wants) {
    return (wants->min_duration_ms >= 0 && trace->duration_ms > wants->min_duration_ms) ||
           (wants->errors && trace->status == SW_STATUS_ERROR);
}

static void append_wants(const sw_wants *wants, sw_buf *out) {
    if (wants->min_duration_ms >= 0) {
        sw_buf_printf(out, "longer than %.6g ms%s", wants->min_duration_ms,
                      wants->errors ? ", or failed" : "");
    } else {
        sw_buf_append_str(out, wants->errors ? "failed ones" : "none at all");
    }
}

static void append_why_not(const sw_trace_question *question, const sw_detector *detector, sw_buf *out) {
    const sw_agent *agent = question->agent;
    const sw_trace *trace = question->trace;
    const sw_wants wants = sw_detector_wants(detector);
    const sw_feed *feed = question->feed;
    if (trace == NULL) {
        sw_buf_append_str(out, "never seen, and no source knows it (now)");
        return;
    }
    int64_t end_ns = trace->start_ns + (int64_t)(trace->duration_ms * (double)SW_NS_PER_MS);
    int64_t origin_s = 0, watermark_s = 0, horizon_s = feed->last_poll.horizon_s;
    feed->source->ops->save(feed->source, &origin_s, &watermark_s);
    if (!sw_detector_watches(detector, feed->number)) {
        sw_buf_printf(out, "the detector does not watch %s, where the trace is from",
                      feed->source->ops->name);
    } else if (!is_wanted(trace, &wants)) {
        sw_buf_append_str(out, "the detector does not ask to see it: it wants traces ");
        append_wants(&wants, out);
        sw_buf_printf(out, "; this one took %.6g ms, status %s", trace->duration_ms,
                      sw_status_name(trace->status));
    } else if (sw_source_listed(feed->source, question->trace_id) != NULL) {
        sw_buf_append_str(out, "not judged yet: it is seen, and waits for the next evaluation");
    } else if (horizon_s > 0 && end_ns >= horizon_s * SW_NS_PER_S) {
        sw_buf_append_str(out, "not judged yet: it ended at ");
        sw_explain_append_time(out, end_ns);
        sw_buf_append_str(out, ", and now what ended before ");
        sw_explain_append_time(out, horizon_s * SW_NS_PER_S);
        sw_buf_append_str(out, " is old enough to be judged");
    } else if (end_ns < origin_s * SW_NS_PER_S) {
        sw_buf_append_str(out, "too old: it ended before the time that this agent watches, which began at ");
        sw_explain_append_time(out, origin_s * SW_NS_PER_S);
    } else if (sw_wall_ns(agent->clock) - end_ns > SW_AGENT_REMEMBER_NS) {
        sw_buf_append_str(out, "not known any more: what was judged is remembered for 24 hours");
    } else {
        sw_buf_append_str(out,
                          "never seen: the source did not list it while traces of its time were looked for");
        if (feed->last_poll_reason != NULL) {
            sw_buf_printf(out, "; its last answer was not whole: %s", feed->last_poll_reason);
        }
    }
}

void sw_explain_judged(const sw_trace_question *question, const sw_detector *detector, json_t *out) {
    const sw_agent *agent = question->agent;
    const char *name = sw_detector_name(detector);
    int64_t at_ns = 0;
    for (size_t i = 0; i < SW_SOURCES; i++) {
        int64_t there_ns = sw_judge_trace_at_ns(&agent->feeds[i], name, question->trace_id);
        at_ns = there_ns > at_ns ? there_ns : at_ns;
    }
    struct judging judging = {question, json_array()};
    sw_evaluations_each(agent->evaluations, name, question->trace_id, is_judged, add_judged, &judging);
    json_object_set_new(out, "judged_at", sw_api_time_or_null(at_ns));
    json_object_set_new(out, "evaluations", judging.list);
    if (at_ns == 0 && json_array_size(judging.list) == 0) {
        sw_buf why;
        sw_buf_init(&why, TEXT_MAX);
        append_why_not(question, detector, &why);
        json_t *text = json_string(why.data);
        json_object_set_new(out, "why_not", text != NULL ? text : json_null());
        sw_buf_release(&why);
    }
}
