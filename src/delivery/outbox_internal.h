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
    bool in_trouble;        /* the receiver: it gives no answer, or a server's error */
    const char *reason;     /* "HTTP 503", "timeout", …: the same for the same kind of failure */
    const char *message;    /* for people */
    int64_t retry_after_ms; /* -1 when it was not said */
} sw_attempt_result;

/* `done` exactly once, from the loop, unless cancelled. */
typedef void (*sw_attempt_done)(const sw_attempt_result *result, void *arg);
sw_attempt *sw_webhook_start(sw_http_client *http, sw_secrets *secrets, const sw_receiver_options *options,
                             const sw_outbox_row *row, const char *url_suffix, int64_t now_ns,
                             sw_attempt_done done, void *arg);
void sw_webhook_cancel(sw_attempt *attempt);
/* Copies the body; the write is made on the pool, so that a reader of standard output who is slow holds up
 * nothing else. A write that is cancelled goes on, unheard. */
sw_attempt *sw_stdout_start(uv_loop_t *loop, const sw_outbox_row *row, sw_attempt_done done, void *arg);
void sw_stdout_cancel(sw_attempt *attempt);

/* ---- the queue (queue.c): rows in memory, in lanes, lanes in a heap by time ----
 *
 * A lane holds the rows that must go out one after the other: those of one alert, or those of one group. A
 * row joins the lane in which an older one of its alert still waits, whatever its own group is: what an alert
 * has to say stays in order. */

typedef enum sw_entry_state {
    SW_ENTRY_HELD, /* its commit has not ended */
    SW_ENTRY_READY,
    SW_ENTRY_IN_FLIGHT,
    SW_ENTRY_SETTLED, /* delivered or dead before its row was in the store: what became of it is written then
                       */
} sw_entry_state;

typedef struct sw_lane sw_lane;
typedef struct sw_lane_alert sw_lane_alert; /* an alert with rows in the lane of a group */

typedef struct sw_entry {
    sw_outbox *outbox;
    sw_outbox_row row;
    sw_entry_state state;
    bool stored;         /* the store has the row */
    bool whole;          /* but not as it is now: it is written as a whole next time */
    bool reserved;       /* combined, not sent yet: counts as one of those allowed in an hour */
    int64_t due_mono_ns; /* next attempt */
    int64_t created_mono_ns;
    int64_t started_mono_ns;
    sw_attempt *attempt;
    void *formatting; /* the format's handle: the attempt begins when it is done */
    sw_lane *lane;
    sw_lane_alert **told; /* the alerts that it tells, in the lane of a group */
    size_t n_told;
    struct sw_entry *next; /* in the lane */
    UT_hash_handle hh;     /* by id, in the order of ids */
} sw_entry;

struct sw_lane {
    sw_entry *first, *last;
    size_t heap_place; /* + 1; 0 when nothing of it may be started: empty, held or in flight */
    bool grouped;
    size_t n_firing;            /* of a group: alerts that were told to fire */
    int64_t not_before_mono_ns; /* of a group: its next rows may be combined. It is kept until then */
    UT_hash_handle hh;
    char key[]; /* fingerprint, or the key of the group */
};

typedef struct sw_queue {
    sw_entry *entries;
    sw_lane *lanes;      /* of single alerts, by fingerprint; never empty */
    sw_lane *groups;     /* by key */
    sw_lane_alert *told; /* by fingerprint */
    sw_lane **heap;      /* the one whose first row is due first is at 0 */
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
/* The first of its lane is settled: the next may go. It stays until it is removed. */
void sw_queue_leave_lane(sw_queue *queue, sw_entry *entry);
sw_lane *sw_queue_group(sw_queue *queue, const char *key); /* made when it is new */
/* For combining: takes the first of a lane that has one. Each that was taken is put into a lane, or settled;
 * then each lane, and none is used before. */
sw_entry *sw_queue_take_first(sw_queue *queue, sw_lane *lane);
void sw_queue_put_first(sw_lane *lane, sw_entry *entry);
void sw_queue_put_last(sw_queue *queue, sw_lane *lane, sw_entry *entry);
void sw_queue_settled(sw_queue *queue, sw_entry *entry);
void sw_queue_settle_lane(sw_queue *queue, sw_lane *lane);
/* Whether a row about this alert has yet to be delivered. */
bool sw_queue_waits(const sw_queue *queue, const char *fingerprint);
/* Whether something in the lane of a group tells the alert. */
bool sw_queue_tells(const sw_queue *queue, const char *fingerprint);
/* The entry, in the lane of a group, tells this alert (also). */
void sw_queue_tell(sw_queue *queue, sw_entry *entry, const char *fingerprint);
/* Forgets the groups that hold nothing and need not wait, and beyond `keep` those that should. */
void sw_queue_forget_groups(sw_queue *queue, int64_t now_mono_ns, size_t keep);
void sw_queue_remove(sw_queue *queue, sw_entry *entry);
/* Without those that wait for others to join them, nor, with `held_back`, those not tried yet. */
const sw_entry *sw_queue_oldest(const sw_queue *queue, bool held_back);
void sw_queue_release(sw_queue *queue);

/* ---- several rows as one (combine.c) ---- */

#define SW_COMBINED_MAX_BYTES ((size_t)8 << 20) /* of a body; what does not fit is counted in it */

typedef struct sw_combined {
    sw_buf body;
    bool resolved;
    int severity;
    struct sw_combined_alert {
        char *fingerprint;
        char *group_key; /* as its newest row says */
        bool resolved;
    } * alerts; /* all of them, the worst first */
    size_t n, n_truncated;
} sw_combined;

/* `rows` by id, at least one. Of each alert the newest row counts, with the traces of all. The body is to be
 * closed. */
void sw_combine(const sw_outbox_row *const *rows, size_t n, const char *group_key, const char *group_labels,
                size_t max_alerts, bool held_back, sw_combined *out);
/* `group_firing`: how many of the group fire when it was told. */
void sw_combined_close(sw_combined *combined, size_t group_firing);
void sw_combined_release(sw_combined *combined);
/* The alerts inside a body that sw_combine() made. */
void sw_combined_each(const char *body, size_t len, void (*each)(const char *fingerprint, void *arg),
                      void *arg);

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

/* When notifications went out, the oldest first: a ring of max_per_hour. */
typedef struct sw_recent {
    int64_t *mono_ns;
    size_t first, n;
} sw_recent;

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

    bool draining;
    bool paused;                 /* post.c */
    bool writing, write_failing; /* what became of rows */
    bool gave_up;                /* since deliveries worked */
    char *refused;               /* what was said of the last refusal since then */
    bool holding;                /* something waits for the limit per hour */

    /* The circuit: attempts in a row that failed for the receiver's sake, and the earliest time of the next.
     */
    int in_trouble;
    int64_t gate_mono_ns;
    int64_t asked_mono_ns; /* the receiver asked for no other before this (Retry-After) */
    const char *shown_circuit;

    /* What is told together (groups.c). */
    size_t n_reserved;         /* combined and not sent yet */
    size_t combined_in_pass;   /* rows */
    size_t n_storing;          /* of these, those whose commit has not ended */
    struct sw_member *members; /* alerts that were told to fire, by fingerprint */
    int64_t said_limit_mono_ns;
    sw_recent recent;
    size_t n_notified;

    /* What became of rows (records.c). */
    sw_store_batch *records; /* being filled */
    size_t n_records;
    sw_store_batch *failed_records; /* to be committed again before anything newer */

    /* What was last said in the log. */
    char *failing; /* reason; NULL when deliveries work */
    uint64_t failures;

    void (*on_paused)(void *arg);
    void *on_paused_arg;
    void (*drained)(void *arg);
    void *drained_arg;
    struct {
        sw_metric *deliveries, *depth, *dead, *duration;
        sw_metric *combined; /* {receiver,result} */
        sw_metric *held, *circuit;
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
/* For several changes that must be in one transaction: what is put into the batch, and then their number. */
sw_store_batch *sw_records_batch(sw_outbox *outbox);
void sw_records_added(sw_outbox *outbox, size_t n);
void sw_records_trim_dead(sw_outbox *outbox);
void sw_records_flush(sw_outbox *outbox);
bool sw_records_idle(const sw_outbox *outbox);
void sw_records_on_timer(uv_timer_t *timer);
void sw_records_stop(sw_outbox *outbox);

/* outbox.c */
void sw_outbox_link_release(sw_outbox_link *link);
/* The entry waits until this batch has ended, as if its row had come with it. */
void sw_outbox_hold(sw_outbox *outbox, sw_store_batch *batch, const sw_entry *entry);
void sw_outbox_load_more(sw_outbox *outbox);
void sw_outbox_check_drained(sw_outbox *outbox);

/* post.c */
void sw_outbox_check_paused(sw_outbox *outbox);

/* members.c */
void sw_members_restore(sw_outbox *outbox);
bool sw_members_have(const sw_outbox *outbox, const char *fingerprint);
/* Puts the row into the group in which its alert was told. */
void sw_members_place(const sw_outbox *outbox, sw_outbox_row *row);
/* The notification tells these: of this group, or (lane NULL) of their own. How many changes it has put into
 * the batch of the records. */
size_t sw_members_tell(sw_outbox *outbox, sw_lane *lane, const sw_combined *combined);
bool sw_members_forget(sw_outbox *outbox, sw_store_batch *batch, const char *fingerprint);
void sw_members_release(sw_outbox *outbox);

/* groups.c */
void sw_outbox_restore_notified(sw_outbox *outbox); /* before the rows */
void sw_outbox_tell_inside(sw_entry *entry);        /* after a row that may be combined was added */
/* After them: when more waits than may be sent, it waited for the limit when the agent ended, or would have
 * to. */
void sw_outbox_resume_holding(sw_outbox *outbox);
/* Whether one more may be sent in this hour; if not, *at_mono_ns is when (0: when something is settled). */
bool sw_outbox_may_send(sw_outbox *outbox, const sw_entry *entry, int64_t *at_mono_ns);
void sw_outbox_nothing_due(sw_outbox *outbox);
/* The entry, which is due, goes out with others; false when that must wait: for a commit under way, or until
 * *at_mono_ns. */
bool sw_outbox_must_combine(const sw_outbox *outbox, const sw_entry *entry);
bool sw_outbox_combine(sw_outbox *outbox, sw_entry *entry, int64_t *at_mono_ns);
void sw_outbox_release_reservation(sw_outbox *outbox, sw_entry *entry);
void sw_outbox_note_notified(sw_outbox *outbox, const sw_entry *entry); /* while it is in its lane */

#endif
