#define HASH_FUNCTION(key, len, hash) ((hash) = (unsigned)sw_keyed_hash(key, len))
#define uthash_fatal(message) abort()
#include "alerts/flapping.h"

#include <stdlib.h>
#include <uthash.h>

#include "base/keyed_hash.h"

#define STATES_MASK ((UINT32_C(1) << SW_FLAP_STATES) - 1)
#define CHANGES (SW_FLAP_STATES - 1)
#define OLDEST_WEIGHT 0.8
#define NEWEST_WEIGHT 1.2

static uint32_t push(uint32_t states, bool firing) {
    return (states << 1 | (firing ? 1 : 0)) & STATES_MASK;
}

void sw_flap_record(sw_flap_history *history, uint32_t evaluation, bool firing) {
    bool last = (history->states & 1) != 0;
    /* An unknown evaluation has no number of its own: what it has found counts when it is a change. */
    if (evaluation <= history->evaluation) {
        history->evaluation = evaluation;
        history->states = last != firing ? push(history->states, firing) : history->states;
        return;
    }
    uint32_t between = evaluation - history->evaluation - 1;
    for (uint32_t i = 0; i < between && i < SW_FLAP_STATES; i++) {
        history->states = push(history->states, last);
    }
    history->states = push(history->states, firing);
    history->evaluation = evaluation;
}

double sw_flap_percent(uint32_t states) {
    double sum = 0;
    for (unsigned age = 0; age < CHANGES; age++) { /* 0: between the newest and the one before */
        bool changed = ((states >> age ^ states >> (age + 1)) & 1) != 0;
        sum += changed ? NEWEST_WEIGHT - (NEWEST_WEIGHT - OLDEST_WEIGHT) * age / (CHANGES - 1) : 0;
    }
    return 100 * sum / CHANGES;
}

/* ---- of alerts that are gone ---- */

struct entry {
    uint64_t fingerprint;
    uint32_t reporter;
    sw_flap_history history;
    UT_hash_handle hh;
};

struct sw_flaps {
    struct entry *entries; /* oldest first */
};

sw_flaps *sw_flaps_new(void) {
    return xcalloc(1, sizeof(sw_flaps));
}

static void drop(sw_flaps *flaps, struct entry *entry) {
    HASH_DEL(flaps->entries, entry);
    free(entry);
}

void sw_flaps_free(sw_flaps *flaps) {
    struct entry *entry = NULL, *next = NULL;
    HASH_ITER(hh, flaps->entries, entry, next) {
        drop(flaps, entry);
    }
    free(flaps);
}

static struct entry *find(const sw_flaps *flaps, uint64_t fingerprint) {
    struct entry *entry = NULL;
    HASH_FIND(hh, flaps->entries, &fingerprint, sizeof fingerprint, entry);
    return entry;
}

void sw_flaps_put(sw_flaps *flaps, uint64_t fingerprint, uint32_t reporter, const sw_flap_history *history,
                  sw_flap_dropped dropped, void *arg) {
    struct entry *entry = find(flaps, fingerprint);
    if (entry != NULL) {
        drop(flaps, entry);
    } else if (HASH_COUNT(flaps->entries) >= SW_FLAP_HISTORIES_MAX) {
        dropped(flaps->entries->fingerprint, arg);
        drop(flaps, flaps->entries);
    }
    entry = xcalloc(1, sizeof *entry);
    *entry = (struct entry){.fingerprint = fingerprint, .reporter = reporter, .history = *history};
    HASH_ADD(hh, flaps->entries, fingerprint, sizeof entry->fingerprint, entry);
}

bool sw_flaps_take(sw_flaps *flaps, uint64_t fingerprint, uint32_t reporter, sw_flap_history *out,
                   bool *was_there) {
    struct entry *entry = find(flaps, fingerprint);
    *was_there = entry != NULL;
    if (entry == NULL) {
        return false;
    }
    bool same = entry->reporter == reporter;
    *out = entry->history;
    drop(flaps, entry);
    return same;
}

void sw_flaps_expire(sw_flaps *flaps, uint32_t reporter, uint32_t evaluation, sw_flap_dropped dropped,
                     void *arg) {
    struct entry *entry = NULL, *next = NULL;
    HASH_ITER(hh, flaps->entries, entry, next) {
        sw_flap_history now = entry->history;
        if (entry->reporter == reporter) {
            sw_flap_record(&now, evaluation, false);
            if (now.states == 0) {
                dropped(entry->fingerprint, arg);
                drop(flaps, entry);
            }
        }
    }
}

size_t sw_flaps_count(const sw_flaps *flaps) {
    return HASH_COUNT(flaps->entries);
}
