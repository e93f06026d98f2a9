/* Measures how long each pass of the loop keeps others waiting: from the end of waiting to the next wait. */
#include "agent/agent_internal.h"

static void before_wait(uv_prepare_t *handle) {
    sw_agent *agent = handle->data;
    int64_t now = sw_mono_ns(agent->clock);
    if (agent->pass_started_ns > 0 && now - agent->pass_started_ns > agent->longest_pass_ns) {
        agent->longest_pass_ns = now - agent->pass_started_ns;
    }
}

static void after_wait(uv_check_t *handle) {
    sw_agent *agent = handle->data;
    agent->pass_started_ns = sw_mono_ns(agent->clock);
}

void sw_loop_watch_start(sw_agent *agent) {
    uv_prepare_init(&agent->loop, &agent->pass_prepare);
    uv_check_init(&agent->loop, &agent->pass_check);
    agent->pass_prepare.data = agent->pass_check.data = agent;
    uv_prepare_start(&agent->pass_prepare, before_wait);
    uv_check_start(&agent->pass_check, after_wait);
    uv_unref((uv_handle_t *)&agent->pass_prepare);
    uv_unref((uv_handle_t *)&agent->pass_check);
}

void sw_loop_watch_stop(sw_agent *agent) {
    uv_close((uv_handle_t *)&agent->pass_prepare, NULL);
    uv_close((uv_handle_t *)&agent->pass_check, NULL);
}
