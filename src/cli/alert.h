/* What the files of the verb alert share. */
#ifndef SW_CLI_ALERT_H
#define SW_CLI_ALERT_H

#include "cli/agent_client.h"

/* Each does one action of the verb, with options->arguments[0] being its name; exit code. */
int sw_alert_ack(const sw_options *options, sw_agent_client *client);
int sw_alert_list(const sw_options *options, sw_agent_client *client);
int sw_alert_show(const sw_options *options, sw_agent_client *client);

/* {"silenceID": …}: the id, or all of it with --json; exit code. */
int sw_print_silence_id(const sw_options *options, const json_t *answer);

#endif
