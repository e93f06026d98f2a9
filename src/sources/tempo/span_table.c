#include "sources/tempo/span_table.h"

#include <stdlib.h>
#include <string.h>

#define uthash_fatal(msg) abort()
#include <uthash.h>

#define KEY_LEN ((SW_TRACE_ID_LEN + SW_SPAN_ID_LEN) / 2)

struct name {
    char *key; /* service, NUL, operation */
    size_t len;
    const char *service, *operation;
    size_t users;
    UT_hash_handle hh;
};

struct slot {
    unsigned char key[KEY_LEN];
    struct name *name; /* NULL: free */
    int64_t start_s, duration_ns;
    bool error;
};

/* Open addressing with linear probing: hundreds of thousands of small entries. */
struct tempo_spans {
    struct slot *slots;
    size_t n_slots, n, max; /* n_slots is a power of two */
    struct name *names;
};

tempo_spans *tempo_spans_new(size_t max_spans) {
    tempo_spans *spans = xcalloc(1, sizeof *spans);
    spans->max = max_spans;
    return spans;
}

static struct name *take_name(tempo_spans *spans, const char *service, const char *operation) {
    size_t service_len = strlen(service), len = service_len + 1 + strlen(operation);
    char *key = xmalloc(len + 1);
    memcpy(key, service, service_len + 1);
    memcpy(key + service_len + 1, operation, len - service_len);
    struct name *name = NULL;
    HASH_FIND(hh, spans->names, key, len, name);
    if (name == NULL) {
        name = xcalloc(1, sizeof *name);
        *name = (struct name){
            .key = key, .len = len, .service = key, .operation = key + service_len + 1, .users = 0};
        HASH_ADD_KEYPTR(hh, spans->names, name->key, name->len, name);
    } else {
        free(key);
    }
    name->users++;
    return name;
}

static void drop_name(tempo_spans *spans, struct name *name) {
    if (--name->users == 0) {
        HASH_DEL(spans->names, name);
        free(name->key);
        free(name);
    }
}

void tempo_spans_free(tempo_spans *spans) {
    if (spans != NULL) {
        tempo_spans_forget(spans, INT64_MAX);
        free(spans->slots);
        free(spans);
    }
}

static struct slot *slot_of(struct slot *slots, size_t n_slots, const unsigned char key[KEY_LEN]) {
    size_t at = (size_t)sw_hash(SW_HASH_SEED, key, KEY_LEN) & (n_slots - 1);
    while (slots[at].name != NULL && memcmp(slots[at].key, key, KEY_LEN) != 0) {
        at = (at + 1) & (n_slots - 1);
    }
    return &slots[at];
}

/* Moves the spans that start at or after before_s into a table of their own. */
static void rebuild(tempo_spans *spans, size_t n_slots, int64_t before_s) {
    struct slot *slots = n_slots > 0 ? xcalloc(n_slots, sizeof *slots) : NULL;
    size_t n = 0;
    for (size_t i = 0; i < spans->n_slots; i++) {
        struct slot *slot = &spans->slots[i];
        if (slot->name == NULL) {
            continue;
        }
        if (slot->start_s < before_s) {
            drop_name(spans, slot->name);
        } else {
            *slot_of(slots, n_slots, slot->key) = *slot;
            n++;
        }
    }
    free(spans->slots);
    spans->slots = slots;
    spans->n_slots = n_slots;
    spans->n = n;
}

void tempo_spans_forget(tempo_spans *spans, int64_t before_s) {
    size_t kept = 0, old = 0;
    for (size_t i = 0; i < spans->n_slots; i++) {
        if (spans->slots[i].name != NULL) {
            kept += spans->slots[i].start_s >= before_s;
            old += spans->slots[i].start_s < before_s;
        }
    }
    if (old > 0) {
        size_t n_slots = kept > 0 ? 64 : 0;
        while (n_slots > 0 && n_slots < kept * 2) {
            n_slots *= 2;
        }
        rebuild(spans, n_slots, before_s);
    }
}

static void hex_bytes(const char *hex, unsigned char *out) {
    for (size_t i = 0; hex[i] != '\0' && hex[i + 1] != '\0'; i += 2) {
        unsigned high = (unsigned)(hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);
        unsigned low = (unsigned)(hex[i + 1] <= '9' ? hex[i + 1] - '0' : hex[i + 1] - 'a' + 10);
        out[i / 2] = (unsigned char)(high << 4 | low);
    }
}

static int put(tempo_spans *spans, const char *trace_id, const sw_span *span) {
    if (spans->n * 3 >= spans->n_slots * 2) {
        rebuild(spans, spans->n_slots == 0 ? 64 : spans->n_slots * 2, INT64_MIN);
    }
    unsigned char key[KEY_LEN] = {0};
    hex_bytes(trace_id, key);
    hex_bytes(span->id, key + SW_TRACE_ID_LEN / 2);
    struct slot *slot = slot_of(spans->slots, spans->n_slots, key);
    if (slot->name == NULL && spans->n >= spans->max) {
        return -1;
    }
    struct name *name = take_name(spans, span->service, span->name);
    if (slot->name == NULL) {
        spans->n++;
    } else {
        drop_name(spans, slot->name);
    }
    memcpy(slot->key, key, KEY_LEN);
    slot->name = name;
    slot->start_s = span->start_ns / SW_NS_PER_S;
    slot->duration_ns = span->duration_ns;
    slot->error = span->status == SW_STATUS_ERROR;
    return 0;
}

int tempo_spans_put(tempo_spans *spans, const tempo_row *row, int64_t from_s, int64_t to_s) {
    int result = 0;
    for (size_t i = 0; i < row->trace.n_spans; i++) {
        const sw_span *span = &row->trace.spans[i];
        int64_t start_s = span->start_ns / SW_NS_PER_S;
        bool entry = row->roots[i] || span->kind == SW_KIND_SERVER || span->kind == SW_KIND_CONSUMER;
        if (entry && start_s >= from_s && start_s < to_s && put(spans, row->trace.id, span) != 0) {
            result = -1;
        }
    }
    return result;
}

/* The same edges as Tempo's own histograms: powers of two of nanoseconds. */
static double upper_edge_ns(int64_t duration_ns) {
    double edge = 2;
    while (edge < (double)duration_ns) {
        edge *= 2;
    }
    return edge;
}

size_t tempo_spans_count(const tempo_spans *spans, int64_t from_s, int64_t to_s, sw_buckets *buckets) {
    size_t n = 0;
    for (size_t i = 0; i < spans->n_slots; i++) {
        const struct slot *slot = &spans->slots[i];
        if (slot->name != NULL && slot->start_s >= from_s && slot->start_s < to_s) {
            double upper_ms = slot->duration_ns > 0 ? upper_edge_ns(slot->duration_ns) / 1e6 : 0;
            sw_buckets_add(buckets, slot->start_s, slot->name->service, slot->name->operation, 1,
                           slot->error ? 1 : 0, upper_ms / 2, upper_ms);
            n++;
        }
    }
    return n;
}

size_t tempo_spans_size(const tempo_spans *spans) {
    return spans->n;
}
