/* Opening and closing the parts of an agent, in one order and its opposite. */
#include "agent/agent_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "alerts/told.h"
#include "telemetry/log.h"

#define EXIT_CONFIG 78

static const double tick_bounds_s[] = {0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30};
static const double commit_bounds_s[] = {0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1};

static void make_metrics(sw_agent *agent) {
    sw_metrics *metrics = agent->metrics = sw_metrics_new();
    sw_agent_metrics *m = &agent->m;
    static const char *const by_type[] = {"type", NULL}, *const by_status[] = {"status", "source", NULL};
    static const char *const by_detector[] = {"detector", "source", NULL}, *const by_result[] = {"result",
                                                                                                 NULL};
    static const char *const by_state[] = {"state", NULL}, *const by_version[] = {"version", NULL};
    m->anomalies = sw_metrics_counter(
        metrics, "trace_anomalies_total",
        "Offending traces, each counted once per rule; for findings without traces, alerts that began.",
        by_type);
    m->checks =
        sw_metrics_counter(metrics, "trace_alert_checks_total",
                           "Ticks by how each source answered: success, incomplete, error.", by_status);
    m->ticks = sw_metrics_counter(metrics, "spanwatch_ticks_total", "Ticks that began.", NULL);
    m->ticks_late = sw_metrics_counter(metrics, "spanwatch_ticks_late_total",
                                       "Ticks that began over 100 ms after their time.", NULL);
    m->ticks_missed = sw_metrics_counter(metrics, "spanwatch_ticks_missed_total",
                                         "Ticks merged into another because that was still under way.", NULL);
    m->tick_duration =
        sw_metrics_histogram(metrics, "spanwatch_tick_duration_seconds",
                             "From the beginning of a tick until its last detector has judged.", NULL,
                             tick_bounds_s, SW_ARRAY_LEN(tick_bounds_s));
    m->watermark_age = sw_metrics_gauge(metrics, "spanwatch_watermark_age_seconds",
                                        "Age of the newest window that a detector has judged.", by_detector);
    m->windows_skipped =
        sw_metrics_counter(metrics, "spanwatch_windows_skipped_total",
                           "Windows given up: too far behind, or the detector failed on them.", by_detector);
    m->commits =
        sw_metrics_counter(metrics, "spanwatch_commits_total", "Transactions of the storage.", by_result);
    m->commit_duration = sw_metrics_histogram(metrics, "spanwatch_commit_duration_seconds",
                                              "Time of one transaction, on disk.", NULL, commit_bounds_s,
                                              SW_ARRAY_LEN(commit_bounds_s));
    m->decision = sw_metrics_histogram(metrics, "spanwatch_decision_duration_seconds",
                                       "From the last byte of the source's answer to the committed alerts.",
                                       NULL, commit_bounds_s, SW_ARRAY_LEN(commit_bounds_s));
    m->longest_pass = sw_metrics_gauge(metrics, "spanwatch_loop_longest_pass_seconds",
                                       "Longest pass of the event loop since the start.", NULL);
    m->alerts = sw_metrics_gauge(metrics, "spanwatch_alerts", "Alerts by state.", by_state);
    m->alerts_refused =
        sw_metrics_counter(metrics, "spanwatch_alerts_refused_total",
                           "New alerts refused because SPANWATCH_MAX_ALERTS are known.", NULL);
    m->cpu = sw_metrics_counter(metrics, "process_cpu_seconds_total", "CPU time of the agent's own process.",
                                NULL);
    m->resident = sw_metrics_gauge(metrics, "process_resident_memory_bytes",
                                   "Resident memory of the agent's own process.", NULL);
    m->culprit_fetches =
        sw_metrics_counter(metrics, "spanwatch_culprit_fetches_total",
                           "Traces asked for to find the culprit span of an alert.", by_result);
    m->heartbeats = sw_metrics_counter(metrics, "spanwatch_heartbeats_total",
                                       "Calls of SPANWATCH_HEARTBEAT_URL: ok, failed.", by_result);
    m->storage_size = sw_metrics_gauge(metrics, "spanwatch_storage_bytes", "Size of the database.", NULL);
    sw_metric_set(sw_metrics_gauge(metrics, "spanwatch_build_info", "Always 1.", by_version), 1, SW_VERSION);
    /* A rule that has not alerted yet shows as 0, so that increase() sees the first. */
    static const char *const types[] = {"high_latency", "error_status", "high_error_rate"};
    for (size_t i = 0; i < SW_ARRAY_LEN(types); i++) {
        sw_metric_add(m->anomalies, 0, types[i]);
    }
}

static int open_store(sw_agent *agent) {
    char *warning = NULL, *error = NULL;
    agent->store = sw_store_open(&agent->loop, agent->paths.storage, &warning, &error);
    if (warning != NULL) {
        bool in_memory = sw_store_in_memory(agent->store);
        sw_log(SW_LOG_ERROR, in_memory ? "the storage cannot be written" : "the storage was damaged",
               "detail", warning, NULL);
        *(in_memory ? &agent->storage_error : &agent->storage_damage) = warning;
    }
    if (agent->store == NULL) {
        fprintf(stderr,
                "spanwatch: cannot use the storage folder %s: %s\nChoose another one with "
                "SPANWATCH_STORAGE_PATH or --storage-path.\n",
                agent->paths.storage, error);
    }
    free(error);
    return agent->store == NULL ? EXIT_CONFIG : 0;
}

static void open_alerts(sw_agent *agent) {
    const sw_config *config = agent->config;
    sw_alerts_options options = {
        .group_by = config->group_by.n > 0 ? (const char *const *)config->group_by.items : NULL,
        .repeat_interval_ns = config->repeat_interval_secs * SW_NS_PER_S,
        .evidence_max = (size_t)config->evidence_traces,
        .reported_ttl_ns = SW_AGENT_REMEMBER_NS,
        .max_alerts = (size_t)config->max_alerts,
        .flap_high_percent = config->flapping_high_percent,
        .flap_low_percent = config->flapping_low_percent,
    };
    agent->alerts = sw_alerts_new(&options);
}

/* The configuration was checked: what is wrong with it was said, and nothing was started. */
static void open_routing(sw_agent *agent) {
    sw_buf mistakes;
    sw_buf_init(&mistakes, (size_t)1 << 20);
    agent->routing = sw_routing_new(agent->config, &mistakes);
    sw_buf_release(&mistakes);
}

static void open_detectors(sw_agent *agent) {
    const sw_config *config = agent->config;
    sw_detectors_options options = {
        .scripts_dir = agent->paths.scripts_dir,
        .names = (const char *const *)config->detectors.items,
        .worker_path = agent->paths.worker,
        .worker_memory_bytes = (size_t)config->worker_memory_mb << 20,
        .worker_cpu_ms = config->worker_cpu_ms,
        .worker_timeout_ms = config->worker_timeout_ms,
        .interval_s = (double)config->tempo_alert_interval_secs,
        .config_for = sw_agent_config_for,
        .config_arg = agent,
        .host = sw_agent_host_functions(agent),
    };
    agent->detectors = sw_detectors_new(&agent->loop, agent->clock, agent->metrics, &options);
    sw_detectors_on_change(agent->detectors, sw_feeds_tell_unfed, agent);
}

int sw_agent_open(sw_agent *agent, const sw_config *config, const sw_agent_paths *paths,
                  const sw_clock *clock, bool receives) {
    *agent = (sw_agent){.config = config, .paths = *paths, .clock = clock};
    agent->started_at_ns = sw_wall_ns(agent->clock);
    sw_buf_init(&agent->told, SW_TOLD_MAX);
    uv_loop_init(&agent->loop);
    make_metrics(agent);
    int result = open_store(agent);
    if (result != 0) {
        sw_metrics_free(agent->metrics);
        uv_loop_close(&agent->loop);
        return result;
    }
    agent->http = sw_http_client_new(&agent->loop);
    agent->api_secrets = sw_secrets_new();
    sw_feeds_open(agent, receives);
    open_alerts(agent);
    sw_silencing_open(agent);
    sw_inhibiting_open(agent);
    open_routing(agent);
    sw_receivers_open(agent);
    open_detectors(agent);
    uv_timer_init(&agent->loop, &agent->tick_timer);
    agent->tick_timer.data = agent;
    sw_applying_open(agent);
    sw_commit_start(agent);
    sw_loop_watch_start(agent);
    sw_evaluations_open(agent);
    sw_alerting_restore(agent);
    sw_silencing_restore(agent);
    sw_judge_restore(agent);
    sw_feeds_restore(agent);
    return 0;
}

void sw_agent_close(sw_agent *agent) {
    sw_tick_stop(agent);
    sw_explain_stop(agent);
    uv_close((uv_handle_t *)&agent->tick_timer, NULL);
    sw_loop_watch_stop(agent);
    sw_commit_flush(agent);
    while (sw_store_commits_waiting(agent->store) > 0) { /* what they call back is still there */
        uv_run(&agent->loop, UV_RUN_ONCE);
        sw_commit_flush(agent);
    }
    sw_judge_stop(agent); /* what detectors have answered meanwhile */
    sw_alerting_close(agent);
    sw_applying_close(agent);
    sw_commit_stop(agent);
    sw_detectors_free(agent->detectors);
    sw_receivers_close(agent);
    sw_routing_free(agent->routing);
    sw_alerts_free(agent->alerts);
    sw_inhibiting_close(agent);
    sw_silencing_close(agent);
    sw_feeds_free(agent);
    sw_http_client_free(agent->http);
    sw_secrets_free(agent->api_secrets);
    uv_run(&agent->loop, UV_RUN_DEFAULT); /* what was closed calls back */
    sw_judge_free(agent);
    sw_evaluations_free(agent->evaluations);
    sw_store_close(agent->store);
    uv_run(&agent->loop, UV_RUN_DEFAULT);
    sw_metrics_free(agent->metrics);
    free(agent->storage_error);
    free(agent->storage_damage);
    sw_buf_release(&agent->told);
    uv_loop_close(&agent->loop);
}
