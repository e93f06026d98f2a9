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
    if (lane->first != NULL && lane->first->state == SW_ENTRY_READY) {
        heap_add(queue, lane);
    }
}

/* ---- entries ---- */

static sw_lane *lane_of(sw_queue *queue, const char *fingerprint) {
    size_t len = strlen(fingerprint);
    sw_lane *lane = NULL;
    HASH_FIND(hh, queue->lanes, fingerprint, len, lane);
    if (lane == NULL) {
        lane = xcalloc(1, sizeof *lane + len + 1);
        memcpy(lane->fingerprint, fingerprint, len + 1);
        HASH_ADD(hh, queue->lanes, fingerprint, len, lane);
    }
    return lane;
}

sw_entry *sw_queue_add(sw_queue *queue, sw_outbox *outbox, sw_outbox_row *row) {
    sw_entry *entry = xcalloc(1, sizeof *entry);
    entry->outbox = outbox;
    entry->row = *row;
    *row = (sw_outbox_row){0};
    HASH_ADD(hh, queue->entries, row.id, sizeof entry->row.id, entry);
    sw_lane *lane = lane_of(queue, entry->row.fingerprint);
    entry->lane = lane;
    if (lane->last != NULL) {
        lane->last->next = entry;
    } else {
        lane->first = entry;
    }
    lane->last = entry;
    queue->n_live++;
    queue->bytes += entry->row.body_len;
    return entry;
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
    heap_remove(queue, lane);
    lane->first = entry->next;
    entry->lane = NULL;
    entry->next = NULL;
    queue->n_live--;
    queue->bytes -= entry->row.body_len;
    if (lane->first == NULL) {
        HASH_DEL(queue->lanes, lane);
        free(lane);
    } else {
        replace(queue, lane);
    }
}

void sw_queue_remove(sw_queue *queue, sw_entry *entry) {
    HASH_DEL(queue->entries, entry);
    sw_outbox_row_release(&entry->row);
    free(entry);
}

const sw_entry *sw_queue_oldest(const sw_queue *queue) {
    const sw_entry *entry = queue->entries;
    while (entry != NULL && entry->lane == NULL) {
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
    free(queue->heap);
    *queue = (sw_queue){0};
}
