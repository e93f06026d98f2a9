/*
 * From a changed file to the running version, without a call lost.
 *
 * A candidate loads beside the running version with the newest state and judges an empty window. When it is
 * valid and the running version is between two calls, the candidate takes its place; if the state has changed
 * since the candidate took it, the candidate is loaded once more, and the calls wait those milliseconds. The
 * version before is kept, worker and all, until the new one has passed its first real call.
 */
#include "detectors/internal.h"

#include <stdlib.h>
#include <string.h>

#include "detectors/window_pack.h"
#include "telemetry/log.h"

void sw_swap_drop(sw_detector *detector) {
    sw_version_free(detector->candidate);
    detector->candidate = NULL;
    sw_detectors_kick(detector->owner);
}

bool sw_swap_holds(const sw_detector *detector) {
    return detector->candidate != NULL &&
           (detector->phase == SW_PHASE_VALID || detector->phase == SW_PHASE_RELOAD);
}

/* What is remembered of a refused version: that its content was bad, and why. */
static void set_rejected(sw_detector *detector, sw_version *version, const char *kind, const char *message) {
    sw_version_free(detector->rejected);
    sw_version_stop(version);
    free(version->source);
    version->source = NULL;
    version->error = xstrdup(message);
    version->error_kind = kind;
    detector->rejected = version;
}

static void count_reload(sw_detectors *detectors, const char *result) {
    sw_metric_add(detectors->m.reloads, 1, result);
    if (strcmp(result, "success") == 0) {
        sw_metric_set(detectors->m.reload_timestamp,
                      (double)(sw_wall_ns(detectors->clock) / SW_NS_PER_MS) / 1000);
    }
}

static void reject(sw_detector *detector, const char *kind, const char *message, const char *traceback) {
    sw_version *version = detector->candidate;
    detector->candidate = NULL;
    sw_log(SW_LOG_ERROR,
           detector->running != NULL ? "changed detector rejected, the running version goes on"
                                     : "detector rejected",
           "detector", detector->name, "kind", kind, "error", message, "traceback",
           traceback[0] != '\0' ? traceback : NULL, NULL);
    set_rejected(detector, version, kind, message);
    count_reload(detector->owner, "failure");
    sw_scan_decided(detector->owner);
    sw_calls_run(detector);
}

/* Not the script's fault: the next scan tries again. */
static void no_worker(sw_detector *detector, char *error) {
    if (!sw_streq(detector->start_error, error)) {
        sw_log(SW_LOG_ERROR, "detector cannot be started", "detector", detector->name, "error", error, NULL);
    }
    free(detector->start_error);
    detector->start_error = error;
    sw_swap_drop(detector);
    count_reload(detector->owner, "failure");
    sw_scan_decided(detector->owner);
    sw_calls_run(detector);
}

/* Series that are there from the beginning can be watched for their first increase. */
static void begin_metrics(const sw_detector *detector) {
    static const char *const results[] = {"ok", "unknown", "failed"};
    const sw_detector_metrics *m = &detector->owner->m;
    for (size_t i = 0; i < SW_ARRAY_LEN(results); i++) {
        sw_metric_add(m->checks, 0, detector->name, results[i]);
    }
    sw_metric_add(m->restarts, 0, detector->name);
    sw_metric_add(m->cpu, 0, detector->name);
    sw_metric_set(m->paused, 0, detector->name);
}

static void switch_to_candidate(sw_detector *detector) {
    sw_version *old = detector->running;
    bool replaces = old != NULL;
    detector->running = detector->candidate;
    detector->candidate = NULL;
    if (old != NULL && detector->previous == NULL && detector->failures < SW_FAILURES_BEFORE_PAUSE) {
        detector->previous = old;
    } else {
        sw_version_free(old); /* never proven, or no better */
    }
    sw_version_free(detector->rejected);
    detector->rejected = NULL;
    detector->failures = 0;
    detector->paused_until_ns = 0;
    begin_metrics(detector);
    sw_log(SW_LOG_INFO, replaces ? "detector replaced" : "detector loaded", "detector", detector->name,
           "hash", detector->running->hash, NULL);
    count_reload(detector->owner, "success");
    sw_detectors_set_changed(detector->owner);
    sw_scan_decided(detector->owner);
    sw_calls_run(detector);
}

/* ---- the trial ---- */

static void candidate_loaded(sw_worker *worker, const sw_outcome *outcome, void *arg);

static void load_again(sw_detector *detector) {
    char *error = NULL;
    detector->phase = SW_PHASE_RELOAD;
    if (sw_version_load(detector->candidate, candidate_loaded, &error) != 0) {
        no_worker(detector, error);
    }
}

void sw_swap_try(sw_detector *detector) {
    if (detector->candidate == NULL || detector->phase != SW_PHASE_VALID || detector->current != NULL) {
        return;
    }
    if (detector->candidate->loaded && detector->candidate->generation == detector->generation) {
        switch_to_candidate(detector);
    } else {
        load_again(detector);
    }
}

static void dry_run_done(sw_worker *worker, const sw_outcome *outcome, void *arg) {
    (void)worker;
    sw_version *version = arg;
    sw_detector *detector = version->detector;
    if (outcome->lost) {
        sw_version_lost_worker(version, outcome->kind);
    }
    if (outcome->reply == NULL) {
        reject(detector, outcome->kind, outcome->message, outcome->traceback);
        return;
    }
    detector->phase = SW_PHASE_VALID;
    sw_swap_try(detector);
}

static void dry_run(sw_detector *detector) {
    sw_detectors *detectors = detector->owner;
    int64_t now = sw_wall_ns(detectors->clock);
    sw_window window;
    sw_window_init(&window);
    window.from_s = now / SW_NS_PER_S;
    window.to_s = window.from_s + 1;
    window.complete = true;
    uint64_t sequence = sw_worker_next_sequence(&detectors->env);
    sw_frame_writer writer;
    sw_frame_begin(&writer, SW_FRAME_CHECK, sequence);
    msgpack_pack_map(&writer.packer, 3);
    sw_pack_key_num(&writer.packer, "now", (double)now / (double)SW_NS_PER_S);
    sw_pack_str(&writer.packer, "window");
    sw_window_pack(&writer.packer, &window, NULL, 0, true);
    sw_pack_key_bool(&writer.packer, "dry", true);
    sw_frame_end(&writer, SW_FRAME_MAX_TO_WORKER);
    sw_window_release(&window);
    sw_bytes *bytes = sw_bytes_of(&writer);
    detector->phase = SW_PHASE_DRY;
    sw_worker_call(detector->candidate->worker,
                   &(sw_worker_request){.bytes = bytes,
                                        .sequence = sequence,
                                        .timeout_ms = detectors->options.worker_timeout_ms,
                                        .trial = true,
                                        .done = dry_run_done,
                                        .arg = detector->candidate});
    sw_bytes_drop(bytes);
}

static void candidate_loaded(sw_worker *worker, const sw_outcome *outcome, void *arg) {
    (void)worker;
    sw_version *version = arg;
    sw_detector *detector = version->detector;
    const char *why = NULL;
    if (outcome->lost) {
        sw_version_lost_worker(version, outcome->kind);
    }
    if (outcome->reply == NULL) {
        reject(detector, outcome->kind, outcome->message, outcome->traceback);
    } else if (sw_version_describe(version, outcome->reply, &why) != 0) {
        reject(detector, "shape", why, "");
    } else if (detector->phase == SW_PHASE_RELOAD) {
        detector->phase = SW_PHASE_VALID;
        sw_swap_try(detector);
    } else {
        dry_run(detector);
    }
}

void sw_swap_begin(sw_detector *detector, const char *source, size_t len, const char *hash) {
    sw_version_free(detector->candidate);
    detector->candidate = sw_version_new(detector, source, len, hash);
    detector->phase = SW_PHASE_START;
    sw_calls_run(detector); /* what waited for an older candidate */
    sw_detectors_kick(detector->owner);
}

void sw_swap_start(sw_detector *detector) {
    char *error = NULL;
    detector->phase = SW_PHASE_LOAD;
    if (sw_version_load(detector->candidate, candidate_loaded, &error) != 0) {
        no_worker(detector, error);
    } else {
        free(detector->start_error);
        detector->start_error = NULL;
    }
}

/* ---- the first real call ---- */

void sw_swap_proven(sw_detector *detector) {
    sw_version_free(detector->previous);
    detector->previous = NULL;
}

void sw_swap_back(sw_detector *detector, const char *kind, const char *message) {
    sw_version *bad = detector->running;
    detector->running = detector->previous;
    detector->previous = NULL;
    sw_log(SW_LOG_ERROR, "changed detector failed its first call, back to the version before", "detector",
           detector->name, "kind", kind, "error", message, "hash", detector->running->hash, NULL);
    set_rejected(detector, bad, kind, message);
    count_reload(detector->owner, "rolled_back");
    sw_detectors_set_changed(detector->owner);
    sw_scan_decided(detector->owner);
}
