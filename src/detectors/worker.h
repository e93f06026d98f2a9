/*
 * One worker process as the host sees it: started, called, killed, reaped. Everything that it sends is
 * hostile input; a frame that breaks the protocol ends it.
 *
 * Life: sw_worker_start → sw_worker_own → sw_worker_call … → sw_worker_stop. A worker handles one call at a
 * time. It is lost when it dies, breaks the protocol, misses a deadline, or runs out of memory or CPU time:
 * then it has been stopped already when its owner hears of it (outcome.lost during a call, owner.lost else),
 * and the pointer must not be used again. Callbacks come from the loop, never from inside these functions.
 */
#ifndef SW_DETECTORS_WORKER_H
#define SW_DETECTORS_WORKER_H

#include <uv.h>

#include "detectors/detectors.h"
#include "protocol/frame.h"

#define SW_WORKER_START_MS 10000   /* from start to READY */
#define SW_WORKER_ASK_MS 25000     /* one host function */
#define SW_WORKER_ASK_ALL_MS 60000 /* all host functions of one call */
#define SW_WORKER_ASKS_MAX 100     /* host functions of one call */
#define SW_WORKER_REQUIRES_MAX 200 /* modules that one call may require */
#define SW_WORKER_LOG_LINES 20     /* log lines of one call */

typedef struct sw_worker sw_worker;

/* What all workers of one loop share. */
typedef struct sw_worker_env {
    uv_loop_t *loop;
    const char *path; /* spanwatch-worker */
    sw_host_functions host;
    char *read_buffer; /* of SW_WORKER_READ_BYTES; one read is over before the next begins */
    uint64_t sequence; /* of the last call */
    int64_t ask_ms;    /* SW_WORKER_ASK_MS */
    bool warned;       /* the sandbox's warnings have been logged */
} sw_worker_env;
#define SW_WORKER_READ_BYTES 65536

/* Frames that are ready to be sent; counted, because a write outlives the call that it belongs to. */
typedef struct sw_bytes {
    unsigned references;
    msgpack_sbuffer data;
} sw_bytes;
/* Takes the writer's bytes. */
sw_bytes *sw_bytes_of(sw_frame_writer *writer);
sw_bytes *sw_bytes_keep(sw_bytes *bytes);
void sw_bytes_drop(sw_bytes *bytes); /* NULL does nothing */

/* Who uses the worker. */
typedef struct sw_worker_owner {
    const char *name; /* for log lines; must live as long as the worker is owned */
    /* Answers `require`: 0 with *path and *source (caller frees), or -1 with *message (caller frees). */
    int (*require)(const char *name, char **path, char **source, size_t *len, char **message, void *arg);
    /* The worker died, or broke the protocol, while nothing was asked of it. */
    void (*lost)(sw_worker *worker, const char *kind, const char *message, void *arg);
    void *arg;
} sw_worker_owner;

/* How a call ended. */
typedef struct sw_outcome {
    const msgpack_object *reply; /* a map with ok = true; NULL when the call failed */
    const char *kind;            /* why it failed: "runtime", "timeout", "crash" …: static text */
    const char *message;
    const char *traceback; /* "" when there is none */
    bool lost;
} sw_outcome;
typedef void (*sw_call_done)(sw_worker *worker, const sw_outcome *outcome, void *arg);

/* NULL with *error (caller frees). The owner is set before the loop runs again. SIGPIPE is ignored from now
 * on, unless somebody handles it. */
sw_worker *sw_worker_start(sw_worker_env *env, char **error);
void sw_worker_own(sw_worker *worker, const sw_worker_owner *owner);
int sw_worker_pid(const sw_worker *worker);
/* Kills it without a callback; it is reaped and freed when the loop runs. A call under way is dropped, its
 * host function cancelled. */
void sw_worker_stop(sw_worker *worker);

/* The sequence that the next frame of a call must carry. */
uint64_t sw_worker_next_sequence(sw_worker_env *env);
/* Sends a call. `trial`: only `require` is answered, other host functions get the code "dry", and log lines
 * are dropped. `timeout_ms` counts from when the worker is ready, and stands still while host functions are
 * answered. `done` exactly once, unless sw_worker_stop() comes before. */
typedef struct sw_worker_request {
    sw_bytes *bytes; /* kept until sent */
    uint64_t sequence;
    int64_t timeout_ms;
    bool trial;
    sw_call_done done;
    void *arg;
} sw_worker_request;
void sw_worker_call(sw_worker *worker, const sw_worker_request *request);

#endif
