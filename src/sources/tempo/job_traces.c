/* The questions about traces: the search for offending ones, the sweep, and a trace by its id. */
#include "sources/tempo/jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "telemetry/log.h"

#define MAX_TRACE_BATCH ((size_t)4 << 20) /* bytes of one batch of a trace by id */
#define MAX_TRACE_SPANS 20000

/* ---- search ---- */

static const char *const traces_paths[] = {"traces", NULL};

static char *traces_url(const tempo_job *job) {
    const sw_wants *wants = &job->tempo->poll->wants;
    char *q = tempo_offenders_query(wants->errors, wants->min_duration_ms, job->modern);
    char *url = tempo_search_url(job->tempo->base_url, q, job->from_s, job->to_s, job->limit, TEMPO_SPSS);
    free(q);
    return url;
}

static void reset(void *arg) {
    tempo_job *job = arg;
    job->n_elements = 0;
    job->full = job->cut = job->found = false;
    tempo_row_release(&job->row);
    if (job->counts != NULL) {
        tempo_counts_reset(job->counts);
    }
}

static bool traces_element(const char *json, size_t len, void *arg) {
    tempo_job *job = arg;
    tempo_row row;
    char why[SW_JSON_WHY];
    if (!tempo_decode_search(json, len, &row, why)) {
        return false;
    }
    job->n_elements++;
    if (tempo_cache_merge(job->tempo->cache, &row) != 0) {
        job->full = true;
    }
    return true;
}

static void again_with(tempo_job *job, int64_t from_s, int64_t to_s, unsigned limit) {
    tempo_job *next = tempo_add_job(job->tempo, job->ops, from_s, to_s, true);
    next->modern = job->modern;
    next->limit = limit;
}

/* Searches that are still to be answered. */
static unsigned outstanding(const tempo_poll *poll) {
    unsigned n = 0;
    const tempo_job *const lists[] = {poll->queue, poll->running};
    for (size_t i = 0; i < SW_ARRAY_LEN(lists); i++) {
        for (const tempo_job *job = lists[i]; job != NULL; job = job->next) {
            n += job->ops == &tempo_traces_job;
        }
    }
    return n;
}

/* The answer is as long as the limit: there may be more. Windows are halved as long as there is left to ask
 * each of them with the highest limit, should it be cut short too. */
static void narrow_traces(tempo_job *job) {
    tempo_poll *poll = job->tempo->poll;
    int64_t middle = job->from_s + (job->to_s - job->from_s) / 2;
    bool affordable = job->limit == TEMPO_LIMIT_MAX || poll->extras_left >= 2 + outstanding(poll) + 2;
    if (job->to_s - job->from_s >= 2 && affordable && tempo_spend(poll, 2)) {
        again_with(job, middle, job->to_s, job->limit);
        again_with(job, job->from_s, middle, job->limit); /* the older half is asked first */
    } else if (job->limit < TEMPO_LIMIT_MAX && tempo_spend(poll, 1)) {
        again_with(job, job->from_s, job->to_s, TEMPO_LIMIT_MAX);
    } else {
        char reason[TEMPO_REASON_MAX];
        snprintf(reason, sizeof reason,
                 "more than %u offending traces in %lld s, and no questions left (TEMPO_MAX_EXTRA_QUERIES)",
                 job->limit, (long long)(job->to_s - job->from_s));
        tempo_traces_unknown(poll, job->from_s, reason);
    }
}

static void traces_done(tempo_job *job, const tempo_answer *answer) {
    tempo_poll *poll = job->tempo->poll;
    if (answer->result == TEMPO_REFUSED && answer->status == 400 && job->modern) {
        job->modern = false;
        again_with(job, job->from_s, job->to_s, job->limit);
    } else if (answer->result != TEMPO_OK) {
        tempo_traces_unknown(poll, job->from_s, answer->message);
    } else {
        job->tempo->old_search = !job->modern;
        if (job->full) {
            tempo_traces_unknown(poll, job->from_s, "more offending traces or spans than are held");
        } else if (answer->cut_short || job->n_elements >= job->limit) {
            narrow_traces(job);
        }
    }
}

const tempo_job_ops tempo_traces_job = {
    .kind = TEMPO_ASK_TRACES,
    .paths = traces_paths,
    .url = traces_url,
    .reset = reset,
    .element = traces_element,
    .done = traces_done,
};

/* ---- sweep ---- */

static const char *const series_paths[] = {"series", NULL};

static char *sweep_url(const tempo_job *job) {
    char *q = tempo_sweep_query(job->tempo->poll->wants.min_duration_ms);
    char *url = tempo_instant_url(job->tempo->base_url, q, job->from_s, job->to_s);
    free(q);
    return url;
}

/* The server may send more than was asked for; see `tempo_sweep_query`. */
static bool wanted(const sw_wants *wants, const tempo_series *series) {
    return (wants->errors && series->error) ||
           (wants->min_duration_ms >= 0 && series->has_value && series->value * 1e3 > wants->min_duration_ms);
}

static bool sweep_element(const char *json, size_t len, void *arg) {
    tempo_job *job = arg;
    tempo_series series;
    char why[SW_JSON_WHY];
    if (!tempo_series_open(json, len, &series, why)) {
        return false;
    }
    job->n_elements++;
    bool ours = series.trace_id[0] != '\0' && wanted(&job->tempo->poll->wants, &series);
    if (ours && tempo_cache_sweep(job->tempo->cache, &series, job->to_s * SW_NS_PER_S) != 0) {
        job->full = true;
    }
    tempo_series_close(&series);
    return true;
}

/* The sweep adds to what search finds; without it nothing is unknown. */
static void sweep_done(tempo_job *job, const tempo_answer *answer) {
    sw_tempo *tempo = job->tempo;
    if (answer->result == TEMPO_REFUSED || answer->result == TEMPO_NO_METRICS) {
        tempo->no_sweep_until_mono_ns = tempo_mono_ns(tempo) + TEMPO_PROBE_NS;
        sw_log(SW_LOG_INFO, "tempo does not answer the sweep, it is tried again later", "url",
               tempo->shown_url, "message", answer->message, NULL);
    } else if (answer->cut_short || job->full) {
        sw_metric_add(tempo->m.incomplete, 1, "tempo", "sweep");
    }
}

const tempo_job_ops tempo_sweep_job = {
    .kind = TEMPO_ASK_SWEEP,
    .paths = series_paths,
    .url = sweep_url,
    .reset = reset,
    .element = sweep_element,
    .done = sweep_done,
};

/* ---- by id ---- */

static const char *const batch_paths[] = {"trace.resourceSpans", "trace.batches", "resourceSpans", "batches",
                                          NULL};

static char *detail_url(const tempo_job *job) {
    return tempo_trace_url(job->tempo->base_url, job->id, job->tempo->trace_api);
}

static bool detail_element(const char *json, size_t len, void *arg) {
    tempo_job *job = arg;
    char why[SW_JSON_WHY];
    return tempo_decode_batch(json, len, MAX_TRACE_SPANS, &job->row, why);
}

static void detail_done(tempo_job *job, const tempo_answer *answer) {
    sw_tempo *tempo = job->tempo;
    if (answer->status == 404 && tempo->trace_api == 2) {
        tempo->trace_api = 1; /* the second version answers 200 when a trace is missing */
        tempo_job *next = tempo_add_job(tempo, job->ops, 0, 0, true);
        memcpy(next->id, job->id, sizeof next->id);
        return;
    }
    if (answer->result == TEMPO_OK && job->row.trace.n_spans > 0) {
        memcpy(job->row.trace.id, job->id, sizeof job->id);
        tempo_finish_batches(&job->row);
        tempo_cache_merge(tempo->cache, &job->row);
    } else {
        tempo_cache_detail_failed(tempo->cache, job->id,
                                  answer->result == TEMPO_OK || answer->result == TEMPO_REFUSED);
    }
}

const tempo_job_ops tempo_detail_job = {
    .kind = TEMPO_ASK_TRACE,
    .paths = batch_paths,
    .max_element = MAX_TRACE_BATCH,
    .url = detail_url,
    .reset = reset,
    .element = detail_element,
    .done = detail_done,
};
