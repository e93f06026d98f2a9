/* What worker_process.c (process and bytes), worker_call.c (calls) and worker_ask.c (host functions, log
 * lines) share. */
#ifndef SW_DETECTORS_WORKER_INTERNAL_H
#define SW_DETECTORS_WORKER_INTERNAL_H

#include "detectors/worker.h"

typedef struct sw_worker_ask {
    bool active;
    uint64_t sequence;
    void *handle; /* the host function's */
    int64_t started_ms;
    int64_t call_left_ms; /* of the call's deadline */
    struct sw_ask_ticket *ticket;
} sw_worker_ask;

struct sw_worker {
    sw_worker_env *env;
    sw_worker_owner owner;
    uv_process_t process;
    uv_pipe_t pipe;
    uv_timer_t deadline;
    unsigned open_handles;
    sw_frame_reader reader;

    bool ready;
    bool stopped; /* by us: nobody is told anything any more */
    bool exited, closed;
    int64_t exit_status;
    int exit_signal;

    /* The call under way. */
    bool busy;
    bool late; /* the deadline has passed; what has arrived already is still read */
    sw_worker_request request;
    unsigned n_asks, n_requires, n_log_lines, n_log_dropped;
    int64_t asked_ms; /* time that host functions took */
    sw_worker_ask ask;
};

/* worker_process.c */
void sw_worker_send(sw_worker *worker, sw_bytes *bytes);

/* worker_call.c */
void sw_worker_on_frame(sw_worker *worker, const sw_frame *frame);
/* Stops the worker and tells its owner, or the call. */
void sw_worker_lose(sw_worker *worker, const char *kind, const char *message);
void sw_worker_on_deadline(uv_timer_t *timer);
/* Ends the call: its callback is called last. */
void sw_worker_finish(sw_worker *worker, const sw_outcome *outcome);
void sw_worker_arm(sw_worker *worker, int64_t ms);

/* worker_ask.c */
void sw_worker_on_ask(sw_worker *worker, const sw_frame *frame);
void sw_worker_on_log(sw_worker *worker, const sw_frame *frame);
void sw_worker_log_dropped(const sw_worker *worker);
void sw_worker_cancel_ask(sw_worker *worker);
void sw_worker_ask_late(sw_worker *worker);

#endif
