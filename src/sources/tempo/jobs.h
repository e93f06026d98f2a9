/*
 * The questions of one poll. A job is one question and what became of it; jobs that were cut short put
 * narrower ones into the queue. The poll ends when no job is left.
 */
#ifndef SW_SOURCES_TEMPO_JOBS_H
#define SW_SOURCES_TEMPO_JOBS_H

#include "sources/tempo/internal.h"
#include "sources/tempo/queries.h"

#define TEMPO_REASON_MAX 300
#define TEMPO_MAX_RANGES 64

typedef struct tempo_job tempo_job;

/* Each kind of job: how it is asked, read, and what its answer means. */
typedef struct tempo_job_ops {
    tempo_query_kind kind;
    const char *const *paths;
    size_t max_element;
    char *(*url)(const tempo_job *job); /* caller frees */
    void (*reset)(void *job);
    bool (*element)(const char *json, size_t len, void *job);
    void (*done)(tempo_job *job, const tempo_answer *answer);
} tempo_job_ops;

struct tempo_job {
    const tempo_job_ops *ops;
    sw_tempo *tempo;
    tempo_job *next;
    tempo_query *query; /* while it is asked */
    int64_t from_s, to_s;
    unsigned limit;
    bool modern;    /* with what old servers refuse */
    bool histogram; /* of counts */
    char id[SW_TRACE_ID_LEN + 1];

    /* Read so far. */
    size_t n_elements;
    bool full;  /* what was read does not fit */
    bool cut;   /* a trace has more spans than it shows */
    bool found; /* the probe's series */
    tempo_counts *counts;
    tempo_row row;
};

typedef struct tempo_range {
    int64_t from_s, to_s;
} tempo_range;

struct tempo_poll {
    sw_tempo *tempo;
    uv_timer_t *timer; /* ends a poll that had nothing to ask */
    bool active, planned_with_clock, replanned;
    sw_wants wants;
    void (*done)(const sw_poll_result *result, void *arg);
    void *arg;
    uint64_t number;
    int64_t give_up_mono_ns;

    int64_t counts_from_s, counts_to_s; /* equal: not asked for */
    int64_t traces_from_s, traces_to_s;
    tempo_range searched[TEMPO_MAX_RANGES]; /* counts that come from search */
    size_t n_searched;
    tempo_range gaps[TEMPO_MAX_RANGES]; /* counts that stay unknown in this poll */
    size_t n_gaps;
    bool metrics_empty;                /* the counts came, and there were none */
    char no_metrics[TEMPO_REASON_MAX]; /* how the server said that it cannot count; "" when it did not */
    int64_t traces_gap_s;              /* start of the earliest stretch of traces that stays unknown */

    tempo_job *queue, *running;
    unsigned n_running, n_started, extras_left;

    bool answered, succeeded; /* something came; a question was answered well */
    char failure[32];         /* reason word of the first failure */
    char failure_message[400];
    char counts_reason[TEMPO_REASON_MAX], traces_reason[TEMPO_REASON_MAX];
};

extern const tempo_job_ops tempo_counts_job, tempo_count_search_job, tempo_probe_job;
extern const tempo_job_ops tempo_traces_job, tempo_sweep_job, tempo_detail_job;

/* A new job over [from_s, to_s), in front of the queue or behind. */
tempo_job *tempo_add_job(sw_tempo *tempo, const tempo_job_ops *ops, int64_t from_s, int64_t to_s, bool front);
/* Takes n questions from the budget for continuations; false when it does not have them. */
bool tempo_spend(tempo_poll *poll, unsigned n);
/* The counts of [from_s, to_s) stay unknown in this poll; the first reason is shown. */
void tempo_counts_unknown(tempo_poll *poll, int64_t from_s, int64_t to_s, const char *reason);
/* The offending traces from from_s on stay unknown. */
void tempo_traces_unknown(tempo_poll *poll, int64_t from_s, const char *reason);

/* job_counts.c: counts [from_s, to_s) by search. */
void tempo_count_by_search(sw_tempo *tempo, int64_t from_s, int64_t to_s);
/* What counting by search found becomes buckets; at the end of a poll. */
void tempo_settle_counts(sw_tempo *tempo);

#endif
