/* Explanations for people. */
#include "cli/explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT_MAX ((size_t)16 << 20)

static const char *text_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

static bool has(const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    return value != NULL && !json_is_null(value);
}

static char *take(sw_buf *out) {
    char *text = out->len > 0 ? sw_buf_steal(out, NULL) : xstrdup("");
    sw_buf_release(out);
    return text;
}

/* ---- cells ---- */

/* "2026-03-01 10:00:05" of RFC 3339, always UTC. */
static char *time_text(const char *rfc3339) {
    const char *end = strpbrk(rfc3339, ".Z");
    char *text = xstrndup(rfc3339, end != NULL ? (size_t)(end - rfc3339) : strlen(rfc3339));
    char *t = strchr(text, 'T');
    if (t != NULL) {
        *t = ' ';
    }
    return text;
}

/* "10:00:00 60 s" of a call: when its window ended, and how long it was. */
static char *window_text(const json_t *call) {
    if (!json_is_object(call)) {
        return xstrdup("-");
    }
    int64_t from = json_integer_value(json_object_get(call, "from")),
            to = json_integer_value(json_object_get(call, "to"));
    time_t end = (time_t)to;
    struct tm broken;
    char text[32];
    gmtime_r(&end, &broken);
    strftime(text, sizeof text, "%H:%M:%S", &broken);
    return xasprintf("%s %lld s%s", text, (long long)(to - from),
                     json_integer_value(json_object_get(call, "revision")) > 0 ? " again" : "");
}

/* "yes", or why it was not whole. */
static char *whole_text(const json_t *call) {
    if (!json_is_object(call)) {
        return xstrdup("-");
    }
    return xstrdup(json_is_false(json_object_get(call, "complete")) ? text_of(call, "reason") : "yes");
}

/* "1500 > 1000, usually 104": a finding's value, threshold and baseline. */
static char *values_text(const json_t *finding) {
    char *value = sw_json_member(finding, "value"), *threshold = sw_json_member(finding, "threshold"),
         *baseline = sw_json_member(finding, "baseline");
    bool over = json_number_value(json_object_get(finding, "value")) >
                json_number_value(json_object_get(finding, "threshold"));
    sw_buf out;
    sw_buf_init(&out, TEXT_MAX);
    sw_buf_append_str(&out, value);
    if (value[0] != '\0' && threshold[0] != '\0') {
        sw_buf_printf(&out, " %s %s", over ? ">" : "<=", threshold);
    }
    if (baseline[0] != '\0') {
        sw_buf_printf(&out, ", usually %s", baseline);
    }
    free(value);
    free(threshold);
    free(baseline);
    return take(&out);
}

static char *found_text(const json_t *finding) {
    if (!json_is_object(finding)) {
        return xstrdup("-");
    }
    char *values = values_text(finding);
    json_int_t traces = json_integer_value(json_object_get(finding, "n_traces"));
    char *text = traces == 0         ? xstrdup(values[0] != '\0' ? values : "yes")
                 : values[0] != '\0' ? xasprintf("%s, traces: %lld", values, (long long)traces)
                                     : xasprintf("traces: %lld", (long long)traces);
    free(values);
    return text;
}

static char *requests_text(const json_t *requests) {
    return json_is_object(requests)
               ? xasprintf("%.6g of %.6g failed", json_number_value(json_object_get(requests, "errors")),
                           json_number_value(json_object_get(requests, "requests")))
               : xstrdup("-");
}

static char *labels_text(const json_t *labels) {
    sw_buf out;
    sw_buf_init(&out, TEXT_MAX);
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)labels, name, value) {
        sw_buf_printf(&out, "%s%s=\"%s\"", out.len > 0 ? ", " : "", name, json_string_value(value));
    }
    return take(&out);
}

static void add_cell(sw_text_table *table, char *text) {
    sw_text_table_add(table, text);
    free(text);
}

static void add_heads(sw_text_table *table, const char *const *heads) {
    for (size_t i = 0; i < table->n_columns; i++) {
        sw_text_table_add(table, heads[i]);
    }
}

/* ---- an alert ---- */

static char *why_text(const json_t *alert) {
    const json_t *why = json_object_get(alert, "why");
    char *values = values_text(why), *samples = sw_json_member(why, "samples"),
         *baseline_samples = sw_json_member(why, "baseline_samples"),
         *window = sw_json_member(why, "window_secs");
    char *text = xasprintf("%s%s%s%s%s%s%s%s s, %s", values, baseline_samples[0] != '\0' ? " in " : "",
                           baseline_samples, baseline_samples[0] != '\0' ? " samples" : "",
                           samples[0] != '\0' ? ", requests: " : "", samples,
                           values[0] != '\0' ? ", window of " : "window of ", window,
                           json_is_true(json_object_get(why, "complete")) ? "complete" : "not complete");
    free(values);
    free(samples);
    free(baseline_samples);
    free(window);
    return text;
}

static int print_alert_facts(const json_t *data) {
    const json_t *alert = json_object_get(data, "alert"), *why = json_object_get(alert, "why");
    sw_text_table table = {.n_columns = 2};
    sw_text_table_add_fact(&table, "Alert", sw_json_member(data, "type"));
    sw_text_table_add_fact(&table, "Fingerprint", sw_json_member(data, "fingerprint"));
    sw_text_table_add_fact(&table, "Labels", labels_text(json_object_get(data, "labels")));
    sw_text_table_add_fact(&table, "Summary", sw_json_member(alert, "summary"));
    sw_text_table_add_fact(&table, "Detector", sw_json_member(data, "detector"));
    sw_text_table_add_fact(&table, "SHA-256", sw_json_member(why, "detector_sha256"));
    if (json_is_object(alert)) {
        sw_text_table_add_fact(&table, "Decided by", why_text(alert));
    }
    sw_text_table_add_fact(&table, "Now", sw_json_member(data, "now"));
    return sw_text_table_print(&table);
}

/* Nothing about the alert: one such evaluation after another is one line. */
static bool is_quiet(const json_t *row, const json_t *before) {
    return !has(row, "finding") && before != NULL && !has(before, "finding") &&
           strcmp(text_of(row, "verdict"), text_of(before, "verdict")) == 0;
}

static void add_row(sw_text_table *table, const json_t *row, size_t more) {
    const json_t *call = json_object_get(row, "window");
    add_cell(table, time_text(text_of(row, "at")));
    add_cell(table, window_text(call));
    add_cell(table, whole_text(call));
    add_cell(table, requests_text(json_object_get(row, "requests")));
    add_cell(table, found_text(json_object_get(row, "finding")));
    add_cell(table, more == 0 ? xstrdup(text_of(row, "verdict"))
                              : xasprintf("%s (and %zu before it)", text_of(row, "verdict"), more));
}

int sw_explain_print_alert(const json_t *data) {
    static const char *const heads[] = {"EVALUATED", "WINDOW", "WHOLE",
                                        "REQUESTS",  "FOUND",  "WHAT BECAME OF IT"};
    const json_t *rows = json_object_get(data, "evaluations");
    int rc = print_alert_facts(data);
    size_t n = json_array_size(rows), more = 0;
    if (rc != SW_EXIT_OK || n == 0) {
        return rc;
    }
    sw_text_table table = {.n_columns = SW_ARRAY_LEN(heads)};
    add_heads(&table, heads);
    for (size_t i = 0; i < n; i++) {
        const json_t *row = json_array_get(rows, i), *next = json_array_get(rows, i + 1);
        if (next != NULL && is_quiet(next, row)) {
            more++;
        } else {
            add_row(&table, row, more);
            more = 0;
        }
    }
    putchar('\n');
    return sw_text_table_print(&table);
}

/* ---- a rule and a trace ---- */

static char *reports_text(const json_t *reports) {
    sw_buf out;
    sw_buf_init(&out, TEXT_MAX);
    const json_t *one = NULL;
    size_t i = 0;
    json_array_foreach(reports, i, one) {
        char *at = time_text(text_of(one, "at"));
        sw_buf_printf(&out, "%s%s at %s", out.len > 0 ? "; " : "", text_of(one, "type"), at);
        if (has(one, "fingerprint")) {
            sw_buf_printf(&out, ", in alert %s (%s)", text_of(one, "fingerprint"),
                          has(one, "state") ? text_of(one, "state") : "over");
        }
        if (has(one, "told")) {
            sw_buf_append_str(&out, json_is_true(json_object_get(one, "told"))
                                        ? ", listed in a notification"
                                        : ", to be listed in its next notification");
        }
        free(at);
    }
    return out.len > 0 ? take(&out) : xstrdup("no");
}

static int print_trace_facts(const json_t *data) {
    const json_t *trace = json_object_get(data, "trace");
    sw_text_table table = {.n_columns = 2};
    sw_text_table_add_fact(&table, "Rule", sw_json_member(data, "rule"));
    sw_text_table_add_fact(&table, "Note", sw_json_member(data, "note"));
    sw_text_table_add_fact(&table, "Trace", sw_json_member(data, "trace_id"));
    if (has(data, "trace_id")) {
        char *problem = sw_json_member(data, "trace_problem");
        sw_text_table_add_fact(&table, "Not known", problem);
        sw_text_table_add_fact(&table, "Service", sw_json_member(trace, "service"));
        sw_text_table_add_fact(&table, "Operation", sw_json_member(trace, "operation"));
        sw_text_table_add_fact(&table, "Start", sw_json_member(trace, "start"));
        sw_text_table_add_fact(
            &table, "Duration",
            json_is_object(trace)
                ? xasprintf("%.6g ms", json_number_value(json_object_get(trace, "duration_ms")))
                : xstrdup(""));
        sw_text_table_add_fact(&table, "Status", sw_json_member(trace, "status"));
        sw_text_table_add_fact(&table, "Error", sw_json_member(trace, "error_message"));
        sw_text_table_add_fact(&table, "Link", sw_json_member(trace, "url"));
        sw_text_table_add_fact(&table, "Reported", reports_text(json_object_get(data, "reported")));
    }
    return sw_text_table_print(&table);
}

static char *config_text(const json_t *config) {
    sw_buf out;
    sw_buf_init(&out, TEXT_MAX);
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)config, name, value) {
        char *text = json_is_number(value) ? sw_json_member(config, name)
                                           : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        sw_buf_printf(&out, "%s%s = %s", out.len > 0 ? ", " : "", name, text);
        free(text);
    }
    return take(&out);
}

static char *result_text(const json_t *now) {
    const json_t *findings = json_object_get(now, "findings"), *one = NULL;
    sw_buf out;
    sw_buf_init(&out, TEXT_MAX);
    if (!json_is_object(now)) {
        return xstrdup("");
    }
    if (strcmp(text_of(now, "result"), "ok") != 0) {
        sw_buf_printf(&out, "%s: %s",
                      strcmp(text_of(now, "result"), "failed") == 0 ? "failed" : "cannot tell",
                      text_of(now, "message"));
    }
    size_t i = 0;
    json_array_foreach(findings, i, one) {
        char *values = values_text(one);
        sw_buf_printf(&out, "%s%s%s%s", out.len > 0 ? "; " : "", text_of(one, "type"),
                      values[0] != '\0' ? ": " : "", values);
        free(values);
    }
    return out.len > 0 ? take(&out) : xstrdup("nothing is found");
}

static void add_lines(sw_text_table *table, const json_t *now) {
    const json_t *line = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(now, "explained"), i, line) {
        sw_text_table_add(table, i == 0 ? "Because" : "");
        sw_text_table_add(table, json_string_value(line));
    }
}

static char *judged_text(const json_t *detector) {
    if (has(detector, "why_not")) {
        return xasprintf("no: %s", text_of(detector, "why_not"));
    }
    return has(detector, "judged_at") ? time_text(text_of(detector, "judged_at")) : xstrdup("");
}

static void add_evaluations(sw_text_table *table, const json_t *rows) {
    const json_t *row = NULL, *finding = NULL;
    size_t i = 0, k = 0;
    json_array_foreach(rows, i, row) {
        const json_t *call = json_object_get(row, "window");
        char *at = time_text(text_of(row, "at")), *window = window_text(call);
        sw_buf out;
        sw_buf_init(&out, TEXT_MAX);
        sw_buf_printf(&out, "%s, window %s: %.6g ms, status %s: ", at, window,
                      json_number_value(json_object_get(row, "duration_ms")), text_of(row, "trace_status"));
        if (has(call, "message")) {
            sw_buf_printf(&out, "%s: %s", text_of(call, "result"), text_of(call, "message"));
        } else if (json_array_size(json_object_get(row, "findings")) == 0) {
            sw_buf_append_str(&out, "nothing found");
        }
        json_array_foreach(json_object_get(row, "findings"), k, finding) {
            char *values = values_text(finding);
            sw_buf_printf(&out, "%s%s %s: %s", k > 0 ? "; " : "", text_of(finding, "type"), values,
                          text_of(finding, "verdict"));
            free(values);
        }
        sw_text_table_add_fact(table, "Then", take(&out));
        free(at);
        free(window);
    }
}

static int print_detector(const json_t *detector) {
    const json_t *now = json_object_get(detector, "now");
    sw_text_table table = {.n_columns = 2};
    sw_text_table_add_fact(&table, "Detector", sw_json_member(detector, "detector"));
    sw_text_table_add_fact(&table, "SHA-256", sw_json_member(detector, "sha256"));
    sw_text_table_add_fact(&table, "Judged", judged_text(detector));
    add_evaluations(&table, json_object_get(detector, "evaluations"));
    sw_text_table_add_fact(&table, "Says now", result_text(now));
    add_lines(&table, now);
    sw_text_table_add_fact(&table, "Settings", config_text(json_object_get(detector, "config")));
    putchar('\n');
    return sw_text_table_print(&table);
}

int sw_explain_print_rule(const json_t *data) {
    const json_t *detector = NULL;
    size_t i = 0;
    int rc = print_trace_facts(data);
    json_array_foreach(json_object_get(data, "detectors"), i, detector) {
        rc = rc == SW_EXIT_OK ? print_detector(detector) : rc;
    }
    return rc;
}
