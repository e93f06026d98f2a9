/*
 * The host's end of the detectors: finds the files, starts a worker process for each, calls them, kills and
 * restarts them, swaps them while running. Scripts are hostile here: nothing that a worker sends is trusted.
 *
 * One detector has one state in memory and one worker process, and one warm spare worker waits for all of
 * them. A call is a transaction: its result carries findings and the new state, or neither. What a result has
 * carried is the caller's to commit, and is what this module goes on with: several windows can be judged one
 * after another before they are committed together. A worker that was killed, or ran into a limit, is rebuilt
 * from the last good source and that newest state; after a restart of the agent the committed state comes
 * back through sw_detectors_restore().
 *
 * Callbacks come from the loop, never from inside these functions. sw_detectors_free() must not be called
 * from one of them.
 */
#ifndef SW_DETECTORS_DETECTORS_H
#define SW_DETECTORS_DETECTORS_H

#include <uv.h>

#include "base/clock.h"
#include "detectors/finding.h"
#include "protocol/sources.h"
#include "sources/source.h"
#include "telemetry/metrics.h"

typedef struct sw_detectors sw_detectors;
typedef struct sw_detector sw_detector;

/* The host functions that scripts may call; `answer` must be called exactly once for each ask, with JSON text
 * (value) or a message and a code. Returns a handle that cancel() takes, or NULL when it was answered before
 * returning. */
typedef void (*sw_ask_done)(const char *json, size_t len, const char *message, const char *code, void *arg);
typedef struct sw_host_functions {
    void *(*ask)(const char *op, const char *args_json, int64_t timeout_ms, sw_ask_done done, void *done_arg,
                 void *arg);
    void (*cancel)(void *handle, void *arg);
    void *arg;
} sw_host_functions;

typedef struct sw_detectors_options {
    const char *scripts_dir;
    const char *const
        *names; /* NULL-terminated: further detectors in subfolders ("detectors/latency_zscore") */
    const char *worker_path; /* spanwatch-worker */
    size_t worker_memory_bytes;
    int64_t worker_cpu_ms; /* soft limit of one call */
    int64_t
        worker_timeout_ms; /* hard limit of one call: wall clock, without the time that host functions took */
    double interval_s;
    /* Settings for a detector: JSON object merged over its `config` defaults. Caller frees. `{}` when there
     * are none. */
    char *(*config_for)(const char *detector, void *arg);
    void *config_arg;
    sw_host_functions host;
} sw_detectors_options;

sw_detectors *sw_detectors_new(uv_loop_t *loop, const sw_clock *clock, sw_metrics *metrics,
                               const sw_detectors_options *options);
/* Kills all workers and closes handles; run the loop until idle afterwards: then they are reaped. Calls and
 * scans under way are dropped without their callbacks; host functions under way are cancelled. */
void sw_detectors_free(sw_detectors *detectors);

/* State that was stored; before the first scan. Copies. */
void sw_detectors_restore(sw_detectors *detectors, const char *name, int64_t state_version, const void *state,
                          size_t len);

/* Looks at the folder in the next turn of the loop: starts what is new, swaps what changed, stops what is
 * gone (when a second look a second later does not find it either). `done` (may be NULL) when all candidates
 * are decided: the number of files in error. The folder is also watched, and looked at every 10 s. */
void sw_detectors_scan(sw_detectors *detectors, void (*done)(unsigned errors, void *arg), void *arg);
/* When the set of running detectors or what they want changed. */
void sw_detectors_on_change(sw_detectors *detectors, void (*changed)(void *arg), void *arg);

/* Joined over all running ones that are called for the source. Sources are numbers (protocol/sources.h). */
sw_wants sw_detectors_wants(const sw_detectors *detectors, int source);
size_t sw_detectors_count(const sw_detectors *detectors);
sw_detector *sw_detectors_at(const sw_detectors *detectors, size_t i);
/* How many files there are of which nothing runs, since they cannot be loaded, and why. `each` may be NULL.
 */
size_t sw_detectors_broken(const sw_detectors *detectors,
                           void (*each)(const char *name, const char *error, void *arg), void *arg);
sw_detector *sw_detectors_running(const sw_detectors *detectors, const char *name); /* NULL: none */
/* Whether there is a file of this name, running or not, and it is called for this source. */
bool sw_detectors_has(const sw_detectors *detectors, const char *name, int source);
/* Whether it is called for the source's windows. True while it is not known: before it has loaded. */
bool sw_detector_watches(const sw_detector *detector, int source);
/* Stays valid until the detector is removed; the pointer identifies the detector over reloads. */
const char *sw_detector_name(const sw_detector *detector); /* file name without .lua (with subfolder) */
const char *sw_detector_hash(const sw_detector *detector); /* SHA-256 of the running source, hex */
sw_wants sw_detector_wants(const sw_detector *detector);
double sw_detector_every_s(const sw_detector *detector); /* never 0 */
bool sw_detector_wants_revisions(const sw_detector *detector);
bool sw_detector_ready(const sw_detector *detector); /* takes calls: not in a pause after failures. Its worker
                                                        may be starting again: calls wait for that */
/* Why calls are refused, while ready is false: the last failure. Never NULL. */
const char *sw_detector_last_error(const sw_detector *detector);

typedef enum sw_check_status { SW_CHECK_OK, SW_CHECK_UNKNOWN, SW_CHECK_FAILED } sw_check_status;
typedef struct sw_check_result {
    sw_check_status status;
    const char *message;    /* why unknown or failed */
    const char *error_kind; /* NULL unless failed: "runtime" "shape" "memory" "cpu" "timeout" "crash"
                               "protocol"; without a call: "paused" "removed" "overloaded" "too_large" */
    sw_finding *findings;   /* the callback may take them by setting this to NULL */
    size_t n_findings;
    const void *state; /* MessagePack; valid in the callback only */
    size_t state_len;
    int64_t state_version;
    int64_t cpu_us;
} sw_check_result;

/* Judges one window. Asynchronous; `done` exactly once, also when the worker is killed or the detector
 * removed (but see sw_detectors_free). Calls to one detector queue up; different detectors run in parallel.
 * The window is copied into the frame before this returns. Only traces that the detector wants and for which
 * `offer` (may be NULL) returns true are sent. */
void sw_detector_check(sw_detector *detector, const sw_window *window, int64_t now_ns,
                       bool (*offer)(const sw_trace *trace, void *arg), void *offer_arg,
                       void (*done)(sw_detector *detector, sw_check_result *result, void *arg), void *arg);
/* What a detector would say of a window, and why: asked of a worker of its own, with the running source,
 * configuration and state. Nothing of it is kept, no failure is counted, and host functions answer "dry". */
typedef struct sw_explanation {
    sw_check_status status;
    const char *message; /* why unknown or failed; NULL when ok */
    const sw_finding *findings;
    size_t n_findings;
    const char *const *lines; /* what ctx.explain said */
    size_t n_lines;
    const char *config_json; /* the configuration in force; NULL when it failed */
} sw_explanation;
typedef void (*sw_explain_done)(const sw_explanation *explanation, void *arg);
/* One at a time for all detectors: -1 when another one is under way, or the detector is not running. All
 * traces of the window are shown, wanted or not. `done` exactly once, from the loop, unless cancelled. */
int sw_detector_explain(sw_detector *detector, const sw_window *window, int64_t now_ns, sw_explain_done done,
                        void *arg);
void sw_detectors_explain_cancel(sw_detectors *detectors); /* the one under way, if any */
/* This state, which an OK or UNKNOWN result carried, is now committed. */
void sw_detector_commit(sw_detector *detector, const void *state, size_t len, int64_t state_version);

/* Appends a JSON array for /api/v1/status. */
void sw_detectors_status_json(const sw_detectors *detectors, sw_buf *out);

/* One call to a fresh worker, waited for (runs its own loop): for the verbs `check` and `test` and for config
 * files. `kind` LOAD, CONFIG or TEST; the payload is JSON, as messages.md says. 0 and the reply's JSON
 * (caller frees; a script's mistake is a reply with ok = false), or -1 and an error text (caller frees) when
 * there is none: the worker could not be started, died, or did not answer in time. No host function but
 * `require` is answered. `dir`: where require looks, besides scripts_dir/lib; NULL for none. */
int sw_worker_call_once(const char *worker_path, int kind, const char *payload_json, const char *scripts_dir,
                        const char *dir, int64_t timeout_ms, char **reply_json, char **error);

#endif
