/*
 * A poll: what is asked, in which order, and what it comes to.
 *
 * The first answer of all teaches the server's clock; when it (or a later one) shows that a clock was set,
 * what was planned is dropped and planned anew, once. Until the clock is known one question is asked at a
 * time, then two.
 */
#include "sources/tempo/jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sources/tempo/sequence.h"
#include "telemetry/log.h"

#define AT_ONCE 2

tempo_poll *tempo_poll_new(sw_tempo *tempo) {
    tempo_poll *poll = xcalloc(1, sizeof *poll);
    poll->tempo = tempo;
    poll->timer = xcalloc(1, sizeof *poll->timer);
    uv_timer_init(tempo->loop, poll->timer);
    poll->timer->data = poll;
    return poll;
}

static void timer_closed(uv_handle_t *handle) {
    free(handle);
}

void tempo_poll_free(tempo_poll *poll) {
    uv_close((uv_handle_t *)poll->timer, timer_closed);
    free(poll);
}

/* ---- jobs ---- */

static void free_job(tempo_job *job) {
    tempo_counts_free(job->counts);
    tempo_row_release(&job->row);
    free(job);
}

tempo_job *tempo_add_job(sw_tempo *tempo, const tempo_job_ops *ops, int64_t from_s, int64_t to_s,
                         bool front) {
    tempo_poll *poll = tempo->poll;
    tempo_job *job = xcalloc(1, sizeof *job);
    *job = (tempo_job){.ops = ops, .tempo = tempo, .from_s = from_s, .to_s = to_s};
    bool counting = ops == &tempo_counts_job;
    job->modern = counting ? !tempo->old_metrics : !tempo->old_search;
    job->histogram = counting && tempo_mono_ns(tempo) >= tempo->no_histogram_until_mono_ns;
    job->limit = ops == &tempo_count_search_job ? tempo->count_limit : tempo->options.search_limit;
    tempo_job **at = &poll->queue;
    while (!front && *at != NULL) {
        at = &(*at)->next;
    }
    job->next = *at;
    *at = job;
    return job;
}

bool tempo_spend(tempo_poll *poll, unsigned n) {
    if (poll->extras_left < n) {
        return false;
    }
    poll->extras_left -= n;
    return true;
}

void tempo_counts_unknown(tempo_poll *poll, int64_t from_s, int64_t to_s, const char *reason) {
    if (poll->counts_reason[0] == '\0') {
        snprintf(poll->counts_reason, sizeof poll->counts_reason, "%s", reason);
    }
    if (poll->n_gaps < TEMPO_MAX_RANGES) {
        poll->gaps[poll->n_gaps++] = (tempo_range){from_s, to_s};
    } else {
        tempo_range *last = &poll->gaps[TEMPO_MAX_RANGES - 1];
        last->from_s = from_s < last->from_s ? from_s : last->from_s;
        last->to_s = to_s > last->to_s ? to_s : last->to_s;
    }
}

void tempo_traces_unknown(tempo_poll *poll, int64_t from_s, const char *reason) {
    if (poll->traces_reason[0] == '\0') {
        snprintf(poll->traces_reason, sizeof poll->traces_reason, "%s", reason);
    }
    poll->traces_gap_s = from_s < poll->traces_gap_s ? from_s : poll->traces_gap_s;
}

static void drop_jobs(tempo_poll *poll) {
    tempo_job *job = NULL;
    while ((job = poll->running) != NULL) {
        poll->running = job->next;
        if (job->query != NULL) {
            tempo_query_cancel(job->query);
        }
        free_job(job);
    }
    while ((job = poll->queue) != NULL) {
        poll->queue = job->next;
        free_job(job);
    }
    poll->n_running = 0;
}

/* ---- the end ---- */

static void report_caps(sw_tempo *tempo) {
    uint64_t dropped = tempo_cache_dropped(tempo->cache);
    if (dropped > tempo->dropped_seen) {
        sw_metric_add(tempo->m.dropped, (double)(dropped - tempo->dropped_seen), "tempo");
        tempo->dropped_seen = dropped;
    }
}

static void finish(sw_tempo *tempo) {
    tempo_poll *poll = tempo->poll;
    tempo_conclude(tempo);
    report_caps(tempo);
    sw_poll_result result = {
        .reachable = poll->answered,
        .counts_ok = poll->counts_reason[0] == '\0',
        .traces_ok = poll->traces_reason[0] == '\0',
        .counts_reason = poll->counts_reason,
        .traces_reason = poll->traces_reason,
        .horizon_s = tempo->horizon_s,
        .last_byte_mono_ns = tempo->last_byte_mono_ns,
    };
    if (!result.counts_ok) {
        sw_metric_add(tempo->m.incomplete, 1, "tempo", "counts");
    }
    if (!result.traces_ok) {
        sw_metric_add(tempo->m.incomplete, 1, "tempo", "traces");
    }
    const char *message = !result.traces_ok ? poll->traces_reason : poll->counts_reason;
    if (poll->failure[0] != '\0') {
        message = poll->failure_message;
    }
    if (poll->n_started > 0) {
        tempo_set_health(tempo, poll->succeeded || poll->failure[0] == '\0', poll->failure, message);
    }
    poll->active = false;
    poll->done(&result, poll->arg);
}

/* ---- the middle ---- */

static void pump(sw_tempo *tempo);

/* The question whose answer is under way is not cancelled: it ends by itself. */
static void take_out(tempo_poll *poll, tempo_job *job) {
    tempo_job **at = &poll->running;
    while (*at != job) {
        at = &(*at)->next;
    }
    *at = job->next;
    poll->n_running--;
    job->query = NULL;
}

static void note(tempo_poll *poll, const tempo_job *job, const tempo_answer *answer) {
    poll->answered = poll->answered || answer->status != 0;
    poll->succeeded = poll->succeeded || answer->result == TEMPO_OK;
    bool decides = job->ops != &tempo_detail_job && job->ops != &tempo_probe_job &&
                   job->ops != &tempo_sweep_job && answer->result != TEMPO_NO_METRICS &&
                   !(answer->status == 400 && job->modern) &&
                   !(job->ops == &tempo_counts_job && answer->result == TEMPO_REFUSED);
    if (answer->result != TEMPO_OK && decides && poll->failure[0] == '\0') {
        snprintf(poll->failure, sizeof poll->failure, "%s", answer->reason);
        snprintf(poll->failure_message, sizeof poll->failure_message, "%s", answer->message);
    }
}

static void job_answered(const tempo_answer *answer, void *arg) {
    tempo_job *job = arg;
    sw_tempo *tempo = job->tempo;
    tempo_poll *poll = tempo->poll;
    take_out(poll, job);
    note(poll, job, answer);
    bool jumped = tempo->clock_jumped;
    tempo->clock_jumped = false;
    if (jumped && !poll->replanned) {
        drop_jobs(poll);
        poll->replanned = true;
        tempo_plan(tempo);
    } else {
        job->ops->done(job, answer);
    }
    free_job(job);
    pump(tempo);
}

static void start(sw_tempo *tempo, tempo_job *job) {
    tempo_poll *poll = tempo->poll;
    job->next = poll->running;
    poll->running = job;
    poll->n_running++;
    poll->n_started++;
    const tempo_decoder decoder = {
        .paths = job->ops->paths,
        .max_element = job->ops->max_element,
        .reset = job->ops->reset,
        .element = job->ops->element,
        .arg = job,
    };
    job->query = tempo_query_start(tempo, job->ops->kind, job->ops->url(job), &decoder, 0,
                                   poll->give_up_mono_ns, job_answered, job);
}

static void pump(sw_tempo *tempo) {
    tempo_poll *poll = tempo->poll;
    unsigned at_once = tempo->server_clock.known ? AT_ONCE : 1;
    char id[SW_TRACE_ID_LEN + 1];
    while (poll->queue == NULL && poll->n_running == 0 && poll->extras_left > 0 && poll->succeeded &&
           tempo_mono_ns(tempo) < poll->give_up_mono_ns && tempo_cache_next_detail(tempo->cache, id)) {
        tempo_spend(poll, 1);
        memcpy(tempo_add_job(tempo, &tempo_detail_job, 0, 0, false)->id, id, sizeof id);
    }
    while (poll->queue != NULL && poll->n_running < at_once) {
        tempo_job *job = poll->queue;
        poll->queue = job->next;
        start(tempo, job);
    }
    if (poll->queue == NULL && poll->n_running == 0) {
        finish(tempo);
    }
}

/* ---- the beginning ---- */

static void begin(uv_timer_t *timer) {
    tempo_poll *poll = timer->data;
    pump(poll->tempo);
}

void tempo_poll_start(sw_tempo *tempo, const sw_wants *wants,
                      void (*done)(const sw_poll_result *result, void *arg), void *arg) {
    tempo_poll *poll = tempo->poll;
    tempo_poll_cancel(tempo);
    int64_t now = tempo_mono_ns(tempo), interval_ns = tempo->options.interval_s * SW_NS_PER_S;
    int64_t margin_ns = interval_ns / 10 < 2 * SW_NS_PER_S ? interval_ns / 10 : 2 * SW_NS_PER_S;
    *poll = (tempo_poll){
        .tempo = tempo,
        .timer = poll->timer,
        .active = true,
        .wants = *wants,
        .done = done,
        .arg = arg,
        .number = poll->number + 1,
        .give_up_mono_ns = now + interval_ns - margin_ns,
        .extras_left = tempo->options.max_extra_queries,
    };
    tempo->clock_jumped = false;
    tempo_cache_begin(tempo->cache, wants, now);
    tempo_plan(tempo);
    /* Nothing calls back from inside; a poll with nothing to ask ends here too. */
    uv_timer_start(poll->timer, begin, 0, 0);
}

void tempo_poll_cancel(sw_tempo *tempo) {
    tempo_poll *poll = tempo->poll;
    drop_jobs(poll);
    uv_timer_stop(poll->timer);
    poll->active = false;
}
