/* What the verbs ask a worker that lives for one call. */
#ifndef SW_CLI_WORKER_CALL_H
#define SW_CLI_WORKER_CALL_H

#include <jansson.h>

#include "cli/cli.h"

/* sw_config_sources.evaluate. */
char *sw_evaluate_config(const sw_config_file *file, char **error, void *arg);

/* Loads a detector as the agent would, with its settings. 0, or -1 with *error (caller frees). */
int sw_check_detector(const sw_setup *setup, const char *path, const char *name, char **error);

/* Lets the receiver's format write a made-up notification, with its settings and something in the place of
 * the secret. 0, also when there is no format; or -1 with *error (caller frees). */
int sw_check_format(const sw_setup *setup, const sw_receiver_config *receiver, char **error);

/* Runs a *_test.lua file: the reply's `tests` (caller decrefs), or NULL with *error (caller frees). */
json_t *sw_run_test_file(const sw_setup *setup, const char *path, char **error);

#endif
