/* What the files of src/delivery share. */
#ifndef SW_DELIVERY_OUTBOX_INTERNAL_H
#define SW_DELIVERY_OUTBOX_INTERNAL_H

#include <stdlib.h>

#define uthash_fatal(message) abort()
#include <uthash.h>

#include "delivery/outbox.h"
#include "net/secret.h"

/* ---- one attempt (webhook.c, stdout_receiver.c) ---- */

typedef struct sw_attempt sw_attempt;

typedef struct sw_attempt_result {
    enum { SW_ATTEMPT_DELIVERED, SW_ATTEMPT_RETRY, SW_ATTEMPT_REFUSED } verdict;
    bool answered;          /* the receiver is there */
    const char *reason;     /* "HTTP 503", "timeout", …: the same for the same kind of failure */
    const char *message;    /* for people */
    int64_t retry_after_ms; /* -1 when it was not said */
} sw_attempt_result;

/* `done` exactly once, from the loop, unless cancelled. */
typedef void (*sw_attempt_done)(const sw_attempt_result *result, void *arg);
sw_attempt *sw_webhook_start(sw_http_client *http, sw_secrets *secrets, const sw_receiver_options *options,
                             const sw_outbox_row *row, int64_t now_ns, sw_attempt_done done, void *arg);
void sw_webhook_cancel(sw_attempt *attempt);
/* Copies the body; the write is made on the pool, so that a reader of standard output who is slow holds up
 * nothing else. A write that is cancelled goes on, unheard. */
sw_attempt *sw_stdout_start(uv_loop_t *loop, const sw_outbox_row *row, sw_attempt_done done, void *arg);
void sw_stdout_cancel(sw_attempt *attempt);

/* ---- the queue (queue.c): rows in memory, in lanes by fingerprint, lanes in a heap by time ---- */

typedef enum sw_entry_state {
    SW_ENTRY_HELD, /* its commit has not ended */
    SW_ENTRY_READY,
    SW_ENTRY_IN_FLIGHT,
    SW_ENTRY_SETTLED, /* delivered or dead before its row was in the store: what became of it is written then
                       */
} sw_entry_state;

typedef struct sw_lane sw_lane;

typedef struct sw_entry {
    sw_outbox *outbox;
    sw_outbox_row row;
    sw_entry_state state;
    bool stored;         /* the store has the row */
    int64_t due_mono_ns; /* next attempt */
    int64_t created_mono_ns;
    int64_t started_mono_ns;
    sw_attempt *attempt;
    void *formatting; /* the format's handle: the attempt begins when it is done */
    sw_lane *lane;
    struct sw_entry *next; /* in the lane */
    UT_hash_handle hh;     /* by id, in the order of ids */
} sw_entry;

struct sw_lane {
    sw_entry *first, *last;
    size_t heap_place; /* + 1; 0 when nothing of it may be started: empty, held or in flight */
    UT_hash_handle hh;
    char fingerprint[];
};

typedef struct sw_queue {
    sw_entry *entries;
    sw_lane *lanes;
    sw_lane **heap; /* the one whose first row is due first is at 0 */
    size_t n_heap, heap_allocated;
    size_t n_live; /* not delivered, not dead */
    size_t bytes;  /* of their bodies */
} sw_queue;

/* Takes the row. */
sw_entry *sw_queue_add(sw_queue *queue, sw_outbox *outbox, sw_outbox_row *row);
sw_entry *sw_queue_find(const sw_queue *queue, int64_t id);
/* After a change of state or time of the entry: puts its lane where it belongs now. */
void sw_queue_update(sw_queue *queue, sw_entry *entry);
/* The entry to start next, or NULL. */
sw_entry *sw_queue_first_due(const sw_queue *queue);
/* The entry is settled: the next of its lane may go. It stays until it is removed. */
void sw_queue_leave_lane(sw_queue *queue, sw_entry *entry);
void sw_queue_remove(sw_queue *queue, sw_entry *entry);
const sw_entry *sw_queue_oldest(const sw_queue *queue);
void sw_queue_release(sw_queue *queue);

/* ---- the outbox ---- */

/* Outlives the outbox while somebody else may still call back. */
typedef struct sw_outbox_link {
    sw_outbox *outbox; /* NULL when it is gone */
    int users;
} sw_outbox_link;

/* Rows in a batch of the caller's whose commit has not ended well. */
typedef struct sw_pending_rows {
    sw_outbox_link *link;
    sw_store_batch *batch;
    struct sw_pending_row {
        int64_t id;
        bool in_memory;
    } * rows;
    size_t n;
    struct sw_pending_rows *next;
} sw_pending_rows;

struct sw_outbox {
    uv_loop_t *loop;
    const sw_clock *clock;
    sw_http_client *http;
    sw_store *store;
    sw_secrets *secrets;
    sw_receiver_options options;
    double (*random)(void); /* in [0, 1); tests put their own */
    sw_queue queue;
    sw_outbox_link *link;
    sw_pending_rows *pending;
    uv_timer_t due_timer, write_timer;
    int open_handles;
    size_t in_flight;
    size_t dead;

    /* Rows that there was no room for: only in the store, all newer than those in memory. */
    size_t n_unloaded;
    int64_t loaded_until; /* id */
    bool loading;

    /* Away: attempts in a row without an answer, and the earliest time of the next. */
    int unanswered;
    int64_t gate_mono_ns;

    /* What became of rows (records.c). */
    sw_store_batch *records; /* being filled */
    size_t n_records;
    bool writing;
    bool write_failing;
    sw_store_batch *failed_records; /* to be committed again before anything newer */

    /* What was last said in the log. */
    char *failing; /* reason; NULL when deliveries work */
    bool gave_up;  /* since they worked */
    uint64_t failures;

    bool draining;
    void (*drained)(void *arg);
    void *drained_arg;
    struct {
        sw_metric *deliveries, *depth, *dead, *duration;
    } m;
};

/* send.c */
void sw_outbox_pump(sw_outbox *outbox);
double sw_outbox_random(void);
void sw_outbox_show(sw_outbox *outbox); /* gauges */
void sw_outbox_record(sw_outbox *outbox, sw_entry *entry);

/* records.c: writes what became of rows, some at a time. _stop commits all that is left, for the end. */
void sw_records_put(sw_outbox *outbox, const sw_outbox_row *row);
void sw_records_update(sw_outbox *outbox, const sw_outbox_row *row);
void sw_records_delete(sw_outbox *outbox, int64_t id);
void sw_records_trim_dead(sw_outbox *outbox);
void sw_records_flush(sw_outbox *outbox);
bool sw_records_idle(const sw_outbox *outbox);
void sw_records_on_timer(uv_timer_t *timer);
void sw_records_stop(sw_outbox *outbox);

/* outbox.c */
void sw_outbox_link_release(sw_outbox_link *link);
void sw_outbox_load_more(sw_outbox *outbox);
void sw_outbox_check_drained(sw_outbox *outbox);

#endif
