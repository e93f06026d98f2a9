/*
 * Findings into alerts, in pieces: 10 000 new alerts are some 400 ms of work, and no pass of the loop may
 * take longer than 20. What a piece brings is committed and sent while the next is worked on. Evaluations go
 * one after the other.
 */
#include "agent/agent_internal.h"

#include <stdlib.h>
#include <utlist.h>

#define SHARE_NS (5 * SW_NS_PER_MS) /* of one pass */
#define STEPS 8                     /* between two looks at the clock */

struct sw_applying {
    sw_agent *agent;
    sw_alerts_round *round;
    const sw_culprits *culprits;
    sw_evaluation *record;
    sw_inhibition *inhibition; /* to be decided first; NULL: none */
    void (*done)(void *arg);
    void *arg;
    sw_applying *prev, *next;
};

void sw_applying_cancel(sw_applying *applying) {
    if (applying == NULL) {
        return;
    }
    sw_agent *agent = applying->agent;
    DL_DELETE(agent->applying, applying);
    if (agent->applying == NULL) {
        uv_idle_stop(&agent->apply_idle);
    }
    sw_alerts_round_free(applying->round);
    free(applying);
}

static bool step(sw_applying *applying) {
    if (applying->inhibition != NULL && sw_inhibition_step(applying->inhibition)) {
        return true;
    }
    return sw_alerts_round_step(applying->round);
}

/* True when all of it is applied. */
static bool work(sw_applying *applying, int64_t until_mono_ns) {
    sw_agent *agent = applying->agent;
    agent->inhibition_decides = applying->inhibition != NULL;
    bool more = true;
    agent->culprits = applying->culprits;
    agent->evaluation = applying->record;
    do {
        for (int i = 0; more && i < STEPS; i++) {
            more = step(applying);
        }
    } while (more && sw_mono_ns(agent->clock) < until_mono_ns);
    agent->culprits = NULL;
    agent->evaluation = NULL;
    agent->inhibition_decides = false;
    return !more;
}

static void on_pass(uv_idle_t *idle) {
    sw_agent *agent = idle->data;
    sw_applying *applying = agent->applying;
    if (work(applying, sw_mono_ns(agent->clock) + SHARE_NS)) {
        void (*done)(void *arg) = applying->done;
        void *arg = applying->arg;
        sw_applying_cancel(applying);
        done(arg);
    }
}

sw_applying *sw_applying_start(sw_agent *agent, sw_alerts_round *round, const sw_culprits *culprits,
                               sw_evaluation *record, void (*done)(void *arg), void *arg) {
    sw_applying *applying = xmalloc(sizeof *applying);
    *applying = (sw_applying){agent, round, culprits, record, NULL, done, arg, NULL, NULL};
    DL_APPEND(agent->applying, applying);
    uv_idle_start(&agent->apply_idle, on_pass);
    return applying;
}

void sw_applying_decide(sw_applying *applying, sw_inhibition *inhibition) {
    applying->inhibition = inhibition;
}

void sw_applying_open(sw_agent *agent) {
    uv_idle_init(&agent->loop, &agent->apply_idle);
    agent->apply_idle.data = agent;
}

void sw_applying_close(sw_agent *agent) {
    uv_close((uv_handle_t *)&agent->apply_idle, NULL);
}
