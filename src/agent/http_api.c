/* What the agent answers over HTTP: metrics, health, readiness, reload and status. */
#include "agent/agent_internal.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "telemetry/log.h"

#define EXIT_CONFIG 78
#define ANSWER_MAX ((size_t)64 << 20)

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void get_metrics(sw_http_exchange *exchange, void *arg) {
    sw_agent *agent = arg;
    size_t counts[3];
    sw_alerts_count_states(agent->alerts, counts);
    sw_metric_set(agent->m.alerts, (double)counts[SW_ALERT_PENDING], "pending");
    sw_metric_set(agent->m.alerts, (double)counts[SW_ALERT_FIRING], "firing");
    double refused = (double)sw_alerts_refused(agent->alerts) - sw_metric_get(agent->m.alerts_refused);
    sw_metric_add(agent->m.alerts_refused, refused);
    sw_metric_set(agent->m.longest_pass, (double)agent->longest_pass_ns / SW_NS_PER_S);
    sw_metric_add(agent->m.cpu, cpu_seconds() - sw_metric_get(agent->m.cpu));
    sw_metric_set(agent->m.resident, (double)sw_memory_resident());
    sw_metric_set(agent->m.storage_size, (double)sw_store_size_bytes(agent->store));
    sw_buf out;
    sw_buf_init(&out, ANSWER_MAX);
    sw_metrics_render(agent->metrics, &out);
    if (out.overflow) {
        sw_http_reply(exchange, 500, "text/plain; charset=utf-8", "too many metrics\n", 17);
    } else {
        sw_http_reply(exchange, 200, "text/plain; version=0.0.4; charset=utf-8", out.data, out.len);
    }
    sw_buf_release(&out);
}

static void get_healthy(sw_http_exchange *exchange, void *arg) {
    (void)arg;
    sw_http_reply(exchange, 200, "text/plain; charset=utf-8", "healthy\n", 8);
}

char *sw_agent_not_ready(const sw_agent *agent) {
    if (agent->stopping) {
        return xstrdup("stopping");
    }
    if (!agent->loaded) {
        return xstrdup("scripts are being loaded");
    }
    if (sw_detectors_count(agent->detectors) == 0) {
        return xasprintf("no detector is running (folder %s)", agent->paths.scripts_dir);
    }
    for (int i = 0; i < SW_SOURCES; i++) {
        const sw_feed *feed = &agent->feeds[i];
        if (!sw_feed_counts(feed)) {
            continue;
        }
        const char *name = sw_source_names[i];
        if (!feed->polled_once) {
            return feed->last_poll_reason == NULL
                       ? xasprintf("the first answer of %s has not come yet", name)
                       : xasprintf("%s has not answered yet: %s", name, feed->last_poll_reason);
        }
        if (sw_feed_failed(feed)) {
            return xasprintf("%s does not answer: %s", name, feed->last_poll_reason);
        }
    }
    bool unwritable = agent->commit_failing || sw_store_in_memory(agent->store);
    return unwritable ? xstrdup("the storage cannot be written") : NULL;
}

static void get_ready(sw_http_exchange *exchange, void *arg) {
    char *why_not = sw_agent_not_ready(arg);
    char *text = why_not == NULL ? xstrdup("ready\n") : xasprintf("not ready: %s\n", why_not);
    sw_http_reply(exchange, why_not == NULL ? 200 : 503, "text/plain; charset=utf-8", text, strlen(text));
    free(text);
    free(why_not);
}

/* The client may have gone when the scan ends: the exchange takes care of that. */
static void reloaded(unsigned errors, void *arg) {
    sw_http_exchange *exchange = arg;
    char *text = xasprintf("{\"errors\": %u}\n", errors);
    sw_http_reply(exchange, errors == 0 ? 200 : 500, "application/json", text, strlen(text));
    free(text);
}

static void post_reload(sw_http_exchange *exchange, void *arg) {
    sw_agent *agent = arg;
    sw_log(SW_LOG_INFO, "loading scripts again", "reason", "POST /-/reload", NULL);
    sw_http_defer(exchange);
    sw_detectors_scan(agent->detectors, reloaded, exchange);
}

static void append_string(sw_buf *out, const char *text) {
    json_t *string = json_string(text);
    char *encoded = json_dumps(string, JSON_ENCODE_ANY | JSON_COMPACT);
    sw_buf_append_str(out, encoded != NULL ? encoded : "\"\"");
    free(encoded);
    json_decref(string);
}

/* All together, and each. */
static void append_receivers(const sw_agent *agent, sw_buf *out) {
    int64_t oldest_ms = 0;
    for (size_t i = 0; i < sw_receivers_count(agent); i++) {
        int64_t age_ms = sw_receiver_oldest_age_ms(sw_receivers_at(agent, i));
        oldest_ms = age_ms > oldest_ms ? age_ms : oldest_ms;
    }
    sw_buf_printf(out,
                  ", \"outbox\": {\"depth\": %zu, \"dead\": %zu, \"oldest_age_ms\": %lld}, \"receivers\": [",
                  sw_receivers_depth(agent), sw_receivers_dead(agent), (long long)oldest_ms);
    for (size_t i = 0; i < sw_receivers_count(agent); i++) {
        const sw_receiver *receiver = sw_receivers_at(agent, i);
        sw_buf_append_str(out, i == 0 ? "{\"name\": " : ", {\"name\": ");
        append_string(out, receiver->name);
        sw_buf_printf(out, ", \"configured\": %s, \"depth\": %zu, \"dead\": %zu, \"oldest_age_ms\": %lld",
                      receiver->config != NULL ? "true" : "false", sw_receiver_depth(receiver),
                      sw_receiver_dead(receiver), (long long)sw_receiver_oldest_age_ms(receiver));
        if (receiver->outbox != NULL) {
            sw_buf_printf(out, ", \"circuit\": \"%s\"", sw_outbox_circuit(receiver->outbox));
        }
        sw_buf_append_char(out, '}');
    }
    sw_buf_append_char(out, ']');
}

static void get_status(sw_http_exchange *exchange, void *arg) {
    sw_agent *agent = arg;
    size_t counts[3];
    sw_alerts_count_states(agent->alerts, counts);
    char *why_not = sw_agent_not_ready(agent);
    sw_buf out;
    sw_buf_init(&out, ANSWER_MAX);
    sw_buf_printf(&out, "{\"version\": \"%s\", \"ready\": %s, \"not_ready_reason\": ", SW_VERSION,
                  why_not == NULL ? "true" : "false");
    append_string(&out, why_not == NULL ? "" : why_not);
    sw_buf_printf(&out, ", \"ticks\": %llu, \"alerts\": {\"pending\": %zu, \"firing\": %zu}",
                  (unsigned long long)agent->ticks, counts[SW_ALERT_PENDING], counts[SW_ALERT_FIRING]);
    append_receivers(agent, &out);
    sw_buf_append_str(&out, ", \"sources\": [");
    const char *separator = "";
    for (int i = 0; i < SW_SOURCES; i++) {
        if (agent->feeds[i].source != NULL) {
            sw_buf_append_str(&out, separator);
            agent->feeds[i].source->ops->status_json(agent->feeds[i].source, &out);
            separator = ", ";
        }
    }
    sw_buf_append_str(&out, "], \"detectors\": ");
    sw_detectors_status_json(agent->detectors, &out);
    sw_buf_append_str(&out, "}\n");
    sw_http_reply(exchange, 200, "application/json", out.data, out.len);
    sw_buf_release(&out);
    free(why_not);
}

int sw_api_start(sw_agent *agent) {
    if (agent->config->listen_address[0] == '\0') {
        return 0;
    }
    const sw_tls_files tls = {.cert_file = agent->config->listen_tls_cert_file,
                              .key_file = agent->config->listen_tls_key_file};
    sw_http_server_options options = {.address = agent->config->listen_address,
                                      .tls = tls.cert_file[0] != '\0' ? &tls : NULL,
                                      .admit = sw_api_admit,
                                      .admit_arg = agent};
    char *error = NULL;
    agent->server = sw_http_server_new(&agent->loop, &options, &error);
    if (agent->server == NULL) {
        fprintf(stderr,
                "spanwatch: cannot listen on %s: %s\nChoose another address with SPANWATCH_LISTEN_ADDRESS or "
                "--listen-address.\n",
                agent->config->listen_address, error);
        free(error);
        return EXIT_CONFIG;
    }
    sw_http_server_route(agent->server, "GET", "/metrics", get_metrics, agent);
    sw_http_server_route(agent->server, "GET", "/-/healthy", get_healthy, agent);
    sw_http_server_route(agent->server, "GET", "/-/ready", get_ready, agent);
    sw_http_server_route(agent->server, "POST", "/-/reload", post_reload, agent);
    sw_http_server_route(agent->server, "GET", "/api/v1/status", get_status, agent);
    sw_api_alerts_routes(agent);
    sw_api_alert_route(agent);
    sw_api_notifications_routes(agent);
    sw_api_explain_route(agent);
    sw_api_rules_route(agent);
    sw_api_silences_routes(agent);
    return 0;
}
