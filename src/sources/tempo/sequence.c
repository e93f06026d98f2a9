#include "sources/tempo/sequence.h"

#include <stdio.h>

#include "telemetry/log.h"

#define SWEEP_EVERY 4
#define SWEEP_MARGIN_S 2 /* instant queries may lose the first second */
#define PROBE_FROM_S 95  /* the probe asks for a minute that every server shows */
#define PROBE_TO_S 35

static int64_t align(int64_t at_s, int64_t step_s) {
    return at_s >= 0 ? at_s / step_s * step_s : -((-at_s + step_s - 1) / step_s * step_s);
}

static int64_t max(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int64_t min(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static bool wants_traces(const sw_wants *wants) {
    return wants->errors || wants->min_duration_ms >= 0;
}

/* The source is responsible from its first poll on, less the lookback. Until the server's clock is known the
 * origin follows our own; a first answer that corrects the clock corrects it too. */
static void place_origin(sw_tempo *tempo) {
    const sw_tempo_options *options = &tempo->options;
    if (tempo->origin_s == 0 || (tempo->origin_by_wall && tempo->server_clock.known)) {
        int64_t since_s = (tempo_mono_ns(tempo) - tempo->first_poll_mono_ns) / SW_NS_PER_S;
        int64_t first_s = tempo->server_clock.known ? tempo_server_now_ns(tempo) / SW_NS_PER_S - since_s
                                                    : sw_wall_ns(tempo->clock) / SW_NS_PER_S - since_s;
        int64_t horizon = align(first_s - options->settle_s, options->step_s);
        tempo->origin_s = max(align(horizon - options->lookback_s, options->step_s), options->step_s);
        tempo->origin_by_wall = !tempo->server_clock.known;
    }
}

/* ---- counts ---- */

static int64_t counts_base(const sw_tempo *tempo) {
    return align(max(tempo->origin_s, tempo->counts_base_s), tempo->options.step_s);
}

/* What is too old to catch up is given up, and said once. */
static void give_up_counts(sw_tempo *tempo) {
    tempo_poll *poll = tempo->poll;
    int64_t oldest = align(tempo->horizon_s - tempo->options.max_catch_up_s - tempo->options.lookback_s,
                           tempo->options.step_s);
    int64_t known = sw_buckets_known_until(tempo->buckets, counts_base(tempo));
    if (known >= oldest) {
        return;
    }
    double seconds = (double)(oldest - known);
    sw_log(SW_LOG_WARN, "too far behind, counts are given up", "source", "tempo", "seconds",
           sw_log_num(seconds), "limit", "TEMPO_MAX_CATCH_UP_SECS", NULL);
    sw_metric_add(tempo->m.skipped, seconds, "tempo", "counts");
    sw_buckets_skip(tempo->buckets, known, oldest);
    snprintf(poll->counts_reason, sizeof poll->counts_reason,
             "%.0f s of counts were given up (TEMPO_MAX_CATCH_UP_SECS)", seconds);
}

/* Oldest first; the first is one of the poll's two questions, more of them are continuations. */
static void ask_for_counts(sw_tempo *tempo, bool by_search) {
    tempo_poll *poll = tempo->poll;
    int64_t chunk = max(TEMPO_CHUNK_S / tempo->options.step_s, 1) * tempo->options.step_s;
    for (int64_t from = poll->counts_from_s; from < poll->counts_to_s; from += chunk) {
        int64_t to = min(from + chunk, poll->counts_to_s);
        if (from > poll->counts_from_s && !tempo_spend(poll, 1)) {
            tempo_counts_unknown(poll, from, poll->counts_to_s, "still catching up");
            return;
        }
        if (by_search) {
            tempo_count_by_search(tempo, from, to);
        } else {
            tempo_add_job(tempo, &tempo_counts_job, from, to, false);
        }
    }
}

/* How far the counts lag behind the horizon. */
static int64_t backlog_s(const sw_tempo *tempo) {
    return tempo->horizon_s - sw_buckets_known_until(tempo->buckets, counts_base(tempo));
}

static bool sweep_is_due(const sw_tempo *tempo) {
    const tempo_poll *poll = tempo->poll;
    bool behind =
        poll->wants.series && backlog_s(tempo) > max(tempo->options.interval_s, tempo->options.step_s);
    return poll->number % SWEEP_EVERY == 0 && tempo->capability == TEMPO_CAN_METRICS &&
           wants_traces(&poll->wants) && !behind && tempo_mono_ns(tempo) >= tempo->no_sweep_until_mono_ns;
}

/* Without counts nothing else tells whether the server can sweep. */
static bool probe_is_due(const sw_tempo *tempo) {
    return tempo->capability == TEMPO_CAN_SEARCH_ONLY
               ? tempo_mono_ns(tempo) >= tempo->next_probe_mono_ns
               : tempo->capability == TEMPO_CAN_UNKNOWN && !tempo->poll->wants.series;
}

/* While there is no traffic it shows nowhere whether the server can count: then search is the one to ask. */
static bool search_counts(const sw_tempo *tempo) {
    return tempo->capability == TEMPO_CAN_SEARCH_ONLY ||
           (tempo->capability == TEMPO_CAN_UNKNOWN && tempo->verified_empty_mono_ns != 0);
}

/* The first of the poll's two questions: the sweep, the probe or the counts. */
static void plan_counts(sw_tempo *tempo) {
    tempo_poll *poll = tempo->poll;
    int64_t step = tempo->options.step_s, horizon = tempo->horizon_s;
    poll->counts_from_s = poll->counts_to_s = horizon;
    if (poll->wants.series) {
        give_up_counts(tempo);
    }
    if (sweep_is_due(tempo)) {
        int64_t from = min(max(horizon - TEMPO_LATE_S, tempo->origin_s), horizon - 1);
        tempo_add_job(tempo, &tempo_sweep_job, from - SWEEP_MARGIN_S, horizon, false);
    } else if (probe_is_due(tempo)) {
        int64_t now_s = tempo_server_now_ns(tempo) / SW_NS_PER_S;
        tempo_add_job(tempo, &tempo_probe_job, now_s - PROBE_FROM_S, now_s - PROBE_TO_S, false);
    } else if (poll->wants.series) {
        int64_t base = counts_base(tempo), known = sw_buckets_known_until(tempo->buckets, base);
        poll->counts_from_s = max(min(known, align(horizon - TEMPO_REPAIR_S, step)), base);
        poll->counts_to_s = max(horizon, poll->counts_from_s);
        ask_for_counts(tempo, search_counts(tempo));
    }
}

/* ---- traces ---- */

static void plan_traces(sw_tempo *tempo) {
    tempo_poll *poll = tempo->poll;
    const sw_tempo_options *options = &tempo->options;
    int64_t to = tempo_server_now_ns(tempo) / SW_NS_PER_S - options->settle_s;
    int64_t from = max(tempo->horizon_s - TEMPO_LATE_S, tempo->origin_s);
    if (tempo->search_from_s > 0) {
        from = min(from, max(tempo->search_from_s, tempo->origin_s));
    }
    int64_t oldest = tempo->horizon_s - options->max_catch_up_s - TEMPO_LATE_S;
    if (from < oldest) {
        double seconds = (double)(oldest - from);
        sw_log(SW_LOG_WARN, "too far behind, traces are given up", "source", "tempo", "seconds",
               sw_log_num(seconds), "limit", "TEMPO_MAX_CATCH_UP_SECS", NULL);
        sw_metric_add(tempo->m.skipped, seconds, "tempo", "traces");
        from = oldest;
    }
    poll->traces_from_s = from;
    poll->traces_to_s = max(to, from + 1);
    tempo_add_job(tempo, &tempo_traces_job, from, poll->traces_to_s, false);
}

/* The server's clock was set back: what lies ahead of it was never known. */
static void step_back(sw_tempo *tempo) {
    sw_buckets_forget_from(tempo->buckets, tempo->horizon_s);
    tempo->search_from_s = min(tempo->search_from_s, max(tempo->horizon_s - TEMPO_LATE_S, 1));
    tempo->search_until_s = min(tempo->search_until_s, tempo->horizon_s);
    tempo->counts_base_s = min(tempo->counts_base_s, tempo->horizon_s);
    tempo->origin_s = min(tempo->origin_s, max(tempo->horizon_s, 1));
}

void tempo_plan(sw_tempo *tempo) {
    tempo_poll *poll = tempo->poll;
    poll->traces_from_s = poll->traces_to_s = 0;
    poll->n_searched = poll->n_gaps = 0;
    poll->traces_gap_s = INT64_MAX;
    poll->metrics_empty = false;
    poll->counts_reason[0] = poll->traces_reason[0] = poll->no_metrics[0] = '\0';
    if (tempo->first_poll_mono_ns == 0) {
        tempo->first_poll_mono_ns = tempo_mono_ns(tempo);
    }
    place_origin(tempo);
    int64_t before_s = tempo->horizon_s;
    int64_t settled = tempo_server_now_ns(tempo) / SW_NS_PER_S - tempo->options.settle_s;
    tempo->horizon_s = align(settled, tempo->options.step_s);
    if (tempo->horizon_s < before_s) {
        step_back(tempo);
    }
    plan_counts(tempo);
    if (wants_traces(&poll->wants)) {
        plan_traces(tempo);
    }
}

/* ---- afterwards ---- */

/* What was searched long enough after the fact needs no further search. */
static void move_search_on(sw_tempo *tempo) {
    const tempo_poll *poll = tempo->poll;
    int64_t done_s = min(poll->traces_gap_s, tempo->horizon_s);
    if (poll->traces_to_s == 0 || done_s <= poll->traces_from_s) {
        return;
    }
    tempo->search_until_s = max(tempo->search_until_s, done_s);
    tempo->search_from_s =
        max(tempo->search_from_s, min(poll->traces_gap_s, tempo->horizon_s - TEMPO_LATE_S));
}

void tempo_conclude(sw_tempo *tempo) {
    tempo_settle_counts(tempo);
    sw_buckets_finish(tempo->buckets, align(tempo->horizon_s - TEMPO_REPAIR_S, tempo->options.step_s));
    move_search_on(tempo);
    tempo->origin_by_wall = tempo->origin_by_wall && !tempo->server_clock.known;
    tempo_cache_end(tempo->cache, tempo->origin_s * SW_NS_PER_S, tempo_mono_ns(tempo));
}
