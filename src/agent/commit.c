/*
 * What is to be remembered is collected in one batch and committed as one transaction; while a commit is
 * under way the next batch fills. A commit that fails is tried again with the same content before anything
 * newer, so that the store never holds a later fact without an earlier one.
 */
#include "agent/agent_internal.h"

#include <stdlib.h>
#include <string.h>

#include "telemetry/log.h"

#define RETRY_MS 1000

struct detector_state {
    char *detector;
    void *state;
    size_t len;
    int64_t version;
};

struct sw_pending {
    sw_agent *agent;
    sw_store_batch *batch;
    struct detector_state *states;
    size_t n_states;
    int64_t last_byte_mono_ns; /* of the answer that this batch is about; 0 when it is not about one */
    int64_t started_mono_ns;
};

static void free_pending(sw_pending *pending) {
    for (size_t i = 0; i < pending->n_states; i++) {
        free(pending->states[i].detector);
        free(pending->states[i].state);
    }
    free(pending->states);
    if (pending->batch != NULL) {
        sw_store_batch_free(pending->batch);
    }
    free(pending);
}

static sw_pending *filling(sw_agent *agent) {
    if (agent->pending == NULL) {
        agent->pending = xcalloc(1, sizeof *agent->pending);
        agent->pending->agent = agent;
        agent->pending->batch = sw_store_batch_new(agent->store);
    }
    return agent->pending;
}

sw_store_batch *sw_commit_batch(sw_agent *agent) {
    return filling(agent)->batch;
}

void sw_commit_detector(const sw_feed *feed, const char *detector, int64_t judged_until_s, const void *state,
                        size_t len, int64_t state_version) {
    sw_pending *pending = filling(feed->agent);
    sw_batch_put_detector(pending->batch, detector, state_version, state, len);
    sw_batch_put_progress(pending->batch, detector, sw_source_names[feed->number], judged_until_s);
    pending->last_byte_mono_ns = feed->last_byte_mono_ns;
    pending->states = xrealloc_array(pending->states, pending->n_states + 1, sizeof *pending->states);
    struct detector_state *entry = &pending->states[pending->n_states++];
    *entry = (struct detector_state){xstrdup(detector), xmalloc(len), len, state_version};
    memcpy(entry->state, state, len);
}

static void acknowledge_states(sw_agent *agent, const sw_pending *pending) {
    for (size_t i = 0; i < pending->n_states; i++) {
        const struct detector_state *entry = &pending->states[i];
        sw_detector *detector = sw_detectors_running(agent->detectors, entry->detector);
        if (detector != NULL) {
            sw_detector_commit(detector, entry->state, entry->len, entry->version);
        }
    }
}

static void retry(uv_timer_t *timer);

static void committed(int result, const char *message, sw_store_batch *batch, void *arg) {
    sw_pending *pending = arg;
    sw_agent *agent = pending->agent;
    sw_metric_add(agent->m.commits, 1, result == 0 ? "ok" : "failed");
    if (result != 0) {
        if (!agent->commit_failing) {
            sw_log(SW_LOG_ERROR,
                   "cannot write to the storage; alerts are sent from memory, trying again every second",
                   "folder", agent->paths.storage, "reason", message, NULL);
        }
        agent->commit_failing = true;
        free(agent->storage_error);
        agent->storage_error = xstrdup(message);
        pending->batch = batch; /* given back: it is the next to be committed */
        sw_receivers_committed(agent);
        uv_timer_start(&agent->retry_timer, retry, RETRY_MS, 0);
        return;
    }
    if (agent->commit_failing) {
        sw_log(SW_LOG_INFO, "the storage can be written again", "folder", agent->paths.storage, NULL);
        agent->commit_failing = false;
    }
    int64_t now = sw_mono_ns(agent->clock);
    sw_metric_observe(agent->m.commit_duration, (double)(now - pending->started_mono_ns) / SW_NS_PER_S);
    if (pending->last_byte_mono_ns > 0) {
        sw_metric_observe(agent->m.decision, (double)(now - pending->last_byte_mono_ns) / SW_NS_PER_S);
    }
    acknowledge_states(agent, pending);
    free_pending(pending);
    agent->in_flight = NULL;
    sw_receivers_committed(agent);
}

static void start(sw_agent *agent) {
    sw_pending *pending = agent->in_flight;
    sw_store_batch *batch = pending->batch;
    pending->batch = NULL;
    pending->started_mono_ns = sw_mono_ns(agent->clock);
    sw_store_commit(agent->store, batch, committed, pending);
}

void sw_commit_flush(sw_agent *agent) {
    if (agent->pending == NULL) {
        return;
    }
    if (agent->in_flight != NULL) {
        if (agent->in_flight->batch != NULL) { /* it failed: notifications behind it go from memory as well */
            sw_batch_must_wait(agent->pending->batch);
        }
        return;
    }
    agent->in_flight = agent->pending;
    agent->pending = NULL;
    start(agent);
}

static void before_wait(uv_prepare_t *handle) {
    sw_commit_flush(handle->data);
}

/* A failed batch waits in in_flight with its batch given back. */
static void retry(uv_timer_t *timer) {
    sw_agent *agent = timer->data;
    if (agent->in_flight != NULL && agent->in_flight->batch != NULL) {
        start(agent);
    }
}

void sw_commit_start(sw_agent *agent) {
    uv_prepare_init(&agent->loop, &agent->flush_handle);
    uv_timer_init(&agent->loop, &agent->retry_timer);
    agent->flush_handle.data = agent->retry_timer.data = agent;
    uv_prepare_start(&agent->flush_handle, before_wait);
    uv_unref((uv_handle_t *)&agent->flush_handle);
    uv_unref((uv_handle_t *)&agent->retry_timer);
}

void sw_commit_stop(sw_agent *agent) {
    uv_close((uv_handle_t *)&agent->flush_handle, NULL);
    uv_close((uv_handle_t *)&agent->retry_timer, NULL);
    if (agent->pending != NULL) {
        free_pending(agent->pending);
        agent->pending = NULL;
    }
    if (agent->in_flight != NULL) {
        free_pending(agent->in_flight);
        agent->in_flight = NULL;
    }
}

bool sw_commit_idle(const sw_agent *agent) {
    bool failed = agent->in_flight != NULL && agent->in_flight->batch != NULL;
    return agent->pending == NULL && (agent->in_flight == NULL || failed);
}
