/* The verb run: signals, listener, and the order in which things start and stop. */
#include "agent/agent_internal.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/url.h"
#include "telemetry/log.h"

#define DRAIN_MS 10000

static void stopped(sw_agent *agent) {
    uv_stop(&agent->loop);
}

/* Everything that was decided is on disk and no delivery is under way: nothing keeps the agent. */
static void stop_when_idle(uv_timer_t *timer) {
    sw_agent *agent = timer->data;
    sw_commit_flush(agent);
    if (sw_commit_idle(agent) && sw_store_commits_waiting(agent->store) == 0) {
        stopped(agent);
    }
}

static void drained(void *arg) {
    sw_agent *agent = arg;
    agent->watchdog.data = agent;
    uv_timer_start(&agent->watchdog, stop_when_idle, 0, 5);
}

static void drain_too_long(uv_timer_t *timer) {
    sw_log(SW_LOG_WARN, "a delivery is still under way and is left for the next start", NULL);
    drained(timer->data);
}

static void stop(sw_agent *agent, const char *why) {
    agent->stopping = true;
    sw_log(SW_LOG_INFO, "stopping", "reason", why, NULL);
    sw_systemd_notify("STOPPING=1");
    sw_tick_stop(agent);
    sw_otlp_receiver_stop(agent->otlp_receiver);
    sw_otlp_grpc_stop(agent->otlp_grpc);
    if (agent->server != NULL) {
        sw_http_server_free(agent->server);
        agent->server = NULL;
    }
    uv_timer_start(&agent->watchdog, drain_too_long, DRAIN_MS, 0);
    sw_receivers_drain(agent, drained, agent);
    sw_receivers_stop_resending(
        agent); /* nothing takes its turn: it could arrive before what was cancelled */
}

static void on_signal(uv_signal_t *handle, int number) {
    sw_agent *agent = handle->data;
    if (number == SIGHUP) {
        sw_log(SW_LOG_INFO, "loading scripts again", "reason", "SIGHUP", NULL);
        sw_detectors_scan(agent->detectors, NULL, NULL);
    } else if (agent->stopping) {
        sw_log(SW_LOG_WARN, "stopping at once", "reason", "second signal", NULL);
        _exit(128 + number);
    } else {
        stop(agent, number == SIGTERM ? "SIGTERM" : "SIGINT");
    }
}

static void start_signals(sw_agent *agent) {
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is an error of the write, like a full disk */
    for (size_t i = 0; i < SW_ARRAY_LEN(numbers); i++) {
        uv_signal_init(&agent->loop, &agent->signals[i]);
        agent->signals[i].data = agent;
        uv_signal_start(&agent->signals[i], on_signal, numbers[i]);
    }
}

static void keep_watchdog(uv_timer_t *timer) {
    (void)timer;
    sw_systemd_notify("WATCHDOG=1");
}

static void scripts_loaded(unsigned errors, void *arg) {
    sw_agent *agent = arg;
    (void)errors; /* each was logged; what runs is what counts */
    agent->loaded = true;
    if (agent->stopping) {
        return;
    }
    if (sw_detectors_count(agent->detectors) == 0) {
        sw_log(SW_LOG_ERROR, "no detector is running: nothing is judged until one can be loaded", "folder",
               agent->paths.scripts_dir, NULL);
    }
    sw_systemd_notify("READY=1");
    sw_receivers_resend(agent);
    sw_tick_start(agent);
}

static void say_hello(const sw_agent *agent) {
    char *tempo = sw_url_redact(agent->config->tempo_url);
    /* The path of a webhook is often its secret. */
    const sw_config *config = agent->config;
    bool used = sw_route_leads_to(&config->route, SW_RECEIVER_WEBHOOK);
    char *webhook = !used                                ? xstrdup("no route leads to it")
                    : config->tempo_alert_webhook_url[0] ? sw_url_host(config->tempo_alert_webhook_url)
                                                         : NULL;
    sw_log(SW_LOG_INFO, "spanwatch starts", "version", SW_VERSION, "tempo",
           agent->config->tempo_enabled ? tempo : "off", "otlp",
           agent->config->otlp_http_address[0] ? agent->config->otlp_http_address : "off", "otlp_grpc",
           agent->config->otlp_grpc_address[0] ? agent->config->otlp_grpc_address : "off", "webhook",
           webhook != NULL ? webhook : "none, alerts are written to standard output", "receivers",
           sw_log_int((int64_t)agent->config->n_receivers), "scripts", agent->paths.scripts_dir, "storage",
           agent->paths.storage, "listen", agent->config->listen_address, NULL);
    free(tempo);
    free(webhook);
}

int sw_agent_run(const sw_config *config, const sw_agent_paths *paths) {
    sw_agent agent;
    int result = sw_agent_open(&agent, config, paths, sw_clock_system(), true);
    if (result != 0) {
        return result;
    }
    say_hello(&agent);
    start_signals(&agent);
    uv_timer_init(&agent.loop, &agent.watchdog);
    agent.watchdog.data = &agent;
    result = sw_api_start(&agent);
    if (result == 0) {
        result = sw_feeds_receive(&agent);
    }
    if (result == 0) {
        int64_t watchdog_ms = sw_systemd_watchdog_ms();
        if (watchdog_ms > 0) {
            uv_timer_start(&agent.watchdog, keep_watchdog, (uint64_t)watchdog_ms, (uint64_t)watchdog_ms);
        }
        sw_detectors_scan(agent.detectors, scripts_loaded, &agent);
        uv_run(&agent.loop, UV_RUN_DEFAULT);
        sw_log(SW_LOG_INFO, "stopped", "undelivered", sw_log_int((int64_t)sw_receivers_depth(&agent)), NULL);
    }
    for (size_t i = 0; i < SW_ARRAY_LEN(agent.signals); i++) {
        uv_close((uv_handle_t *)&agent.signals[i], NULL);
    }
    uv_close((uv_handle_t *)&agent.watchdog, NULL);
    sw_otlp_receiver_free(agent.otlp_receiver);
    sw_otlp_grpc_free(agent.otlp_grpc);
    if (agent.server != NULL) {
        sw_http_server_free(agent.server);
    }
    sw_agent_close(&agent);
    return result;
}
