/* alert show: everything that the agent knows of one alert. */
#include "cli/alert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/url.h"

static char *labels_text(const json_t *alert) {
    sw_buf out;
    sw_buf_init(&out, (size_t)1 << 20);
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(json_object_get(alert, "labels"), name, value) {
        sw_buf_printf(&out, "%s%s=\"%s\"", out.len > 0 ? ", " : "", name, json_string_value(value));
    }
    return out.len > 0 ? sw_buf_steal(&out, NULL) : xstrdup("");
}

static char *value_text(const json_t *alert) {
    char *value = sw_json_member(alert, "value"), *threshold = sw_json_member(alert, "threshold");
    char *text = value[0] != '\0' && threshold[0] != '\0' ? xasprintf("%s, threshold %s", value, threshold)
                                                          : xstrdup(value);
    free(value);
    free(threshold);
    return text;
}

static char *culprit_text(const json_t *alert) {
    const json_t *culprit = json_object_get(alert, "culprit");
    if (!json_is_object(culprit)) {
        return xstrdup("");
    }
    char *texts[] = {sw_json_member(culprit, "service"), sw_json_member(culprit, "name"),
                     sw_json_member(culprit, "self_time_ms"), sw_json_member(culprit, "exception_type"),
                     sw_json_member(culprit, "error_message")};
    char *text =
        xasprintf("%s %s, %s ms of its own%s%s%s%s", texts[0], texts[1], texts[2],
                  texts[3][0] != '\0' ? ", " : "", texts[3], texts[4][0] != '\0' ? ", " : "", texts[4]);
    for (size_t i = 0; i < SW_ARRAY_LEN(texts); i++) {
        free(texts[i]);
    }
    return text;
}

static char *texts_of(const json_t *list) {
    sw_buf out;
    sw_buf_init(&out, (size_t)1 << 20);
    const json_t *id = NULL;
    size_t i = 0;
    json_array_foreach(list, i, id) {
        sw_buf_printf(&out, "%s%s", i > 0 ? ", " : "", json_string_value(id));
    }
    return out.len > 0 ? sw_buf_steal(&out, NULL) : xstrdup("");
}

static char *silences_text(const json_t *alert) {
    return texts_of(json_object_get(alert, "silenced_by"));
}

static char *inhibitors_text(const json_t *alert) {
    return texts_of(json_object_get(alert, "inhibited_by"));
}

static char *cause_text(const json_t *alert) {
    const json_t *cause = json_object_get(alert, "likely_cause");
    if (!json_is_object(cause)) {
        return xstrdup("");
    }
    char *texts[] = {sw_json_member(cause, "type"), sw_json_member(cause, "service"),
                     sw_json_member(cause, "fingerprint"), sw_json_member(cause, "summary")};
    char *text = xasprintf("%s of %s (%s)%s%s", texts[0], texts[1], texts[2], texts[3][0] != '\0' ? ": " : "",
                           texts[3]);
    for (size_t i = 0; i < SW_ARRAY_LEN(texts); i++) {
        free(texts[i]);
    }
    return text;
}

static char *state_text(const json_t *alert) {
    bool flapping = json_is_true(json_object_get(alert, "flapping"));
    char *state = sw_json_member(alert, "state"),
         *text = xasprintf("%s%s", state, flapping ? ", flapping" : "");
    free(state);
    return text;
}

static int print_facts(const json_t *alert) {
    static const struct {
        const char *name, *field;
        char *(*text)(const json_t *alert);
    } facts[] = {
        {"Alert", "anomaly_type", NULL},      {"Fingerprint", "fingerprint", NULL},
        {"State", NULL, state_text},          {"Severity", "severity", NULL},
        {"Summary", "summary", NULL},         {"Labels", NULL, labels_text},
        {"Value", NULL, value_text},          {"Culprit", NULL, culprit_text},
        {"Likely cause", NULL, cause_text},   {"Since", "starts_at", NULL},
        {"Firing since", "fired_at", NULL},   {"Ended", "ends_at", NULL},
        {"Last seen", "last_seen_at", NULL},  {"Last told", "last_notified_at", NULL},
        {"Silenced by", NULL, silences_text}, {"Inhibited by", NULL, inhibitors_text},
        {"Detector", "detector", NULL},       {"Source", "source", NULL},
    };
    sw_text_table table = {.n_columns = 2};
    for (size_t i = 0; i < SW_ARRAY_LEN(facts); i++) {
        sw_text_table_add_fact(&table, facts[i].name,
                               facts[i].text != NULL ? facts[i].text(alert)
                                                     : sw_json_member(alert, facts[i].field));
    }
    return sw_text_table_print(&table);
}

static int print_traces(const json_t *traces) {
    static const char *const heads[] = {"TRACE", "START", "MS", "SPAN", "ERROR", "LINK"};
    static const char *const fields[] = {"trace_id",  "start",         "duration_ms",
                                         "span_name", "error_message", "url"};
    sw_text_table table = {.n_columns = SW_ARRAY_LEN(heads)};
    for (size_t i = 0; i < SW_ARRAY_LEN(heads); i++) {
        sw_text_table_add(&table, heads[i]);
    }
    const json_t *trace = NULL;
    size_t i = 0;
    json_array_foreach(traces, i, trace) {
        for (size_t k = 0; k < SW_ARRAY_LEN(fields); k++) {
            char *text = sw_json_member(trace, fields[k]);
            sw_text_table_add(&table, text);
            free(text);
        }
    }
    putchar('\n');
    return sw_text_table_print(&table);
}

int sw_alert_show(const sw_options *options, sw_agent_client *client) {
    if (options->n_arguments != 2 || options->arguments[1][0] == '\0') {
        fprintf(stderr, "spanwatch: alert show needs one fingerprint\nTry spanwatch alert --help\n");
        return SW_EXIT_USAGE;
    }
    sw_buf path;
    sw_buf_init(&path, (size_t)1 << 20);
    sw_buf_append_str(&path, "/api/v1/alerts/");
    sw_url_encode(&path, options->arguments[1]);
    json_t *answer = sw_agent_client_ask(client, "GET", path.data, NULL);
    sw_buf_release(&path);
    if (answer == NULL) {
        return SW_EXIT_FAILED;
    }
    const json_t *alert = json_object_get(answer, "data"), *traces = json_object_get(alert, "traces");
    int rc = sw_option(options, "--json") != NULL ? sw_print_json(alert) : print_facts(alert);
    if (rc == SW_EXIT_OK && sw_option(options, "--json") == NULL && json_array_size(traces) > 0) {
        rc = print_traces(traces);
    }
    json_decref(answer);
    return rc;
}
