/*
 * What must outlive the process: alerts, reported and judged traces, detector state, watermarks and the
 * outbox, in one SQLite database `spanwatch.db` (WAL, synchronous=FULL) in the storage folder. The only place
 * that knows SQLite.
 *
 * Reading happens once, at start (synchronous). Writing: a batch is filled in memory and committed as one
 * transaction on a thread of libuv's pool; batches commit in the order of sw_store_commit() calls; the
 * callback comes in the loop. A commit that fails (disk full, locked) leaves nothing of itself behind: the
 * callback says so, and the caller decides. The storage folder is locked: a second agent on the same folder
 * is refused at open.
 */
#ifndef SW_STORE_STORE_H
#define SW_STORE_STORE_H

#include <uv.h>

#include "base/base.h"

typedef struct sw_store sw_store;
typedef struct sw_store_batch sw_store_batch;

/* Creates folder and database when missing. NULL with *error (caller frees). A database that is no database
 * is set aside as spanwatch.db.corrupt-TIME and *warning (caller frees, NULL otherwise) says so. Where
 * nothing can be written, see sw_store_in_memory(). */
sw_store *sw_store_open(uv_loop_t *loop, const char *folder, char **warning, char **error);
/* Whether the disk could not be written when it was opened: then what could be read of the database is in
 * memory (*warning says why), and it is written back as a whole as soon as that is possible, tried every few
 * seconds while batches are committed, and once more when it is closed. */
bool sw_store_in_memory(const sw_store *store);
/* Closes; NULL is fine. Commits that are still waiting are written first, and their callbacks come from
 * inside this call (they must not commit again); to have them in the loop, run it until idle before. Run the
 * loop once more before closing it. */
void sw_store_close(sw_store *store);
/* Database, journal and its index, in bytes. */
int64_t sw_store_size_bytes(const sw_store *store);

/* A notification waiting for delivery, or a dead letter. What one alert has to say, or, `combined`, what
 * several have. */
typedef struct sw_outbox_row {
    int64_t id; /* ascending; order of creation */
    char *receiver;
    char *fingerprint;
    char *idempotency_key;
    char *content_type;
    char *body;
    size_t body_len;
    int64_t created_ns;
    int64_t next_attempt_ns; /* wall time */
    int attempts;
    bool dead;        /* in the dead letters */
    char *last_error; /* "" when none */
    bool resolved;
    int severity;
    bool combined;
    char *group_key;           /* NULL when it is on its own */
    char *group_labels;        /* JSON object, or NULL */
    int64_t group_interval_ms; /* from this notification of the group to the next, at least */
} sw_outbox_row;
void sw_outbox_row_release(sw_outbox_row *row);

/* Reading, at start. Each returns 0, or -1 (logged). */
int sw_store_each_alert(sw_store *store,
                        void (*each)(const char *fingerprint, const char *json, size_t len, void *arg),
                        void *arg);
/* In the order of writing. A trace that was put twice is given twice: the later one counts. So for judged. */
int sw_store_each_reported(sw_store *store,
                           void (*each)(const char *type, const char *trace_id, int64_t at_ns, void *arg),
                           void *arg);
int sw_store_each_judged(sw_store *store,
                         void (*each)(const char *detector, const char *source, const char *trace_id,
                                      uint64_t digest, int64_t at_ns, void *arg),
                         void *arg);
/* State is MessagePack bytes. */
int sw_store_each_detector(sw_store *store,
                           void (*each)(const char *detector, int64_t state_version, const void *state,
                                        size_t len, void *arg),
                           void *arg);
/* How far each detector has judged what each source had. */
int sw_store_each_progress(sw_store *store,
                           void (*each)(const char *detector, const char *source, int64_t judged_until_s,
                                        void *arg),
                           void *arg);
int sw_store_each_source(sw_store *store,
                         void (*each)(const char *source, int64_t origin_s, int64_t watermark_s, void *arg),
                         void *arg);
/* Counters that go on over restarts (trace_anomalies_total by type). */
int sw_store_each_counter(sw_store *store,
                          void (*each)(const char *name, const char *label, double value, void *arg),
                          void *arg);
int sw_store_each_silence(sw_store *store,
                          void (*each)(const char *id, const char *json, size_t len, void *arg), void *arg);
/* The states of alerts that are gone (alerts/flapping.h). */
int sw_store_each_flaps(sw_store *store,
                        void (*each)(const char *fingerprint, const char *reporter, uint32_t states,
                                     uint32_t evaluation, void *arg),
                        void *arg);
/* Evaluations that are kept, by id (agent/evaluations.h). */
int sw_store_each_evaluation(sw_store *store,
                             void (*each)(int64_t id, const char *json, size_t len, void *arg), void *arg);
int sw_store_each_outbox(sw_store *store, void (*each)(const sw_outbox_row *row, void *arg),
                         void *arg); /* by id */
int sw_store_each_outbox_of(sw_store *store, const char *receiver,
                            void (*each)(const sw_outbox_row *row, void *arg), void *arg);
/* When notifications went out, by time: those of groups ("" is none), and of receivers that count them. */
int sw_store_each_notified(sw_store *store,
                           void (*each)(const char *receiver, const char *group_key, int64_t at_ns,
                                        int64_t group_interval_ms, void *arg),
                           void *arg);
/* Of each receiver that has rows: how many wait, and how many are dead letters. */
int sw_store_each_receiver(sw_store *store,
                           void (*each)(const char *receiver, size_t waiting, size_t dead, void *arg),
                           void *arg);
/* Alerts that a receiver was told to fire, in a notification of their group. */
int sw_store_each_group_member(sw_store *store,
                               void (*each)(const char *receiver, const char *fingerprint,
                                            const char *group_key, void *arg),
                               void *arg);
int64_t sw_store_next_outbox_id(sw_store *store); /* hands out ids in memory: unique over restarts */
/* Reads rows while running, on the pool, after the commits that were started before: those of `receiver` that
 * are dead letters, or those that are not, with a greater id than `after_id`, by id, at most `limit`. `done`
 * comes in the loop and takes the rows (each to be released, and the array to be freed); n is -1 when reading
 * failed. */
void sw_store_load_outbox(sw_store *store, const char *receiver, bool dead, int64_t after_id, int limit,
                          void (*done)(sw_outbox_row *rows, int n, void *arg), void *arg);

/* Writing. A batch copies what it is given. */
sw_store_batch *sw_store_batch_new(sw_store *store);
void sw_store_batch_free(sw_store_batch *batch); /* only when it is not committed */
bool sw_store_batch_empty(const sw_store_batch *batch);
void sw_batch_put_alert(sw_store_batch *batch, const char *fingerprint, const char *json, size_t len);
void sw_batch_delete_alert(sw_store_batch *batch, const char *fingerprint);
void sw_batch_put_silence(sw_store_batch *batch, const char *id, const char *json, size_t len);
void sw_batch_delete_silence(sw_store_batch *batch, const char *id);
void sw_batch_put_flaps(sw_store_batch *batch, const char *fingerprint, const char *reporter, uint32_t states,
                        uint32_t evaluation);
void sw_batch_delete_flaps(sw_store_batch *batch, const char *fingerprint);
void sw_batch_put_evaluation(sw_store_batch *batch, int64_t id, const char *json, size_t len);
void sw_batch_delete_evaluation(sw_store_batch *batch, int64_t id);
void sw_batch_put_reported(sw_store_batch *batch, const char *type, const char *trace_id, int64_t at_ns);
void sw_batch_expire_reported(sw_store_batch *batch, int64_t before_ns);
void sw_batch_put_judged(sw_store_batch *batch, const char *detector, const char *source,
                         const char *trace_id, uint64_t digest, int64_t at_ns);
void sw_batch_expire_judged(sw_store_batch *batch, int64_t before_ns);
void sw_batch_put_detector(sw_store_batch *batch, const char *detector, int64_t state_version,
                           const void *state, size_t len);
void sw_batch_put_progress(sw_store_batch *batch, const char *detector, const char *source,
                           int64_t judged_until_s);
void sw_batch_put_source(sw_store_batch *batch, const char *source, int64_t origin_s, int64_t watermark_s);
void sw_batch_put_counter(sw_store_batch *batch, const char *name, const char *label, double value);
void sw_batch_put_outbox(sw_store_batch *batch, const sw_outbox_row *row); /* insert or update by id */
/* Only what attempts change: next_attempt_ns, attempts, dead, last_error. */
void sw_batch_update_outbox(sw_store_batch *batch, const sw_outbox_row *row);
void sw_batch_delete_outbox(sw_store_batch *batch, int64_t id);
/* Deletes the oldest dead letters of a receiver until `keep` are left. */
void sw_batch_trim_dead(sw_store_batch *batch, const char *receiver, int64_t keep);
void sw_batch_put_notified(sw_store_batch *batch, const char *receiver, const char *group_key, int64_t at_ns,
                           int64_t group_interval_ms);
/* Forgets what is over an hour old, and longer ago than its group's interval. */
void sw_batch_expire_notified(sw_store_batch *batch, const char *receiver, int64_t now_ns);
void sw_batch_put_group_member(sw_store_batch *batch, const char *receiver, const char *fingerprint,
                               const char *group_key);
void sw_batch_delete_group_member(sw_store_batch *batch, const char *receiver, const char *fingerprint);
/* `ended` is called once when the next commit of this batch has ended, before the commit's own callback: with
 * 0, or -1 when it failed (a hook may then add itself again, for the next try); or with SW_BATCH_FREED when
 * the batch is freed without. For who adds to a batch that somebody else commits. */
#define SW_BATCH_FREED (-2)
void sw_batch_on_end(sw_store_batch *batch, void (*ended)(sw_store_batch *batch, int result, void *arg),
                     void *arg);
/* For a batch that must wait behind one that failed: its hooks hear -1 now, as if its own commit had failed.
 */
void sw_batch_must_wait(sw_store_batch *batch);
/* Takes the batch. `done` gets 0 (and batch NULL), or -1, a message, and the batch back: the caller owns it
 * again and may commit it once more or free it. */
void sw_store_commit(sw_store *store, sw_store_batch *batch,
                     void (*done)(int result, const char *message, sw_store_batch *batch, void *arg),
                     void *arg);
size_t sw_store_commits_waiting(const sw_store *store);

#endif
