#include "sources/tempo/count_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SURE_AFTER 10
#define BUCKETS_NEEDED 4

struct row {
    char *service, *name;
    bool error;
    double upper_ms;
};

struct sample {
    unsigned row, slot;
    double value;
};

struct tempo_counts {
    int64_t from_s, to_s, step_s;
    struct row *rows;
    size_t n_rows, allocated_rows;
    struct sample *samples; /* those that are not zero */
    size_t n_samples, allocated_samples;
    double *totals;              /* for each stamp */
    unsigned n_slots, last_slot; /* last_slot: the latest that came */
    bool overflowed;
};

tempo_counts *tempo_counts_new(int64_t from_s, int64_t to_s, int64_t step_s) {
    tempo_counts *counts = xcalloc(1, sizeof *counts);
    counts->from_s = from_s;
    counts->to_s = to_s;
    counts->step_s = step_s;
    counts->n_slots = (unsigned)((to_s - from_s) / step_s) + 1;
    counts->totals = xcalloc(counts->n_slots, sizeof *counts->totals);
    return counts;
}

void tempo_counts_reset(tempo_counts *counts) {
    for (size_t i = 0; i < counts->n_rows; i++) {
        free(counts->rows[i].service);
        free(counts->rows[i].name);
    }
    for (unsigned i = 0; i < counts->n_slots; i++) {
        counts->totals[i] = 0;
    }
    counts->n_rows = counts->n_samples = 0;
    counts->last_slot = 0;
    counts->overflowed = false;
}

void tempo_counts_free(tempo_counts *counts) {
    if (counts != NULL) {
        tempo_counts_reset(counts);
        free(counts->rows);
        free(counts->samples);
        free(counts->totals);
        free(counts);
    }
}

static unsigned add_row(tempo_counts *counts, const tempo_series *series) {
    if (counts->n_rows == counts->allocated_rows) {
        counts->allocated_rows = counts->allocated_rows == 0 ? 64 : counts->allocated_rows * 2;
        counts->rows = xrealloc_array(counts->rows, counts->allocated_rows, sizeof *counts->rows);
    }
    counts->rows[counts->n_rows] = (struct row){
        .service = xstrdup(series->service),
        .name = xstrdup(series->name),
        .error = series->error,
        .upper_ms = round(series->bucket_s * 1e9) / 1e6, /* edges are whole nanoseconds */
    };
    return (unsigned)counts->n_rows++;
}

static void add_sample(tempo_counts *counts, unsigned row, unsigned slot, double value) {
    if (counts->n_samples == TEMPO_MAX_SAMPLES) {
        counts->overflowed = true;
        return;
    }
    if (counts->n_samples == counts->allocated_samples) {
        counts->allocated_samples = counts->allocated_samples == 0 ? 256 : counts->allocated_samples * 2;
        counts->samples = xrealloc_array(counts->samples, counts->allocated_samples, sizeof *counts->samples);
    }
    counts->samples[counts->n_samples++] = (struct sample){row, slot, value};
    counts->totals[slot] += value;
}

bool tempo_counts_add(tempo_counts *counts, const tempo_series *series, char why[SW_JSON_WHY]) {
    if (counts->n_rows == TEMPO_MAX_SERIES) {
        counts->overflowed = true;
        return true;
    }
    if (series->samples == NULL) {
        snprintf(why, SW_JSON_WHY, "a series without samples");
        return false;
    }
    unsigned row = add_row(counts, series);
    for (size_t i = 0; i < json_array_size(series->samples); i++) {
        int64_t at_ms = 0;
        double value = 0;
        bool ok = tempo_series_sample(series, i, &at_ms, &value);
        int64_t offset_ms = at_ms - counts->from_s * 1000;
        if (!ok || at_ms < 0 || offset_ms % (counts->step_s * 1000) != 0) {
            snprintf(why, SW_JSON_WHY, "a sample that is not at a step");
            return false;
        }
        int64_t slot = offset_ms / (counts->step_s * 1000);
        if (slot >= 0 && slot < (int64_t)counts->n_slots) {
            counts->last_slot = (unsigned)slot > counts->last_slot ? (unsigned)slot : counts->last_slot;
            if (value > 0) {
                add_sample(counts, row, (unsigned)slot, value);
            }
        }
    }
    return true;
}

bool tempo_counts_overflowed(const tempo_counts *counts) {
    return counts->overflowed;
}

/* Does the answer look like left edges? */
static bool looks_left(const tempo_counts *counts) {
    for (unsigned i = 0; i + 1 < counts->n_slots; i++) {
        if (!(counts->totals[i] > 0)) {
            return false;
        }
    }
    return counts->n_slots > BUCKETS_NEEDED && !(counts->totals[counts->n_slots - 1] > 0);
}

void tempo_counts_learn(const tempo_counts *counts, int64_t seen_until_s, tempo_layout *layout) {
    unsigned last = counts->n_slots - 1;
    if (counts->n_rows == 0 || seen_until_s < counts->to_s) {
        return;
    }
    if (counts->totals[last] > 0) {
        *layout = (tempo_layout){.edge = TEMPO_EDGE_RIGHT};
        return;
    }
    bool left = looks_left(counts), without_last = last > 0 && counts->last_slot == last - 1;
    if (!left && !without_last) {
        layout->against = 0;
        return;
    }
    layout->against++;
    if (layout->edge == TEMPO_EDGE_UNKNOWN || layout->against >= SURE_AFTER) {
        *layout = (tempo_layout){.edge = TEMPO_EDGE_LEFT};
    }
}

int64_t tempo_counts_until(const tempo_counts *counts, const tempo_layout *layout) {
    unsigned last = counts->n_slots - 1;
    if (counts->n_rows == 0 || counts->last_slot == last || layout->edge == TEMPO_EDGE_LEFT) {
        return counts->to_s;
    }
    return counts->from_s + (int64_t)counts->last_slot * counts->step_s;
}

void tempo_counts_draft(const tempo_counts *counts, const tempo_layout *layout, sw_buckets *buckets) {
    for (size_t i = 0; i < counts->n_samples; i++) {
        const struct sample *sample = &counts->samples[i];
        const struct row *row = &counts->rows[sample->row];
        int64_t at_s = counts->from_s + (int64_t)sample->slot * counts->step_s -
                       (layout->edge == TEMPO_EDGE_LEFT ? 0 : counts->step_s);
        sw_buckets_add(buckets, at_s, row->service, row->name, sample->value, row->error ? sample->value : 0,
                       row->upper_ms / 2, row->upper_ms);
    }
}
