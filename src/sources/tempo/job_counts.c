/* The questions about counts: by metrics, by search, and the probe that tells which of the two. */
#include "sources/tempo/jobs.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const series_paths[] = {"series", NULL};
static const char *const traces_paths[] = {"traces", NULL};

static void reset(void *arg) {
    tempo_job *job = arg;
    job->n_elements = 0;
    job->full = job->cut = job->found = false;
    if (job->counts != NULL) {
        tempo_counts_reset(job->counts);
    }
}

/* ---- by metrics ---- */

/* A range of one step is taken for an instant query by some servers: these have other edges, and may lose the
 * first second. Two steps are not. */
static int64_t asked_from_s(const tempo_job *job) {
    int64_t step = job->tempo->options.step_s;
    return job->to_s - job->from_s > step ? job->from_s : job->from_s - step;
}

static char *counts_url(const tempo_job *job) {
    int64_t step = job->tempo->options.step_s;
    char *q = tempo_counts_query(job->histogram, job->modern);
    char *url = tempo_range_url(job->tempo->base_url, q, asked_from_s(job), job->to_s, step);
    free(q);
    return url;
}

static bool counts_element(const char *json, size_t len, void *arg) {
    tempo_job *job = arg;
    if (job->counts == NULL) {
        job->counts = tempo_counts_new(asked_from_s(job), job->to_s, job->tempo->options.step_s);
    }
    tempo_series series;
    char why[SW_JSON_WHY];
    if (!tempo_series_open(json, len, &series, why)) {
        return false;
    }
    bool ok = tempo_counts_add(job->counts, &series, why);
    tempo_series_close(&series);
    job->n_elements++;
    return ok;
}

static void count_again(tempo_job *job, int64_t from_s, int64_t to_s, bool histogram) {
    tempo_job *next = tempo_add_job(job->tempo, job->ops, from_s, to_s, true);
    next->modern = job->modern;
    next->histogram = histogram;
}

/* A partial answer has wrong numbers. Without the histogram it has a fraction of the series; then narrower
 * windows have fewer operations. */
static void narrow_counts(tempo_job *job) {
    sw_tempo *tempo = job->tempo;
    int64_t step = tempo->options.step_s;
    int64_t middle = job->from_s + (job->to_s - job->from_s) / step / 2 * step;
    if (job->histogram && tempo_spend(tempo->poll, 1)) {
        tempo->no_histogram_until_mono_ns = tempo_mono_ns(tempo) + TEMPO_PROBE_NS;
        count_again(job, job->from_s, job->to_s, false);
    } else if (middle > job->from_s && tempo_spend(tempo->poll, 2)) {
        count_again(job, middle, job->to_s, false);
        count_again(job, job->from_s, middle, false);
    } else {
        tempo_counts_unknown(tempo->poll, job->from_s, job->to_s,
                             "Tempo cut its counts short (query_frontend.metrics.max_response_series)");
    }
}

static void commit_counts(tempo_job *job) {
    sw_tempo *tempo = job->tempo;
    int64_t seen_until_s = tempo_server_now_ns(tempo) / SW_NS_PER_S - TEMPO_CUTOFF_S;
    tempo_counts_learn(job->counts, seen_until_s, &tempo->layout);
    int64_t until_s = tempo_counts_until(job->counts, &tempo->layout);
    until_s = until_s < job->from_s ? job->from_s : until_s;
    sw_buckets_begin(tempo->buckets, job->from_s, until_s);
    tempo_counts_draft(job->counts, &tempo->layout, tempo->buckets);
    if (sw_buckets_commit(tempo->buckets, false) != 0) {
        tempo_counts_unknown(tempo->poll, job->from_s, job->to_s, "more operations than are held");
    } else if (until_s < job->to_s) {
        tempo_counts_unknown(tempo->poll, until_s, job->to_s,
                             "Tempo does not show spans that young (TEMPO_SETTLE_SECS)");
    }
}

void tempo_count_by_search(sw_tempo *tempo, int64_t from_s, int64_t to_s) {
    tempo_poll *poll = tempo->poll;
    if (poll->n_searched == TEMPO_MAX_RANGES) {
        tempo_counts_unknown(poll, from_s, to_s, "too much to catch up in one poll");
        return;
    }
    poll->searched[poll->n_searched++] = (tempo_range){from_s, to_s};
    tempo_add_job(tempo, &tempo_count_search_job, from_s, to_s, true);
}

/* Nothing was counted: because there was nothing, or because this Tempo cannot count and does not say so. */
static void empty_counts(tempo_job *job) {
    sw_tempo *tempo = job->tempo;
    bool verified = tempo->verified_empty_mono_ns != 0 &&
                    tempo_mono_ns(tempo) - tempo->verified_empty_mono_ns < TEMPO_PROBE_NS;
    bool trusted = tempo->capability == TEMPO_CAN_METRICS;
    tempo->poll->metrics_empty = true;
    if (!(trusted && verified) && tempo_spend(tempo->poll, 1)) {
        tempo_count_by_search(tempo, job->from_s, job->to_s);
    } else if (trusted) {
        sw_buckets_begin(tempo->buckets, job->from_s, job->to_s);
        sw_buckets_commit(tempo->buckets, false);
    } else {
        tempo_counts_unknown(tempo->poll, job->from_s, job->to_s,
                             "it is not known yet whether this Tempo can count");
    }
}

static void counts_done(tempo_job *job, const tempo_answer *answer) {
    sw_tempo *tempo = job->tempo;
    bool refused = answer->result == TEMPO_REFUSED && (answer->status == 400 || answer->status == 404);
    if (refused && answer->status == 400 && job->modern) {
        job->modern = false;
        count_again(job, job->from_s, job->to_s, job->histogram);
    } else if (refused || answer->result == TEMPO_NO_METRICS) {
        snprintf(tempo->poll->no_metrics, sizeof tempo->poll->no_metrics, "%.*s", TEMPO_REASON_MAX - 1,
                 answer->message);
        tempo_count_by_search(tempo, job->from_s, job->to_s);
    } else if (answer->result != TEMPO_OK) {
        tempo_counts_unknown(tempo->poll, job->from_s, job->to_s, answer->message);
    } else if (answer->cut_short || (job->counts != NULL && tempo_counts_overflowed(job->counts))) {
        narrow_counts(job);
    } else if (job->n_elements == 0) {
        tempo->old_metrics = !job->modern;
        empty_counts(job);
    } else {
        tempo->old_metrics = !job->modern;
        tempo->verified_empty_mono_ns = 0;
        tempo_set_capability(tempo, TEMPO_CAN_METRICS, "the counts have series");
        commit_counts(job);
    }
}

const tempo_job_ops tempo_counts_job = {
    .kind = TEMPO_ASK_COUNTS,
    .paths = series_paths,
    .url = counts_url,
    .reset = reset,
    .element = counts_element,
    .done = counts_done,
};

/* ---- by search ---- */

static char *count_search_url(const tempo_job *job) {
    char *q = tempo_entry_search_query(job->modern);
    char *url = tempo_search_url(job->tempo->base_url, q, job->from_s, job->to_s, job->limit, TEMPO_SPSS);
    free(q);
    return url;
}

static bool count_search_element(const char *json, size_t len, void *arg) {
    tempo_job *job = arg;
    const tempo_poll *poll = job->tempo->poll;
    tempo_row row;
    char why[SW_JSON_WHY];
    if (!tempo_decode_search(json, len, &row, why)) {
        return false;
    }
    job->n_elements++;
    job->cut = job->cut || row.trace.n_matched > row.trace.n_spans;
    /* All matching spans of a trace come, also those outside of the window. */
    if (tempo_spans_put(job->tempo->spans, &row, poll->counts_from_s, poll->counts_to_s) != 0) {
        job->full = true;
    }
    tempo_cache_suspect(job->tempo->cache, &row);
    tempo_row_release(&row);
    return true;
}

static void search_again(tempo_job *job, int64_t from_s, int64_t to_s, unsigned limit) {
    tempo_job *next = tempo_add_job(job->tempo, job->ops, from_s, to_s, true);
    next->modern = job->modern;
    next->limit = limit;
}

static void narrow_count_search(tempo_job *job) {
    tempo_poll *poll = job->tempo->poll;
    int64_t middle = job->from_s + (job->to_s - job->from_s) / 2;
    if (job->limit < TEMPO_LIMIT_MAX && tempo_spend(poll, 1)) {
        job->tempo->count_limit = TEMPO_LIMIT_MAX;
        search_again(job, job->from_s, job->to_s, TEMPO_LIMIT_MAX);
    } else if (job->to_s - job->from_s >= 2 && tempo_spend(poll, 2)) {
        search_again(job, middle, job->to_s, job->limit);
        search_again(job, job->from_s, middle, job->limit);
    } else {
        tempo_counts_unknown(poll, job->from_s, job->to_s,
                             "too many traces to count them by search (TEMPO_MAX_EXTRA_QUERIES)");
    }
}

static void count_search_done(tempo_job *job, const tempo_answer *answer) {
    tempo_poll *poll = job->tempo->poll;
    if (answer->result == TEMPO_REFUSED && answer->status == 400 && job->modern) {
        job->modern = false;
        search_again(job, job->from_s, job->to_s, job->limit);
    } else if (answer->result != TEMPO_OK) {
        tempo_counts_unknown(poll, job->from_s, job->to_s, answer->message);
    } else {
        job->tempo->old_search = !job->modern;
        if (job->full) {
            tempo_counts_unknown(poll, job->from_s, job->to_s, "more requests than are held");
        } else if (answer->cut_short || job->n_elements >= job->limit) {
            narrow_count_search(job);
        } else if (job->cut) {
            tempo_counts_unknown(poll, job->from_s, job->to_s,
                                 "a trace has more requests than this Tempo shows of it");
        }
    }
}

const tempo_job_ops tempo_count_search_job = {
    .kind = TEMPO_ASK_COUNT_SEARCH,
    .paths = traces_paths,
    .url = count_search_url,
    .reset = reset,
    .element = count_search_element,
    .done = count_search_done,
};

/* ---- the probe ---- */

static char *probe_url(const tempo_job *job) {
    return tempo_instant_url(job->tempo->base_url, "{} | count_over_time()", job->from_s, job->to_s);
}

static bool probe_element(const char *json, size_t len, void *arg) {
    tempo_job *job = arg;
    tempo_series series;
    char why[SW_JSON_WHY];
    if (!tempo_series_open(json, len, &series, why)) {
        return false;
    }
    job->found = true; /* also without a value: it counted, and there was nothing */
    tempo_series_close(&series);
    return true;
}

static void probe_done(tempo_job *job, const tempo_answer *answer) {
    sw_tempo *tempo = job->tempo;
    bool can = answer->result == TEMPO_OK && job->found;
    /* An answer without series may only mean that there is no block at all. */
    bool decided = can || answer->result == TEMPO_REFUSED || answer->result == TEMPO_NO_METRICS ||
                   (answer->result == TEMPO_OK && tempo->capability == TEMPO_CAN_SEARCH_ONLY);
    if (decided) {
        tempo_set_capability(tempo, can ? TEMPO_CAN_METRICS : TEMPO_CAN_SEARCH_ONLY,
                             can ? "the probe counted" : "the probe counted nothing");
    }
}

const tempo_job_ops tempo_probe_job = {
    .kind = TEMPO_ASK_PROBE,
    .paths = series_paths,
    .url = probe_url,
    .reset = reset,
    .element = probe_element,
    .done = probe_done,
};

/* ---- what was counted by search ---- */

static bool in_gap(const tempo_poll *poll, int64_t from_s, int64_t to_s) {
    for (size_t i = 0; i < poll->n_gaps; i++) {
        if (poll->gaps[i].from_s < to_s && from_s < poll->gaps[i].to_s) {
            return true;
        }
    }
    return false;
}

static void commit_run(sw_tempo *tempo, int64_t from_s, int64_t to_s, bool estimated) {
    sw_buckets_begin(tempo->buckets, from_s, to_s);
    tempo_spans_count(tempo->spans, from_s, to_s, tempo->buckets);
    if (sw_buckets_commit(tempo->buckets, estimated) != 0) {
        tempo_counts_unknown(tempo->poll, from_s, to_s, "more operations than are held");
    }
}

/* Without metrics, or with metrics that miss what search finds, the server cannot count. */
static void decide(sw_tempo *tempo, size_t found) {
    const tempo_poll *poll = tempo->poll;
    if (poll->no_metrics[0] != '\0' && (found > 0 || poll->n_gaps == 0)) {
        tempo_set_capability(tempo, TEMPO_CAN_SEARCH_ONLY, poll->no_metrics);
    } else if (poll->metrics_empty && found > 0) {
        tempo_set_capability(tempo, TEMPO_CAN_SEARCH_ONLY, "its counts are empty though search finds spans");
    } else if (found > 0) {
        tempo->verified_empty_mono_ns = 0;
    } else if (poll->n_gaps == 0) {
        tempo->verified_empty_mono_ns = tempo_mono_ns(tempo);
    }
}

static void settle_range(sw_tempo *tempo, tempo_range range, bool estimated) {
    int64_t step = tempo->options.step_s, run_s = range.from_s;
    for (int64_t at = run_s; at <= range.to_s; at += step) {
        bool gap = at == range.to_s || in_gap(tempo->poll, at, at + step);
        if (gap && at > run_s) {
            commit_run(tempo, run_s, at, estimated);
        }
        run_s = gap ? at + step : run_s;
    }
}

void tempo_settle_counts(sw_tempo *tempo) {
    const tempo_poll *poll = tempo->poll;
    size_t found = 0;
    sw_buckets_begin(tempo->buckets, 0, 0); /* only to be counted */
    for (size_t i = 0; i < poll->n_searched; i++) {
        found +=
            tempo_spans_count(tempo->spans, poll->searched[i].from_s, poll->searched[i].to_s, tempo->buckets);
    }
    if (poll->n_searched > 0) {
        decide(tempo, found);
    }
    for (size_t i = 0; i < poll->n_searched; i++) {
        settle_range(tempo, poll->searched[i], found > 0 || tempo->capability == TEMPO_CAN_SEARCH_ONLY);
    }
    tempo_spans_forget(tempo->spans, poll->counts_to_s - TEMPO_REPAIR_S - tempo->options.step_s);
}
