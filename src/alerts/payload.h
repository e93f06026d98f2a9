/*
 * The default notification body: the flat JSON of the original system, its field names and units first
 * (anomaly_type, trace_id, span_name, duration_ms, error_message, affected_traces, total_traces, timestamp in
 * unix seconds), then ours.
 */
#ifndef SW_ALERTS_PAYLOAD_H
#define SW_ALERTS_PAYLOAD_H

#include <jansson.h>

#include "alerts/inhibition.h"

typedef struct sw_payload_options {
    const char *trace_url; /* template with {trace_id}, {start_ms}, {end_ms}; NULL or "": no links */
    const sw_likely_cause *likely_cause; /* NULL: none */
} sw_payload_options;

/* One line of JSON. Only evidence that was not notified before is listed in traces[]. 0 or -1 (over the
 * buffer's cap). */
int sw_payload_json(const sw_alert *alert, sw_notice notice, int64_t now_ns,
                    const sw_payload_options *options, sw_buf *out);

/* As in the body, of an alert whose detector gave none too: a text. */
json_t *sw_payload_summary(const sw_alert *alert);

/* Fills {trace_id}, {start_ms} and {end_ms} into the template; anything else in braces stays. Null without
 * one. */
json_t *sw_trace_url(const char *url_template, const char *trace_id, int64_t start_ms, int64_t end_ms);

#endif
