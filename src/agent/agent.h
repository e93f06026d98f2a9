/*
 * The agent: wires source, detectors, alerts, store and delivery together and keeps time. Every interval it
 * asks the source, lets each detector judge what is new, and commits findings, state and notifications
 * together before anything is sent.
 *
 * Both functions run their own loop and return an exit code: 0, 1 when something failed (said in the log), 78
 * when the configuration cannot be used (said on standard error).
 */
#ifndef SW_AGENT_AGENT_H
#define SW_AGENT_AGENT_H

#include "config/config.h"

/* Where things are, found by the command line. */
typedef struct sw_agent_paths {
    const char *scripts_dir;
    const char *storage;
    const char *worker;
} sw_agent_paths;

/* Runs until SIGTERM or SIGINT. SIGHUP loads the scripts again. */
int sw_agent_run(const sw_config *config, const sw_agent_paths *paths);

/* One tick with fresh state: prints what the detectors find, as a table or JSON, to standard output. Sends it
 * only with `send`. The agent's storage is not touched, so it may run beside an agent. */
int sw_agent_once(const sw_config *config, const sw_agent_paths *paths, bool json, bool send);

#endif
