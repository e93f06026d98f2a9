/* Measures how long each pass of the loop keeps others waiting: from one wait to the next, without the
 * waiting itself, which the loop counts. (Between the handles before and after the wait would not do: what a
 * socket or the pool calls runs there too.) */
#include "agent/agent_internal.h"

static void before_wait(uv_prepare_t *handle) {
    sw_agent *agent = handle->data;
    int64_t now = sw_mono_ns(agent->clock);
    int64_t waited = (int64_t)uv_metrics_idle_time(&agent->loop);
    int64_t pass = now - agent->pass_started_ns - (waited - agent->waited_ns);
    if (agent->pass_started_ns > 0 && pass > agent->longest_pass_ns) {
        agent->longest_pass_ns = pass;
    }
    agent->pass_started_ns = now;
    agent->waited_ns = waited;
}

void sw_loop_watch_start(sw_agent *agent) {
    uv_loop_configure(&agent->loop, UV_METRICS_IDLE_TIME);
    uv_prepare_init(&agent->loop, &agent->pass_prepare);
    agent->pass_prepare.data = agent;
    uv_prepare_start(&agent->pass_prepare, before_wait);
    uv_unref((uv_handle_t *)&agent->pass_prepare);
}

void sw_loop_watch_stop(sw_agent *agent) {
    uv_close((uv_handle_t *)&agent->pass_prepare, NULL);
}
