/*
 * Judging: which windows and traces each detector has seen, and what it must see now.
 *
 * Each detector has its own progress on each source, by name, so that one that fails, pauses or runs less
 * often loses nothing: it judges what it missed when it can again. An evaluation is what one detector judges
 * of one source in one tick: windows whose counts were repaired (if it asked for them), then every window
 * since the last, oldest first; the newest carries the traces that it has not judged yet in their present
 * form. Findings and state of a whole evaluation go into one commit. A detector has one state, whatever it
 * judges: its evaluations follow one another.
 */
#include "agent/progress.h"

#include <stdlib.h>
#include <string.h>

#include "telemetry/log.h"

/* Traces in one call: what a call costs, and its reply, stay small however bad the night is. */
#define MAX_OFFERED 500
#define TRIES_PER_WINDOW 3 /* a window that a detector fails on this often is skipped */

/* ---- planning ---- */

static int64_t stride_s(const sw_feed *feed, const sw_detector *detector) {
    int64_t step = feed->source->ops->step_s(feed->source);
    int64_t every = (int64_t)sw_detector_every_s(detector);
    return every < step ? step : every / step * step;
}

int64_t sw_judge_lookback_s(const sw_feed *feed) {
    int64_t step = feed->source->ops->step_s(feed->source);
    return (feed->agent->config->tempo_lookback_window_secs + step - 1) / step * step;
}

static int64_t lookback_of(const sw_feed *feed, const sw_detector *detector) {
    int64_t lookback = sw_judge_lookback_s(feed), stride = stride_s(feed, detector);
    return lookback > stride ? lookback : stride;
}

int64_t sw_judge_oldest_needed_s(const sw_feed *feed, int64_t horizon_s) {
    const sw_agent *agent = feed->agent;
    int64_t oldest = horizon_s - SW_AGENT_REVISE_S;
    for (size_t i = 0; i < sw_detectors_count(agent->detectors); i++) {
        const sw_detector *detector = sw_detectors_at(agent->detectors, i);
        if (!sw_detector_watches(detector, feed->number)) {
            continue;
        }
        const sw_progress *progress = sw_progress_find(feed, sw_detector_name(detector));
        int64_t from =
            (progress == NULL || progress->judged_until_s == 0 ? horizon_s : progress->judged_until_s) -
            lookback_of(feed, detector);
        oldest = from < oldest ? from : oldest;
    }
    int64_t limit = horizon_s - agent->config->tempo_max_catch_up_secs - sw_judge_lookback_s(feed);
    return oldest < limit ? limit : oldest;
}

static bool add_step(sw_progress *progress, struct step step) {
    if (progress->n_steps == MAX_STEPS) {
        return false;
    }
    progress->steps[progress->n_steps++] = step;
    return true;
}

/* Windows that were judged before and whose counts have changed since. */
static void plan_revisions(sw_progress *progress, const sw_source *source) {
    for (size_t i = 0; i < progress->n_windows; i++) {
        struct judged_window *window = &progress->windows[i];
        if (source->ops->revision(source, window->from_s, window->to_s) != window->revision) {
            add_step(progress, (struct step){.from_s = window->from_s,
                                             .to_s = window->to_s,
                                             .times = window->times + 1,
                                             .counts = true});
        }
    }
}

static void plan_windows(sw_progress *progress, const sw_detector *detector, const sw_poll_result *poll) {
    const sw_agent *agent = progress->agent;
    const sw_feed *feed = progress->feed;
    const sw_source *source = feed->source;
    int64_t stride = stride_s(feed, detector), lookback = lookback_of(feed, detector);
    int64_t origin_s = 0, watermark_s = 0;
    source->ops->save(source, &origin_s, &watermark_s);
    bool counts = sw_detector_wants(detector).series;

    int64_t oldest = poll->horizon_s - agent->config->tempo_max_catch_up_secs;
    if (progress->judged_until_s == 0) {
        progress->judged_until_s = (poll->horizon_s - stride) / stride * stride;
    } else if (progress->judged_until_s < oldest) {
        sw_log(SW_LOG_WARN, "too far behind, skipping windows", "detector", progress->name, "source",
               sw_source_names[feed->number], "skipped_s", sw_log_int(oldest - progress->judged_until_s),
               NULL);
        sw_metric_add(agent->m.windows_skipped, (double)((oldest - progress->judged_until_s) / stride),
                      progress->name, sw_source_names[feed->number]);
        progress->judged_until_s = oldest / stride * stride;
    }
    for (int64_t to = progress->judged_until_s + stride; to <= poll->horizon_s; to += stride) {
        int64_t from = to - lookback < origin_s ? origin_s : to - lookback;
        if (from >= to) {
            continue;
        }
        if (counts && source->ops->counts_known_until(source, from) < to) {
            break;
        }
        if (!add_step(progress,
                      (struct step){.from_s = from, .to_s = to, .advances = true, .counts = counts})) {
            break;
        }
    }
}

static const struct judged_trace *judged(const sw_progress *progress, const sw_trace *trace) {
    struct judged_trace *entry = NULL;
    HASH_FIND_STR(progress->judged, trace->id, entry);
    return entry != NULL && entry->digest == trace->digest ? entry : NULL;
}

static bool any_new_trace(const sw_progress *progress) {
    size_t n = 0;
    const sw_trace *const *traces = progress->feed->source->ops->traces(progress->feed->source, &n);
    for (size_t i = 0; i < n; i++) {
        if (judged(progress, traces[i]) == NULL) {
            return true;
        }
    }
    return false;
}

/* The newest window carries the traces; without a new window they come in one of their own, without counts.
 */
static void plan_traces(sw_progress *progress, const sw_detector *detector, const sw_poll_result *poll) {
    struct step *last = progress->n_steps > 0 ? &progress->steps[progress->n_steps - 1] : NULL;
    if (last != NULL && last->advances) {
        last->traces = true;
    } else if (any_new_trace(progress)) {
        int64_t from = poll->horizon_s - lookback_of(progress->feed, detector);
        add_step(progress, (struct step){.from_s = from, .to_s = poll->horizon_s, .traces = true});
    }
}

static char *why_incomplete(const sw_poll_result *poll) {
    if (!poll->counts_ok && !poll->traces_ok) {
        return xasprintf("counts: %s; traces: %s", poll->counts_reason, poll->traces_reason);
    }
    if (!poll->counts_ok) {
        return xasprintf("counts: %s", poll->counts_reason);
    }
    return poll->traces_ok ? xstrdup("") : xasprintf("traces: %s", poll->traces_reason);
}

/* ---- one evaluation ---- */

static bool offer(const sw_trace *trace, void *arg) {
    sw_progress *progress = arg;
    if (judged(progress, trace) != NULL) {
        return false;
    }
    if (progress->n_offered == MAX_OFFERED) {
        progress->more_traces = true;
        return false;
    }
    if (progress->n_offered == progress->offered_allocated) {
        progress->offered_allocated = progress->offered_allocated == 0 ? 64 : progress->offered_allocated * 2;
        progress->offered =
            xrealloc_array(progress->offered, progress->offered_allocated, sizeof *progress->offered);
    }
    struct offered *entry = &progress->offered[progress->n_offered++];
    snprintf(entry->id, sizeof entry->id, "%s", trace->id);
    entry->digest = trace->digest;
    sw_evaluation_trace(progress->record, trace);
    return true;
}

static void call_done(sw_detector *detector, sw_check_result *result, void *arg);

/* The source's traces are lent to the window for the call, which copies them. */
static void call_next(sw_progress *progress, sw_detector *detector) {
    const sw_source *source = progress->feed->source;
    const struct step *step = &progress->steps[progress->next_step];
    sw_window window;
    sw_window_init(&window);
    if (step->counts) {
        source->ops->build_window(source, step->from_s, step->to_s, &window);
        progress->known = progress->known && window.complete;
    }
    window.source = source->ops->name;
    window.from_s = step->from_s;
    window.to_s = step->to_s;
    window.revision = step->times;
    bool counts_whole = step->counts ? window.complete : !sw_detector_wants(detector).series;
    bool whole = counts_whole && (!step->traces || progress->traces_ok);
    if (!whole && progress->reason[0] != '\0') {
        free(window.reason);
        window.reason = xstrdup(progress->reason);
    } else if (!whole && window.reason[0] == '\0') {
        free(window.reason);
        window.reason = xstrdup("no new counts in this window");
    }
    window.complete = whole;
    sw_trace *lent = NULL;
    if (step->traces) {
        size_t n = 0;
        const sw_trace *const *traces = source->ops->traces(source, &n);
        lent = xcalloc(n, sizeof *lent);
        for (size_t i = 0; i < n; i++) {
            lent[i] = *traces[i];
        }
        window.traces = lent;
        window.n_traces = n;
    }
    int64_t to_s = step->to_s;
    sw_evaluation_window(progress->record, &window);
    sw_detector_check(detector, &window, sw_wall_ns(progress->agent->clock), offer, progress, call_done,
                      progress);
    bool saw = window.n_series > 0 || progress->n_offered > 0;
    if (progress->seen_until_s == 0 || (saw && to_s > progress->seen_until_s)) {
        progress->seen_until_s = to_s;
    }
    window.traces = NULL;
    window.n_traces = 0;
    free(lent);
    sw_window_release(&window);
}

static void remember_window(sw_progress *progress, const struct step *step) {
    const sw_source *source = progress->feed->source;
    unsigned revision = source->ops->revision(source, step->from_s, step->to_s);
    for (size_t i = 0; i < progress->n_windows; i++) {
        if (progress->windows[i].from_s == step->from_s && progress->windows[i].to_s == step->to_s) {
            progress->windows[i].revision = revision;
            progress->windows[i].times = step->times;
            return;
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < progress->n_windows; i++) {
        if (progress->windows[i].to_s > step->to_s - SW_AGENT_REVISE_S) {
            progress->windows[kept++] = progress->windows[i];
        }
    }
    if (kept == MAX_REVISED) {
        memmove(progress->windows, progress->windows + 1, (--kept) * sizeof progress->windows[0]);
    }
    progress->windows[kept] = (struct judged_window){step->from_s, step->to_s, revision, step->times};
    progress->n_windows = kept + 1;
}

static void take_findings(sw_progress *progress, sw_check_result *result) {
    if (result->n_findings == 0) {
        return;
    }
    if (progress->n_findings == 0) { /* of most evaluations these are all */
        progress->findings = result->findings;
        progress->n_findings = result->n_findings;
        result->findings = NULL;
        result->n_findings = 0;
        return;
    }
    size_t total = progress->n_findings + result->n_findings;
    progress->findings = xrealloc_array(progress->findings, total, sizeof *progress->findings);
    memcpy(progress->findings + progress->n_findings, result->findings,
           result->n_findings * sizeof *result->findings);
    progress->n_findings = total;
    free(result->findings);
    result->findings = NULL;
    result->n_findings = 0;
}

/* What was offered is judged. Traces that had no room come in a call of their own, without counts. */
static void take_traces(sw_progress *progress) {
    sw_agent *agent = progress->agent;
    const struct step *step = &progress->steps[progress->next_step];
    int64_t now = sw_wall_ns(agent->clock);
    if (progress->n_offered > 0) {
        progress->taken =
            xrealloc_array(progress->taken, progress->n_taken + progress->n_offered, sizeof *progress->taken);
    }
    for (size_t i = 0; i < progress->n_offered; i++) {
        sw_progress_remember(progress, progress->offered[i].id, progress->offered[i].digest, now);
        progress->taken[progress->n_taken++] = progress->offered[i];
    }
    progress->n_offered = 0;
    if (progress->more_traces) {
        add_step(progress, (struct step){.from_s = step->from_s, .to_s = step->to_s, .traces = true});
        progress->more_traces = false;
    }
    if (now - progress->expired_at_ns > SW_AGENT_REMEMBER_NS / 24) {
        progress->expired_at_ns = now;
        sw_progress_forget(progress, now - SW_AGENT_REMEMBER_NS);
    }
}

static void start_waiting(sw_agent *agent, const char *name);

/* Only now: were a trace stored as judged before what was found in it, a crash in between would lose that. */
static void applied(void *arg) {
    sw_progress *progress = arg;
    sw_agent *agent = progress->agent;
    const char *source = sw_source_names[progress->feed->number];
    int64_t now = sw_wall_ns(agent->clock);
    progress->applying = NULL;
    for (size_t i = 0; i < progress->n_taken; i++) {
        sw_batch_put_judged(sw_commit_batch(agent), progress->name, source, progress->taken[i].id,
                            progress->taken[i].digest, now);
    }
    sw_evaluations_keep(agent->evaluations, progress->record);
    progress->record = NULL;
    if (progress->has_state) {
        sw_commit_detector(progress->feed, progress->name, progress->judged_until_s, progress->state,
                           progress->state_len, progress->state_version);
    }
    sw_progress_clear(progress);
    start_waiting(agent, progress->name);
    sw_tick_evaluated(agent);
}

static void apply(void *arg) {
    sw_progress *progress = arg;
    sw_agent *agent = progress->agent;
    const char *source = sw_source_names[progress->feed->number];
    sw_evaluation_findings(progress->record, agent->alerts, progress->findings, progress->n_findings,
                           progress->known);
    if (agent->found != NULL) {
        agent->found(agent, progress->name, source, progress->findings, progress->n_findings,
                     progress->known);
        applied(progress);
        return;
    }
    sw_alerts_round *round = sw_alerting_round(agent, progress->name, source, progress->findings,
                                               progress->n_findings, progress->known);
    progress->applying =
        sw_applying_start(agent, round, progress->culprits, progress->record, applied, progress);
}

/* Nothing of the evaluation is committed before its findings are applied: what a crash cuts off is judged
 * again. */
static void finish(sw_progress *progress) {
    progress->culprits =
        sw_culprits_find(progress->feed, progress->findings, progress->n_findings, apply, progress);
    if (!sw_culprits_waiting(progress->culprits)) {
        apply(progress);
    }
}

/* A window on which a detector fails is tried again in the next ticks, and then skipped: one bad window must
 * not hold up all others. */
static void failed(sw_progress *progress, const struct step *step) {
    progress->known = false;
    if (step->advances && ++progress->failures >= TRIES_PER_WINDOW) {
        sw_log(SW_LOG_WARN, "window skipped, the detector failed on it again and again", "detector",
               progress->name, "source", sw_source_names[progress->feed->number], "window_to",
               sw_log_int(step->to_s), NULL);
        sw_metric_add(progress->agent->m.windows_skipped, 1, progress->name,
                      sw_source_names[progress->feed->number]);
        progress->judged_until_s = step->to_s;
        progress->failures = 0;
    }
    finish(progress);
}

static void call_done(sw_detector *detector, sw_check_result *result, void *arg) {
    sw_progress *progress = arg;
    const struct step step = progress->steps[progress->next_step];
    sw_evaluation_result(progress->record, result);
    if (result->status == SW_CHECK_FAILED) {
        failed(progress, &step);
        return;
    }
    progress->failures = 0;
    if (result->status == SW_CHECK_UNKNOWN) {
        progress->known = false;
    } else if (step.traces) {
        take_traces(progress);
    }
    take_findings(progress, result);
    free(progress->state);
    progress->state = xmalloc(result->state_len);
    if (result->state_len > 0) {
        memcpy(progress->state, result->state, result->state_len);
    }
    progress->state_len = result->state_len;
    progress->state_version = result->state_version;
    progress->has_state = true;
    if (step.advances) {
        progress->judged_until_s = step.to_s;
    }
    if (step.counts && sw_detector_wants_revisions(detector)) {
        remember_window(progress, &step);
    }
    if (++progress->next_step < progress->n_steps) {
        call_next(progress, detector);
    } else {
        finish(progress);
    }
}

/* The evaluation of this detector that is under way and does not wait for another; or one that waits. */
static sw_progress *find_evaluation(const sw_agent *agent, const char *name, bool waits) {
    for (int i = 0; i < SW_SOURCES; i++) {
        sw_progress *progress = sw_progress_find(&agent->feeds[i], name);
        if (progress != NULL && progress->busy && progress->waits == waits) {
            return progress;
        }
    }
    return NULL;
}

/* The next evaluation of this detector, when there is one. The detector may have gone meanwhile. */
static void start_waiting(sw_agent *agent, const char *name) {
    sw_progress *progress = NULL;
    while ((progress = find_evaluation(agent, name, true)) != NULL) {
        progress->waits = false;
        sw_detector *detector = sw_detectors_running(agent->detectors, name);
        if (detector != NULL) {
            call_next(progress, detector);
            return;
        }
        sw_progress_clear(progress);
        sw_tick_evaluated(agent);
    }
}

static void evaluate(sw_feed *feed, sw_detector *detector, const sw_poll_result *poll) {
    sw_agent *agent = feed->agent;
    sw_progress *progress = sw_progress_of(feed, sw_detector_name(detector));
    if (progress->busy) {
        return; /* still judging the tick before: it gets the rest in the next one */
    }
    sw_progress_clear(progress);
    if (sw_detector_wants_revisions(detector)) {
        plan_revisions(progress, feed->source);
    }
    size_t revised = progress->n_steps;
    plan_windows(progress, detector, poll);
    bool new_windows = progress->n_steps > revised;
    plan_traces(progress, detector, poll);
    if (progress->n_steps == 0) {
        return;
    }
    /* Only a whole new window tells that something is gone. */
    progress->known =
        new_windows && poll->traces_ok && (poll->counts_ok || !sw_detector_wants(detector).series);
    progress->traces_ok = poll->traces_ok;
    progress->reason = why_incomplete(poll);
    progress->waits = find_evaluation(agent, progress->name, false) != NULL;
    progress->busy = true;
    progress->record =
        agent->evaluations != NULL
            ? sw_evaluation_begin(progress->name, feed->source->ops->name, sw_wall_ns(agent->clock))
            : NULL;
    agent->evaluating++;
    if (!progress->waits) {
        call_next(progress, detector);
    }
}

static void show_age(const char *detector, const sw_feed *feed, int64_t judged_until_s, int64_t seen_until_s,
                     void *arg) {
    const sw_agent *agent = arg;
    int64_t now_s = sw_wall_ns(agent->clock) / SW_NS_PER_S;
    (void)seen_until_s;
    if (judged_until_s > 0) {
        sw_metric_set(agent->m.watermark_age, (double)(now_s - judged_until_s), detector,
                      sw_source_names[feed->number]);
    }
}

void sw_judge_all(sw_feed *feed, const sw_poll_result *poll) {
    sw_agent *agent = feed->agent;
    for (size_t i = 0; i < sw_detectors_count(agent->detectors); i++) {
        sw_detector *detector = sw_detectors_at(agent->detectors, i);
        if (sw_detector_ready(detector) && sw_detector_watches(detector, feed->number)) {
            evaluate(feed, detector, poll);
        }
    }
    sw_judge_each(agent, show_age, agent);
}
