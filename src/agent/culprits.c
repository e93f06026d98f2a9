/*
 * Whose fault it is: of each alert that is about to begin to fire, the longest offending trace is fetched by
 * its id, and what its spans say is kept with the alert. Few traces in a tick, and for a short time only: an
 * alert without its culprit is told all the same.
 */
#include "agent/agent_internal.h"

#include <stdlib.h>
#include <string.h>

#include "telemetry/log.h"

struct wanted {
    sw_culprits *culprits;
    sw_beginning alert;
    void *fetch; /* under way */
    sw_culprit *culprit;
};

struct sw_culprits {
    sw_agent *agent;
    sw_source *source; /* of the findings */
    void (*done)(void *arg);
    void *arg;
    size_t n_waiting;
    bool starting;
    size_t n;
    struct wanted wanted[];
};

/* Time is what a slow trace is about, also one that failed. */
static bool about_errors(const struct wanted *wanted) {
    return sw_topic_of(wanted->alert.type) != SW_TOPIC_TIME;
}

static void trace_known(const sw_trace *trace, const char *message, void *arg) {
    struct wanted *wanted = arg;
    sw_culprits *culprits = wanted->culprits;
    wanted->fetch = NULL;
    culprits->n_waiting--;
    sw_metric_add(culprits->agent->m.culprit_fetches, 1, trace != NULL ? "ok" : "failed");
    if (trace != NULL) {
        wanted->culprit = sw_culprit_of(trace, about_errors(wanted));
    } else {
        sw_log(SW_LOG_DEBUG, "no culprit: the trace could not be fetched", "trace_id", wanted->alert.trace_id,
               "reason", message, NULL);
    }
    if (culprits->n_waiting == 0 && !culprits->starting) {
        culprits->done(culprits->arg);
    }
}

/* Where the source has no more to give than what it listed. */
static void look_at_list(struct wanted *wanted) {
    sw_source *source = wanted->culprits->source;
    size_t n = 0;
    const sw_trace *const *traces = source->ops->traces(source, &n);
    for (size_t i = 0; i < n; i++) {
        if (sw_streq(traces[i]->id, wanted->alert.trace_id)) {
            wanted->culprit = sw_culprit_of(traces[i], about_errors(wanted));
            return;
        }
    }
}

static void look_for(struct wanted *wanted) {
    sw_culprits *culprits = wanted->culprits;
    sw_source *source = culprits->source;
    if (source->ops->fetch_trace == NULL) {
        look_at_list(wanted);
        return;
    }
    culprits->agent->fetched++;
    culprits->n_waiting++;
    wanted->fetch =
        source->ops->fetch_trace(source, wanted->alert.trace_id, SW_CULPRITS_WAIT_MS, trace_known, wanted);
}

sw_culprits *sw_culprits_find(sw_feed *feed, const sw_finding *findings, size_t n, void (*done)(void *arg),
                              void *arg) {
    sw_agent *agent = feed->agent;
    size_t budget = (size_t)agent->config->culprit_fetches;
    size_t max = agent->fetched < budget ? budget - agent->fetched : 0;
    sw_culprits *culprits = xcalloc(1, sizeof *culprits + max * sizeof culprits->wanted[0]);
    *culprits =
        (sw_culprits){.agent = agent, .source = feed->source, .done = done, .arg = arg, .starting = true};
    if (max > 0 && n > 0) {
        sw_beginning *beginning = xcalloc(max, sizeof *beginning);
        culprits->n =
            sw_alerts_beginning(agent->alerts, findings, n, sw_wall_ns(agent->clock), beginning, max);
        for (size_t i = 0; i < culprits->n; i++) {
            culprits->wanted[i] = (struct wanted){.culprits = culprits, .alert = beginning[i]};
            look_for(&culprits->wanted[i]);
        }
        free(beginning);
    }
    culprits->starting = false;
    return culprits;
}

bool sw_culprits_waiting(const sw_culprits *culprits) {
    return culprits->n_waiting > 0;
}

const sw_culprit *sw_culprits_of(const sw_culprits *culprits, const char *fingerprint) {
    for (size_t i = 0; culprits != NULL && i < culprits->n; i++) {
        if (sw_streq(culprits->wanted[i].alert.fingerprint, fingerprint)) {
            return culprits->wanted[i].culprit;
        }
    }
    return NULL;
}

void sw_culprits_free(sw_culprits *culprits) {
    if (culprits == NULL) {
        return;
    }
    for (size_t i = 0; i < culprits->n; i++) {
        if (culprits->wanted[i].fetch != NULL) {
            culprits->source->ops->cancel_query(culprits->source, culprits->wanted[i].fetch);
        }
        sw_culprit_free(culprits->wanted[i].culprit);
    }
    free(culprits);
}
