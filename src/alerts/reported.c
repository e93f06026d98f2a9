#include "alerts/reported.h"

#include "alerts/alerts_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define HASH_FUNCTION(key, len, hash) ((hash) = (unsigned)sw_keyed_hash(key, len))
#define uthash_fatal(message) abort()
#include <uthash.h>

struct sw_reported_type {
    UT_hash_handle hh;
    size_t users; /* entries; the type goes with its last one */
    char name[];
};

struct id {
    uint64_t high, low;
};

struct entry {
    struct id id;
    sw_reported_type *type;
    int64_t at_ns;
};

struct sw_reported {
    struct entry *ring; /* `n` entries from `head`, around the end; `cap` is a power of two */
    size_t cap, head, n;
    uint32_t *slots; /* position in the ring + 1, 0 when empty; twice as many as `cap` */
    sw_reported_type *types;
};

#define FIRST_CAP 64
#define FORGET_MAX 20000 /* in one call: some milliseconds */

/* Ids are 32 hex digits; anything else is taken by its digest. */
static struct id parse_id(const char *trace_id) {
    char digest[65];
    if (strlen(trace_id) != SW_TRACE_ID_LEN || strspn(trace_id, "0123456789abcdef") != SW_TRACE_ID_LEN) {
        sw_sha256_hex(trace_id, strlen(trace_id), digest);
        trace_id = digest;
    }
    uint64_t halves[2] = {0};
    for (size_t i = 0; i < SW_TRACE_ID_LEN; i++) {
        unsigned c = (unsigned char)trace_id[i];
        halves[i / 16] = halves[i / 16] << 4 | (c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return (struct id){halves[0], halves[1]};
}

static size_t home(const sw_reported *reported, const sw_reported_type *type, struct id id) {
    uint64_t hash = sw_keyed_hash_u64(id.high ^ (uint64_t)(uintptr_t)type, id.low);
    return (size_t)hash & (2 * reported->cap - 1);
}

static size_t home_of(const sw_reported *reported, uint32_t slot) {
    const struct entry *entry = &reported->ring[slot - 1];
    return home(reported, entry->type, entry->id);
}

/* The slot that holds it, or the empty one where it belongs. */
static size_t find(const sw_reported *reported, const sw_reported_type *type, struct id id) {
    size_t mask = 2 * reported->cap - 1;
    size_t at = home(reported, type, id);
    while (reported->slots[at] != 0) {
        const struct entry *entry = &reported->ring[reported->slots[at] - 1];
        if (entry->type == type && entry->id.high == id.high && entry->id.low == id.low) {
            break;
        }
        at = (at + 1) & mask;
    }
    return at;
}

static sw_reported_type *find_type(const sw_reported *reported, const char *name) {
    sw_reported_type *type = NULL;
    HASH_FIND(hh, reported->types, name, strlen(name), type);
    return type;
}

static sw_reported_type *add_type(sw_reported *reported, const char *name) {
    size_t len = strlen(name);
    sw_reported_type *type = xcalloc(1, sizeof *type + len + 1);
    memcpy(type->name, name, len + 1);
    HASH_ADD(hh, reported->types, name, len, type);
    return type;
}

sw_reported *sw_reported_new(void) {
    sw_reported *reported = xcalloc(1, sizeof *reported);
    reported->cap = FIRST_CAP;
    reported->ring = xcalloc(FIRST_CAP, sizeof *reported->ring);
    reported->slots = xcalloc(2 * FIRST_CAP, sizeof *reported->slots);
    return reported;
}

void sw_reported_free(sw_reported *reported) {
    sw_reported_type *type, *next;
    HASH_ITER(hh, reported->types, type, next) {
        HASH_DEL(reported->types, type);
        free(type);
    }
    free(reported->ring);
    free(reported->slots);
    free(reported);
}

static void resize(sw_reported *reported, size_t cap) {
    struct entry *ring = xcalloc(cap, sizeof *ring);
    for (size_t i = 0; i < reported->n; i++) {
        ring[i] = reported->ring[(reported->head + i) & (reported->cap - 1)];
    }
    free(reported->ring);
    free(reported->slots);
    reported->ring = ring;
    reported->slots = xcalloc(2 * cap, sizeof *reported->slots);
    reported->cap = cap;
    reported->head = 0;
    for (size_t i = 0; i < reported->n; i++) {
        reported->slots[find(reported, ring[i].type, ring[i].id)] = (uint32_t)i + 1;
    }
}

bool sw_reported_has(const sw_reported *reported, const char *type, const char *trace_id) {
    const sw_reported_type *known = find_type(reported, type);
    return known != NULL && reported->slots[find(reported, known, parse_id(trace_id))] != 0;
}

bool sw_reported_add(sw_reported *reported, const char *type, const char *trace_id, int64_t at_ns) {
    struct id id = parse_id(trace_id);
    sw_reported_type *known = find_type(reported, type);
    if (known != NULL && reported->slots[find(reported, known, id)] != 0) {
        return false;
    }
    if (known == NULL) {
        known = add_type(reported, type);
    }
    if (reported->n == reported->cap) {
        resize(reported, reported->cap * 2);
    }
    size_t position = (reported->head + reported->n++) & (reported->cap - 1);
    reported->ring[position] = (struct entry){id, known, at_ns};
    reported->slots[find(reported, known, id)] = (uint32_t)position + 1;
    known->users++;
    return true;
}

void sw_reported_each_type(const sw_reported *reported, const char *trace_id,
                           void (*each)(const char *type, int64_t at_ns, void *arg), void *arg) {
    struct id id = parse_id(trace_id);
    const sw_reported_type *type, *next;
    HASH_ITER(hh, reported->types, type, next) {
        uint32_t slot = reported->slots[find(reported, type, id)];
        if (slot != 0) {
            each(type->name, reported->ring[slot - 1].at_ns, arg);
        }
    }
}

/* Empties a slot and moves back those that were displaced by it. */
static void clear_slot(sw_reported *reported, size_t hole) {
    size_t mask = 2 * reported->cap - 1;
    for (size_t at = (hole + 1) & mask; reported->slots[at] != 0; at = (at + 1) & mask) {
        size_t from_home = (at - home_of(reported, reported->slots[at])) & mask;
        if (from_home >= ((at - hole) & mask)) {
            reported->slots[hole] = reported->slots[at];
            hole = at;
        }
    }
    reported->slots[hole] = 0;
}

static void forget_oldest(sw_reported *reported) {
    struct entry *oldest = &reported->ring[reported->head];
    clear_slot(reported, find(reported, oldest->type, oldest->id));
    reported->head = (reported->head + 1) & (reported->cap - 1);
    reported->n--;
    if (--oldest->type->users == 0) {
        HASH_DEL(reported->types, oldest->type);
        free(oldest->type);
    }
}

/* The clock has stepped back: what is of the future counts as of now, or it would stay, with all behind it,
 * until that future. */
static void pull_back(sw_reported *reported, int64_t now_ns) {
    for (size_t i = 0; i < reported->n; i++) {
        struct entry *entry = &reported->ring[(reported->head + i) & (reported->cap - 1)];
        entry->at_ns = entry->at_ns > now_ns ? now_ns : entry->at_ns;
    }
}

void sw_reported_expire(sw_reported *reported, int64_t now_ns, int64_t ttl_ns) {
    if (reported->n > 0 && reported->ring[reported->head].at_ns > now_ns) {
        pull_back(reported, now_ns);
    }
    for (int i = 0; i < FORGET_MAX && reported->n > 0; i++) {
        if (reported->ring[reported->head].at_ns >= now_ns - ttl_ns) {
            break;
        }
        forget_oldest(reported);
    }
    if (reported->cap > FIRST_CAP && reported->n < reported->cap / 8) {
        resize(reported, reported->cap / 4);
    }
}

size_t sw_reported_count(const sw_reported *reported) {
    return reported->n;
}
