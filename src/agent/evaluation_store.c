/* Evaluations in which something happened outlive a restart. */
#include "agent/agent_internal.h"

#include "telemetry/log.h"

static void kept(int64_t id, const char *json, size_t len, void *arg) {
    sw_batch_put_evaluation(sw_commit_batch(arg), id, json, len);
}

static void dropped(int64_t id, void *arg) {
    sw_batch_delete_evaluation(sw_commit_batch(arg), id);
}

static void restore(int64_t id, const char *json, size_t len, void *arg) {
    sw_agent *agent = arg;
    if (sw_evaluations_restore(agent->evaluations, id, json, len) != 0) {
        sw_log(SW_LOG_WARN, "a stored evaluation cannot be read and is dropped", "id", sw_log_int(id), NULL);
        dropped(id, agent);
    }
}

void sw_evaluations_open(sw_agent *agent) {
    sw_evaluations_sink sink = {kept, dropped, agent};
    agent->evaluations = sw_evaluations_new(SW_EVALUATIONS_BYTES);
    sw_store_each_evaluation(agent->store, restore, agent);
    sw_evaluations_set_sink(agent->evaluations, &sink);
}
