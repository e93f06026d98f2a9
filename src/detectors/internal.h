/* What the files of src/detectors share. Nothing here is for anybody else. */
#ifndef SW_DETECTORS_INTERNAL_H
#define SW_DETECTORS_INTERNAL_H

#include "detectors/detectors.h"
#include "detectors/findings_read.h"
#include "detectors/require.h"
#include "detectors/worker.h"

#define SW_STATE_MAX_BYTES ((size_t)4 << 20)
#define SW_DETECTORS_MAX 1000 /* files */
#define SW_QUEUE_MAX 64       /* calls waiting for one detector */
#define SW_MODULES_MAX 200    /* modules that one detector may require */
#define SW_RESCAN_NS (10 * SW_NS_PER_S)
#define SW_GONE_AFTER_NS SW_NS_PER_S /* a file is gone when two looks this far apart do not see it */
#define SW_QUIET_MS 200
#define SW_SPARE_DELAY_NS (100 * SW_NS_PER_MS)
#define SW_FAILURES_BEFORE_PAUSE 3
#define SW_PAUSE_FIRST_NS (30 * SW_NS_PER_S)
#define SW_PAUSE_MAX_NS (900 * SW_NS_PER_S)

/* One version of a detector's file: its text, what it required, what it said of itself, and its worker. */
typedef struct sw_version {
    sw_detector *detector;
    char *source;
    size_t len;
    sw_module *modules; /* as they were when it was loaded: a restart gets the same */
    size_t n_modules;
    char *error; /* why it was rejected */
    const char *error_kind;

    char *shown_name;
    double every_s; /* 0: the agent's interval */
    sw_wants wants;
    int64_t state_version;
    int64_t loaded_wall_ns;
    sw_worker *worker;   /* NULL: none */
    uint64_t generation; /* of the state that the worker was given */
    unsigned sources;    /* that it is called for, as a set (protocol/sources.h) */
    bool revisions;
    bool loaded;         /* the worker has taken the source */
    bool metric_refused; /* said once */
    char hash[65];
} sw_version;

/* How far a candidate is. */
typedef enum sw_phase {
    SW_PHASE_START,  /* waits for a worker */
    SW_PHASE_LOAD,   /* loads, with the state */
    SW_PHASE_DRY,    /* judges an empty window */
    SW_PHASE_VALID,  /* waits for the running version to end its call */
    SW_PHASE_RELOAD, /* the state has changed meanwhile: loads again, while calls wait */
} sw_phase;

typedef struct sw_check_call {
    struct sw_check_call *next;
    sw_detector *detector;
    sw_bytes *bytes;
    uint64_t sequence;
    sw_judged_window judged;
    void (*done)(sw_detector *detector, sw_check_result *result, void *arg);
    void *arg;
    const char *refused_kind; /* while it waits to be told */
    char *refused;
} sw_check_call;

struct sw_detector {
    sw_detectors *owner;
    char *name;
    char *path; /* of the file */
    char *dir;  /* its folder */
    bool named; /* by the configuration */
    bool seen;  /* by the scan under way */
    bool removed;
    unsigned waiting; /* calls that are still to be told */
    int64_t missing_since_ns;
    char *file_error;  /* why the file cannot be read */
    char *start_error; /* why no worker can be had to try it */

    sw_version *running;   /* NULL until one was accepted */
    sw_version *previous;  /* kept until the running one has passed its first call */
    sw_version *candidate; /* on trial */
    sw_phase phase;
    sw_version *rejected; /* the file's present content, when it was refused; no source, no worker */

    /* The newest state that a result has carried to the caller. */
    void *state;
    size_t state_len;
    int64_t state_version;
    uint64_t generation; /* grows with every state */
    bool has_state, state_committed;

    sw_check_call *first, *last; /* waiting */
    size_t n_queued;
    sw_check_call *current; /* with the running version's worker */
    int64_t call_started_ns;

    unsigned failures; /* in a row */
    int64_t paused_until_ns;
    char *last_error;
    const char *last_error_kind;
    int64_t last_check_wall_ns, last_check_duration_ns, last_cpu_us;
    double memory_bytes, memory_peak_bytes;
    uint64_t n_ok, n_unknown, n_failed, n_restarts, n_kills;
};

typedef struct sw_kept_state {
    char *name;
    void *bytes;
    size_t len;
    int64_t version;
} sw_kept_state;

typedef struct sw_scan_waiter {
    void (*done)(unsigned errors, void *arg);
    void *arg;
} sw_scan_waiter;

typedef struct sw_detector_metrics {
    sw_metric *checks, *cpu, *memory, *kills, *restarts, *paused;
    sw_metric *reload_successful, *reload_timestamp, *reloads, *workers;
} sw_detector_metrics;

typedef struct sw_watches sw_watches;

struct sw_detectors {
    uv_loop_t *loop;
    const sw_clock *clock;
    sw_metrics *metrics;
    sw_detector_metrics m;
    sw_detectors_options options; /* deep copy */
    char *scripts_dir, *worker_path;
    char **names;
    sw_worker_env env;

    sw_detector **all; /* by name */
    size_t n_all;
    sw_detector **running; /* those with a running version, by name */
    size_t n_running;
    sw_detector **removed; /* until their calls have been told */
    size_t n_removed;
    sw_kept_state *kept; /* states of detectors that are not there */
    size_t n_kept;
    char *folder_error;

    sw_check_call *refused_first, *refused_last; /* to be told from the loop */
    sw_scan_waiter *waiters;
    size_t n_waiters;
    bool scan_due;    /* somebody asked for a scan */
    bool changed_due; /* on_change is to be told */
    void (*changed)(void *arg);
    void *changed_arg;

    struct sw_explaining *explaining; /* explain.c; NULL: none */
    sw_worker *spare;
    int64_t spare_due_ns;
    int64_t last_scan_ns;
    int64_t look_again_ns; /* a file has vanished: 0, or when to look whether it is back */
    uv_idle_t idle;        /* runs while there is something to start or to tell */
    uv_timer_t keeper;     /* pauses, rescans, the spare */
    uv_timer_t quiet;      /* after the last event in the folders */
    sw_watches *watches;
    int open_handles;
};

/* detectors.c */
void sw_detectors_kick(sw_detectors *detectors); /* the idle handle does what is to be done */
void sw_detectors_keep(sw_detectors *detectors); /* does what is due by the clock, and sets the timer */
void sw_detectors_set_changed(sw_detectors *detectors);
sw_detector *sw_detectors_find(const sw_detectors *detectors, const char *name);
sw_detector *sw_detectors_add(sw_detectors *detectors, const char *name, bool named);
void sw_detectors_remove(sw_detector *detector);
void sw_detector_free(sw_detector *detector);
/* The spare, or a new one. NULL with *error (caller frees). */
sw_worker *sw_detectors_take_worker(sw_detectors *detectors, char **error);

/* state.c */
void sw_state_keep(sw_detectors *detectors, const char *name, int64_t version, const void *bytes, size_t len);
void sw_state_take(sw_detector *detector); /* what was kept under its name */
void sw_state_set(sw_detector *detector, const void *bytes, size_t len, int64_t version);
void sw_states_free(sw_detectors *detectors);

/* version.c */
sw_version *sw_version_new(sw_detector *detector, const char *source, size_t len, const char *hash);
void sw_version_free(sw_version *version); /* stops its worker; NULL does nothing */
void sw_version_stop(sw_version *version); /* stops its worker */
/* Another one of the same source and modules, without a worker. */
sw_version *sw_version_copy(const sw_version *version);
/* Gives it a worker and sends LOAD. -1 with *error (caller frees) when no worker can be had. */
int sw_version_load(sw_version *version, sw_call_done done, char **error);
/* Takes what the reply to LOAD says. -1 with *why (static text). */
int sw_version_describe(sw_version *version, const msgpack_object *reply, const char **why);
/* Whether the file (its hash) and all that it requires are as they were. */
bool sw_version_current(sw_version *version, const char *hash);

/* swap.c: from a changed file to the running version. */
void sw_swap_begin(sw_detector *detector, const char *source, size_t len, const char *hash);
void sw_swap_start(sw_detector *detector);       /* phase SW_PHASE_START: takes a worker */
void sw_swap_drop(sw_detector *detector);        /* the candidate, without a word */
void sw_swap_try(sw_detector *detector);         /* whenever the running version may be idle */
bool sw_swap_holds(const sw_detector *detector); /* calls wait for the switch */
/* The running version has failed its first call: the one before it goes on. */
void sw_swap_back(sw_detector *detector, const char *kind, const char *message);
void sw_swap_proven(sw_detector *detector); /* it has passed: the one before it is let go */

/* calls.c */
void sw_calls_run(sw_detector *detector); /* sends the next call, when that is possible */
bool sw_calls_need_worker(const sw_detector *detector);
void sw_calls_start_worker(sw_detector *detector);                                /* of the running version */
void sw_calls_refuse(sw_check_call *call, const char *kind, const char *message); /* told from the loop */
void sw_calls_refuse_all(sw_detector *detector, const char *kind, const char *message);
void sw_calls_tell_refused(sw_detectors *detectors);
void sw_calls_free(sw_check_call *call);
bool sw_detector_paused(const sw_detector *detector);
/* Why the file, as it is now, is not what runs. NULL: it is. */
const char *sw_detector_load_error(const sw_detector *detector);
/* One more failure in a row: counted, logged, and from the third on followed by a pause. */
void sw_detector_failed(sw_detector *detector, const char *kind, const char *message, const char *traceback);
/* A worker's end is counted; the version has none any more. */
void sw_version_lost_worker(sw_version *version, const char *kind);

/* reply.c: the reply to CHECK. */
typedef struct sw_check_reply {
    char *unknown; /* why it cannot tell; NULL when it can */
    sw_finding *findings;
    size_t n_findings;
    msgpack_sbuffer state;
    int64_t cpu_us;
} sw_check_reply;
/* 0, or -1 with *why (caller frees). Metrics that the script set are set when all is well. */
int sw_check_reply_read(sw_version *version, const sw_judged_window *judged, const msgpack_object *reply,
                        sw_check_reply *out, char **why);
void sw_check_reply_release(sw_check_reply *reply);

/* scan.c */
void sw_scan(sw_detectors *detectors);
bool sw_scan_undecided(const sw_detectors *detectors);
void sw_scan_decided(sw_detectors *detectors); /* a candidate was: metrics, and waiters in the next turn */
/* How many detectors are in error. */
unsigned sw_scan_errors(const sw_detectors *detectors);

/* watch.c */
sw_watches *sw_watches_new(uv_loop_t *loop, void (*event)(void *arg), void *arg);
void sw_watches_set(sw_watches *watches, const char *const *folders, size_t n); /* copies */
void sw_watches_free(sw_watches *watches);

#endif
