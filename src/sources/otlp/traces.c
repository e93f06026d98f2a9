#include "sources/otlp/traces.h"

#include <stdlib.h>
#include <string.h>

#include "base/keyed_hash.h"

/* ---- span ids ---- */

struct otlp_ids {
    size_t n, n_slots;
    uint64_t slots[]; /* 0: empty; a power of two, at most three quarters full */
};

#define FEWEST_IDS 32

static size_t home_of(const otlp_ids *ids, uint64_t id) {
    return sw_keyed_hash_u64(id, 0) & (ids->n_slots - 1);
}

/* Where it is, or where it would be. */
static size_t place_of(const otlp_ids *ids, uint64_t id) {
    size_t at = home_of(ids, id);
    while (ids->slots[at] != 0 && ids->slots[at] != id) {
        at = (at + 1) & (ids->n_slots - 1);
    }
    return at;
}

bool otlp_ids_has(const otlp_ids *ids, uint64_t id) {
    return ids != NULL && ids->slots[place_of(ids, id)] == id;
}

static otlp_ids *grow(otlp_ids *ids) {
    size_t n_slots = ids == NULL ? FEWEST_IDS : 2 * ids->n_slots;
    otlp_ids *larger = xcalloc(1, sizeof *larger + n_slots * sizeof larger->slots[0]);
    larger->n_slots = n_slots;
    for (size_t i = 0; ids != NULL && i < ids->n_slots; i++) {
        if (ids->slots[i] != 0) {
            larger->slots[place_of(larger, ids->slots[i])] = ids->slots[i];
            larger->n++;
        }
    }
    free(ids);
    return larger;
}

otlp_ids *otlp_ids_add(otlp_ids *ids, uint64_t id) {
    if (ids == NULL || (ids->n + 1) * 4 > ids->n_slots * 3) {
        ids = grow(ids);
    }
    size_t at = place_of(ids, id);
    ids->n += ids->slots[at] == 0;
    ids->slots[at] = id;
    return ids;
}

/* What follows moves up, so that no search ends at the hole. */
void otlp_ids_remove(otlp_ids *ids, uint64_t id) {
    size_t mask = ids->n_slots - 1, hole = place_of(ids, id);
    if (ids->slots[hole] == 0) {
        return;
    }
    for (size_t at = (hole + 1) & mask; ids->slots[at] != 0; at = (at + 1) & mask) {
        if (((at - home_of(ids, ids->slots[at])) & mask) >= ((at - hole) & mask)) {
            ids->slots[hole] = ids->slots[at];
            hole = at;
        }
    }
    ids->slots[hole] = 0;
    ids->n--;
}

size_t otlp_ids_bytes(const otlp_ids *ids) {
    return ids == NULL ? 0 : sizeof *ids + ids->n_slots * sizeof ids->slots[0];
}

/* ---- traces ---- */

struct otlp_slot {
    uint32_t hash;   /* its lower bits are where it belongs */
    uint32_t number; /* 0: empty */
};

#define FEWEST_SLOTS 1024u

void otlp_traces_init(otlp_traces *traces) {
    *traces = (otlp_traces){0};
}

void otlp_traces_release(otlp_traces *traces) {
    for (size_t i = 0; i < traces->n_blocks; i++) {
        free(traces->blocks[i]);
    }
    free(traces->blocks);
    free(traces->slots);
    *traces = (otlp_traces){0};
}

static uint32_t hash_of(sw_otlp_trace_id id) {
    return (uint32_t)sw_keyed_hash_u64(id.high, id.low);
}

static bool same_id(sw_otlp_trace_id a, sw_otlp_trace_id b) {
    return a.low == b.low && a.high == b.high;
}

otlp_trace *otlp_traces_find(const otlp_traces *traces, sw_otlp_trace_id id) {
    uint32_t hash = hash_of(id);
    if (traces->n == 0) {
        return NULL;
    }
    size_t mask = traces->n_slots - 1;
    for (size_t at = hash & mask; traces->slots[at].number != 0; at = (at + 1) & mask) {
        if (traces->slots[at].hash == hash) {
            otlp_trace *trace = otlp_traces_at(traces, traces->slots[at].number);
            if (same_id(trace->id, id)) {
                return trace;
            }
        }
    }
    return NULL;
}

static void put(struct otlp_slot *slots, size_t n_slots, struct otlp_slot slot) {
    size_t at = slot.hash & (n_slots - 1);
    while (slots[at].number != 0) {
        at = (at + 1) & (n_slots - 1);
    }
    slots[at] = slot;
}

static bool is_crowded(const otlp_traces *traces, size_t n) {
    return n * 4 > traces->n_slots * 3;
}

static void make_slots(otlp_traces *traces) {
    size_t n_slots = traces->n_slots == 0 ? FEWEST_SLOTS : 2 * traces->n_slots;
    struct otlp_slot *slots = xcalloc(n_slots, sizeof *slots);
    for (size_t i = 0; i < traces->n_slots; i++) {
        if (traces->slots[i].number != 0) {
            put(slots, n_slots, traces->slots[i]);
        }
    }
    free(traces->slots);
    traces->slots = slots;
    traces->n_slots = n_slots;
}

static otlp_trace *take_number(otlp_traces *traces) {
    if (traces->unused == 0) {
        if (traces->n_numbered == traces->n_blocks * OTLP_BLOCK) {
            traces->blocks = xrealloc_array(traces->blocks, traces->n_blocks + 1, sizeof *traces->blocks);
            traces->blocks[traces->n_blocks++] = xcalloc(OTLP_BLOCK, sizeof(otlp_trace));
        }
        traces->n_numbered++;
        otlp_trace *trace = otlp_traces_at(traces, traces->n_numbered);
        *trace = (otlp_trace){.number = traces->n_numbered};
        return trace;
    }
    otlp_trace *trace = otlp_traces_at(traces, traces->unused);
    traces->unused = trace->newest_chunk;
    *trace = (otlp_trace){.number = trace->number};
    return trace;
}

otlp_trace *otlp_traces_add(otlp_traces *traces, sw_otlp_trace_id id) {
    if (is_crowded(traces, traces->n + 1)) {
        make_slots(traces);
    }
    otlp_trace *trace = take_number(traces);
    trace->id = id;
    put(traces->slots, traces->n_slots, (struct otlp_slot){hash_of(id), trace->number});
    traces->n++;
    return trace;
}

void otlp_traces_remove(otlp_traces *traces, otlp_trace *trace) {
    struct otlp_slot *slots = traces->slots;
    size_t mask = traces->n_slots - 1, hole = hash_of(trace->id) & mask;
    while (slots[hole].number != trace->number) {
        hole = (hole + 1) & mask;
    }
    for (size_t at = (hole + 1) & mask; slots[at].number != 0; at = (at + 1) & mask) {
        if (((at - slots[at].hash) & mask) >= ((at - hole) & mask)) {
            slots[hole] = slots[at];
            hole = at;
        }
    }
    slots[hole].number = 0;
    trace->n_spans = 0;
    trace->newest_chunk = traces->unused;
    traces->unused = trace->number;
    if (--traces->n == 0) { /* after a rush the memory is given back */
        otlp_traces_release(traces);
    }
}

size_t otlp_traces_bytes(const otlp_traces *traces) {
    return traces->n_slots * sizeof(struct otlp_slot) +
           traces->n_blocks * (OTLP_BLOCK * sizeof(otlp_trace) + sizeof *traces->blocks);
}

size_t otlp_traces_need(const otlp_traces *traces, size_t n) {
    size_t room = traces->n_blocks * OTLP_BLOCK - traces->n;
    size_t blocks = n > room ? (n - room + OTLP_BLOCK - 1) / OTLP_BLOCK : 0;
    size_t n_slots = traces->n_slots > 0 ? traces->n_slots : FEWEST_SLOTS / 2;
    while ((traces->n + n) * 4 > n_slots * 3) {
        n_slots *= 2;
    }
    return blocks * OTLP_BLOCK * sizeof(otlp_trace) + (n_slots - traces->n_slots) * sizeof(struct otlp_slot);
}
