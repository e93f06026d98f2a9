/*
 * What the rules say of a trace, or of the newest window, now: each detector that is asked for judges it dry,
 * one after the other, while the client waits. One question at a time.
 */
#include "agent/explain.h"

#include <stdlib.h>
#include <string.h>

#include "alerts/payload.h"

#define FETCH_MS 5000
#define TASKS_MAX 50 /* in one answer */

/* A detector is asked about a source. */
struct task {
    char *detector; /* by name: it may go meanwhile */
    sw_feed *feed;  /* NULL: the trace is not known */
};

struct sw_rule_question {
    sw_agent *agent;
    sw_http_exchange *exchange;
    char *rule;                         /* NULL: all */
    char trace_id[SW_TRACE_ID_LEN + 1]; /* "" when it is about the newest windows */
    void *fetch;                        /* under way */
    int fetched_from;                   /* the source that is asked */
    bool starting;
    bool has_trace;
    sw_feed *feed; /* where it is from */
    sw_trace trace;
    char *trace_problem; /* why it is not known */
    struct task *tasks;
    size_t n_tasks, at;
    bool by_type; /* the rule is no detector's name */
    json_t *answers;
};

static void free_question(sw_rule_question *question) {
    question->agent->asked = NULL;
    if (question->has_trace) {
        sw_trace_release(&question->trace);
    }
    for (size_t i = 0; i < question->n_tasks; i++) {
        free(question->tasks[i].detector);
    }
    free(question->tasks);
    free(question->rule);
    free(question->trace_problem);
    json_decref(question->answers);
    free(question);
}

void sw_explain_stop(sw_agent *agent) {
    sw_rule_question *question = agent->asked;
    if (question == NULL) {
        return;
    }
    if (question->fetch != NULL) {
        sw_source *source = agent->feeds[question->fetched_from].source;
        source->ops->cancel_query(source, question->fetch);
    }
    sw_detectors_explain_cancel(agent->detectors);
    sw_explain_refuse(question->exchange, 503, "the agent is stopping");
    free_question(question);
}

/* ---- the answer ---- */

static sw_trace_question about(const sw_rule_question *question) {
    return (sw_trace_question){
        .agent = question->agent,
        .rule = question->rule,
        .trace_id = question->trace_id,
        .trace = question->has_trace ? &question->trace : NULL,
        .feed = question->feed,
    };
}

static json_t *trace_json(const sw_rule_question *question) {
    const sw_trace *trace = &question->trace;
    if (!question->has_trace) {
        return json_null();
    }
    int64_t start_ms = trace->start_ns / SW_NS_PER_MS;
    json_t *url = sw_trace_url(question->agent->config->trace_url_template, trace->id, start_ms,
                               start_ms + (int64_t)trace->duration_ms + 1);
    return json_pack("{s:s, s:s, s:s, s:o, s:f, s:s, s:s, s:I, s:o}", "trace_id", trace->id, "service",
                     trace->service, "operation", trace->operation, "start",
                     sw_api_time_or_null(trace->start_ns), "duration_ms", trace->duration_ms, "status",
                     sw_status_name(trace->status), "error_message", trace->error_message, "n_spans",
                     (json_int_t)trace->n_spans, "url", url);
}

static bool any_of_type(const json_t *findings, const char *type) {
    const json_t *one = NULL;
    size_t i = 0;
    json_array_foreach(findings, i, one) {
        if (sw_streq(json_string_value(json_object_get(one, "type")), type)) {
            return true;
        }
    }
    return false;
}

struct alert_search {
    const char *type, *detector;
    bool found;
};

static void look_at_alert(const sw_alert *alert, void *arg) {
    struct alert_search *search = arg;
    search->found =
        search->found || (sw_streq(alert->type, search->type) && sw_streq(alert->detector, search->detector));
}

/* Whether the detector finds alerts of this type, as far as can be seen: in what it found, or says. */
static bool knows_type(const sw_agent *agent, const json_t *detector, const char *type) {
    struct alert_search search = {.type = type,
                                  .detector = json_string_value(json_object_get(detector, "detector"))};
    sw_alerts_each(agent->alerts, look_at_alert, &search);
    if (search.found) {
        return true;
    }
    const json_t *now = json_object_get(detector, "now"), *one = NULL;
    size_t i = 0;
    bool knows = any_of_type(json_object_get(now, "findings"), type);
    json_array_foreach(json_object_get(detector, "evaluations"), i, one) {
        knows = knows || any_of_type(json_object_get(one, "findings"), type);
    }
    json_array_foreach(json_object_get(now, "explained"), i, one) {
        knows = knows || strstr(json_string_value(one), type) != NULL;
    }
    return knows;
}

/* Of all detectors, when a type is asked for, those that find such alerts; all of them when none is known to.
 */
static json_t *relevant(const sw_rule_question *question, json_t *data) {
    json_t *list = json_array(), *detector = NULL;
    size_t i = 0;
    json_array_foreach(question->answers, i, detector) {
        if (knows_type(question->agent, detector, question->rule)) {
            json_array_append(list, detector);
        }
    }
    if (json_array_size(list) == 0) {
        json_decref(list);
        json_object_set_new(
            data, "note",
            json_string("no detector that runs has this name, and none is known to find alerts of this "
                        "type: all of them were asked"));
        return json_incref(question->answers);
    }
    return list;
}

static void answer(sw_rule_question *question) {
    json_t *data = json_object();
    json_object_set_new(data, "rule", question->rule != NULL ? json_string(question->rule) : json_null());
    if (question->trace_id[0] != '\0') {
        sw_trace_question trace = about(question);
        json_object_set_new(data, "trace_id", json_string(question->trace_id));
        json_object_set_new(data, "trace", trace_json(question));
        json_object_set_new(data, "trace_problem",
                            question->trace_problem != NULL ? json_string(question->trace_problem)
                                                            : json_null());
        json_object_set_new(data, "reported", sw_explain_reported(&trace));
    }
    json_object_set_new(data, "detectors",
                        question->by_type ? relevant(question, data) : json_incref(question->answers));
    sw_explain_reply(question->exchange, data);
    free_question(question);
}

/* ---- the detectors ---- */

static void ask_next(sw_rule_question *question);

static json_t *explanation_json(const sw_agent *agent, const sw_explanation *explanation) {
    static const char *const names[] = {"ok", "unknown", "failed"};
    json_t *findings = json_array(), *lines = json_array();
    for (size_t i = 0; i < explanation->n_findings && i < SW_EVALUATION_FINDINGS; i++) {
        json_array_append_new(findings, sw_finding_to_record(agent->alerts, &explanation->findings[i]));
    }
    for (size_t i = 0; i < explanation->n_lines; i++) {
        json_array_append_new(lines, json_string(explanation->lines[i]));
    }
    return json_pack("{s:s, s:s*, s:o, s:o}", "result", names[explanation->status], "message",
                     explanation->message, "findings", findings, "explained", lines);
}

static void explained(const sw_explanation *explanation, void *arg) {
    sw_rule_question *question = arg;
    json_t *one = json_array_get(question->answers, json_array_size(question->answers) - 1);
    json_object_set_new(one, "now", explanation_json(question->agent, explanation));
    if (explanation->config_json != NULL) {
        json_object_set_new(one, "config", json_loads(explanation->config_json, JSON_DECODE_ANY, NULL));
    }
    question->at++;
    ask_next(question);
}

struct judged_until {
    const char *name;
    const sw_feed *feed;
    int64_t until_s;
};

static void note_until(const char *detector, const sw_feed *feed, int64_t judged_until_s,
                       int64_t seen_until_s, void *arg) {
    struct judged_until *judged = arg;
    (void)seen_until_s;
    judged->until_s =
        sw_streq(detector, judged->name) && feed == judged->feed ? judged_until_s : judged->until_s;
}

/* The newest window that the detector has judged. A question about a trace is about that alone: then without
 * counts. */
static void fill_window(const sw_rule_question *question, const struct task *task, sw_window *window) {
    const sw_agent *agent = question->agent;
    const sw_source *source = task->feed->source;
    struct judged_until judged = {.name = task->detector, .feed = task->feed};
    sw_judge_each(agent, note_until, &judged);
    int64_t to_s = judged.until_s > 0 ? judged.until_s : sw_wall_ns(agent->clock) / SW_NS_PER_S;
    int64_t from_s = to_s - sw_judge_lookback_s(task->feed), origin_s = 0, watermark_s = 0;
    source->ops->save(source, &origin_s, &watermark_s);
    from_s = from_s < origin_s && origin_s < to_s ? origin_s : from_s;
    bool about_trace = question->trace_id[0] != '\0';
    window->complete = true;
    if (!about_trace && judged.until_s > 0 && source->ops->counts_known_until(source, from_s) >= to_s) {
        source->ops->build_window(source, from_s, to_s, window);
    } else if (!about_trace) {
        window->complete = false;
        free(window->reason);
        window->reason = xstrdup("the counts of the newest window are not known (any more)");
    }
    window->source = source->ops->name;
    window->from_s = from_s;
    window->to_s = to_s;
}

static json_t *begin_answer(const sw_rule_question *question, const sw_detector *detector,
                            const sw_window *window) {
    sw_wants wants = sw_detector_wants(detector);
    json_t *one = json_pack(
        "{s:s, s:s, s:{s:o, s:b, s:b}, s:{s:I, s:I, s:b, s:I}}", "detector", sw_detector_name(detector),
        "sha256", sw_detector_hash(detector), "wants", "min_duration_ms",
        wants.min_duration_ms < 0 ? json_null() : json_real(wants.min_duration_ms), "errors", wants.errors,
        "series", wants.series, "window", "from", (json_int_t)window->from_s, "to", (json_int_t)window->to_s,
        "complete", window->complete, "series", (json_int_t)window->n_series);
    if (question->trace_id[0] != '\0') {
        sw_trace_question trace = about(question);
        sw_explain_judged(&trace, detector, one);
    }
    if (window->source != NULL) {
        json_object_set_new(one, "source", json_string(window->source));
    }
    json_array_append_new(question->answers, one);
    return one;
}

/* False when there is nothing that it could be asked. */
static bool ask(sw_rule_question *question, const struct task *task, sw_detector *detector) {
    sw_window window;
    sw_window_init(&window);
    if (task->feed != NULL) {
        fill_window(question, task, &window);
    }
    json_t *one = begin_answer(question, detector, &window);
    if (question->has_trace) {
        window.traces = &question->trace; /* lent for the call, which copies it */
        window.n_traces = 1;
    }
    int64_t now = sw_wall_ns(question->agent->clock);
    bool asked = task->feed != NULL && sw_detector_explain(detector, &window, now, explained, question) == 0;
    if (!asked) {
        json_object_set_new(one, "now", json_null());
    }
    window.traces = NULL;
    window.n_traces = 0;
    sw_window_release(&window);
    return asked;
}

static void ask_next(sw_rule_question *question) {
    for (; question->at < question->n_tasks; question->at++) {
        const struct task *task = &question->tasks[question->at];
        sw_detector *detector = sw_detectors_running(question->agent->detectors, task->detector);
        if (detector != NULL && ask(question, task, detector)) {
            return;
        }
    }
    answer(question);
}

/* ---- whom to ask ---- */

static void add_task(sw_rule_question *question, const char *detector, sw_feed *feed) {
    question->tasks = xrealloc_array(question->tasks, question->n_tasks + 1, sizeof *question->tasks);
    question->tasks[question->n_tasks++] = (struct task){xstrdup(detector), feed};
}

/* About a trace each detector is asked once, about the newest windows once for each source that it watches.
 */
static void add_tasks(sw_rule_question *question, const sw_detector *detector) {
    const char *name = sw_detector_name(detector);
    if (question->trace_id[0] != '\0') {
        add_task(question, name, question->feed);
        return;
    }
    for (int i = 0; i < SW_SOURCES; i++) {
        sw_feed *feed = &question->agent->feeds[i];
        if (feed->source != NULL && sw_feed_counts(feed) && sw_detector_watches(detector, i)) {
            add_task(question, name, feed);
        }
    }
}

static void ask_all(sw_rule_question *question) {
    const sw_agent *agent = question->agent;
    bool one = question->rule != NULL && sw_detectors_running(agent->detectors, question->rule) != NULL;
    question->by_type = question->rule != NULL && !one;
    for (size_t i = 0; i < sw_detectors_count(agent->detectors) && question->n_tasks < TASKS_MAX; i++) {
        const sw_detector *detector = sw_detectors_at(agent->detectors, i);
        if (!one || sw_streq(sw_detector_name(detector), question->rule)) {
            add_tasks(question, detector);
        }
    }
    ask_next(question);
}

/* ---- the trace ---- */

static void take_trace(sw_rule_question *question, const sw_trace *trace, sw_feed *feed) {
    sw_trace_copy(&question->trace, trace);
    question->has_trace = true;
    question->feed = feed;
}

static void fetch_from(sw_rule_question *question, int number);

static void not_there(sw_rule_question *question, const sw_source *source, const char *message) {
    char *before = question->trace_problem;
    question->trace_problem = xasprintf("%s%s%s: %s", before != NULL ? before : "",
                                        before != NULL ? "; " : "", source->ops->name, message);
    free(before);
}

static void trace_known(const sw_trace *trace, const char *message, void *arg) {
    sw_rule_question *question = arg;
    sw_feed *feed = &question->agent->feeds[question->fetched_from];
    question->fetch = NULL;
    if (trace != NULL) {
        take_trace(question, trace, feed);
    } else {
        not_there(question, feed->source, message);
    }
    if (!question->starting) {
        fetch_from(question, question->fetched_from + 1);
    }
}

/* One source after the other, until one has the trace. */
static void fetch_from(sw_rule_question *question, int number) {
    for (; number < SW_SOURCES && !question->has_trace; number++) {
        sw_source *source = question->agent->feeds[number].source;
        if (source == NULL) {
            continue;
        }
        if (source->ops->fetch_trace == NULL) {
            not_there(question, source, "it does not have it (any more)");
            continue;
        }
        question->fetched_from = number;
        question->starting = true; /* the answer may come before the call is over */
        question->fetch =
            source->ops->fetch_trace(source, question->trace_id, FETCH_MS, trace_known, question);
        question->starting = false;
        if (question->fetch != NULL) {
            return;
        }
    }
    ask_all(question);
}

/* As the detectors see it, where a source lists it; else the whole of it. */
static void look_for_trace(sw_rule_question *question) {
    for (int i = 0; i < SW_SOURCES; i++) {
        sw_feed *feed = &question->agent->feeds[i];
        const sw_trace *listed =
            feed->source != NULL ? sw_source_listed(feed->source, question->trace_id) : NULL;
        if (listed != NULL) {
            take_trace(question, listed, feed);
            ask_all(question);
            return;
        }
    }
    fetch_from(question, 0);
}

void sw_explain_rule(sw_agent *agent, sw_http_exchange *exchange, const char *rule, const char *trace_id) {
    if (agent->asked != NULL) {
        sw_explain_refuse(exchange, 429, "another question about a rule is being answered: ask again");
        return;
    }
    sw_rule_question *question = xcalloc(1, sizeof *question);
    *question = (sw_rule_question){.agent = agent,
                                   .exchange = exchange,
                                   .rule = rule != NULL ? xstrdup(rule) : NULL,
                                   .answers = json_array()};
    agent->asked = question;
    sw_http_defer(exchange);
    if (trace_id != NULL) {
        memcpy(question->trace_id, trace_id, sizeof question->trace_id);
        look_for_trace(question);
    } else {
        ask_all(question);
    }
}
