/* Which row is sent when, and what its answer means. */
#include <stdio.h>
#include <string.h>

#include "delivery/outbox_internal.h"
#include "net/url.h"
#include "telemetry/log.h"

#define OPEN_AFTER 3 /* attempts in a row that failed for the receiver's sake */
#define PAUSE_MAX_MS                                                                                         \
    30000 /* between attempts while the circuit is open, and before all that follow a Retry-After */

int64_t sw_backoff_ms(int attempt, int64_t min_ms, int64_t max_ms, double random) {
    int64_t limit = min_ms;
    for (int i = 0; i < attempt && limit < max_ms; i++) {
        limit = limit > INT64_MAX / 2 ? max_ms : limit * 2;
    }
    limit = limit < max_ms ? limit : max_ms;
    return (int64_t)(random * ((double)limit + 1));
}

double sw_outbox_random(void) {
    uint64_t bits = 0;
    sw_random_bytes(&bits, sizeof bits);
    return (double)(bits >> 11) * 0x1p-53;
}

static int64_t pause_ms(const sw_outbox *outbox, int attempt, int64_t max_ms) {
    return sw_backoff_ms(attempt, outbox->options.backoff_min_ms, max_ms, outbox->random());
}

const char *sw_outbox_circuit(const sw_outbox *outbox) {
    if (outbox->in_trouble < OPEN_AFTER) {
        return "closed";
    }
    bool may_try = outbox->in_flight > 0 || sw_mono_ns(outbox->clock) >= outbox->gate_mono_ns;
    return may_try ? "half_open" : "open";
}

static void show_circuit(sw_outbox *outbox) {
    static const char *const states[] = {"closed", "open", "half_open"};
    const char *state = sw_outbox_circuit(outbox);
    if (state == outbox->shown_circuit) {
        return;
    }
    outbox->shown_circuit = state;
    for (size_t i = 0; i < SW_ARRAY_LEN(states); i++) {
        sw_metric_set(outbox->m.circuit, sw_streq(states[i], state), outbox->options.name, states[i]);
    }
}

void sw_outbox_show(sw_outbox *outbox) {
    const char *name = outbox->options.name;
    show_circuit(outbox);
    sw_metric_set(outbox->m.held, outbox->holding, name);
    sw_metric_set(outbox->m.depth, (double)sw_outbox_depth(outbox), name);
    sw_metric_set(outbox->m.dead, (double)outbox->dead, name);
}

/* ---- the log: a failure when its kind changes, and the recovery; the rest is counted ---- */

static void log_failure(sw_outbox *outbox, const sw_attempt_result *result) {
    outbox->failures++;
    if (sw_streq(outbox->failing, result->reason)) {
        return;
    }
    /* The path of a webhook is often its secret: only the host is logged. */
    char *host = outbox->options.url != NULL ? sw_url_host(outbox->options.url) : NULL;
    bool refused = result->verdict == SW_ATTEMPT_REFUSED;
    sw_log(refused ? SW_LOG_ERROR : SW_LOG_WARN,
           refused ? "notification refused, it is kept as a dead letter"
                   : "notification not delivered, trying again",
           "receiver", outbox->options.name, "host", host, "reason", result->message, "failures",
           sw_log_int((int64_t)outbox->failures), NULL);
    free(host);
    free(outbox->failing);
    outbox->failing = xstrdup(result->reason);
}

static void log_success(sw_outbox *outbox) {
    if (outbox->failing != NULL) {
        sw_log(SW_LOG_INFO, "notifications are delivered again", "receiver", outbox->options.name, "failures",
               sw_log_int((int64_t)outbox->failures), NULL);
        free(outbox->failing);
        outbox->failing = NULL;
        outbox->failures = 0;
        outbox->gave_up = false;
    }
}

/* ---- what an attempt means for its row ---- */

/* Writes what has become of the row, and forgets it when it is settled. Nothing is written of a row that the
 * store does not have yet. */
void sw_outbox_record(sw_outbox *outbox, sw_entry *entry) {
    if (!entry->stored) {
        return;
    }
    bool settled = entry->state == SW_ENTRY_SETTLED;
    if (!settled || entry->row.dead) {
        (entry->whole ? sw_records_put : sw_records_update)(outbox, &entry->row);
        entry->whole = false;
    } else {
        sw_records_delete(outbox, entry->row.id);
    }
    if (settled) {
        sw_queue_remove(&outbox->queue, entry);
    }
}

static void leave(sw_outbox *outbox, sw_entry *entry) {
    sw_queue_leave_lane(&outbox->queue, entry);
    entry->state = SW_ENTRY_SETTLED;
    sw_outbox_record(outbox, entry);
}

static void delivered(sw_outbox *outbox, sw_entry *entry) {
    log_success(outbox);
    free(outbox->refused);
    outbox->refused = NULL;
    sw_metric_add(outbox->m.deliveries, 1, outbox->options.name, "delivered");
    sw_outbox_note_notified(outbox, entry);
    leave(outbox, entry);
}

static void set_error(sw_entry *entry, const char *message) {
    free(entry->row.last_error);
    entry->row.last_error = xstrdup(message);
    entry->row.attempts++;
}

static void died(sw_outbox *outbox, sw_entry *entry, const char *message) {
    sw_metric_add(outbox->m.deliveries, 1, outbox->options.name, "dead");
    set_error(entry, message);
    entry->row.dead = true;
    leave(outbox, entry);
    if (++outbox->dead > SW_OUTBOX_MAX_DEAD) {
        sw_records_trim_dead(outbox);
        outbox->dead = SW_OUTBOX_MAX_DEAD;
    }
}

static void retry_later(sw_outbox *outbox, sw_entry *entry, const sw_attempt_result *result) {
    const sw_receiver_options *options = &outbox->options;
    int64_t pause = pause_ms(outbox, entry->row.attempts, options->backoff_max_ms);
    if (result->retry_after_ms > pause) {
        pause = result->retry_after_ms;
    }
    sw_metric_add(outbox->m.deliveries, 1, options->name, "retried");
    set_error(entry, result->message);
    entry->row.next_attempt_ns = sw_wall_ns(outbox->clock) + pause * SW_NS_PER_MS;
    entry->due_mono_ns = sw_mono_ns(outbox->clock) + pause * SW_NS_PER_MS;
    entry->state = SW_ENTRY_READY;
    sw_queue_update(&outbox->queue, entry);
    sw_outbox_record(outbox, entry);
}

static bool is_too_old(const sw_outbox *outbox, const sw_entry *entry) {
    int64_t age_ns = sw_mono_ns(outbox->clock) - entry->created_mono_ns;
    return age_ns / SW_NS_PER_MS >= outbox->options.max_age_ms;
}

static void give_up(sw_outbox *outbox, sw_entry *entry, const sw_attempt_result *result) {
    char *message =
        xasprintf("given up after %d attempts, the last: %s", entry->row.attempts + 1, result->message);
    if (!outbox->gave_up) {
        outbox->gave_up = true;
        sw_log(SW_LOG_ERROR, "notification too old, it is kept as a dead letter", "receiver",
               outbox->options.name, "fingerprint", entry->row.fingerprint, "reason", message, NULL);
    }
    died(outbox, entry, message);
    free(message);
}

static void failed(sw_outbox *outbox, sw_entry *entry, const sw_attempt_result *result) {
    log_failure(outbox, result);
    if (result->verdict == SW_ATTEMPT_REFUSED) {
        free(outbox->refused);
        outbox->refused = xstrdup(result->message);
        died(outbox, entry, result->message);
    } else if (is_too_old(outbox, entry)) {
        give_up(outbox, entry, result);
    } else {
        retry_later(outbox, entry, result);
    }
}

/* The circuit: how the receiver is decides when the next attempt is made, and how many at once. */
static void note_answer(sw_outbox *outbox, const sw_attempt_result *result) {
    int64_t now = sw_mono_ns(outbox->clock), asked_ms = result->retry_after_ms;
    if (asked_ms > 0) {
        asked_ms = asked_ms < PAUSE_MAX_MS ? asked_ms : PAUSE_MAX_MS;
        outbox->asked_mono_ns = now + asked_ms * SW_NS_PER_MS;
    }
    if (!result->in_trouble) {
        outbox->in_trouble = 0;
        outbox->gate_mono_ns = 0;
        return;
    }
    if (++outbox->in_trouble >= OPEN_AFTER) {
        int64_t max = outbox->options.backoff_max_ms;
        max = max < PAUSE_MAX_MS ? max : PAUSE_MAX_MS;
        int64_t pause = pause_ms(outbox, outbox->in_trouble - OPEN_AFTER, max);
        outbox->gate_mono_ns = now + pause * SW_NS_PER_MS;
    }
}

static void settle(sw_outbox *outbox, sw_entry *entry, const sw_attempt_result *result) {
    double took_s = (double)(sw_mono_ns(outbox->clock) - entry->started_mono_ns) / SW_NS_PER_S;
    sw_metric_observe(outbox->m.duration, took_s, outbox->options.name);
    outbox->in_flight--;
    entry->attempt = NULL;
    note_answer(outbox, result);
    if (result->verdict == SW_ATTEMPT_DELIVERED) {
        delivered(outbox, entry);
    } else {
        failed(outbox, entry, result);
    }
}

static void attempt_done(const sw_attempt_result *result, void *arg) {
    sw_entry *entry = arg;
    sw_outbox *outbox = entry->outbox;
    settle(outbox, entry, result);
    sw_outbox_load_more(outbox);
    sw_outbox_pump(outbox);
    sw_outbox_check_paused(outbox);
    sw_outbox_check_drained(outbox);
}

/* ---- starting ---- */

static bool to_stdout(const sw_outbox *outbox) {
    return outbox->options.url == NULL || outbox->options.url[0] == '\0';
}

static size_t most_in_flight(const sw_outbox *outbox) {
    bool one = outbox->in_trouble >= OPEN_AFTER || to_stdout(outbox); /* lines stay whole, and in order */
    return one ? 1 : outbox->options.max_in_flight;
}

/* The row as it is sent now: the one that is kept has the default body. */
static void attempt(sw_outbox *outbox, sw_entry *entry, const sw_outbox_row *row, const char *url_suffix) {
    entry->started_mono_ns = sw_mono_ns(outbox->clock);
    entry->attempt = to_stdout(outbox)
                         ? sw_stdout_start(outbox->loop, row, attempt_done, entry)
                         : sw_webhook_start(outbox->http, outbox->secrets, &outbox->options, row, url_suffix,
                                            sw_wall_ns(outbox->clock), attempt_done, entry);
}

static void formatted(const sw_formatted *result, void *arg) {
    sw_entry *entry = arg;
    sw_outbox_row row = entry->row;
    entry->formatting = NULL;
    bool good = result->body != NULL;
    if (good) {
        row.content_type = (char *)result->content_type;
        row.body = (char *)result->body;
        row.body_len = result->len;
    }
    attempt(entry->outbox, entry, &row, good ? result->url_suffix : NULL);
}

static void start(sw_outbox *outbox, sw_entry *entry) {
    const sw_row_format *format = &outbox->options.format;
    entry->state = SW_ENTRY_IN_FLIGHT;
    sw_outbox_release_reservation(outbox, entry);
    sw_queue_update(&outbox->queue, entry);
    outbox->in_flight++;
    if (format->start != NULL && !to_stdout(outbox)) {
        entry->formatting = format->start(&entry->row, formatted, entry, format->arg);
    } else {
        attempt(outbox, entry, &entry->row, NULL);
    }
}

static void on_due(uv_timer_t *timer) {
    sw_outbox_pump(timer->data);
}

static void arm(sw_outbox *outbox, int64_t at_mono_ns) {
    int64_t wait_ns = at_mono_ns - sw_mono_ns(outbox->clock);
    uint64_t ms = wait_ns > 0 ? (uint64_t)((wait_ns + SW_NS_PER_MS - 1) / SW_NS_PER_MS) : 0;
    uv_timer_start(&outbox->due_timer, on_due, ms, 0);
}

static int64_t due_ns(const sw_outbox *outbox, const sw_entry *entry) {
    int64_t due = entry->due_mono_ns;
    due = due > outbox->gate_mono_ns ? due : outbox->gate_mono_ns;
    return due > outbox->asked_mono_ns ? due : outbox->asked_mono_ns;
}

/* Whether it did something, so that there may be more. Else *at_mono_ns is when there is (0: not by time). */
static bool send_next(sw_outbox *outbox, int64_t *at_mono_ns) {
    sw_entry *entry = sw_queue_first_due(&outbox->queue);
    if (entry == NULL || due_ns(outbox, entry) > sw_mono_ns(outbox->clock)) {
        *at_mono_ns = entry != NULL ? due_ns(outbox, entry) : 0;
        sw_outbox_nothing_due(outbox);
        return false;
    }
    if (!sw_outbox_may_send(outbox, entry, at_mono_ns)) {
        return false;
    }
    if (sw_outbox_must_combine(outbox, entry)) {
        return sw_outbox_combine(outbox, entry, at_mono_ns);
    }
    start(outbox, entry);
    return true;
}

void sw_outbox_pump(sw_outbox *outbox) {
    int64_t at_mono_ns = 0;
    uv_timer_stop(&outbox->due_timer);
    outbox->combined_in_pass = 0;
    while (!outbox->draining && !outbox->paused && outbox->in_flight < most_in_flight(outbox) &&
           send_next(outbox, &at_mono_ns)) {
    }
    if (at_mono_ns > 0) {
        arm(outbox, at_mono_ns);
    }
    if (outbox->n_storing > 0) {
        sw_records_flush(outbox);
    }
    sw_outbox_show(outbox);
}
