#include "delivery/outbox_internal.h"

#include <string.h>

/* ---- the heap of lanes ---- */

/* Of rows that are due at the same time the older one goes first. */
static bool before(const sw_lane *a, const sw_lane *b) {
    if (a->first->due_mono_ns != b->first->due_mono_ns) {
        return a->first->due_mono_ns < b->first->due_mono_ns;
    }
    return a->first->row.id < b->first->row.id;
}

static void put_at(sw_queue *queue, size_t place, sw_lane *lane) {
    queue->heap[place] = lane;
    lane->heap_place = place + 1;
}

static void sift_up(sw_queue *queue, size_t place) {
    sw_lane *lane = queue->heap[place];
    while (place > 0 && before(lane, queue->heap[(place - 1) / 2])) {
        put_at(queue, place, queue->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put_at(queue, place, lane);
}

static void sift_down(sw_queue *queue, size_t place) {
    sw_lane *lane = queue->heap[place];
    for (;;) {
        size_t child = 2 * place + 1;
        if (child + 1 < queue->n_heap && before(queue->heap[child + 1], queue->heap[child])) {
            child++;
        }
        if (child >= queue->n_heap || !before(queue->heap[child], lane)) {
            break;
        }
        put_at(queue, place, queue->heap[child]);
        place = child;
    }
    put_at(queue, place, lane);
}

static void heap_remove(sw_queue *queue, sw_lane *lane) {
    if (lane->heap_place == 0) {
        return;
    }
    size_t place = lane->heap_place - 1;
    sw_lane *last = queue->heap[--queue->n_heap];
    lane->heap_place = 0;
    if (last != lane) {
        put_at(queue, place, last);
        sift_up(queue, place);
        sift_down(queue, last->heap_place - 1);
    }
}

static void heap_add(sw_queue *queue, sw_lane *lane) {
    if (queue->n_heap == queue->heap_allocated) {
        queue->heap_allocated = queue->heap_allocated == 0 ? 16 : queue->heap_allocated * 2;
        queue->heap = xrealloc_array(queue->heap, queue->heap_allocated, sizeof *queue->heap);
    }
    put_at(queue, queue->n_heap, lane);
    sift_up(queue, queue->n_heap++);
}

static void replace(sw_queue *queue, sw_lane *lane) {
    heap_remove(queue, lane);
    sw_entry *first = lane->first;
    if (first != NULL && first->state == SW_ENTRY_READY) {
        bool waits = lane->grouped && !first->row.combined;
        if (waits && first->due_mono_ns < lane->not_before_mono_ns) {
            first->due_mono_ns = lane->not_before_mono_ns;
        }
        heap_add(queue, lane);
    }
}

/* ---- lanes, and which alerts are told in those of groups ---- */

struct sw_lane_alert {
    sw_lane *lane;
    size_t n; /* entries that tell it */
    UT_hash_handle hh;
    char fingerprint[];
};

static sw_lane *new_lane(const char *key, size_t len) {
    sw_lane *lane = xcalloc(1, sizeof *lane + len + 1);
    memcpy(lane->key, key, len + 1);
    return lane;
}

sw_lane *sw_queue_group(sw_queue *queue, const char *key) {
    size_t len = strlen(key);
    sw_lane *lane = NULL;
    HASH_FIND(hh, queue->groups, key, len, lane);
    if (lane == NULL) {
        lane = new_lane(key, len);
        lane->grouped = true;
        HASH_ADD(hh, queue->groups, key[0], len, lane);
    }
    return lane;
}

static sw_lane *lane_for(sw_queue *queue, const sw_outbox_row *row) {
    size_t len = strlen(row->fingerprint);
    sw_lane_alert *told = NULL;
    sw_lane *lane = NULL;
    if (row->combined) {
        return sw_queue_group(queue, row->group_key);
    }
    HASH_FIND(hh, queue->told, row->fingerprint, len, told);
    if (told != NULL) {
        return told->lane;
    }
    HASH_FIND(hh, queue->lanes, row->fingerprint, len, lane);
    if (lane == NULL && row->group_key != NULL) {
        lane = sw_queue_group(queue, row->group_key);
    } else if (lane == NULL) {
        lane = new_lane(row->fingerprint, len);
        HASH_ADD(hh, queue->lanes, key[0], len, lane);
    }
    return lane;
}

bool sw_queue_waits(const sw_queue *queue, const char *fingerprint) {
    size_t len = strlen(fingerprint);
    const sw_lane_alert *told = NULL;
    const sw_lane *lane = NULL;
    HASH_FIND(hh, queue->told, fingerprint, len, told);
    HASH_FIND(hh, queue->lanes, fingerprint, len, lane);
    return told != NULL || lane != NULL;
}

bool sw_queue_tells(const sw_queue *queue, const char *fingerprint) {
    sw_lane_alert *told = NULL;
    HASH_FIND(hh, queue->told, fingerprint, strlen(fingerprint), told);
    return told != NULL;
}

void sw_queue_tell(sw_queue *queue, sw_entry *entry, const char *fingerprint) {
    size_t len = strlen(fingerprint);
    sw_lane_alert *told = NULL;
    HASH_FIND(hh, queue->told, fingerprint, len, told);
    if (told == NULL) {
        told = xcalloc(1, sizeof *told + len + 1);
        memcpy(told->fingerprint, fingerprint, len + 1);
        told->lane = entry->lane;
        HASH_ADD(hh, queue->told, fingerprint[0], len, told);
    } else if (told->lane != entry->lane) {
        return; /* a dead letter that is sent again while the alert waits elsewhere */
    }
    told->n++;
    entry->told = xrealloc_array(entry->told, entry->n_told + 1, sizeof(sw_lane_alert *));
    entry->told[entry->n_told++] = told;
}

static void untell(sw_queue *queue, sw_entry *entry) {
    for (size_t i = 0; i < entry->n_told; i++) {
        sw_lane_alert *told = entry->told[i];
        if (--told->n == 0) {
            HASH_DEL(queue->told, told);
            free(told);
        }
    }
    free(entry->told);
    entry->told = NULL;
    entry->n_told = 0;
}

void sw_queue_forget_groups(sw_queue *queue, int64_t now_mono_ns, size_t keep) {
    sw_lane *lane, *next;
    HASH_ITER(hh, queue->groups, lane, next) {
        bool over = lane->not_before_mono_ns <= now_mono_ns || HASH_COUNT(queue->groups) > keep;
        if (lane->first == NULL && lane->n_firing == 0 && over) {
            HASH_DEL(queue->groups, lane);
            free(lane);
        }
    }
}

/* ---- entries ---- */

sw_entry *sw_queue_add(sw_queue *queue, sw_outbox *outbox, sw_outbox_row *row) {
    sw_entry *entry = xcalloc(1, sizeof *entry);
    entry->outbox = outbox;
    entry->row = *row;
    *row = (sw_outbox_row){0};
    HASH_ADD(hh, queue->entries, row.id, sizeof entry->row.id, entry);
    queue->n_live++;
    queue->bytes += entry->row.body_len;
    sw_queue_put_last(queue, lane_for(queue, &entry->row), entry);
    return entry;
}

void sw_queue_put_last(sw_queue *queue, sw_lane *lane, sw_entry *entry) {
    entry->lane = lane;
    if (lane->last != NULL) {
        lane->last->next = entry;
    } else {
        lane->first = entry;
    }
    lane->last = entry;
    if (lane->grouped && !entry->row.combined) {
        sw_queue_tell(queue, entry, entry->row.fingerprint);
    }
}

void sw_queue_put_first(sw_lane *lane, sw_entry *entry) {
    entry->lane = lane;
    entry->next = lane->first;
    lane->first = entry;
    if (lane->last == NULL) {
        lane->last = entry;
    }
}

sw_entry *sw_queue_take_first(sw_queue *queue, sw_lane *lane) {
    heap_remove(queue, lane);
    sw_entry *entry = lane->first;
    lane->first = entry->next;
    if (lane->first == NULL) {
        lane->last = NULL;
    }
    entry->lane = NULL;
    entry->next = NULL;
    untell(queue, entry);
    return entry;
}

void sw_queue_settle_lane(sw_queue *queue, sw_lane *lane) {
    if (lane->first == NULL && !lane->grouped) {
        HASH_DEL(queue->lanes, lane);
        free(lane);
    } else {
        replace(queue, lane);
    }
}

void sw_queue_settled(sw_queue *queue, sw_entry *entry) {
    queue->n_live--;
    queue->bytes -= entry->row.body_len;
}

sw_entry *sw_queue_find(const sw_queue *queue, int64_t id) {
    sw_entry *entry = NULL;
    HASH_FIND(hh, queue->entries, &id, sizeof id, entry);
    return entry;
}

void sw_queue_update(sw_queue *queue, sw_entry *entry) {
    if (entry->lane != NULL && entry->lane->first == entry) {
        replace(queue, entry->lane);
    }
}

sw_entry *sw_queue_first_due(const sw_queue *queue) {
    return queue->n_heap > 0 ? queue->heap[0]->first : NULL;
}

/* Only the first of a lane is ever started, so only the first leaves. */
void sw_queue_leave_lane(sw_queue *queue, sw_entry *entry) {
    sw_lane *lane = entry->lane;
    sw_queue_take_first(queue, lane);
    sw_queue_settled(queue, entry);
    sw_queue_settle_lane(queue, lane);
}

void sw_queue_remove(sw_queue *queue, sw_entry *entry) {
    HASH_DEL(queue->entries, entry);
    untell(queue, entry); /* at the end it may still be in its lane */
    sw_outbox_row_release(&entry->row);
    free(entry);
}

const sw_entry *sw_queue_oldest(const sw_queue *queue, bool held_back) {
    const sw_entry *entry = queue->entries;
    while (entry != NULL && (entry->lane == NULL || (entry->lane->grouped && !entry->row.combined) ||
                             (held_back && entry->row.attempts == 0))) {
        entry = entry->hh.next;
    }
    return entry;
}

void sw_queue_release(sw_queue *queue) {
    sw_entry *entry, *next_entry;
    HASH_ITER(hh, queue->entries, entry, next_entry) {
        sw_queue_remove(queue, entry);
    }
    sw_lane *lane, *next_lane;
    HASH_ITER(hh, queue->lanes, lane, next_lane) {
        HASH_DEL(queue->lanes, lane);
        free(lane);
    }
    HASH_ITER(hh, queue->groups, lane, next_lane) {
        HASH_DEL(queue->groups, lane);
        free(lane);
    }
    free(queue->heap);
    *queue = (sw_queue){0};
}
