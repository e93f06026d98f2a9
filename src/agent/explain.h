/* GET /api/v1/explain, in parts. src/agent only. */
#ifndef SW_AGENT_EXPLAIN_H
#define SW_AGENT_EXPLAIN_H

#include "agent/agent_internal.h"
#include "agent/api_reply.h"

/* {"status": "success", "data": DATA}. Takes it. */
void sw_explain_reply(sw_http_exchange *exchange, json_t *data);
/* {"error": MESSAGE} */
void sw_explain_refuse(sw_http_exchange *exchange, int status, const char *message);

/* explain_alert.c: an alert by its fingerprint (or what that begins with). */
void sw_explain_alert(sw_agent *agent, sw_http_exchange *exchange, const char *fingerprint);
/* One that is not known any more, from the evaluations that are kept. *n: how many have a fingerprint that
 * begins so (2 for more); NULL unless it is one. */
json_t *sw_explain_forgotten(const sw_evaluations *evaluations, const char *prefix, size_t *n);
/* What an evaluation meant for the alert, in words. `finding` and `verdict`
 * are the record's, NULL when it has none about this alert. */
void sw_explain_verdict(const json_t *record, const json_t *finding, const json_t *verdict, sw_buf *out);
/* As RFC 3339. */
void sw_explain_append_time(sw_buf *out, int64_t at_ns);
/* What became of the alert in the record; NULL when it says nothing of it. */
const json_t *sw_explain_verdict_on(const json_t *record, const char *fingerprint);

/* explain_rule.c: what the detectors would say of a trace (NULL: of the newest window) now. `rule` is the
 * name of a detector or a type of alert; NULL: all. Answers later. */
void sw_explain_rule(sw_agent *agent, sw_http_exchange *exchange, const char *rule, const char *trace_id);

/* explain_trace.c: what became of the trace so far. */
typedef struct sw_trace_question {
    const sw_agent *agent;
    const char *rule;      /* NULL: any */
    const char *trace_id;  /* 32 digits */
    const sw_trace *trace; /* NULL when it is not known */
    const sw_feed *feed;   /* where it is from; NULL when it is not known */
} sw_trace_question;
/* [{type, at, fingerprint, state, told}]: under which types it was reported. */
json_t *sw_explain_reported(const sw_trace_question *question);
/* Adds to `out` what the detector has to do with the trace: judged_at, evaluations, and why_not when it has
 * not judged it. */
void sw_explain_judged(const sw_trace_question *question, const sw_detector *detector, json_t *out);

#endif
