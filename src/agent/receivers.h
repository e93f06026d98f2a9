/*
 * The receivers of an agent: each configured one is an outbox of its own, so that one that never answers, or
 * slowly, holds up no other. One that is not configured any more but has notifications in the store is kept
 * as well: nothing of it is sent, it is said loudly, and its notifications wait until it is configured again
 * or they are dropped.
 */
#ifndef SW_AGENT_RECEIVERS_H
#define SW_AGENT_RECEIVERS_H

#include "agent/agent.h"
#include "delivery/outbox.h"

typedef struct sw_agent sw_agent;
typedef struct sw_formatting sw_formatting;
typedef struct sw_resending sw_resending;

typedef struct sw_receiver {
    char *name;
    const sw_receiver_config *config; /* NULL: not configured any more */
    sw_outbox *outbox;                /* NULL when not configured */
    sw_formatting *formatting;        /* NULL: bodies go out in the default form */
    sw_resending *resending;          /* NULL: what fires is not sent again, or not yet */
    size_t waiting, dead;             /* rows in the store, of one that is not configured */
} sw_receiver;

/* Opens them all, and begins to send what the store has. */
void sw_receivers_open(sw_agent *agent);
void sw_receivers_close(sw_agent *agent);

size_t sw_receivers_count(const sw_agent *agent);
sw_receiver *sw_receivers_at(const sw_agent *agent, size_t i); /* stays where it is */
/* NULL when absent. */
sw_receiver *sw_receivers_find(const sw_agent *agent, const char *name);

/* A notification for the receiver of this name; it is kept in the store when that is not configured. */
void sw_receivers_add(sw_agent *agent, const char *name, const sw_notification *notification);
/* The alert is over, and this receiver is told nothing of that. */
void sw_receivers_forget(sw_agent *agent, const char *name, const char *fingerprint);
/* Once in a while: alerts that are gone count in no group any more. */
void sw_receivers_sweep(sw_agent *agent);

/* Whether what it was told of this alert before has yet to be delivered. */
bool sw_receivers_wait(const sw_agent *agent, const char *name, const char *fingerprint);

/* After a change of waiting or dead. */
void sw_receiver_show(sw_agent *agent, const sw_receiver *receiver);
size_t sw_receiver_depth(const sw_receiver *receiver); /* not delivered, not dead */
size_t sw_receiver_dead(const sw_receiver *receiver);
int64_t sw_receiver_oldest_age_ms(const sw_receiver *receiver); /* 0 of one that is not configured */
/* Whether its oldest notification waits for too long, or why it refused the last one; both are alerts. */
bool sw_receiver_lags(const sw_agent *agent, const sw_receiver *receiver);
const char *sw_receiver_refused(const sw_receiver *receiver); /* NULL: it did not */
/* Of all that are configured. */
size_t sw_receivers_depth(const sw_agent *agent);
size_t sw_receivers_dead(const sw_agent *agent);

/* What fires is sent again, to receivers that want it; and not any more. */
void sw_receivers_resend(sw_agent *agent);
void sw_receivers_stop_resending(sw_agent *agent);
/* After each tick: what could not be formatted is tried again. */
void sw_receivers_probe(sw_agent *agent);
/* sw_outbox_committed() and sw_outbox_drain() of all. */
void sw_receivers_committed(sw_agent *agent);
void sw_receivers_drain(sw_agent *agent, void (*done)(void *arg), void *arg);

#endif
