/* The verb once: one tick of an agent whose storage is a folder of its own, thrown away afterwards. */
#include "agent/agent_internal.h"

#include <errno.h>
#include <ftw.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "telemetry/log.h"

#define SEND_FOR_MS 30000

struct once {
    sw_agent agent;
    bool json, send, sent_all, loaded;
    json_t *findings;
    char *trouble; /* why not everything could be asked; NULL */
    uv_timer_t timer;
    int64_t give_up_mono_ns;
};

static void set_number(json_t *object, const char *key, bool has, double value) {
    if (has) {
        json_object_set_new(object, key, json_real(value));
    }
}

static void set_text(json_t *object, const char *key, const char *value) {
    if (value != NULL) {
        json_object_set_new(object, key, json_string(value));
    }
}

static json_t *finding_json(const sw_finding *finding) {
    json_t *object = json_object();
    set_text(object, "type", finding->type);
    set_text(object, "detector", finding->detector);
    set_text(object, "source", finding->source);
    set_text(object, "service", finding->service);
    set_text(object, "operation", finding->operation);
    set_text(object, "severity", sw_severity_name(finding->severity));
    set_text(object, "summary", finding->summary);
    set_text(object, "error_message", finding->error_message);
    set_number(object, "duration_ms", finding->has_duration, finding->duration_ms);
    set_number(object, "value", finding->has_value, finding->value);
    set_number(object, "threshold", finding->has_threshold, finding->threshold);
    set_number(object, "affected_traces", finding->has_affected, finding->affected_traces);
    set_number(object, "total_traces", finding->has_total, finding->total_traces);
    json_t *traces = json_array();
    for (size_t i = 0; i < finding->n_traces; i++) {
        const sw_trace *trace = &finding->traces[i];
        json_array_append_new(traces,
                              json_pack("{s:s, s:s*, s:s*, s:f, s:s*}", "trace_id", trace->id, "service",
                                        trace->service, "operation", trace->operation, "duration_ms",
                                        trace->duration_ms, "error_message", trace->error_message));
    }
    json_object_set_new(object, "traces", traces);
    json_object_set_new(object, "window",
                        json_pack("{s:I, s:I}", "from", (json_int_t)finding->window_from_s, "to",
                                  (json_int_t)finding->window_to_s));
    json_object_set_new(object, "complete", json_boolean(finding->window_complete));
    json_object_set_new(object, "estimated", json_boolean(finding->window_estimated));
    return object;
}

static void print_row(const json_t *finding) {
    const json_t *trace = json_array_get(json_object_get(finding, "traces"), 0);
    const char *service = json_string_value(json_object_get(finding, "service"));
    const char *operation = json_string_value(json_object_get(finding, "operation"));
    const char *id = json_string_value(json_object_get(trace, "trace_id"));
    const char *summary = json_string_value(json_object_get(finding, "summary"));
    const json_t *value = json_object_get(finding, "value");
    if (value == NULL) {
        value = json_object_get(finding, "duration_ms");
    }
    if (value == NULL) {
        value = json_object_get(trace, "duration_ms");
    }
    printf("%-18s %-20s %-28s %12.6g  %-32s  %s\n", json_string_value(json_object_get(finding, "type")),
           service != NULL ? service : "-", operation != NULL ? operation : "-", json_number_value(value),
           id != NULL ? id : "-", summary != NULL ? summary : "");
}

static void print(const struct once *once) {
    if (once->json) {
        json_t *answer =
            json_pack("{s:O, s:b, s:s}", "findings", once->findings, "complete", once->trouble == NULL,
                      "reason", once->trouble != NULL ? once->trouble : "");
        json_dumpf(answer, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(answer);
        return;
    }
    size_t n = json_array_size(once->findings);
    if (n > 0) {
        printf("%-18s %-20s %-28s %12s  %-32s  %s\n", "TYPE", "SERVICE", "OPERATION", "VALUE", "TRACE",
               "SUMMARY");
    }
    for (size_t i = 0; i < n; i++) {
        print_row(json_array_get(once->findings, i));
    }
    printf("%zu finding%s%s%s\n", n, n == 1 ? "" : "s",
           once->trouble != NULL ? "; not everything could be asked: " : "",
           once->trouble != NULL ? once->trouble : "");
}

static void found(sw_agent *agent, const char *detector, const char *source, const sw_finding *findings,
                  size_t n, bool known) {
    struct once *once = (struct once *)agent;
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(once->findings, finding_json(&findings[i]));
    }
    if (once->send) {
        sw_alerting_apply(agent, detector, source, findings, n, known);
    }
}

static void wait_for_delivery(uv_timer_t *timer) {
    struct once *once = timer->data;
    sw_agent *agent = &once->agent;
    sw_commit_flush(agent);
    size_t depth = sw_receivers_depth(agent);
    bool over = sw_mono_ns(agent->clock) > once->give_up_mono_ns;
    if ((depth == 0 && sw_commit_idle(agent)) || over) {
        once->sent_all = depth == 0 && sw_receivers_dead(agent) == 0;
        uv_stop(&agent->loop);
    }
}

static void tick_done(sw_agent *agent) {
    struct once *once = (struct once *)agent;
    if (!once->send) {
        uv_stop(&agent->loop);
        return;
    }
    once->give_up_mono_ns = sw_mono_ns(agent->clock) + SEND_FOR_MS * SW_NS_PER_MS;
    uv_timer_start(&once->timer, wait_for_delivery, 0, 5);
}

static void scripts_loaded(unsigned errors, void *arg) {
    struct once *once = arg;
    once->loaded = errors == 0 && sw_detectors_count(once->agent.detectors) > 0;
    sw_tick_once(&once->agent);
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

int sw_agent_once(const sw_config *config, const sw_agent_paths *paths, bool json, bool send) {
    char folder[] = "/tmp/spanwatch-once-XXXXXX";
    if (mkdtemp(folder) == NULL) {
        fprintf(stderr, "spanwatch: cannot create a temporary folder in /tmp: %s\n", strerror(errno));
        return 1;
    }
    sw_agent_paths own = *paths;
    own.storage = folder;
    struct once once = {.json = json, .send = send, .sent_all = true, .findings = json_array()};
    int result = sw_agent_open(&once.agent, config, &own, sw_clock_system(), false);
    if (result == 0) {
        once.agent.tick_done = tick_done;
        once.agent.found = found;
        uv_timer_init(&once.agent.loop, &once.timer);
        once.timer.data = &once;
        sw_detectors_scan(once.agent.detectors, scripts_loaded, &once);
        uv_run(&once.agent.loop, UV_RUN_DEFAULT);
        once.trouble = sw_feeds_trouble(&once.agent);
        print(&once);
        if (!config->tempo_enabled) {
            fprintf(stderr, "spanwatch: nothing was asked: no source that can be asked is enabled "
                            "(TEMPO_ENABLED=false)\n");
        }
        if (!once.sent_all) {
            fprintf(stderr, "spanwatch: not everything could be delivered\n");
        }
        result = once.loaded && once.sent_all && once.trouble == NULL && config->tempo_enabled ? 0 : 1;
        free(once.trouble);
        uv_close((uv_handle_t *)&once.timer, NULL);
        sw_agent_close(&once.agent);
    }
    json_decref(once.findings);
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    return result;
}
