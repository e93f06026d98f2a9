/* JSON bodies of the HTTP API. src/agent only. */
#ifndef SW_AGENT_API_REPLY_H
#define SW_AGENT_API_REPLY_H

#include <jansson.h>

#include "agent/agent_internal.h"

/* Takes the body. */
void sw_api_reply_json(sw_http_exchange *exchange, int status, json_t *body);
/* 200 with the body, as soon as the batch that is being filled is on disk; 503 when it cannot be written.
 * Takes the body. */
void sw_api_reply_when_stored(sw_agent *agent, sw_http_exchange *exchange, json_t *body);
/* The request's body, to be given to json_decref(); NULL after answering that it is no JSON object. */
json_t *sw_api_read_object(sw_http_exchange *exchange);

/* Unix nanoseconds as RFC 3339. */
json_t *sw_api_time_json(int64_t ns);
/* The matchers of every `filter` in the query, to be released; false after answering 400. */
bool sw_api_read_filter(sw_http_exchange *exchange, sw_matchers *filter);
/* The ids of the silences that match the alert now. */
json_t *sw_api_silenced_by(const sw_agent *agent, const sw_alert *alert);
/* The fingerprints of the alerts that inhibit it. */
json_t *sw_api_inhibited_by(const sw_inhibition *inhibition, const sw_alert *alert);
/* Null for what never was (0). */
json_t *sw_api_time_or_null(int64_t ns);
/* How many alerts have a fingerprint that begins so; `found` is one of them. */
size_t sw_api_find_alert(const sw_agent *agent, const char *prefix, char found[SW_FINGERPRINT_LEN + 1]);
/* What is said when they are not one. */
json_t *sw_api_not_found_json(size_t n);
/* All that is known of the alert, which must be known; NULL when that is too much. */
json_t *sw_api_alert_detail(const sw_agent *agent, const char *fingerprint);
/* An alert as Prometheus shows it. */
json_t *sw_api_prometheus_alert(const sw_agent *agent, const sw_inhibition *inhibition,
                                const sw_alert *alert);

#endif
