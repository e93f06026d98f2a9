/* Life of the outbox, and how rows come into it: from callers' batches, and from the store. */
#include <string.h>

#include "delivery/outbox_internal.h"
#include "telemetry/log.h"

#define LOAD_ROWS 100                    /* read from the store at once */
#define LONGEST_WAIT_MS INT64_C(3600000) /* of a row that was stored, if backoff_max is not longer */

void sw_outbox_link_release(sw_outbox_link *link) {
    if (--link->users == 0) {
        free(link);
    }
}

/* ---- rows that were stored ---- */

/* How long a row may have to wait: for its group, or to be tried again. */
static int64_t longest_wait_ns(const sw_outbox *outbox, const sw_outbox_row *row) {
    if (row->attempts == 0) {
        return row->next_attempt_ns - row->created_ns;
    }
    int64_t longest_ms = outbox->options.backoff_max_ms;
    return (longest_ms > LONGEST_WAIT_MS ? longest_ms : LONGEST_WAIT_MS) * SW_NS_PER_MS;
}

/* The wall clock may have stepped since the row was written. */
static void resume(sw_outbox *outbox, sw_entry *entry) {
    int64_t wall = sw_wall_ns(outbox->clock), mono = sw_mono_ns(outbox->clock);
    int64_t age = wall - entry->row.created_ns;
    int64_t wait = entry->row.next_attempt_ns - wall, longest = longest_wait_ns(outbox, &entry->row);
    entry->created_mono_ns = mono - (age > 0 ? age : 0);
    entry->due_mono_ns = mono + (wait < 0 ? 0 : wait < longest ? wait : longest);
    entry->stored = true;
    entry->state = SW_ENTRY_READY;
    sw_outbox_tell_inside(entry);
    sw_queue_update(&outbox->queue, entry);
}

static bool has_room(const sw_outbox *outbox) {
    return outbox->queue.n_live < outbox->options.max_rows && outbox->queue.bytes < SW_OUTBOX_MAX_BYTES;
}

static void copy_row(sw_outbox_row *to, const sw_outbox_row *from) {
    *to = *from;
    to->receiver = xstrdup(from->receiver);
    to->fingerprint = xstrdup(from->fingerprint);
    to->idempotency_key = xstrdup(from->idempotency_key);
    to->content_type = xstrdup(from->content_type);
    to->last_error = xstrdup(from->last_error);
    to->group_key = xstrdup(from->group_key);
    to->group_labels = xstrdup(from->group_labels);
    to->body = xmalloc(from->body_len + 1);
    memcpy(to->body, from->body, from->body_len);
    to->body[from->body_len] = '\0';
}

/* An alert stays in the group in which it was told until it is over, whatever routes say since: what a
 * receiver has opened under the key of a group it closes under the same. The store keeps the row as it came.
 * Takes it. */
static sw_entry *queue_row(sw_outbox *outbox, sw_outbox_row *row) {
    sw_members_place(outbox, row);
    return sw_queue_add(&outbox->queue, outbox, row);
}

static void restore_row(const sw_outbox_row *row, void *arg) {
    sw_outbox *outbox = arg;
    if (row->dead) {
        outbox->dead++;
    } else if (outbox->n_unloaded > 0 || !has_room(outbox)) {
        outbox->n_unloaded++;
    } else {
        sw_outbox_row copy;
        copy_row(&copy, row);
        outbox->loaded_until = copy.id;
        resume(outbox, queue_row(outbox, &copy));
    }
}

static void loaded(sw_outbox_row *rows, int n, void *arg) {
    sw_outbox_link *link = arg;
    sw_outbox *outbox = link->outbox;
    for (int i = 0; i < n; i++) {
        if (outbox == NULL) {
            sw_outbox_row_release(&rows[i]);
            continue;
        }
        outbox->loaded_until = rows[i].id;
        outbox->n_unloaded--;
        resume(outbox, queue_row(outbox, &rows[i]));
    }
    free(rows);
    sw_outbox_link_release(link);
    if (outbox != NULL) {
        outbox->loading = false;
        if (n > 0) {
            sw_outbox_load_more(outbox);
        } else if (n < 0) {
            sw_log(SW_LOG_ERROR, "cannot read notifications from the storage, trying again with the next",
                   "receiver", outbox->options.name, NULL);
        }
        sw_outbox_pump(outbox);
    }
}

/* When there is room for what is only in the store. */
void sw_outbox_load_more(sw_outbox *outbox) {
    bool wanted = outbox->n_unloaded > 0 && outbox->queue.n_live <= outbox->options.max_rows / 2 &&
                  outbox->queue.bytes <= SW_OUTBOX_MAX_BYTES / 2;
    if (!wanted || outbox->loading || outbox->draining) {
        return;
    }
    size_t room = outbox->options.max_rows - outbox->queue.n_live;
    outbox->loading = true;
    outbox->link->users++;
    sw_store_load_outbox(outbox->store, outbox->options.name, false, outbox->loaded_until,
                         room < LOAD_ROWS ? (int)room : LOAD_ROWS, loaded, outbox->link);
}

/* ---- rows of a batch that the caller commits ---- */

/* The store has the row now, by the caller's commit: what has become of it meanwhile can be written. */
static void now_stored(sw_outbox *outbox, const struct sw_pending_row *row) {
    sw_entry *entry = row->in_memory ? sw_queue_find(&outbox->queue, row->id) : NULL;
    if (entry == NULL) {
        return;
    }
    entry->stored = true;
    if (entry->state == SW_ENTRY_SETTLED || entry->row.attempts > 0 || entry->whole) {
        sw_outbox_record(outbox, entry);
    }
}

/* The caller gave up its batch: the outbox writes the row itself. */
static void never_stored(sw_outbox *outbox, const struct sw_pending_row *row) {
    sw_entry *entry = row->in_memory ? sw_queue_find(&outbox->queue, row->id) : NULL;
    if (entry == NULL) {
        outbox->n_unloaded -= row->in_memory ? 0 : 1;
    } else if (entry->state == SW_ENTRY_SETTLED && !entry->row.dead) {
        sw_queue_remove(&outbox->queue, entry);
    } else {
        sw_records_put(outbox, &entry->row);
        entry->stored = true;
        if (entry->state == SW_ENTRY_SETTLED) {
            sw_queue_remove(&outbox->queue, entry);
        }
    }
}

static void let_go(sw_outbox *outbox, const sw_pending_rows *pending) {
    for (size_t i = 0; i < pending->n; i++) {
        sw_entry *entry = sw_queue_find(&outbox->queue, pending->rows[i].id);
        if (entry != NULL && entry->state == SW_ENTRY_HELD) {
            outbox->n_storing -= entry->reserved ? 1 : 0;
            entry->state = SW_ENTRY_READY;
            sw_queue_update(&outbox->queue, entry);
        }
    }
}

static void forget_pending(sw_outbox *outbox, sw_pending_rows *pending) {
    sw_pending_rows **at = &outbox->pending;
    while (*at != pending) {
        at = &(*at)->next;
    }
    *at = pending->next;
}

static void batch_ended(sw_store_batch *batch, int result, void *arg) {
    sw_pending_rows *pending = arg;
    sw_outbox *outbox = pending->link->outbox;
    if (outbox != NULL) {
        let_go(outbox, pending);
    }
    if (result == -1) {
        sw_batch_on_end(batch, batch_ended, pending); /* it may be committed again */
    } else {
        for (size_t i = 0; outbox != NULL && i < pending->n; i++) {
            (result == 0 ? now_stored : never_stored)(outbox, &pending->rows[i]);
        }
        if (outbox != NULL) {
            forget_pending(outbox, pending);
        }
        sw_outbox_link_release(pending->link);
        free(pending->rows);
        free(pending);
    }
    if (outbox != NULL) {
        sw_outbox_load_more(outbox);
        sw_outbox_pump(outbox);
    }
}

static sw_pending_rows *pending_of(sw_outbox *outbox, sw_store_batch *batch) {
    sw_pending_rows *pending = outbox->pending;
    while (pending != NULL && pending->batch != batch) {
        pending = pending->next;
    }
    if (pending == NULL) {
        pending = xcalloc(1, sizeof *pending);
        pending->link = outbox->link;
        pending->link->users++;
        pending->batch = batch;
        pending->next = outbox->pending;
        outbox->pending = pending;
        sw_batch_on_end(batch, batch_ended, pending);
    }
    return pending;
}

static void add_pending(sw_outbox *outbox, sw_store_batch *batch, int64_t id, bool in_memory) {
    sw_pending_rows *pending = pending_of(outbox, batch);
    pending->rows = xrealloc_array(pending->rows, pending->n + 1, sizeof *pending->rows);
    pending->rows[pending->n++] = (struct sw_pending_row){id, in_memory};
}

void sw_outbox_hold(sw_outbox *outbox, sw_store_batch *batch, const sw_entry *entry) {
    add_pending(outbox, batch, entry->row.id, true);
}

/* The content is the caller's. */
static void add_row(sw_outbox *outbox, sw_store_batch *batch, const sw_outbox_row *content, int64_t wait_ms) {
    sw_outbox_row row = *content;
    row.id = sw_store_next_outbox_id(outbox->store);
    row.receiver = (char *)outbox->options.name;
    row.created_ns = sw_wall_ns(outbox->clock);
    row.next_attempt_ns = row.created_ns + wait_ms * SW_NS_PER_MS;
    row.attempts = 0;
    row.dead = false;
    row.last_error = (char *)"";
    sw_batch_put_outbox(batch, &row);
    bool in_memory = outbox->n_unloaded == 0 && has_room(outbox);
    add_pending(outbox, batch, row.id, in_memory);
    if (in_memory) {
        sw_outbox_row copy;
        copy_row(&copy, &row);
        outbox->loaded_until = row.id;
        sw_entry *entry = queue_row(outbox, &copy);
        entry->created_mono_ns = sw_mono_ns(outbox->clock);
        entry->due_mono_ns = entry->created_mono_ns + wait_ms * SW_NS_PER_MS;
        sw_outbox_tell_inside(entry);
    } else {
        outbox->n_unloaded++;
    }
    sw_outbox_show(outbox);
}

/* What was told alone stays so. What waits in memory is seen there; of what is only in the store nothing is
 * known. */
static bool stays_alone(const sw_outbox *outbox, const sw_notification *notification) {
    return notification->told_before && outbox->n_unloaded == 0 &&
           !sw_members_have(outbox, notification->fingerprint) &&
           !sw_queue_tells(&outbox->queue, notification->fingerprint);
}

void sw_outbox_add(sw_outbox *outbox, sw_store_batch *batch, const sw_notification *notification) {
    char key[37];
    sw_uuid4(key);
    bool grouped = notification->group_key != NULL && !stays_alone(outbox, notification);
    const sw_outbox_row content = {
        .fingerprint = (char *)notification->fingerprint,
        .idempotency_key = key,
        .content_type = (char *)notification->content_type,
        .body = (char *)notification->body,
        .body_len = notification->len,
        .resolved = notification->resolved,
        .severity = notification->severity,
        .group_key = grouped ? (char *)notification->group_key : NULL,
        .group_labels = (char *)notification->group_labels_json,
        .group_interval_ms = notification->group_interval_ms,
    };
    add_row(outbox, batch, &content, grouped ? notification->group_wait_ms : 0);
}

/* As a new row: an older id would not be looked for in the store any more. */
void sw_outbox_send_again(sw_outbox *outbox, sw_store_batch *batch, const sw_outbox_row *dead) {
    sw_outbox_drop(outbox, batch, dead);
    add_row(outbox, batch, dead, 0);
}

void sw_outbox_drop(sw_outbox *outbox, sw_store_batch *batch, const sw_outbox_row *dead) {
    sw_batch_delete_outbox(batch, dead->id);
    outbox->dead -= outbox->dead > 0 ? 1 : 0;
    sw_outbox_show(outbox);
}

void sw_outbox_forget(sw_outbox *outbox, sw_store_batch *batch, const char *fingerprint) {
    sw_members_forget(outbox, batch, fingerprint);
}

struct dead_letters {
    sw_outbox_link *link;
    sw_dead_letters_done done;
    void *arg;
};

static void dead_letters_loaded(sw_outbox_row *rows, int n, void *arg) {
    struct dead_letters *letters = arg;
    letters->done(rows, letters->link->outbox != NULL ? n : -1, letters->arg);
    for (int i = 0; i < n; i++) {
        sw_outbox_row_release(&rows[i]);
    }
    free(rows);
    sw_outbox_link_release(letters->link);
    free(letters);
}

void sw_outbox_dead_letters(sw_outbox *outbox, int64_t after_id, int limit, sw_dead_letters_done done,
                            void *arg) {
    struct dead_letters *letters = xmalloc(sizeof *letters);
    *letters = (struct dead_letters){outbox->link, done, arg};
    outbox->link->users++;
    sw_records_flush(outbox); /* what died just now */
    sw_store_load_outbox(outbox->store, outbox->options.name, true, after_id, limit, dead_letters_loaded,
                         letters);
}

void sw_outbox_committed(sw_outbox *outbox) {
    sw_outbox_load_more(outbox);
    sw_outbox_pump(outbox);
}

/* ---- life ---- */

static void make_metrics(sw_outbox *outbox, sw_metrics *metrics) {
    static const char *const receiver[] = {"receiver", NULL};
    static const char *const receiver_result[] = {"receiver", "result", NULL};
    static const double bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                    0.25,  0.5,    1,     2.5,  5,     10,   30};
    outbox->m.deliveries =
        sw_metrics_counter(metrics, "spanwatch_deliveries_total",
                           "Attempts to deliver a notification, by what came of them.", receiver_result);
    outbox->m.depth = sw_metrics_gauge(metrics, "spanwatch_outbox_depth",
                                       "Notifications that are not delivered yet.", receiver);
    outbox->m.dead = sw_metrics_gauge(metrics, "spanwatch_outbox_dead",
                                      "Dead letters: notifications that were refused or given up.", receiver);
    outbox->m.duration = sw_metrics_histogram(metrics, "spanwatch_delivery_duration_seconds",
                                              "Time of one attempt.", receiver, bounds, SW_ARRAY_LEN(bounds));
    static const char *const receiver_state[] = {"receiver", "state", NULL};
    outbox->m.combined = sw_metrics_counter(
        metrics, "spanwatch_combined_alerts_total",
        "Alerts in notifications of several: told, or only counted (truncated).", receiver_result);
    outbox->m.held = sw_metrics_gauge(metrics, "spanwatch_receiver_held_back",
                                      "1 while notifications wait for the limit per hour.", receiver);
    outbox->m.circuit =
        sw_metrics_gauge(metrics, "spanwatch_receiver_circuit_state",
                         "1 for the state that the receiver is in: closed (all is well), open (nothing is "
                         "sent for a while), half_open (one attempt at a time).",
                         receiver_state);
    static const char *const results[] = {"delivered", "retried", "dead"};
    for (size_t i = 0; i < SW_ARRAY_LEN(results); i++) {
        sw_metric_add(outbox->m.deliveries, 0, outbox->options.name, results[i]);
    }
    sw_metric_add(outbox->m.combined, 0, outbox->options.name, "told");
    sw_metric_add(outbox->m.combined, 0, outbox->options.name, "truncated");
}

sw_outbox *sw_outbox_new(uv_loop_t *loop, const sw_clock *clock, sw_http_client *http, sw_store *store,
                         sw_metrics *metrics, const sw_receiver_options *options) {
    sw_outbox *outbox = xcalloc(1, sizeof *outbox);
    outbox->loop = loop;
    outbox->clock = clock;
    outbox->http = http;
    outbox->store = store;
    outbox->options = *options;
    outbox->random = sw_outbox_random;
    outbox->secrets = sw_secrets_new();
    outbox->link = xcalloc(1, sizeof *outbox->link);
    *outbox->link = (sw_outbox_link){outbox, 1};
    uv_timer_init(loop, &outbox->due_timer);
    uv_timer_init(loop, &outbox->write_timer);
    outbox->due_timer.data = outbox->write_timer.data = outbox;
    outbox->open_handles = 2;
    uv_unref((uv_handle_t *)&outbox->due_timer);
    make_metrics(outbox, metrics);
    sw_outbox_restore_notified(outbox);
    sw_store_each_outbox_of(store, options->name, restore_row, outbox);
    sw_outbox_resume_holding(outbox);
    if (outbox->dead > 0 || sw_outbox_depth(outbox) > 0) {
        sw_log(SW_LOG_INFO, "notifications of the last run", "receiver", options->name, "waiting",
               sw_log_int((int64_t)sw_outbox_depth(outbox)), "dead", sw_log_int((int64_t)outbox->dead), NULL);
    }
    sw_outbox_pump(outbox);
    return outbox;
}

static void handle_closed(uv_handle_t *handle) {
    sw_outbox *outbox = handle->data;
    if (--outbox->open_handles == 0) {
        free(outbox);
    }
}

static void cancel_attempts(sw_outbox *outbox) {
    bool http = outbox->options.url != NULL && outbox->options.url[0] != '\0';
    for (sw_entry *entry = outbox->queue.entries; entry != NULL; entry = entry->hh.next) {
        if (entry->formatting != NULL) {
            outbox->options.format.cancel(entry->formatting, outbox->options.format.arg);
        }
        if (entry->attempt != NULL) {
            (http ? sw_webhook_cancel : sw_stdout_cancel)(entry->attempt);
        }
    }
}

void sw_outbox_free(sw_outbox *outbox) {
    if (outbox == NULL) {
        return;
    }
    cancel_attempts(outbox);
    sw_records_stop(outbox);
    outbox->link->outbox = NULL;
    sw_outbox_link_release(outbox->link);
    sw_members_release(outbox);
    sw_queue_release(&outbox->queue);
    sw_secrets_free(outbox->secrets);
    free(outbox->failing);
    free(outbox->refused);
    free(outbox->recent.mono_ns);
    uv_close((uv_handle_t *)&outbox->due_timer, handle_closed);
    uv_close((uv_handle_t *)&outbox->write_timer, handle_closed);
}

void sw_outbox_drain(sw_outbox *outbox, void (*done)(void *arg), void *arg) {
    outbox->draining = true;
    outbox->drained = done;
    outbox->drained_arg = arg;
    sw_outbox_check_drained(outbox);
}

void sw_outbox_check_drained(sw_outbox *outbox) {
    if (outbox->drained == NULL || outbox->in_flight > 0) {
        return;
    }
    if (!sw_records_idle(outbox)) {
        sw_records_flush(outbox);
        return;
    }
    void (*done)(void *arg) = outbox->drained;
    outbox->drained = NULL;
    done(outbox->drained_arg);
}

bool sw_outbox_waits(const sw_outbox *outbox, const char *fingerprint) {
    return sw_queue_waits(&outbox->queue, fingerprint);
}

size_t sw_outbox_depth(const sw_outbox *outbox) {
    return outbox->queue.n_live + outbox->n_unloaded;
}

const char *sw_outbox_refused(const sw_outbox *outbox) {
    return outbox->refused;
}

size_t sw_outbox_dead(const sw_outbox *outbox) {
    return outbox->dead;
}

int64_t sw_outbox_oldest_age_ms(const sw_outbox *outbox) {
    const sw_entry *oldest = sw_queue_oldest(&outbox->queue, outbox->holding);
    return oldest == NULL ? 0 : (sw_mono_ns(outbox->clock) - oldest->created_mono_ns) / SW_NS_PER_MS;
}
