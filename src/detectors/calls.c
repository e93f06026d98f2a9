/* Calls of one detector: they queue up, one at a time goes to the running version's worker, and each is told
 * exactly once how it ended. */
#include "detectors/internal.h"

#include <stdlib.h>
#include <string.h>

#include "detectors/window_pack.h"
#include "telemetry/log.h"

void sw_calls_free(sw_check_call *call) {
    if (call != NULL) {
        sw_bytes_drop(call->bytes);
        sw_judged_window_release(&call->judged);
        free(call->refused);
        free(call);
    }
}

static void append(sw_check_call **first, sw_check_call **last, sw_check_call *call) {
    call->next = NULL;
    if (*first == NULL) {
        *first = call;
    } else {
        (*last)->next = call;
    }
    *last = call;
}

static sw_check_call *pop(sw_check_call **first, sw_check_call **last) {
    sw_check_call *call = *first;
    if (call != NULL) {
        *first = call->next;
        *last = *first == NULL ? NULL : *last;
        call->next = NULL;
    }
    return call;
}

/* ---- calls that are not made ---- */

void sw_calls_refuse(sw_check_call *call, const char *kind, const char *message) {
    sw_detectors *detectors = call->detector->owner;
    call->refused_kind = kind;
    call->refused = xstrdup(message);
    append(&detectors->refused_first, &detectors->refused_last, call);
    sw_detectors_kick(detectors);
}

void sw_calls_refuse_all(sw_detector *detector, const char *kind, const char *message) {
    sw_check_call *call = NULL;
    while ((call = pop(&detector->first, &detector->last)) != NULL) {
        detector->n_queued--;
        sw_calls_refuse(call, kind, message);
    }
}

static void tell(sw_check_call *call, sw_check_result *result) {
    sw_detector *detector = call->detector;
    static const char *const names[] = {"ok", "unknown", "failed"};
    sw_metric_add(detector->owner->m.checks, 1, detector->name, names[result->status]);
    detector->n_ok += result->status == SW_CHECK_OK;
    detector->n_unknown += result->status == SW_CHECK_UNKNOWN;
    detector->n_failed += result->status == SW_CHECK_FAILED;
    call->done(detector, result, call->arg);
    detector->waiting--;
    sw_findings_free(result->findings, result->findings != NULL ? result->n_findings : 0);
    sw_calls_free(call);
}

/* What is refused while these are told waits for the next turn of the loop. */
void sw_calls_tell_refused(sw_detectors *detectors) {
    sw_check_call *first = detectors->refused_first, *last = detectors->refused_last, *call = NULL;
    detectors->refused_first = detectors->refused_last = NULL;
    while ((call = pop(&first, &last)) != NULL) {
        sw_check_result result = {
            .status = SW_CHECK_FAILED, .message = call->refused, .error_kind = call->refused_kind};
        tell(call, &result);
    }
}

/* ---- failures ---- */

bool sw_detector_paused(const sw_detector *detector) {
    return detector->paused_until_ns > sw_mono_ns(detector->owner->clock);
}

static void pause_detector(sw_detector *detector) {
    unsigned doublings = detector->failures - SW_FAILURES_BEFORE_PAUSE;
    int64_t pause_ns = SW_PAUSE_FIRST_NS;
    while (doublings-- > 0 && pause_ns < SW_PAUSE_MAX_NS) {
        pause_ns *= 2;
    }
    pause_ns = pause_ns > SW_PAUSE_MAX_NS ? SW_PAUSE_MAX_NS : pause_ns;
    detector->paused_until_ns = sw_mono_ns(detector->owner->clock) + pause_ns;
    sw_metric_set(detector->owner->m.paused, 1, detector->name);
    sw_log(SW_LOG_ERROR, "detector pauses after failures in a row", "detector", detector->name, "failures",
           sw_log_int(detector->failures), "pause_s", sw_log_int(pause_ns / SW_NS_PER_S), "error",
           detector->last_error, NULL);
    sw_calls_refuse_all(detector, "paused", "the detector pauses after failures in a row");
    sw_detectors_kick(detector->owner);
}

void sw_detector_failed(sw_detector *detector, const char *kind, const char *message, const char *traceback) {
    bool repeated = sw_streq(detector->last_error, message) && detector->failures > 0;
    if (!repeated) {
        sw_log(SW_LOG_ERROR, "detector failed", "detector", detector->name, "kind", kind, "error", message,
               "traceback", traceback[0] != '\0' ? traceback : NULL, NULL);
    }
    char *copy = xstrdup(message);
    free(detector->last_error);
    detector->last_error = copy;
    detector->last_error_kind = kind;
    if (detector->failures < 1000) {
        detector->failures++;
    }
    if (detector->failures >= SW_FAILURES_BEFORE_PAUSE) {
        pause_detector(detector);
    }
}

static void succeeded(sw_detector *detector) {
    if (detector->failures >= SW_FAILURES_BEFORE_PAUSE) {
        sw_log(SW_LOG_INFO, "detector works again", "detector", detector->name, NULL);
    }
    detector->failures = 0;
    detector->paused_until_ns = 0;
    sw_metric_set(detector->owner->m.paused, 0, detector->name);
}

/* ---- calls that were made ---- */

static void end_well(sw_check_call *call, sw_version *version, sw_check_reply *reply) {
    sw_detector *detector = call->detector;
    succeeded(detector);
    sw_state_set(detector, reply->state.data, reply->state.size, version->state_version);
    version->generation = detector->generation;
    sw_swap_proven(detector);
    detector->last_cpu_us = reply->cpu_us;
    sw_check_result result = {
        .status = reply->unknown != NULL ? SW_CHECK_UNKNOWN : SW_CHECK_OK,
        .message = reply->unknown,
        .findings = reply->findings,
        .n_findings = reply->n_findings,
        .state = reply->state.data,
        .state_len = reply->state.size,
        .state_version = version->state_version,
        .cpu_us = reply->cpu_us,
    };
    reply->findings = NULL;
    reply->n_findings = 0;
    tell(call, &result);
}

/* With a version before that is known to work, that one judges this call again; nobody else hears of it. */
static void end_badly(sw_check_call *call, const char *kind, const char *message, const char *traceback) {
    sw_detector *detector = call->detector;
    if (detector->previous != NULL) {
        sw_swap_back(detector, kind, message);
        call->next = detector->first;
        detector->first = call;
        detector->last = detector->last == NULL ? call : detector->last;
        detector->n_queued++;
        return;
    }
    char *kept = xstrdup(message);
    sw_detector_failed(detector, kind, message, traceback);
    sw_check_result result = {.status = SW_CHECK_FAILED, .message = kept, .error_kind = kind};
    tell(call, &result);
    free(kept);
}

static void call_done(sw_worker *worker, const sw_outcome *outcome, void *arg) {
    (void)worker;
    sw_check_call *call = arg;
    sw_detector *detector = call->detector;
    sw_version *version = detector->running;
    sw_check_reply reply;
    char *why = NULL;
    detector->current = NULL;
    detector->last_check_wall_ns = sw_wall_ns(detector->owner->clock);
    detector->last_check_duration_ns = sw_mono_ns(detector->owner->clock) - detector->call_started_ns;
    if (outcome->lost) {
        sw_version_lost_worker(version, outcome->kind);
    }
    if (outcome->reply == NULL) {
        end_badly(call, outcome->kind, outcome->message, outcome->traceback);
    } else if (sw_check_reply_read(version, &call->judged, outcome->reply, &reply, &why) == 0) {
        end_well(call, version, &reply);
        sw_check_reply_release(&reply);
    } else {
        /* The worker takes its state for accepted: it must not go on with it. */
        sw_version_stop(version);
        end_badly(call, "shape", why, "");
        free(why);
    }
    if (!detector->removed) {
        sw_swap_try(detector);
        sw_calls_run(detector);
    }
}

void sw_calls_run(sw_detector *detector) {
    if (detector->removed || detector->current != NULL || detector->running == NULL ||
        sw_swap_holds(detector)) {
        return;
    }
    if (sw_detector_paused(detector)) {
        sw_calls_refuse_all(detector, "paused", "the detector pauses after failures in a row");
        return;
    }
    if (sw_calls_need_worker(detector)) {
        sw_detectors_kick(detector->owner);
    }
    if (detector->first == NULL || !detector->running->loaded) {
        return;
    }
    sw_check_call *call = pop(&detector->first, &detector->last);
    detector->n_queued--;
    detector->current = call;
    detector->call_started_ns = sw_mono_ns(detector->owner->clock);
    sw_worker_call(detector->running->worker,
                   &(sw_worker_request){.bytes = call->bytes,
                                        .sequence = call->sequence,
                                        .timeout_ms = detector->owner->options.worker_timeout_ms,
                                        .done = call_done,
                                        .arg = call});
}

/* ---- a new worker for the running version ---- */

bool sw_calls_need_worker(const sw_detector *detector) {
    return detector->running != NULL && detector->running->worker == NULL && !sw_detector_paused(detector) &&
           !sw_swap_holds(detector);
}

static void running_loaded(sw_worker *worker, const sw_outcome *outcome, void *arg) {
    (void)worker;
    sw_version *version = arg;
    sw_detector *detector = version->detector;
    const char *why = NULL;
    if (outcome->lost) {
        sw_version_lost_worker(version, outcome->kind);
    }
    bool taken = outcome->reply != NULL && sw_version_describe(version, outcome->reply, &why) == 0;
    if (!taken) {
        sw_version_stop(version);
    }
    if (!taken && version == detector->running) { /* it may have been replaced while it was loading */
        sw_detector_failed(detector, outcome->reply != NULL ? "shape" : outcome->kind,
                           outcome->reply != NULL ? why : outcome->message,
                           outcome->reply != NULL ? "" : outcome->traceback);
    }
    sw_swap_try(detector);
    sw_calls_run(detector);
    sw_detectors_kick(detector->owner);
}

void sw_calls_start_worker(sw_detector *detector) {
    char *error = NULL;
    detector->n_restarts++;
    sw_metric_add(detector->owner->m.restarts, 1, detector->name);
    if (sw_version_load(detector->running, running_loaded, &error) != 0) {
        sw_detector_failed(detector, "start", error, "");
        free(error);
    }
}

/* ---- the caller's side ---- */

static size_t choose_traces(const sw_detector *detector, const sw_window *window,
                            bool (*offer)(const sw_trace *trace, void *arg), void *offer_arg,
                            size_t *chosen) {
    size_t n = 0;
    for (size_t i = 0; i < window->n_traces; i++) {
        const sw_trace *trace = &window->traces[i];
        if (sw_trace_wanted(trace, &detector->running->wants) && (offer == NULL || offer(trace, offer_arg))) {
            chosen[n++] = i;
        }
    }
    return n;
}

static int pack_call(sw_check_call *call, const sw_window *window, int64_t now_ns, const size_t *chosen,
                     size_t n_chosen) {
    sw_detectors *detectors = call->detector->owner;
    sw_frame_writer writer;
    call->sequence = sw_worker_next_sequence(&detectors->env);
    sw_frame_begin(&writer, SW_FRAME_CHECK, call->sequence);
    msgpack_pack_map(&writer.packer, 3);
    sw_pack_key_num(&writer.packer, "now", (double)now_ns / (double)SW_NS_PER_S);
    sw_pack_str(&writer.packer, "window");
    sw_window_pack(&writer.packer, window, chosen, n_chosen, call->detector->running->wants.series);
    sw_pack_key_bool(&writer.packer, "dry", false);
    if (sw_frame_end(&writer, SW_FRAME_MAX_TO_WORKER) != 0) {
        sw_frame_writer_release(&writer);
        return -1;
    }
    call->bytes = sw_bytes_of(&writer);
    return 0;
}

void sw_detector_check(sw_detector *detector, const sw_window *window, int64_t now_ns,
                       bool (*offer)(const sw_trace *trace, void *arg), void *offer_arg,
                       void (*done)(sw_detector *detector, sw_check_result *result, void *arg), void *arg) {
    sw_check_call *call = xcalloc(1, sizeof *call);
    *call = (sw_check_call){.detector = detector, .done = done, .arg = arg};
    detector->waiting++;
    if (detector->removed || detector->running == NULL) {
        sw_calls_refuse(call, "removed", "the detector is not there any more");
        return;
    }
    if (sw_detector_paused(detector)) {
        sw_calls_refuse(call, "paused", "the detector pauses after failures in a row");
        return;
    }
    if (detector->n_queued >= SW_QUEUE_MAX) {
        sw_calls_refuse(call, "overloaded", "too many calls are waiting for the detector");
        return;
    }
    size_t *chosen = xcalloc(window->n_traces, sizeof *chosen);
    size_t n_chosen = choose_traces(detector, window, offer, offer_arg, chosen);
    if (pack_call(call, window, now_ns, chosen, n_chosen) != 0) {
        sw_calls_refuse(call, "too_large", "the window is larger than what a worker takes (64 MiB)");
    } else {
        sw_judged_window_copy(&call->judged, window, chosen, n_chosen);
        append(&detector->first, &detector->last, call);
        detector->n_queued++;
        sw_calls_run(detector);
    }
    free(chosen);
}
