/*
 * The tick: every interval, measured from the start of the first, so that it does not drift. Where a source
 * is still asked when the next tick is due, that takes the next one's place: it is counted and not repeated.
 */
#include "agent/agent_internal.h"

#include <stdlib.h>

#include "telemetry/log.h"

#define LATE_NS (100 * SW_NS_PER_MS)

static void schedule(sw_agent *agent);

/* The first planned time after now, without drift; *missed is how many were passed over. */
int64_t sw_tick_next(int64_t planned_ns, int64_t now_ns, int64_t interval_ns, unsigned *missed) {
    int64_t next = planned_ns + interval_ns;
    *missed = 0;
    if (next <= now_ns) {
        int64_t passed = (now_ns - next) / interval_ns + 1;
        *missed = passed > UINT32_MAX ? UINT32_MAX : (unsigned)passed;
        next += passed * interval_ns;
    }
    return next;
}

static void tick_over(sw_agent *agent) {
    double took_s = (double)(sw_mono_ns(agent->clock) - agent->tick_started_mono_ns) / SW_NS_PER_S;
    sw_metric_observe(agent->m.tick_duration, took_s);
    /* Now, so that it goes with the last evaluation and what was found does not wait for a commit of its own.
     */
    for (int i = 0; i < SW_SOURCES; i++) {
        sw_feed_remember(&agent->feeds[i]);
    }
    if (agent->found == NULL) {
        sw_own_alerts(agent);
        sw_receivers_probe(agent);
        sw_heartbeat(agent);
        sw_silencing_sweep(agent);
        sw_receivers_sweep(agent);
        sw_memory_give_back(agent);
    }
    if (agent->tick_done != NULL) {
        agent->tick_done(agent);
    }
}

static bool is_polling(const sw_agent *agent) {
    for (int i = 0; i < SW_SOURCES; i++) {
        if (agent->feeds[i].polling) {
            return true;
        }
    }
    return false;
}

static bool all_are_polling(const sw_agent *agent) {
    for (int i = 0; i < SW_SOURCES; i++) {
        if (agent->feeds[i].source != NULL && !agent->feeds[i].polling) {
            return false;
        }
    }
    return is_polling(agent);
}

bool sw_tick_is_under_way(const sw_agent *agent) {
    return agent->evaluating > 0 || is_polling(agent);
}

void sw_tick_evaluated(sw_agent *agent) {
    agent->evaluating--;
    if (!sw_tick_is_under_way(agent)) {
        tick_over(agent);
    }
}

static void expire(sw_agent *agent) {
    int64_t now = sw_wall_ns(agent->clock);
    sw_alerts_expire(agent->alerts, now);
    if (agent->ticks % 120 == 1) {
        sw_batch_expire_judged(sw_commit_batch(agent), now - SW_AGENT_REMEMBER_NS);
        sw_batch_expire_reported(sw_commit_batch(agent), now - SW_AGENT_REMEMBER_NS);
    }
}

static void polled(const sw_poll_result *result, void *arg) {
    sw_feed *feed = arg;
    sw_agent *agent = feed->agent;
    bool whole = result->counts_ok && result->traces_ok;
    sw_feed_polled(feed, result);
    agent->evaluating++; /* holds the tick open while evaluations start */
    if (result->horizon_s > 0 && (result->reachable || whole)) {
        sw_judge_all(feed, result);
        feed->source->ops->forget(feed->source, sw_judge_oldest_needed_s(feed, result->horizon_s));
    }
    sw_tick_evaluated(agent);
}

/* A source that is still being polled takes no part: its poll goes on. */
static void tick(sw_agent *agent) {
    agent->ticks++;
    agent->fetched = 0;
    agent->tick_started_mono_ns = sw_mono_ns(agent->clock);
    sw_metric_add(agent->m.ticks, 1);
    expire(agent);
    agent->evaluating++; /* holds the tick open while polls start */
    for (int i = 0; i < SW_SOURCES; i++) {
        sw_feed *feed = &agent->feeds[i];
        if (feed->source != NULL && !feed->polling) {
            feed->polling = true;
            sw_wants wants = sw_detectors_wants(agent->detectors, i);
            feed->source->ops->poll(feed->source, &wants, polled, feed);
        }
    }
    sw_tick_evaluated(agent);
}

static void due(uv_timer_t *timer) {
    sw_agent *agent = timer->data;
    int64_t now = sw_mono_ns(agent->clock);
    if (now < agent->next_tick_mono_ns) {
        schedule(agent); /* the loop's clock has milliseconds, ours nanoseconds */
        return;
    }
    if (now - agent->next_tick_mono_ns > LATE_NS) {
        sw_metric_add(agent->m.ticks_late, 1);
    }
    unsigned missed = 0;
    agent->next_tick_mono_ns = sw_tick_next(agent->next_tick_mono_ns, now,
                                            agent->config->tempo_alert_interval_secs * SW_NS_PER_S, &missed);
    missed += is_polling(agent);
    if (!all_are_polling(agent)) {
        tick(agent);
    }
    if (missed > 0) {
        sw_metric_add(agent->m.ticks_missed, missed);
    }
    schedule(agent);
}

static void schedule(sw_agent *agent) {
    int64_t wait_ns = agent->next_tick_mono_ns - sw_mono_ns(agent->clock);
    uv_update_time(&agent->loop);
    uv_timer_start(&agent->tick_timer, due,
                   wait_ns <= 0 ? 0 : (uint64_t)((wait_ns + SW_NS_PER_MS - 1) / SW_NS_PER_MS), 0);
}

void sw_tick_start(sw_agent *agent) {
    agent->next_tick_mono_ns = sw_mono_ns(agent->clock);
    schedule(agent);
}

void sw_tick_stop(sw_agent *agent) {
    uv_timer_stop(&agent->tick_timer);
    sw_judge_stop(agent);
    for (int i = 0; i < SW_SOURCES; i++) {
        sw_feed *feed = &agent->feeds[i];
        if (feed->polling) {
            feed->source->ops->cancel(feed->source);
            feed->polling = false;
        }
    }
    if (agent->heartbeat != NULL) {
        sw_http_cancel(agent->heartbeat);
        agent->heartbeat = NULL;
    }
}

void sw_tick_once(sw_agent *agent) {
    tick(agent);
}
