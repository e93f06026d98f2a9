/*
 * Delivery at least once: what an alert has to say is a row in the store before its first attempt; 2xx ends
 * it; network errors, 408, 425, 429 and 5xx are tried again with exponential backoff, full jitter and
 * Retry-After (an hour at most) until max_age; other statuses, and what is older than max_age, become dead
 * letters (the newest SW_OUTBOX_MAX_DEAD are kept). Rows of one fingerprint are delivered in order, each
 * waiting until the one before is delivered or dead; different fingerprints go in parallel (max_in_flight).
 *
 * A status decides as soon as it has come, whatever becomes of the answer's body, which is not used. After
 * three attempts in a row without an answer, or with 408 or 5xx, the circuit to the receiver opens: then one
 * attempt at a time is made, with growing pauses of at most 30 s, until one has another answer. A Retry-After
 * holds for the row; for the others up to 30 s of it.
 *
 * Alerts of a group go out together: when a group is due (after group_wait_ms, and group_interval_ms after
 * its last notification), its rows are combined into one (combine.c), which takes the place of the oldest of
 * them, has a key of its own and is committed before its first attempt; from then on it is a row like others.
 * An alert of which several rows wait is told once, as it is now, with the traces of all; alerts beyond
 * max_alerts are counted in the notification, which settles them. With max_per_hour, what is too much waits,
 * and the next notification that is allowed tells all that waits, of whatever group. What an alert has to say
 * stays in order, also when it changes its group meanwhile.
 *
 * Sequence: sw_outbox_add() puts the row into the caller's batch; when that batch has been committed, the row
 * may be sent (the outbox hears of it by itself). If the commit failed, the row is sent all the same, from
 * memory (an alert is worth more than its record), and its fate is written when the batch was committed after
 * all.
 *
 * What becomes of rows is committed in batches of the outbox's own, some 50 ms later: after a crash in
 * between, a notification comes twice, with the same Idempotency-Key. Waiting is measured with the monotonic
 * clock; only over a restart with the wall clock, and then no wait is longer than backoff_max or an hour.
 *
 * Metrics: spanwatch_deliveries_total{receiver,result} (delivered, retried, dead),
 * spanwatch_outbox_depth{receiver}, spanwatch_outbox_dead{receiver},
 * spanwatch_delivery_duration_ms{receiver}, spanwatch_combined_alerts_total{receiver,result} (told,
 * truncated), spanwatch_receiver_held_back{receiver}, spanwatch_receiver_circuit_state{receiver,state}.
 */
#ifndef SW_DELIVERY_OUTBOX_H
#define SW_DELIVERY_OUTBOX_H

#include "base/clock.h"
#include "net/http_client.h"
#include "store/store.h"
#include "telemetry/metrics.h"

#define SW_OUTBOX_MAX_DEAD 10000               /* dead letters kept for each receiver */
#define SW_OUTBOX_MAX_BYTES ((size_t)32 << 20) /* bodies in memory; beyond it rows are only in the store */

/* Turns the body of a row into what the receiver takes, just before an attempt. `start` gives a handle for
 * cancel(); `done` exactly once, from the loop, unless cancelled, with what is copied. Without a body the
 * row's own goes out. The row stays valid until then. */
typedef struct sw_formatted {
    const char *content_type;
    const char *body; /* NULL: there is none */
    size_t len;
    const char
        *url_suffix; /* where it goes beneath the receiver's URL (base/url_suffix.h); NULL: to the URL */
} sw_formatted;
typedef void (*sw_row_formatted)(const sw_formatted *formatted, void *arg);
typedef struct sw_row_format {
    void *(*start)(const sw_outbox_row *row, sw_row_formatted done, void *done_arg, void *arg);
    void (*cancel)(void *handle, void *arg);
    void *arg;
} sw_row_format;

typedef struct sw_receiver_options {
    const char *name; /* "webhook" */
    const char *url;  /* NULL or "": bodies go to standard output, one line each, and are delivered by that */
    sw_http_profile profile;
    const char *hmac_secret_file; /* NULL: no signature. It is over what is sent */
    sw_row_format format;         /* start NULL: bodies go out as they are, as they do to standard output */
    int64_t timeout_ms;
    int64_t max_age_ms; /* then dead letter */
    int64_t backoff_min_ms;
    int64_t backoff_max_ms;
    unsigned max_in_flight;
    size_t max_rows;   /* cap of the queue in memory; beyond it new rows are only in the store until there is
                          room */
    size_t max_alerts; /* inside one notification of a group; 0: no limit */
    unsigned max_per_hour; /* notifications; what is too much waits and comes as one summary. 0: no limit */
} sw_receiver_options;

/* What one alert has to say. Alerts with one group_key are told together, in one request: the first of a
 * group waits for group_wait_ms, so that others may join it, and the next notification of the group goes out
 * group_interval_ms after its last one at the earliest. */
typedef struct sw_notification {
    const char *fingerprint;
    bool resolved;
    bool told_before; /* the receiver heard of the alert since it began: it hears of it as it did, whatever
                         groups are now */
    int severity;     /* greater is worse; what is worst is told first */
    const char *group_key;         /* all that the group is: its labels, and the route; NULL: on its own */
    const char *group_labels_json; /* an object; NULL: {} */
    int64_t group_wait_ms, group_interval_ms;
    const char *content_type;
    const char *body; /* with a group_key: the JSON object that is documented under Payload */
    size_t len;
} sw_notification;

typedef struct sw_outbox sw_outbox;

/* Loads what the store holds and starts sending it. All pointers stay the caller's and must outlive the
 * outbox. */
sw_outbox *sw_outbox_new(uv_loop_t *loop, const sw_clock *clock, sw_http_client *http, sw_store *store,
                         sw_metrics *metrics, const sw_receiver_options *options);
/* Cancels what is in flight (it is sent again after a restart), and commits what is still to be written. Run
 * the loop afterwards, before the store is closed. */
void sw_outbox_free(sw_outbox *outbox);

/* Copies everything. The idempotency key is made here (UUID) and stays the same over retries and restarts. */
void sw_outbox_add(sw_outbox *outbox, sw_store_batch *batch, const sw_notification *notification);
/* The alert is over and nothing more is said of it: it does not count as firing in its group any more. */
void sw_outbox_forget(sw_outbox *outbox, sw_store_batch *batch, const char *fingerprint);
/* So is what ended and is told to nobody, as alerts of one trace do: looks at some of those that count as
 * firing in groups, at others with each call, and forgets the ones that are not known any more. */
void sw_outbox_sweep(sw_outbox *outbox, bool (*is_known)(const char *fingerprint, void *arg), void *arg);
/* The dead letters with a greater id than `after_id`, by id, at most `limit`. `done` once, from the loop,
 * also when the outbox is gone by then; the rows stay the outbox's. n is -1 when they cannot be read, or the
 * outbox is gone: then it must not be used any more. */
typedef void (*sw_dead_letters_done)(const sw_outbox_row *rows, int n, void *arg);
void sw_outbox_dead_letters(sw_outbox *outbox, int64_t after_id, int limit, sw_dead_letters_done done,
                            void *arg);
/* Puts a dead letter in the queue again, as the newest, with its key; or deletes it. Both in the caller's
 * batch. It must be one that was just given to `done`. */
void sw_outbox_send_again(sw_outbox *outbox, sw_store_batch *batch, const sw_outbox_row *dead);
void sw_outbox_drop(sw_outbox *outbox, sw_store_batch *batch, const sw_outbox_row *dead);
/* Sends what may be sent now: rows that are due, of batches whose commit has ended. The outbox does so by
 * itself when a commit ends and when time comes; this is for who moves the clock. */
void sw_outbox_committed(sw_outbox *outbox);
/* Stop starting attempts; `done` (perhaps from inside this call) when nothing is in flight and what became of
 * the rows was committed, or could not be. For the graceful stop. */
void sw_outbox_drain(sw_outbox *outbox, void (*done)(void *arg), void *arg);

/* For what is not kept, because it is only true now. While an outbox pauses nothing of its rows is sent, so
 * that what is posted meanwhile comes before whatever is decided from now on, and after what was sent before:
 * `paused` comes (perhaps from inside the call) when nothing is in flight any more, unless sw_outbox_go_on()
 * came first. Only for receivers with a URL. */
void sw_outbox_pause(sw_outbox *outbox, void (*paused)(void *arg), void *arg);
void sw_outbox_go_on(sw_outbox *outbox);
typedef struct sw_post sw_post;
/* `message`: what came of it, for people. Exactly once, from the loop, unless cancelled. */
typedef void (*sw_post_done)(bool delivered, const char *message, void *arg);
/* One request with the receiver's URL, credentials and signature. Copies the body. */
sw_post *sw_outbox_post(sw_outbox *outbox, const sw_formatted *what, sw_post_done done, void *arg);
void sw_post_cancel(sw_post *post); /* before the outbox is freed */

/* Whether a notification about this alert has yet to be delivered, as far as they are in memory. */
bool sw_outbox_waits(const sw_outbox *outbox, const char *fingerprint);
size_t sw_outbox_depth(const sw_outbox *outbox); /* rows not delivered, without dead letters */
size_t sw_outbox_dead(const sw_outbox *outbox);
/* Why a notification was refused for good, if none was delivered since; else NULL. */
const char *sw_outbox_refused(const sw_outbox *outbox);
/* Of the notification that could be sent for the longest time: without what waits for its group. */
int64_t sw_outbox_oldest_age_ms(const sw_outbox *outbox);
/* "closed", "open" or "half_open". */
const char *sw_outbox_circuit(const sw_outbox *outbox);

/* The signature header's value: "t=UNIXSECONDS,v1=HEX" where HEX is HMAC-SHA-256 over "UNIXSECONDS.BODY". */
void sw_webhook_signature(const char *secret, size_t secret_len, int64_t unix_s, const void *body, size_t len,
                          sw_buf *out);
/* Exponential backoff with full jitter: uniform in [0, min(max, min_ms * 2^attempt)]. `random` in [0, 1). */
int64_t sw_backoff_ms(int attempt, int64_t min_ms, int64_t max_ms, double random);

#endif
