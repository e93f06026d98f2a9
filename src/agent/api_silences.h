/* What the files for silences over HTTP share. src/agent only. */
#ifndef SW_AGENT_API_SILENCES_H
#define SW_AGENT_API_SILENCES_H

#include "agent/agent_internal.h"

#define SW_ACK_PATH "/api/v1/alerts/" /* FINGERPRINT/ack */

/* Sets the silence and answers with {"silenceID": …} when it is stored, or with what is wrong. */
void sw_api_set_silence(sw_agent *agent, sw_http_exchange *exchange, const sw_silence *wanted);
void sw_api_post_ack(sw_http_exchange *exchange, void *agent);

#endif
