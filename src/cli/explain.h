/* What the files of the verb explain share. */
#ifndef SW_CLI_EXPLAIN_H
#define SW_CLI_EXPLAIN_H

#include "cli/agent_client.h"

/* The answer of /api/v1/explain for people; exit code. */
int sw_explain_print_alert(const json_t *data);
int sw_explain_print_rule(const json_t *data);

/* "1500 > 1000, usually 104": a finding's value, threshold and baseline. Caller frees. */
char *sw_explain_values(const json_t *finding);
/* "2026-03-01 10:00:05" of RFC 3339, always UTC. Caller frees. */
char *sw_explain_time(const char *rfc3339);
/* "10:00:00 60 s" of a call: when its window ended, and how long it was. Caller frees. */
char *sw_explain_window(const json_t *call);
/* "yes", or why it was not whole. Caller frees. */
char *sw_explain_whole(const json_t *call);

#endif
