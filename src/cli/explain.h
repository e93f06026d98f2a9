/* What the files of the verb explain share. */
#ifndef SW_CLI_EXPLAIN_H
#define SW_CLI_EXPLAIN_H

#include "cli/agent_client.h"

/* The answer of /api/v1/explain for people; exit code. */
int sw_explain_print_alert(const json_t *data);
int sw_explain_print_rule(const json_t *data);

#endif
