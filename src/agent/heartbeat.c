/*
 * The dead man's switch: a GET of SPANWATCH_HEARTBEAT_URL at the end of each tick in which each source
 * answered whole, every detector runs and none fails, the storage can be written, and every receiver takes
 * its notifications: what the only receiver does not take, nobody else could tell. Whoever waits for it
 * learns from its absence that the agent, its machine or its network is gone. A heartbeat that is missed is
 * not made up for.
 */
#include "agent/agent_internal.h"

#include <stdlib.h>

#include "telemetry/log.h"

#define TIMEOUT_MS 10000

static bool all_is_well(const sw_agent *agent) {
    for (size_t i = 0; i < sw_detectors_count(agent->detectors); i++) {
        if (!sw_detector_ready(sw_detectors_at(agent->detectors, i))) {
            return false;
        }
    }
    if (sw_detectors_broken(agent->detectors, NULL, NULL) > 0) {
        return false;
    }
    for (size_t i = 0; i < sw_receivers_count(agent); i++) {
        const sw_receiver *receiver = sw_receivers_at(agent, i);
        if (sw_receiver_lags(agent, receiver) || sw_receiver_refused(receiver) != NULL) {
            return false;
        }
    }
    char *why_not = sw_agent_not_ready(agent);
    char *trouble = sw_feeds_trouble(agent);
    bool well = why_not == NULL && trouble == NULL;
    free(why_not);
    free(trouble);
    return well;
}

static void called(const sw_http_response *response, void *arg) {
    sw_agent *agent = arg;
    agent->heartbeat = NULL;
    bool ok = response->error == SW_HTTP_OK && response->status >= 200 && response->status < 300;
    sw_metric_add(agent->m.heartbeats, 1, ok ? "ok" : "failed");
    if (!ok && !agent->heartbeat_failing) {
        sw_log(SW_LOG_WARN, "the heartbeat's receiver does not take it", "status",
               sw_log_int(response->status), "reason", response->message, NULL);
    } else if (ok && agent->heartbeat_failing) {
        sw_log(SW_LOG_INFO, "the heartbeat is taken again", NULL);
    }
    agent->heartbeat_failing = !ok;
}

void sw_heartbeat(sw_agent *agent) {
    if (agent->config->heartbeat_url[0] == '\0' || agent->heartbeat != NULL || agent->stopping ||
        !all_is_well(agent)) {
        return;
    }
    sw_http_request request = {
        .url = agent->config->heartbeat_url, .timeout_ms = TIMEOUT_MS, .done = called, .arg = agent};
    agent->heartbeat = sw_http_start(agent->http, &request);
}
