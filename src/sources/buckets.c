#include "sources/buckets.h"

#include <stdlib.h>
#include <string.h>

#define uthash_fatal(msg) abort()
#include <uthash.h>

/* A service and operation, shared by all entries that count them. */
struct name {
    char *key; /* service, NUL, operation */
    size_t key_len;
    const char *service, *operation;
    size_t users;
    UT_hash_handle hh;
};

struct entry {
    struct name *name;
    double count, errors;
    sw_bucket *histogram; /* by upper_ms */
    size_t n_histogram;
};

struct step {
    int64_t start_s;
    bool known, skipped, final, estimated;
    unsigned revision;
    struct entry *entries; /* by name's address: any fixed order serves to compare and to find */
    size_t n_entries;
};

struct draft_key {
    const struct name *name;
    size_t step; /* index from the start of the draft */
};

struct draft_entry {
    struct draft_key key;
    struct entry entry;
    UT_hash_handle hh;
};

struct draft {
    int64_t from_s;
    size_t n_steps, n_entries;
    struct draft_entry *entries;
    bool full;
};

struct sw_buckets {
    int64_t step_s;
    size_t max_entries, n_entries;
    struct name *names;
    struct step *steps; /* by start_s */
    size_t n_steps, allocated_steps;
    struct draft draft;
};

/* ---- names ---- */

static struct name *add_name(sw_buckets *buckets, const char *key, size_t len, size_t service_len) {
    struct name *name = xcalloc(1, sizeof *name);
    name->key = xmalloc(len + 1);
    memcpy(name->key, key, len + 1);
    name->key_len = len;
    name->service = name->key;
    name->operation = name->key + service_len + 1;
    HASH_ADD_KEYPTR(hh, buckets->names, name->key, name->key_len, name);
    return name;
}

static struct name *take_name(sw_buckets *buckets, const char *service, const char *operation) {
    size_t service_len = strlen(service), operation_len = strlen(operation);
    size_t len = service_len + 1 + operation_len;
    char stack[512];
    char *key = len < sizeof stack ? stack : xmalloc(len + 1);
    memcpy(key, service, service_len + 1);
    memcpy(key + service_len + 1, operation, operation_len + 1);
    struct name *name = NULL;
    HASH_FIND(hh, buckets->names, key, len, name);
    if (name == NULL) {
        name = add_name(buckets, key, len, service_len);
    }
    if (key != stack) {
        free(key);
    }
    name->users++;
    return name;
}

static void drop_name(sw_buckets *buckets, struct name *name) {
    if (--name->users == 0) {
        HASH_DEL(buckets->names, name);
        free(name->key);
        free(name);
    }
}

/* ---- entries ---- */

static size_t grown(size_t n) {
    return n == 0 ? 4 : n * 2;
}

static bool power_of_two(size_t n) {
    return (n & (n - 1)) == 0;
}

/* Arrays here grow when their length is 0 or a power of two from 4 on. */
static bool must_grow(size_t n) {
    return n == 0 || (n >= 4 && power_of_two(n));
}

static void add_to_histogram(sw_bucket **histogram, size_t *n, double lower_ms, double upper_ms,
                             double count) {
    size_t at = 0;
    while (at < *n && ((*histogram)[at].upper_ms < upper_ms ||
                       ((*histogram)[at].upper_ms == upper_ms && (*histogram)[at].lower_ms < lower_ms))) {
        at++;
    }
    if (at < *n && (*histogram)[at].upper_ms == upper_ms && (*histogram)[at].lower_ms == lower_ms) {
        (*histogram)[at].count += count;
        return;
    }
    if (must_grow(*n)) {
        *histogram = xrealloc_array(*histogram, grown(*n), sizeof **histogram);
    }
    memmove(*histogram + at + 1, *histogram + at, (*n - at) * sizeof **histogram);
    (*histogram)[at] = (sw_bucket){lower_ms, upper_ms, count};
    (*n)++;
}

static void clear_step(sw_buckets *buckets, struct step *step) {
    for (size_t i = 0; i < step->n_entries; i++) {
        drop_name(buckets, step->entries[i].name);
        free(step->entries[i].histogram);
    }
    free(step->entries);
    step->entries = NULL;
    step->n_entries = 0;
}

/* Names are shared while somebody counts them, so that equal names are the same address. */
static bool same_entries(const struct step *a, const struct step *b) {
    if (a->n_entries != b->n_entries) {
        return false;
    }
    for (size_t i = 0; i < a->n_entries; i++) {
        const struct entry *x = &a->entries[i], *y = &b->entries[i];
        if (x->name != y->name || x->count != y->count || x->errors != y->errors ||
            x->n_histogram != y->n_histogram) {
            return false;
        }
        for (size_t k = 0; k < x->n_histogram; k++) {
            if (x->histogram[k].lower_ms != y->histogram[k].lower_ms ||
                x->histogram[k].upper_ms != y->histogram[k].upper_ms ||
                x->histogram[k].count != y->histogram[k].count) {
                return false;
            }
        }
    }
    return true;
}

/* ---- steps ---- */

/* Index of the first step that starts at or after start_s. */
static size_t step_index(const sw_buckets *buckets, int64_t start_s) {
    size_t low = 0, high = buckets->n_steps;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (buckets->steps[middle].start_s < start_s) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct step *find_or_add_step(sw_buckets *buckets, int64_t start_s) {
    size_t at = step_index(buckets, start_s);
    if (at < buckets->n_steps && buckets->steps[at].start_s == start_s) {
        return &buckets->steps[at];
    }
    if (buckets->n_steps == buckets->allocated_steps) {
        buckets->allocated_steps = buckets->allocated_steps == 0 ? 16 : buckets->allocated_steps * 2;
        buckets->steps = xrealloc_array(buckets->steps, buckets->allocated_steps, sizeof *buckets->steps);
    }
    memmove(buckets->steps + at + 1, buckets->steps + at, (buckets->n_steps - at) * sizeof *buckets->steps);
    buckets->n_steps++;
    buckets->steps[at] = (struct step){.start_s = start_s};
    return &buckets->steps[at];
}

sw_buckets *sw_buckets_new(int64_t step_s, size_t max_entries) {
    sw_buckets *buckets = xcalloc(1, sizeof *buckets);
    buckets->step_s = step_s;
    buckets->max_entries = max_entries;
    return buckets;
}

void sw_buckets_free(sw_buckets *buckets) {
    if (buckets == NULL) {
        return;
    }
    sw_buckets_drop(buckets);
    sw_buckets_forget(buckets, INT64_MAX);
    free(buckets->steps);
    free(buckets);
}

/* ---- drafts ---- */

void sw_buckets_drop(sw_buckets *buckets) {
    struct draft_entry *entry = NULL, *next = NULL;
    HASH_ITER(hh, buckets->draft.entries, entry, next) {
        HASH_DEL(buckets->draft.entries, entry);
        drop_name(buckets, entry->entry.name);
        free(entry->entry.histogram);
        free(entry);
    }
    buckets->draft = (struct draft){0};
}

void sw_buckets_begin(sw_buckets *buckets, int64_t from_s, int64_t to_s) {
    sw_buckets_drop(buckets);
    buckets->draft.from_s = from_s;
    buckets->draft.n_steps = to_s > from_s ? (size_t)((to_s - from_s) / buckets->step_s) : 0;
}

/* The draft's entry, made when it is not there; NULL when there is no room. */
static struct entry *draft_entry(sw_buckets *buckets, size_t step, const char *service,
                                 const char *operation) {
    struct draft *draft = &buckets->draft;
    struct name *name = take_name(buckets, service, operation);
    struct draft_key key;
    memset(&key, 0, sizeof key); /* it is hashed with its padding */
    key.name = name;
    key.step = step;
    struct draft_entry *entry = NULL;
    HASH_FIND(hh, draft->entries, &key, sizeof key, entry);
    if (entry != NULL || draft->n_entries >= buckets->max_entries) {
        draft->full = draft->full || entry == NULL;
        drop_name(buckets, name); /* an entry has its own */
        return entry != NULL ? &entry->entry : NULL;
    }
    entry = xcalloc(1, sizeof *entry);
    entry->key = key;
    entry->entry.name = name;
    HASH_ADD(hh, draft->entries, key, sizeof key, entry);
    draft->n_entries++;
    return &entry->entry;
}

void sw_buckets_add(sw_buckets *buckets, int64_t at_s, const char *service, const char *operation,
                    double count, double errors, double lower_ms, double upper_ms) {
    const struct draft *draft = &buckets->draft;
    if (at_s < draft->from_s || !(count > 0) || draft->full) {
        return;
    }
    size_t step = (size_t)((at_s - draft->from_s) / buckets->step_s);
    struct entry *entry = step < draft->n_steps ? draft_entry(buckets, step, service, operation) : NULL;
    if (entry == NULL) {
        return;
    }
    entry->count += count;
    entry->errors += errors < 0 ? 0 : errors > count ? count : errors;
    if (upper_ms > 0) {
        add_to_histogram(&entry->histogram, &entry->n_histogram, lower_ms, upper_ms, count);
    }
}

static int by_address(const void *a, const void *b) {
    uintptr_t x = (uintptr_t)((const struct entry *)a)->name, y = (uintptr_t)((const struct entry *)b)->name;
    return x < y ? -1 : x > y;
}

/* The draft's entries as new steps; the draft has none afterwards. */
static struct step *draft_steps(sw_buckets *buckets) {
    struct draft *draft = &buckets->draft;
    struct step *steps = xcalloc(draft->n_steps, sizeof *steps);
    struct draft_entry *entry = NULL, *next = NULL;
    HASH_ITER(hh, draft->entries, entry, next) {
        struct step *step = &steps[entry->key.step];
        if (must_grow(step->n_entries)) {
            step->entries = xrealloc_array(step->entries, grown(step->n_entries), sizeof *step->entries);
        }
        step->entries[step->n_entries++] = entry->entry;
        HASH_DEL(draft->entries, entry);
        free(entry);
    }
    for (size_t i = 0; i < draft->n_steps; i++) {
        steps[i].start_s = draft->from_s + (int64_t)i * buckets->step_s;
        if (steps[i].n_entries > 0) {
            qsort(steps[i].entries, steps[i].n_entries, sizeof *steps[i].entries, by_address);
        }
    }
    return steps;
}

static void commit_step(sw_buckets *buckets, struct step *fresh, bool estimated) {
    struct step *step = find_or_add_step(buckets, fresh->start_s);
    if (step->final) {
        clear_step(buckets, fresh);
        return;
    }
    if (step->known && !same_entries(step, fresh)) {
        step->revision++;
    }
    buckets->n_entries += fresh->n_entries - step->n_entries;
    clear_step(buckets, step);
    step->entries = fresh->entries;
    step->n_entries = fresh->n_entries;
    step->known = true;
    step->skipped = false;
    step->estimated = estimated;
}

int sw_buckets_commit(sw_buckets *buckets, bool estimated) {
    const struct draft *draft = &buckets->draft;
    size_t replaced = 0;
    int64_t to_s = draft->from_s + (int64_t)draft->n_steps * buckets->step_s;
    for (size_t i = step_index(buckets, draft->from_s);
         i < buckets->n_steps && buckets->steps[i].start_s < to_s; i++) {
        replaced += buckets->steps[i].n_entries;
    }
    bool fits = !draft->full && buckets->n_entries - replaced + draft->n_entries <= buckets->max_entries;
    if (fits) {
        struct step *steps = draft_steps(buckets);
        for (size_t i = 0; i < draft->n_steps; i++) {
            commit_step(buckets, &steps[i], estimated);
        }
        free(steps);
    }
    sw_buckets_drop(buckets);
    return fits ? 0 : -1;
}

void sw_buckets_skip(sw_buckets *buckets, int64_t from_s, int64_t to_s) {
    for (int64_t start = from_s; start < to_s; start += buckets->step_s) {
        struct step *step = find_or_add_step(buckets, start);
        step->skipped = !step->known;
    }
}

void sw_buckets_finish(sw_buckets *buckets, int64_t before_s) {
    for (size_t i = 0; i < buckets->n_steps && buckets->steps[i].start_s + buckets->step_s <= before_s; i++) {
        buckets->steps[i].final = buckets->steps[i].known;
    }
}

void sw_buckets_forget(sw_buckets *buckets, int64_t before_s) {
    size_t n = 0;
    while (n < buckets->n_steps && buckets->steps[n].start_s <= before_s - buckets->step_s) {
        buckets->n_entries -= buckets->steps[n].n_entries;
        clear_step(buckets, &buckets->steps[n]);
        n++;
    }
    if (n > 0) {
        buckets->n_steps -= n;
        memmove(buckets->steps, buckets->steps + n, buckets->n_steps * sizeof *buckets->steps);
    }
}

void sw_buckets_forget_from(sw_buckets *buckets, int64_t from_s) {
    while (buckets->n_steps > 0 && buckets->steps[buckets->n_steps - 1].start_s >= from_s) {
        struct step *last = &buckets->steps[--buckets->n_steps];
        buckets->n_entries -= last->n_entries;
        clear_step(buckets, last);
    }
}

/* ---- reading ---- */

int64_t sw_buckets_known_until(const sw_buckets *buckets, int64_t from_s) {
    size_t at = step_index(buckets, from_s);
    int64_t until = from_s;
    while (at < buckets->n_steps && buckets->steps[at].start_s == until &&
           (buckets->steps[at].known || buckets->steps[at].skipped)) {
        until += buckets->step_s;
        at++;
    }
    return until;
}

unsigned sw_buckets_revision(const sw_buckets *buckets, int64_t from_s, int64_t to_s) {
    unsigned sum = 0;
    for (size_t i = step_index(buckets, from_s); i < buckets->n_steps && buckets->steps[i].start_s < to_s;
         i++) {
        sum += buckets->steps[i].revision;
    }
    return sum;
}

size_t sw_buckets_entries(const sw_buckets *buckets) {
    return buckets->n_entries;
}

double sw_buckets_total(const sw_buckets *buckets, int64_t from_s, int64_t to_s) {
    double sum = 0;
    for (size_t i = step_index(buckets, from_s); i < buckets->n_steps && buckets->steps[i].start_s < to_s;
         i++) {
        for (size_t k = 0; k < buckets->steps[i].n_entries; k++) {
            sum += buckets->steps[i].entries[k].count;
        }
    }
    return sum;
}

/* ---- windows ---- */

static int by_name(const void *a, const void *b) {
    const struct entry *x = *(const struct entry *const *)a, *y = *(const struct entry *const *)b;
    int order = strcmp(x->name->service, y->name->service);
    return order != 0 ? order : strcmp(x->name->operation, y->name->operation);
}

static void add_to_series(sw_series *series, const struct entry *entry) {
    series->count += entry->count;
    series->errors += entry->errors;
    for (size_t i = 0; i < entry->n_histogram; i++) {
        const sw_bucket *bucket = &entry->histogram[i];
        add_to_histogram(&series->buckets, &series->n_buckets, bucket->lower_ms, bucket->upper_ms,
                         bucket->count);
    }
}

static void fill_series(sw_window *window, const struct entry **entries, size_t n) {
    qsort(entries, n, sizeof *entries, by_name);
    window->series = xcalloc(n, sizeof *window->series);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || entries[i]->name != entries[i - 1]->name) {
            sw_series *series = &window->series[window->n_series++];
            series->service = xstrdup(entries[i]->name->service);
            series->operation = xstrdup(entries[i]->name->operation);
        }
        add_to_series(&window->series[window->n_series - 1], entries[i]);
    }
}

void sw_buckets_build_window(const sw_buckets *buckets, int64_t from_s, int64_t to_s, sw_window *window) {
    size_t first = step_index(buckets, from_s), n = 0;
    int64_t known_s = 0;
    for (size_t i = first; i < buckets->n_steps && buckets->steps[i].start_s < to_s; i++) {
        const struct step *step = &buckets->steps[i];
        n += step->n_entries;
        known_s += step->known ? buckets->step_s : 0;
        window->estimated = window->estimated || step->estimated;
        window->revision += step->revision;
    }
    const struct entry **entries = xcalloc(n, sizeof *entries);
    n = 0;
    for (size_t i = first; i < buckets->n_steps && buckets->steps[i].start_s < to_s; i++) {
        for (size_t k = 0; k < buckets->steps[i].n_entries; k++) {
            entries[n++] = &buckets->steps[i].entries[k];
        }
    }
    fill_series(window, entries, n);
    free(entries);
    window->from_s = from_s;
    window->to_s = to_s;
    window->complete = known_s >= to_s - from_s;
    free(window->reason);
    window->reason = window->complete
                         ? xstrdup("")
                         : xasprintf("the counts of %lld of %lld s are not known",
                                     (long long)(to_s - from_s - known_s), (long long)(to_s - from_s));
}
