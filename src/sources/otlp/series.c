#define HASH_FUNCTION(key, len, hash) ((hash) = (unsigned)sw_keyed_hash(key, len))
#define uthash_fatal(message) abort()
#include "sources/otlp/series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "base/keyed_hash.h"
#include "sources/otlp/text.h"

#define OTHER "other"
#define NAME_MAX_BYTES 256 /* of a service or an operation; the rest is cut off */

struct bin {
    int index;
    double count;
};

#define FEWEST_BINS 4

struct sketch {
    struct bin *bins; /* ascending */
    size_t n, allocated;
    unsigned level; /* how often two bins became one: bins end at powers of gamma to the power of 2^level */
};

struct entry {
    char *name; /* service, NUL, operation */
    size_t name_len;
    double count, errors;
    struct sketch sketch;
    UT_hash_handle hh;
};

struct step {
    int64_t start_s;
    struct entry *entries;
    unsigned spans;
    bool overflowed; /* over max_entries */
    bool full;       /* over max_bytes */
    UT_hash_handle hh;
};

/* About what the allocator and a table need besides. */
#define ENTRY_OVERHEAD 48
#define ENTRY_MOST 1024 /* a new one */
#define STEP_OVERHEAD 700

/* Found lately, by where their names begin and end: quicker than the tables. */
#define N_RECENT 1024
struct recent {
    const struct step *step;
    struct entry *entry;
};

struct otlp_series {
    int64_t step_s, forgotten_before_s;
    size_t max_entries, n_entries;
    size_t max_bytes, bytes;
    double log_gamma;
    uint64_t overflowed;
    struct step *steps;
    struct step *last; /* that a span came for; or NULL */
    struct recent recent[N_RECENT];
};

/* ---- the sketch ---- */

static int bin_of(const otlp_series *series, int64_t duration_ns) {
    double ms = (double)(duration_ns > 0 ? duration_ns : 1) / SW_NS_PER_MS;
    return (int)ceil(log(ms) / series->log_gamma - 1e-9); /* a power of gamma is the upper end of its bin */
}

/* The bin of a level that holds bin `index` of the level `more` below it: rounded up. */
static int coarser(int index, unsigned more) {
    return -(-index >> more);
}

/* Two bins become one: half as many, or all as they were where no two are neighbours; the error doubles. */
static void coarsen(struct sketch *sketch) {
    size_t n = 0;
    sketch->level++;
    for (size_t i = 0; i < sketch->n; i++) {
        struct bin bin = {coarser(sketch->bins[i].index, 1), sketch->bins[i].count};
        if (n > 0 && sketch->bins[n - 1].index == bin.index) {
            sketch->bins[n - 1].count += bin.count;
        } else {
            sketch->bins[n++] = bin;
        }
    }
    sketch->n = n;
}

/* Where the first bin is whose index is not smaller. */
static size_t place_of(const struct sketch *sketch, int index) {
    size_t low = 0;
    for (size_t n = sketch->n; n > 0;) { /* without a branch to foresee */
        size_t half = (n + 1) / 2;
        low += sketch->bins[low + half - 1].index < index ? half : 0;
        n -= half;
    }
    return low;
}

static void sketch_grow(struct sketch *sketch) {
    sketch->allocated = sketch->allocated == 0 ? FEWEST_BINS : sketch->allocated * 2;
    sketch->bins = xrealloc_array(sketch->bins, sketch->allocated, sizeof *sketch->bins);
}

/* `index` is one of the sketch's level. False when it would have to grow, and is as it was. */
static bool sketch_add(struct sketch *sketch, int index, double count) {
    size_t at = place_of(sketch, index);
    if (at < sketch->n && sketch->bins[at].index == index) {
        sketch->bins[at].count += count;
        return true;
    }
    if (sketch->n == sketch->allocated) {
        return false;
    }
    memmove(sketch->bins + at + 1, sketch->bins + at, (sketch->n - at) * sizeof *sketch->bins);
    sketch->bins[at] = (struct bin){index, count};
    sketch->n++;
    return true;
}

static void sketch_merge(struct sketch *to, const struct sketch *from) {
    while (to->level < from->level) {
        coarsen(to);
    }
    for (size_t i = 0; i < from->n; i++) {
        int index = coarser(from->bins[i].index, to->level - from->level);
        while (!sketch_add(to, index, from->bins[i].count)) {
            sketch_grow(to);
        }
    }
}

/* ---- entries ---- */

static void free_entries(struct entry **entries) {
    struct entry *entry = NULL, *next = NULL;
    HASH_ITER(hh, *entries, entry, next) {
        HASH_DEL(*entries, entry); // NOLINT: the analyzer takes it for a freed one
        free(entry->name);
        free(entry->sketch.bins);
        free(entry);
    }
}

static struct entry *find_entry(struct entry *entries, const char *name, size_t len) {
    struct entry *entry = NULL;
    HASH_FIND(hh, entries, name, len, entry);
    return entry;
}

static struct entry *make_entry(struct entry **entries, const char *name, size_t len) {
    struct entry *entry = xcalloc(1, sizeof *entry);
    entry->name = xmalloc(len + 1);
    memcpy(entry->name, name, len);
    entry->name[len] = '\0';
    entry->name_len = len;
    HASH_ADD_KEYPTR(hh, *entries, entry->name, len, entry);
    return entry;
}

/* NUL separates: it cannot be in either, as a text ends there. */
static size_t write_name(char name[2 * NAME_MAX_BYTES + 1], sw_otlp_text service, sw_otlp_text operation) {
    size_t n = otlp_text_cut(service, NAME_MAX_BYTES), m = otlp_text_cut(operation, NAME_MAX_BYTES);
    memcpy(name, n > 0 ? service.data : "", n);
    name[n] = '\0';
    memcpy(name + n + 1, m > 0 ? operation.data : "", m);
    return n + 1 + m;
}

static size_t entry_bytes(const struct entry *entry) {
    return sizeof *entry + ENTRY_OVERHEAD + entry->name_len + 1 +
           entry->sketch.allocated * sizeof *entry->sketch.bins;
}

static bool has_room(const otlp_series *series, size_t more) {
    return more <= series->max_bytes && series->bytes <= series->max_bytes - more;
}

static struct entry *entry_of(otlp_series *series, struct step *step, const char *name, size_t len) {
    static const char other[] = OTHER "\0" OTHER;
    struct entry *entry = find_entry(step->entries, name, len);
    if (entry != NULL) {
        return entry;
    }
    bool many = HASH_COUNT(step->entries) >= series->max_entries;
    if (many || !has_room(series, ENTRY_MOST)) {
        series->overflowed++;
        step->overflowed |= many;
        step->full |= !many;
        name = other;
        len = sizeof other - 1;
        entry = find_entry(step->entries, name, len);
    }
    if (entry == NULL) {
        entry = make_entry(&step->entries, name, len);
        sketch_grow(&entry->sketch);
        series->n_entries++;
        series->bytes += entry_bytes(entry);
    }
    return entry;
}

static uint64_t edges_of(sw_otlp_text text) {
    uint64_t first = 0, last = 0;
    if (text.len >= sizeof first) {
        memcpy(&first, text.data, sizeof first);
        memcpy(&last, text.data + text.len - sizeof last, sizeof last);
    } else if (text.len > 0) {
        memcpy(&first, text.data, text.len);
    }
    return (first ^ text.len) * UINT64_C(0x9E3779B97F4A7C15) ^ last;
}

static bool is_named(const struct entry *entry, sw_otlp_text service, sw_otlp_text operation) {
    return entry->name_len == service.len + 1 + operation.len && service.len > 0 && operation.len > 0 &&
           memcmp(entry->name, service.data, service.len) == 0 && entry->name[service.len] == '\0' &&
           memcmp(entry->name + service.len + 1, operation.data, operation.len) == 0;
}

static struct entry *entry_for(otlp_series *series, struct step *step, sw_otlp_text service,
                               sw_otlp_text operation) {
    uint64_t hash = (edges_of(service) * 31 + edges_of(operation)) * UINT64_C(0x9E3779B97F4A7C15);
    struct recent *recent = &series->recent[hash / (UINT64_MAX / N_RECENT + 1)];
    if (recent->step == step && is_named(recent->entry, service, operation)) {
        return recent->entry;
    }
    char name[2 * NAME_MAX_BYTES + 1];
    size_t len = write_name(name, service, operation);
    struct entry *entry = entry_of(series, step, name, len);
    *recent = (struct recent){step, entry};
    return entry;
}

/* ---- steps ---- */

otlp_series *otlp_series_new(int64_t step_s, size_t max_entries, size_t max_bytes) {
    otlp_series *series = xcalloc(1, sizeof *series);
    series->step_s = step_s;
    series->max_entries = max_entries;
    series->max_bytes = max_bytes;
    series->log_gamma = log((1 + SW_OTLP_SKETCH_ERROR) / (1 - SW_OTLP_SKETCH_ERROR));
    series->forgotten_before_s = INT64_MIN;
    return series;
}

static void free_step(otlp_series *series, struct step *step) {
    const struct entry *entry = NULL, *next = NULL;
    HASH_ITER(hh, step->entries, entry, next) {
        series->bytes -= entry_bytes(entry);
    }
    series->bytes -= sizeof *step + STEP_OVERHEAD;
    series->n_entries -= HASH_COUNT(step->entries);
    series->last = NULL;
    memset(series->recent, 0, sizeof series->recent);
    HASH_DEL(series->steps, step); // NOLINT: the same
    free_entries(&step->entries);
    free(step);
}

void otlp_series_free(otlp_series *series) {
    struct step *step = NULL, *next = NULL;
    HASH_ITER(hh, series->steps, step, next) {
        free_step(series, step);
    }
    free(series);
}

static struct step *step_at(const otlp_series *series, int64_t at_s) {
    int64_t start_s = at_s / series->step_s * series->step_s;
    struct step *step = NULL;
    HASH_FIND(hh, series->steps, &start_s, sizeof start_s, step);
    return step;
}

static struct step *make_step(otlp_series *series, int64_t at_s) {
    struct step *step = xcalloc(1, sizeof *step);
    step->start_s = at_s / series->step_s * series->step_s;
    HASH_ADD(hh, series->steps, start_s, sizeof step->start_s, step);
    series->bytes += sizeof *step + STEP_OVERHEAD;
    return step;
}

/* Without room for more bins there are fewer. */
static void add_duration(otlp_series *series, struct step *step, struct entry *entry, int64_t duration_ns,
                         double weight) {
    struct sketch *sketch = &entry->sketch;
    int bin = bin_of(series, duration_ns);
    while (!sketch_add(sketch, coarser(bin, sketch->level), weight)) {
        size_t more = sketch->allocated * sizeof *sketch->bins; /* as much again */
        if (has_room(series, more)) {
            sketch_grow(sketch);
            series->bytes += more;
        } else {
            coarsen(sketch);
            step->full = true;
        }
    }
}

bool otlp_series_add(otlp_series *series, int64_t at_s, sw_otlp_text service, sw_otlp_text operation,
                     double weight, bool error, int64_t duration_ns) {
    if (at_s < series->forgotten_before_s || at_s < 0) {
        return false;
    }
    struct step *step = series->last;
    if (step == NULL || at_s < step->start_s || at_s - step->start_s >= series->step_s) {
        step = step_at(series, at_s);
    }
    if (step == NULL) {
        if (!has_room(series, sizeof *step + STEP_OVERHEAD)) {
            return false;
        }
        step = make_step(series, at_s);
    }
    series->last = step;
    struct entry *entry = entry_for(series, step, service, operation);
    entry->count += weight;
    entry->errors += error ? weight : 0;
    add_duration(series, step, entry, duration_ns, weight);
    step->spans++;
    return true;
}

void otlp_series_forget(otlp_series *series, int64_t before_s) {
    struct step *step = NULL, *next = NULL;
    before_s = before_s / series->step_s * series->step_s;
    if (before_s <= series->forgotten_before_s) {
        return;
    }
    series->forgotten_before_s = before_s;
    HASH_ITER(hh, series->steps, step, next) {
        if (step->start_s + series->step_s <= before_s) {
            free_step(series, step);
        }
    }
}

unsigned otlp_series_revision(const otlp_series *series, int64_t from_s, int64_t to_s) {
    unsigned sum = 0;
    const struct step *step = NULL, *next = NULL;
    HASH_ITER(hh, series->steps, step, next) {
        sum += step->start_s >= from_s && step->start_s < to_s ? step->spans : 0;
    }
    return sum;
}

size_t otlp_series_entries(const otlp_series *series) {
    return series->n_entries;
}

size_t otlp_series_bytes(const otlp_series *series) {
    return series->bytes;
}

uint64_t otlp_series_overflowed(const otlp_series *series) {
    return series->overflowed;
}

/* ---- the window ---- */

static int by_name(const struct entry *a, const struct entry *b) {
    size_t len = a->name_len < b->name_len ? a->name_len : b->name_len;
    int order = memcmp(a->name, b->name, len);
    return order != 0 ? order : a->name_len < b->name_len ? -1 : a->name_len > b->name_len;
}

static void merge_step(struct entry **merged, const struct step *step) {
    const struct entry *entry = NULL, *next = NULL;
    HASH_ITER(hh, step->entries, entry, next) {
        struct entry *to = find_entry(*merged, entry->name, entry->name_len);
        if (to == NULL) {
            to = make_entry(merged, entry->name, entry->name_len);
        }
        to->count += entry->count;
        to->errors += entry->errors;
        sketch_merge(&to->sketch, &entry->sketch);
    }
}

static sw_series series_of(const otlp_series *series, const struct entry *entry) {
    size_t service_len = strlen(entry->name);
    sw_series out = {
        .service = otlp_text_copy((sw_otlp_text){entry->name, service_len}),
        .operation =
            otlp_text_copy((sw_otlp_text){entry->name + service_len + 1, entry->name_len - service_len - 1}),
        .count = entry->count,
        .errors = entry->errors,
        .n_buckets = entry->sketch.n,
    };
    double width = ldexp(series->log_gamma, (int)entry->sketch.level);
    out.buckets = xcalloc(entry->sketch.n, sizeof *out.buckets);
    for (size_t i = 0; i < entry->sketch.n; i++) {
        const struct bin *bin = &entry->sketch.bins[i];
        out.buckets[i] = (sw_bucket){.lower_ms = exp((bin->index - 1) * width),
                                     .upper_ms = exp(bin->index * width),
                                     .count = bin->count};
    }
    return out;
}

void otlp_series_build_window(const otlp_series *series, int64_t from_s, int64_t to_s, sw_window *window) {
    struct entry *merged = NULL;
    const struct step *step = NULL, *next_step = NULL;
    bool overflowed = false, full = false;
    HASH_ITER(hh, series->steps, step, next_step) {
        if (step->start_s >= from_s && step->start_s < to_s) {
            merge_step(&merged, step);
            overflowed |= step->overflowed;
            full |= step->full;
        }
    }
    HASH_SORT(merged, by_name);
    window->from_s = from_s;
    window->to_s = to_s;
    window->complete = true;
    if (overflowed || full) {
        free(window->reason);
        window->reason =
            full ? xstrdup("the memory for counts is full: new series are counted as " OTHER
                           ", and quantiles are not as exact as they should be")
                 : xasprintf("over %zu series: the rest is counted as " OTHER, series->max_entries);
    }
    window->series = xcalloc(HASH_COUNT(merged), sizeof *window->series);
    const struct entry *entry = NULL, *next = NULL;
    HASH_ITER(hh, merged, entry, next) {
        window->series[window->n_series++] = series_of(series, entry);
    }
    free_entries(&merged);
}
