#include "demo/alerts_seen.h"

#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "base/base.h"

#define TRACES_SHOWN 2

/* What the traffic's anomalies must lead to. A service of NULL is any: the failing checkouts are seen in
 * every service that they pass, and in the rate over all services. */
static const struct planted {
    const char *type, *service;
} planted[] = {
    {"error_status", "frontend"},
    {"high_error_rate", "payment"},
    {"high_latency", "frontend"},
    {"slow_products", "frontend"},
};
static const struct planted allowed[] = {
    {"high_error_rate", "frontend"}, {"high_error_rate", "checkout"}, {"high_error_rate", ""}};

static int find(const struct planted *list, size_t n, const char *type, const char *service) {
    for (size_t i = 0; i < n; i++) {
        if (sw_streq(list[i].type, type) && sw_streq(list[i].service, service)) {
            return (int)i;
        }
    }
    return -1;
}

static const char *text_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

static void print_trace(const json_t *trace) {
    const char *error = text_of(trace, "error_message");
    printf("           trace %s  %7.0f ms  %s %s%s%s\n", text_of(trace, "trace_id"),
           json_number_value(json_object_get(trace, "duration_ms")), text_of(trace, "service"),
           text_of(trace, "operation"), error[0] ? ": " : "", error);
}

static void print_alert(const json_t *root, double seconds, bool firing) {
    bool colours = isatty(STDOUT_FILENO) == 1;
    const json_t *traces = json_object_get(root, "traces");
    printf("%7.1f s  %s%s%s  %s\n", seconds,
           !colours ? ""
           : firing ? "\033[1;31m"
                    : "\033[1;32m",
           firing ? "FIRING  " : "RESOLVED", colours ? "\033[0m" : "", text_of(root, "summary"));
    for (size_t i = 0; firing && i < json_array_size(traces) && i < TRACES_SHOWN; i++) {
        print_trace(json_array_get(traces, i));
    }
    if (firing && json_array_size(traces) > TRACES_SHOWN) {
        printf("           and %zu traces more\n", json_array_size(traces) - TRACES_SHOWN);
    }
    fflush(stdout);
}

bool sw_alerts_seen_take(sw_alerts_seen *seen, const char *body, size_t len, double seconds) {
    json_t *root = json_loadb(body, len, 0, NULL);
    const char *type = text_of(root, "anomaly_type"), *service = text_of(root, "service");
    bool is_alert = type[0] != '\0';
    if (is_alert) {
        bool firing = sw_streq(text_of(root, "status"), "firing");
        print_alert(root, seconds, firing);
        int which = find(planted, SW_ARRAY_LEN(planted), type, service);
        if (which >= 0) {
            seen->planted |= firing ? 1u << which : 0;
        } else if (find(allowed, SW_ARRAY_LEN(allowed), type, service) < 0) {
            seen->unexpected++;
            printf("           this was not planted\n");
        }
    }
    json_decref(root);
    return is_alert;
}

bool sw_alerts_seen_conclude(const sw_alerts_seen *seen) {
    bool all = true;
    for (size_t i = 0; i < SW_ARRAY_LEN(planted); i++) {
        if ((seen->planted & (1u << i)) == 0) {
            printf("Missing: %s of %s was planted, and not told.\n", planted[i].type, planted[i].service);
            all = false;
        }
    }
    if (seen->unexpected > 0) {
        printf("%u notifications were about something that was not planted.\n", seen->unexpected);
    }
    if (all && seen->unexpected == 0) {
        printf("Every planted anomaly was alerted, and nothing else.\n");
    }
    return all && seen->unexpected == 0;
}
