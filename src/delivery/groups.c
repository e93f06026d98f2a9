/* Which rows go out together, as one notification, and when: groups, and the limit of notifications per hour.
 */
#include <string.h>

#include "delivery/outbox_internal.h"
#include "telemetry/log.h"

#define HOUR_NS (3600 * SW_NS_PER_S)
#define COMBINED_AT_ONCE 64  /* notifications put together and not stored yet */
#define ROWS_PER_PASS 1000   /* put together in one pass of the loop, if they are of several groups */
#define MAX_GROUPS 10000     /* empty ones of which the last notification is remembered */
#define EXPIRE_EVERY 256     /* notifications */
#define HELD_BACK "\x1fheld" /* the group of what waited for the limit: no route has such a key */

/* ---- the limit per hour ---- */

static bool is_limited(const sw_outbox *outbox) {
    return outbox->options.max_per_hour > 0;
}

/* Notifications that went out within the last hour. */
static size_t recent(sw_outbox *outbox) {
    sw_recent *recent = &outbox->recent;
    while (recent->n > 0 && recent->mono_ns[recent->first] <= sw_mono_ns(outbox->clock) - HOUR_NS) {
        recent->first = (recent->first + 1) % outbox->options.max_per_hour;
        recent->n--;
    }
    return recent->n;
}

static void remember(sw_outbox *outbox, int64_t mono_ns) {
    sw_recent *recent = &outbox->recent;
    size_t size = outbox->options.max_per_hour;
    if (recent->n == size) {
        recent->first = (recent->first + 1) % size;
        recent->n--;
    }
    recent->mono_ns[(recent->first + recent->n++) % size] = mono_ns;
}

/* What is under way counts, and what was put together for being sent. */
static bool has_room(sw_outbox *outbox, const sw_entry *entry) {
    size_t reserved = entry->reserved ? 0 : outbox->n_reserved;
    return recent(outbox) + outbox->in_flight + reserved < outbox->options.max_per_hour;
}

static void begin_holding(sw_outbox *outbox) {
    int64_t now = sw_mono_ns(outbox->clock);
    if (!outbox->holding &&
        (outbox->said_limit_mono_ns == 0 || now - outbox->said_limit_mono_ns >= HOUR_NS)) {
        outbox->said_limit_mono_ns = now;
        sw_log(SW_LOG_WARN,
               "as many notifications as are allowed in an hour, what follows comes as a summary", "receiver",
               outbox->options.name, "max_per_hour", sw_log_int((int64_t)outbox->options.max_per_hour), NULL);
    }
    outbox->holding = true;
}

bool sw_outbox_may_send(sw_outbox *outbox, const sw_entry *entry, int64_t *at_mono_ns) {
    if (!is_limited(outbox) || has_room(outbox, entry)) {
        return true;
    }
    begin_holding(outbox);
    const sw_recent *recent = &outbox->recent;
    *at_mono_ns = recent->n > 0 ? recent->mono_ns[recent->first] + HOUR_NS : 0;
    return false;
}

void sw_outbox_nothing_due(sw_outbox *outbox) {
    if (outbox->holding && recent(outbox) + outbox->in_flight < outbox->options.max_per_hour) {
        outbox->holding = false;
    }
}

void sw_outbox_resume_holding(sw_outbox *outbox) {
    if (!is_limited(outbox)) {
        return;
    }
    size_t n = outbox->n_unloaded, sent = recent(outbox);
    for (size_t i = 0; i < outbox->queue.n_heap; i++) {
        const sw_entry *first = outbox->queue.heap[i]->first;
        n += first->row.attempts == 0 && first->due_mono_ns <= sw_mono_ns(outbox->clock) ? 1 : 0;
    }
    if (sent + n > outbox->options.max_per_hour) {
        begin_holding(outbox);
    }
}

/* ---- putting rows together ---- */

static bool may_be_combined(const sw_entry *entry) {
    return entry->state == SW_ENTRY_READY && !entry->row.combined && entry->row.attempts == 0;
}

bool sw_outbox_must_combine(const sw_outbox *outbox, const sw_entry *entry) {
    return may_be_combined(entry) && (entry->lane->grouped || outbox->holding);
}

struct taken {
    sw_entry **entries;
    size_t n, allocated;
};

static void append(struct taken *taken, sw_entry *entry) {
    if (taken->n == taken->allocated) {
        taken->allocated = taken->allocated == 0 ? 16 : taken->allocated * 2;
        taken->entries = xrealloc_array(taken->entries, taken->allocated, sizeof(sw_entry *));
    }
    taken->entries[taken->n++] = entry;
}

static void take_ready(sw_outbox *outbox, sw_lane *lane, struct taken *taken) {
    while (lane->first != NULL && may_be_combined(lane->first)) {
        append(taken, sw_queue_take_first(&outbox->queue, lane));
    }
}

/* The row that becomes the notification: the oldest that is stored, so that the store has it in the order of
 * the lane and never loses it; when none is stored, the oldest. */
static sw_entry *base_of(const struct taken *taken) {
    for (size_t i = 0; i < taken->n; i++) {
        if (taken->entries[i]->stored) {
            return taken->entries[i];
        }
    }
    return taken->entries[0];
}

static void set_text(char **at, const char *text) {
    char *copy = xstrdup(text);
    free(*at);
    *at = copy;
}

/* A key of its own: should this never be stored and other rows be combined after a crash, the receiver must
 * not take those for this. */
static void become(sw_outbox *outbox, sw_entry *base, const char *key, sw_combined *combined) {
    sw_outbox_row *row = &base->row;
    char idempotency_key[37];
    sw_uuid4(idempotency_key);
    outbox->queue.bytes += combined->body.len - row->body_len;
    free(row->body);
    row->body = sw_buf_steal(&combined->body, &row->body_len);
    set_text(&row->idempotency_key, idempotency_key);
    set_text(&row->fingerprint, combined->alerts[0].fingerprint);
    set_text(&row->group_key, key);
    set_text(&row->content_type, "application/json");
    row->resolved = combined->resolved;
    row->severity = combined->severity;
    row->combined = true;
    row->created_ns = row->next_attempt_ns = sw_wall_ns(outbox->clock);
    base->created_mono_ns = sw_mono_ns(outbox->clock);
    base->whole = !base->stored;
    base->reserved = true;
    outbox->n_reserved++;
}

/* One transaction: the notification is stored before it is sent, and the rows that it tells are gone. */
static void store(sw_outbox *outbox, sw_entry *base, const struct taken *taken) {
    sw_store_batch *batch = NULL;
    size_t n = 0;
    for (size_t i = 0; i < taken->n; i++) {
        sw_entry *entry = taken->entries[i];
        if (entry->stored) {
            batch = sw_records_batch(outbox);
            n++;
        }
        if (entry->stored && entry == base) {
            sw_batch_put_outbox(batch, &entry->row);
        } else if (entry->stored) {
            sw_batch_delete_outbox(batch, entry->row.id);
        }
        if (entry != base) {
            entry->state = SW_ENTRY_SETTLED;
            if (entry->stored) {
                sw_queue_remove(&outbox->queue, entry);
            }
        }
    }
    base->state =
        batch != NULL ? SW_ENTRY_HELD : SW_ENTRY_READY; /* from memory, when nothing can be stored */
    if (batch != NULL) {
        sw_outbox_hold(outbox, batch, base);
        outbox->n_storing++;
        sw_records_added(outbox, n);
    }
}

/* `taken` by id; what they become goes into `lane`. */
static void combine(sw_outbox *outbox, sw_lane *lane, struct taken *taken, const char *labels, bool held_back,
                    bool behind_others) {
    if (taken->n == 0) { /* never: one was found that is due */
        return;
    }
    const sw_outbox_row **rows = xcalloc(taken->n, sizeof *rows);
    for (size_t i = 0; i < taken->n; i++) {
        rows[i] = &taken->entries[i]->row;
    }
    sw_combined combined;
    sw_combine(rows, taken->n, held_back ? "" : lane->key, labels, outbox->options.max_alerts, held_back,
               &combined);
    free(rows);
    size_t n_changes = sw_members_tell(outbox, held_back ? NULL : lane, &combined);
    sw_combined_close(&combined, held_back ? 0 : lane->n_firing);
    sw_entry *base = base_of(taken);
    for (size_t i = 0; i < taken->n; i++) {
        if (taken->entries[i] != base) {
            sw_queue_settled(&outbox->queue, taken->entries[i]);
        }
    }
    base->due_mono_ns = taken->entries[0]->due_mono_ns; /* no later: it must not wait for those after it */
    become(outbox, base, lane->key, &combined);
    if (held_back) { /* the limit is what spaces them */
        base->row.group_interval_ms = 0;
    }
    if (behind_others) {
        sw_queue_put_last(&outbox->queue, lane, base);
    } else {
        sw_queue_put_first(lane, base);
    }
    for (size_t i = 0; i < combined.n - combined.n_truncated; i++) {
        sw_queue_tell(&outbox->queue, base, combined.alerts[i].fingerprint);
    }
    outbox->combined_in_pass += taken->n;
    store(outbox, base, taken);
    if (n_changes > 0) {
        sw_records_added(outbox, n_changes);
    }
    sw_metric_add(outbox->m.combined, (double)(combined.n - combined.n_truncated), outbox->options.name,
                  "told");
    sw_metric_add(outbox->m.combined, (double)combined.n_truncated, outbox->options.name, "truncated");
    sw_combined_release(&combined);
    sw_queue_settle_lane(&outbox->queue, lane);
}

static void combine_group(sw_outbox *outbox, sw_lane *lane) {
    struct taken taken = {0};
    char *labels = xstrdup(lane->first->row.group_labels);
    take_ready(outbox, lane, &taken);
    combine(outbox, lane, &taken, labels, false, false);
    free(labels);
    free(taken.entries);
}

static int by_id(const void *a, const void *b) {
    int64_t x = (*(sw_entry *const *)a)->row.id, y = (*(sw_entry *const *)b)->row.id;
    return x < y ? -1 : x > y;
}

/* Whatever waits, of whatever group; what comes later of these alerts waits behind it. */
static void combine_held_back(sw_outbox *outbox) {
    sw_queue *queue = &outbox->queue;
    sw_lane *summary = sw_queue_group(queue, HELD_BACK);
    struct taken taken = {0}, behind = {0};
    size_t n_lanes = 0;
    bool is_free = summary->first == NULL;
    sw_lane **lanes = xcalloc(queue->n_heap, sizeof(sw_lane *));
    for (size_t i = 0; i < queue->n_heap; i++) {
        sw_entry *first = queue->heap[i]->first;
        if (may_be_combined(first) && first->due_mono_ns <= sw_mono_ns(outbox->clock)) {
            lanes[n_lanes++] = queue->heap[i];
            is_free = is_free || queue->heap[i] == summary;
        }
    }
    for (size_t i = 0; i < n_lanes; i++) {
        take_ready(outbox, lanes[i], &taken);
        while (lanes[i] != summary && lanes[i]->first != NULL) {
            append(&behind, sw_queue_take_first(queue, lanes[i]));
        }
        if (lanes[i] != summary) {
            sw_queue_settle_lane(queue, lanes[i]);
        }
    }
    if (taken.n > 1) {
        qsort(taken.entries, taken.n, sizeof(sw_entry *), by_id);
    }
    combine(outbox, summary, &taken, NULL, true, !is_free);
    for (size_t i = 0; i < behind.n; i++) {
        sw_queue_put_last(queue, summary, behind.entries[i]);
    }
    outbox->holding = false;
    free(lanes);
    free(taken.entries);
    free(behind.entries);
}

bool sw_outbox_combine(sw_outbox *outbox, sw_entry *entry, int64_t *at_mono_ns) {
    if (outbox->n_storing >= COMBINED_AT_ONCE) {
        return false; /* what is stored calls for more */
    }
    if (outbox->combined_in_pass >= ROWS_PER_PASS) {
        *at_mono_ns = sw_mono_ns(outbox->clock);
        return false;
    }
    if (outbox->holding) {
        combine_held_back(outbox);
    } else {
        combine_group(outbox, entry->lane);
    }
    return true;
}

void sw_outbox_release_reservation(sw_outbox *outbox, sw_entry *entry) {
    outbox->n_reserved -= entry->reserved ? 1 : 0;
    entry->reserved = false;
}

/* ---- what went out when ---- */

static void expire(sw_outbox *outbox) {
    sw_queue_forget_groups(&outbox->queue, sw_mono_ns(outbox->clock), MAX_GROUPS);
    sw_batch_expire_notified(sw_records_batch(outbox), outbox->options.name, sw_wall_ns(outbox->clock));
    sw_records_added(outbox, 1);
}

void sw_outbox_note_notified(sw_outbox *outbox, const sw_entry *entry) {
    const sw_outbox_row *row = &entry->row;
    sw_lane *lane = entry->lane;
    int64_t now = sw_mono_ns(outbox->clock);
    if (is_limited(outbox)) {
        remember(outbox, now);
    }
    bool spaced = lane->grouped && row->group_interval_ms > 0;
    if (spaced) {
        lane->not_before_mono_ns = now + row->group_interval_ms * SW_NS_PER_MS;
    }
    if (!spaced && !is_limited(outbox)) {
        return;
    }
    int64_t wall = sw_wall_ns(outbox->clock);
    sw_batch_put_notified(sw_records_batch(outbox), outbox->options.name, spaced ? lane->key : "", wall,
                          spaced ? row->group_interval_ms : 0);
    sw_records_added(outbox, 1);
    if (++outbox->n_notified % EXPIRE_EVERY == 0) {
        expire(outbox);
    }
}

static void restore(const char *receiver, const char *group_key, int64_t at_ns, int64_t group_interval_ms,
                    void *arg) {
    sw_outbox *outbox = arg;
    int64_t mono = sw_mono_ns(outbox->clock), ago = sw_wall_ns(outbox->clock) - at_ns;
    if (!sw_streq(receiver, outbox->options.name)) {
        return;
    }
    outbox->n_notified++;
    ago = ago > 0 ? ago : 0; /* the wall clock may have stepped: then it waits for one interval */
    if (is_limited(outbox) && ago < HOUR_NS) {
        remember(outbox, mono - ago);
    }
    if (group_key[0] != '\0' && ago < group_interval_ms * SW_NS_PER_MS) {
        sw_queue_group(&outbox->queue, group_key)->not_before_mono_ns =
            mono - ago + group_interval_ms * SW_NS_PER_MS;
    }
}

void sw_outbox_restore_notified(sw_outbox *outbox) {
    if (is_limited(outbox)) {
        outbox->recent.mono_ns = xcalloc(outbox->options.max_per_hour, sizeof(int64_t));
    }
    sw_store_each_notified(outbox->store, restore, outbox);
    sw_members_restore(outbox);
    if (outbox->n_notified > 0) {
        expire(outbox);
    }
}

/* A notification that was combined before tells more alerts than its row says. */
static void tell(const char *fingerprint, void *arg) {
    sw_entry *entry = arg;
    sw_queue_tell(&entry->outbox->queue, entry, fingerprint);
}

void sw_outbox_tell_inside(sw_entry *entry) {
    if (entry->row.combined) {
        sw_combined_each(entry->row.body, entry->row.body_len, tell, entry);
    }
}
