#include "cli/alert.h"

#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

/* "firing, flapping" */
static char *state_text(const json_t *alert) {
    bool flapping = json_is_true(json_object_get(alert, "flapping"));
    return xasprintf("%s%s", text_of(alert, "state"), flapping ? ", flapping" : "");
}

static int print_table(const json_t *alerts) {
    static const char *const heads[] = {"FINGERPRINT", "STATE",    "SEVERITY",  "ALERTNAME",
                                        "SINCE",       "SILENCED", "INHIBITED", "SUMMARY"};
    sw_text_table table = {.n_columns = SW_ARRAY_LEN(heads)};
    for (size_t i = 0; i < SW_ARRAY_LEN(heads); i++) {
        sw_text_table_add(&table, heads[i]);
    }
    const json_t *alert = NULL;
    size_t i = 0;
    json_array_foreach(alerts, i, alert) {
        const json_t *labels = json_object_get(alert, "labels");
        sw_text_table_add(&table, text_of(alert, "fingerprint"));
        char *state = state_text(alert);
        sw_text_table_add(&table, state);
        free(state);
        sw_text_table_add(&table, text_of(labels, "severity"));
        sw_text_table_add(&table, text_of(labels, "alertname"));
        sw_text_table_add(&table, text_of(alert, "activeAt"));
        sw_text_table_add(&table, json_array_size(json_object_get(alert, "silencedBy")) > 0 ? "yes" : "no");
        sw_text_table_add(&table, json_array_size(json_object_get(alert, "inhibitedBy")) > 0 ? "yes" : "no");
        sw_text_table_add(&table, text_of(json_object_get(alert, "annotations"), "summary"));
    }
    return sw_text_table_print(&table);
}

int sw_alert_list(const sw_options *options, sw_agent_client *client) {
    json_t *answer = sw_agent_client_ask(client, "GET", "/api/v1/alerts", NULL);
    if (answer == NULL) {
        return SW_EXIT_FAILED;
    }
    const json_t *alerts = json_object_get(json_object_get(answer, "data"), "alerts");
    int rc = sw_option(options, "--json") != NULL ? sw_print_json(alerts) : print_table(alerts);
    json_decref(answer);
    return rc;
}
