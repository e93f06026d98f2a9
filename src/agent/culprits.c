/*
 * Whose fault it is: of each alert that is about to begin to fire, the longest offending trace is fetched by
 * its id, and what its spans say is kept with the alert. Where it blames another service, two more traces are
 * asked whether they do too. Few traces in a tick, and for a short time only: an
 * alert without its culprit is told all the same.
 */
#include "agent/agent_internal.h"

#include <stdlib.h>
#include <string.h>

#include "telemetry/log.h"

/* A trace that is asked for: the longest of its alert, or one that shall confirm what that one says. */
struct look {
    struct wanted *wanted;
    const char *trace_id;
    void *fetch; /* under way */
};

struct wanted {
    sw_culprits *culprits;
    sw_beginning alert;
    struct look first, others[SW_BEGINNING_OTHERS];
    size_t n_agreeing; /* of the others */
    sw_culprit *culprit;
};

struct sw_culprits {
    sw_agent *agent;
    sw_source *source; /* of the findings */
    void (*done)(void *arg);
    void *arg;
    int64_t until_mono_ns;
    size_t n_waiting;
    bool starting;
    size_t n;
    struct wanted wanted[];
};

/* Time is what a slow trace is about, also one that failed. */
static bool about_errors(const struct wanted *wanted) {
    return sw_topic_of(wanted->alert.type) != SW_TOPIC_TIME;
}

static void look_for(struct look *look);

/* Only who blames somebody else has to be sure. */
static void look_for_others(struct wanted *wanted) {
    const sw_agent *agent = wanted->culprits->agent;
    const char *own = wanted->alert.service;
    bool elsewhere = own != NULL && strcmp(own, wanted->culprit->service) != 0;
    for (size_t i = 0; agent->config->inhibit_by_traces && elsewhere && i < wanted->alert.n_others; i++) {
        wanted->others[i] = (struct look){.wanted = wanted, .trace_id = wanted->alert.others[i]};
        look_for(&wanted->others[i]);
    }
}

static void look_at(struct look *look, const sw_trace *trace) {
    struct wanted *wanted = look->wanted;
    sw_culprit *culprit = sw_culprit_of(trace, about_errors(wanted));
    if (look == &wanted->first) {
        wanted->culprit = culprit;
        if (culprit != NULL) {
            look_for_others(wanted);
            culprit->agreed = wanted->n_agreeing == wanted->alert.n_others;
        }
        return;
    }
    bool agrees = culprit != NULL && culprit->failing == wanted->culprit->failing &&
                  strcmp(culprit->service, wanted->culprit->service) == 0;
    wanted->n_agreeing += agrees ? 1 : 0;
    wanted->culprit->agreed = wanted->n_agreeing == wanted->alert.n_others;
    sw_culprit_free(culprit);
}

static void trace_known(const sw_trace *trace, const char *message, void *arg) {
    struct look *look = arg;
    sw_culprits *culprits = look->wanted->culprits;
    look->fetch = NULL;
    sw_metric_add(culprits->agent->m.culprit_fetches, 1, trace != NULL ? "ok" : "failed");
    if (trace != NULL) {
        look_at(look, trace);
    } else {
        sw_log(SW_LOG_DEBUG, "no culprit: the trace could not be fetched", "trace_id", look->trace_id,
               "reason", message, NULL);
    }
    culprits->n_waiting--; /* not before: it may have asked for others */
    if (culprits->n_waiting == 0 && !culprits->starting) {
        culprits->done(culprits->arg);
    }
}

static void look_for(struct look *look) {
    sw_culprits *culprits = look->wanted->culprits;
    sw_agent *agent = culprits->agent;
    sw_source *source = culprits->source;
    if (source->ops->fetch_trace == NULL) {
        const sw_trace *listed = sw_source_listed(source, look->trace_id); /* as whole as it is known */
        if (listed != NULL) {
            look_at(look, listed);
        }
        return;
    }
    int64_t wait_ms = (culprits->until_mono_ns - sw_mono_ns(agent->clock)) / SW_NS_PER_MS;
    if (wait_ms <= 0 || agent->fetched >= (size_t)agent->config->culprit_fetches) {
        return;
    }
    agent->fetched++;
    culprits->n_waiting++;
    look->fetch = source->ops->fetch_trace(source, look->trace_id, wait_ms, trace_known, look);
}

/* How many alerts: of what may still be fetched, half is for the traces that shall confirm. */
static size_t how_many(const sw_agent *agent) {
    size_t budget = (size_t)agent->config->culprit_fetches;
    size_t left = agent->fetched < budget ? budget - agent->fetched : 0;
    return agent->config->inhibit_by_traces ? (left + 1) / 2 : left;
}

sw_culprits *sw_culprits_find(sw_feed *feed, const sw_finding *findings, size_t n, void (*done)(void *arg),
                              void *arg) {
    sw_agent *agent = feed->agent;
    size_t max = how_many(agent);
    sw_culprits *culprits = xcalloc(1, sizeof *culprits + max * sizeof culprits->wanted[0]);
    *culprits = (sw_culprits){.agent = agent,
                              .source = feed->source,
                              .done = done,
                              .arg = arg,
                              .until_mono_ns = sw_mono_ns(agent->clock) + SW_CULPRITS_WAIT_MS * SW_NS_PER_MS,
                              .starting = true};
    if (max > 0 && n > 0) {
        sw_beginning *beginning = xcalloc(max, sizeof *beginning);
        culprits->n =
            sw_alerts_beginning(agent->alerts, findings, n, sw_wall_ns(agent->clock), beginning, max);
        for (size_t i = 0; i < culprits->n; i++) {
            struct wanted *wanted = &culprits->wanted[i];
            *wanted = (struct wanted){.culprits = culprits, .alert = beginning[i]};
            wanted->first = (struct look){.wanted = wanted, .trace_id = wanted->alert.trace_id};
            look_for(&wanted->first);
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

static void cancel(const sw_culprits *culprits, const struct look *look) {
    if (look->fetch != NULL) {
        culprits->source->ops->cancel_query(culprits->source, look->fetch);
    }
}

void sw_culprits_free(sw_culprits *culprits) {
    if (culprits == NULL) {
        return;
    }
    for (size_t i = 0; i < culprits->n; i++) {
        struct wanted *wanted = &culprits->wanted[i];
        cancel(culprits, &wanted->first);
        for (size_t k = 0; k < SW_BEGINNING_OTHERS; k++) {
            cancel(culprits, &wanted->others[k]);
        }
        sw_culprit_free(wanted->culprit);
    }
    free(culprits);
}
