#include "detectors/internal.h"

#include <stdlib.h>
#include <string.h>

#include "telemetry/log.h"

#define TIMER_MIN_MS 10

static void on_idle(uv_idle_t *handle);

void sw_detectors_kick(sw_detectors *detectors) {
    if (!uv_is_closing((uv_handle_t *)&detectors->idle)) {
        uv_idle_start(&detectors->idle, on_idle);
    }
}

/* ---- the set of detectors ---- */

sw_detector *sw_detectors_find(const sw_detectors *detectors, const char *name) {
    for (size_t i = 0; i < detectors->n_all; i++) {
        if (strcmp(detectors->all[i]->name, name) == 0) {
            return detectors->all[i];
        }
    }
    return NULL;
}

sw_detector *sw_detectors_add(sw_detectors *detectors, const char *name, bool named) {
    sw_detector *detector = xcalloc(1, sizeof *detector);
    detector->owner = detectors;
    detector->name = xstrdup(name);
    detector->named = named;
    detector->path = xasprintf("%s/%s.lua", detectors->scripts_dir, name);
    detector->dir = xstrndup(detector->path, (size_t)(strrchr(detector->path, '/') - detector->path));
    sw_state_take(detector);
    size_t at = detectors->n_all;
    while (at > 0 && strcmp(detectors->all[at - 1]->name, name) > 0) {
        at--;
    }
    detectors->all = xrealloc_array(detectors->all, detectors->n_all + 1, sizeof(sw_detector *));
    memmove(detectors->all + at + 1, detectors->all + at, (detectors->n_all - at) * sizeof(sw_detector *));
    detectors->all[at] = detector;
    detectors->n_all++;
    return detector;
}

void sw_detector_free(sw_detector *detector) {
    sw_version_free(detector->running);
    sw_version_free(detector->previous);
    sw_version_free(detector->candidate);
    sw_version_free(detector->rejected);
    sw_calls_free(detector->current);
    while (detector->first != NULL) {
        sw_check_call *call = detector->first;
        detector->first = call->next;
        sw_calls_free(call);
    }
    free(detector->state);
    free(detector->last_error);
    free(detector->file_error);
    free(detector->start_error);
    free(detector->name);
    free(detector->path);
    free(detector->dir);
    free(detector);
}

static void forget_metrics(const sw_detector *detector) {
    const sw_detector_metrics *m = &detector->owner->m;
    sw_metric *const of_detector[] = {m->checks, m->cpu, m->memory, m->kills, m->restarts, m->paused};
    for (size_t i = 0; i < SW_ARRAY_LEN(of_detector); i++) {
        sw_metric_remove(of_detector[i], "detector", detector->name);
    }
    sw_metrics_remove_custom(detector->owner->metrics, detector->name);
}

void sw_detectors_remove(sw_detector *detector) {
    sw_detectors *detectors = detector->owner;
    for (size_t i = 0; i < detectors->n_all; i++) {
        if (detectors->all[i] == detector) {
            memmove(detectors->all + i, detectors->all + i + 1,
                    (--detectors->n_all - i) * sizeof(sw_detector *));
            break;
        }
    }
    if (detector->running != NULL) {
        sw_log(SW_LOG_INFO, "detector stopped, its file is gone", "detector", detector->name, NULL);
    }
    if (detector->has_state) {
        sw_state_keep(detectors, detector->name, detector->state_version, detector->state,
                      detector->state_len);
    }
    detector->removed = true;
    sw_version *versions[] = {detector->running, detector->previous, detector->candidate};
    for (size_t i = 0; i < SW_ARRAY_LEN(versions); i++) {
        if (versions[i] != NULL) {
            sw_version_stop(versions[i]);
        }
    }
    if (detector->current != NULL) {
        sw_calls_refuse(detector->current, "removed", "the detector was removed during the call");
        detector->current = NULL;
    }
    sw_calls_refuse_all(detector, "removed", "the detector was removed");
    detectors->removed = xrealloc_array(detectors->removed, detectors->n_removed + 1, sizeof(sw_detector *));
    detectors->removed[detectors->n_removed++] = detector;
    sw_detectors_set_changed(detectors);
    sw_detectors_kick(detectors);
}

/* Those whose callers have all been told. */
static void bury_removed(sw_detectors *detectors) {
    size_t kept = 0;
    for (size_t i = 0; i < detectors->n_removed; i++) {
        sw_detector *detector = detectors->removed[i];
        if (detector->waiting > 0) {
            detectors->removed[kept++] = detector;
        } else {
            forget_metrics(detector);
            sw_detector_free(detector);
        }
    }
    detectors->n_removed = kept;
}

void sw_detectors_set_changed(sw_detectors *detectors) {
    detectors->running = xrealloc_array(detectors->running, detectors->n_all, sizeof(sw_detector *));
    detectors->n_running = 0;
    for (size_t i = 0; i < detectors->n_all; i++) {
        if (detectors->all[i]->running != NULL) {
            detectors->running[detectors->n_running++] = detectors->all[i];
        }
    }
    detectors->changed_due = true;
    sw_detectors_kick(detectors);
}

/* ---- workers ---- */

static void spare_lost(sw_worker *worker, const char *kind, const char *message, void *arg) {
    (void)worker;
    sw_detectors *detectors = arg;
    sw_log(SW_LOG_WARN, "the spare worker is lost", "kind", kind, "error", message, NULL);
    detectors->spare = NULL;
    detectors->spare_due_ns = sw_mono_ns(detectors->clock) + SW_RESCAN_NS;
}

sw_worker *sw_detectors_take_worker(sw_detectors *detectors, char **error) {
    sw_worker *worker = detectors->spare;
    detectors->spare = NULL;
    detectors->spare_due_ns = sw_mono_ns(detectors->clock) + SW_SPARE_DELAY_NS;
    sw_detectors_kick(detectors); /* sets the timer */
    return worker != NULL ? worker : sw_worker_start(&detectors->env, error);
}

static sw_detector *next_to_start(const sw_detectors *detectors) {
    for (size_t i = 0; i < detectors->n_all; i++) {
        sw_detector *detector = detectors->all[i];
        if ((detector->candidate != NULL && detector->phase == SW_PHASE_START) ||
            sw_calls_need_worker(detector)) {
            return detector;
        }
    }
    return NULL;
}

static void keep_spare(sw_detectors *detectors, int64_t now) {
    if (detectors->spare != NULL || now < detectors->spare_due_ns || next_to_start(detectors) != NULL) {
        return;
    }
    char *error = NULL;
    detectors->spare = sw_worker_start(&detectors->env, &error);
    if (detectors->spare == NULL) {
        detectors->spare_due_ns = now + SW_RESCAN_NS; /* said where a detector needs one */
        free(error);
        return;
    }
    sw_worker_own(detectors->spare,
                  &(sw_worker_owner){.name = "spare", .lost = spare_lost, .arg = detectors});
}

/* ---- what is done from the loop ---- */

static void tell_waiters(sw_detectors *detectors) {
    if (detectors->scan_due || sw_scan_undecided(detectors)) {
        return;
    }
    sw_scan_waiter *waiters = detectors->waiters;
    size_t n = detectors->n_waiters;
    detectors->waiters = NULL;
    detectors->n_waiters = 0;
    for (size_t i = 0; i < n; i++) {
        waiters[i].done(sw_scan_errors(detectors), waiters[i].arg);
    }
    free(waiters);
}

static void tell_changed(sw_detectors *detectors) {
    if (detectors->changed_due) {
        detectors->changed_due = false;
        if (detectors->changed != NULL) {
            detectors->changed(detectors->changed_arg);
        }
    }
}

/* Starting a process takes milliseconds: one in each turn of the loop. */
static void start_one(sw_detectors *detectors) {
    sw_detector *detector = next_to_start(detectors);
    if (detector == NULL) {
        return;
    }
    if (detector->candidate != NULL && detector->phase == SW_PHASE_START) {
        sw_swap_start(detector);
    } else {
        sw_calls_start_worker(detector);
    }
}

static void on_idle(uv_idle_t *handle) {
    sw_detectors *detectors = handle->data;
    uv_idle_stop(handle);
    sw_calls_tell_refused(detectors);
    bury_removed(detectors);
    if (detectors->scan_due) {
        detectors->scan_due = false;
        sw_scan(detectors);
    }
    start_one(detectors);
    tell_changed(detectors);
    tell_waiters(detectors);
    sw_detectors_keep(detectors);
    if (next_to_start(detectors) != NULL || detectors->refused_first != NULL || detectors->scan_due) {
        sw_detectors_kick(detectors);
    }
}

static void on_keeper(uv_timer_t *timer) {
    sw_detectors_keep(timer->data);
}

static int64_t end_pauses(sw_detectors *detectors, int64_t now) {
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < detectors->n_all; i++) {
        sw_detector *detector = detectors->all[i];
        if (detector->paused_until_ns == 0) {
            continue;
        }
        if (detector->paused_until_ns > now) {
            next = detector->paused_until_ns < next ? detector->paused_until_ns : next;
            continue;
        }
        detector->paused_until_ns = 0;
        sw_metric_set(detectors->m.paused, 0, detector->name);
        sw_detectors_kick(detectors);
    }
    return next;
}

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

void sw_detectors_keep(sw_detectors *detectors) {
    int64_t now = sw_mono_ns(detectors->clock);
    if (detectors->last_scan_ns == 0) {
        return; /* nothing was asked for yet */
    }
    int64_t look_ns = detectors->last_scan_ns + SW_RESCAN_NS;
    look_ns = detectors->look_again_ns != 0 ? earlier(look_ns, detectors->look_again_ns) : look_ns;
    if (now >= look_ns && !uv_is_active((uv_handle_t *)&detectors->quiet)) {
        sw_scan(detectors);
    }
    int64_t next = end_pauses(detectors, now);
    next = earlier(next, detectors->last_scan_ns + SW_RESCAN_NS);
    next = detectors->look_again_ns != 0 ? earlier(next, detectors->look_again_ns) : next;
    keep_spare(detectors, now);
    next = detectors->spare == NULL ? earlier(next, detectors->spare_due_ns) : next;
    int64_t wait_ms = (next - now) / SW_NS_PER_MS + 1;
    wait_ms = wait_ms < TIMER_MIN_MS ? TIMER_MIN_MS : wait_ms;
    uv_timer_start(&detectors->keeper, on_keeper, (uint64_t)wait_ms, 0);
}

static void on_quiet(uv_timer_t *timer) {
    sw_scan(timer->data);
}

/* Any event means: look again when it has been quiet for a while. */
static void on_event(void *arg) {
    sw_detectors *detectors = arg;
    uv_timer_start(&detectors->quiet, on_quiet, SW_QUIET_MS, 0);
}

/* ---- beginning and end ---- */

static void make_metrics(sw_detectors *detectors) {
    static const char *const detector[] = {"detector", NULL}, *const result[] = {"result", NULL},
                             *const detector_result[] = {"detector", "result", NULL},
                             *const detector_reason[] = {"detector", "reason", NULL};
    sw_metrics *metrics = detectors->metrics;
    detectors->m = (sw_detector_metrics){
        .checks = sw_metrics_counter(metrics, "spanwatch_detector_checks_total",
                                     "Windows judged by a detector, by result: ok, unknown, failed.",
                                     detector_result),
        .cpu = sw_metrics_counter(metrics, "spanwatch_detector_cpu_seconds_total",
                                  "CPU time that the calls of a detector took.", detector),
        .memory = sw_metrics_gauge(metrics, "spanwatch_detector_memory_bytes",
                                   "Most memory that a detector's Lua state has used.", detector),
        .kills = sw_metrics_counter(metrics, "spanwatch_detector_kills_total",
                                    "Workers that ended before their time, by reason: timeout, memory, cpu, "
                                    "crash, protocol.",
                                    detector_reason),
        .restarts =
            sw_metrics_counter(metrics, "spanwatch_detector_restarts_total",
                               "Workers started again from the last good source and state.", detector),
        .paused = sw_metrics_gauge(metrics, "spanwatch_detector_paused",
                                   "1 while a detector pauses after failures in a row.", detector),
        .reload_successful = sw_metrics_gauge(metrics, "spanwatch_config_last_reload_successful",
                                              "1 when every detector file is used as it is, 0 when one is in "
                                              "error.",
                                              NULL),
        .reload_timestamp =
            sw_metrics_gauge(metrics, "spanwatch_config_last_reload_success_timestamp_seconds",
                             "When a detector file was last taken into use.", NULL),
        .reloads =
            sw_metrics_counter(metrics, "spanwatch_reloads_total",
                               "Detector files tried, by result: success, failure, rolled_back.", result),
    };
}

static char **copy_names(const char *const *names) {
    size_t n = 0;
    while (names != NULL && names[n] != NULL) {
        n++;
    }
    char **copy = xcalloc(n + 1, sizeof *copy);
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(names[i]);
        bool suffix = len > 4 && strcmp(names[i] + len - 4, ".lua") == 0;
        copy[i] = xstrndup(names[i], suffix ? len - 4 : len);
    }
    return copy;
}

sw_detectors *sw_detectors_new(uv_loop_t *loop, const sw_clock *clock, sw_metrics *metrics,
                               const sw_detectors_options *options) {
    sw_detectors *detectors = xcalloc(1, sizeof *detectors);
    detectors->loop = loop;
    detectors->clock = clock;
    detectors->metrics = metrics;
    detectors->options = *options;
    detectors->scripts_dir = xstrdup(options->scripts_dir);
    size_t len = strlen(detectors->scripts_dir);
    while (len > 1 && detectors->scripts_dir[len - 1] == '/') {
        detectors->scripts_dir[--len] = '\0';
    }
    detectors->worker_path = xstrdup(options->worker_path);
    detectors->names = copy_names(options->names);
    detectors->options.scripts_dir = detectors->scripts_dir;
    detectors->options.worker_path = detectors->worker_path;
    detectors->options.names = (const char *const *)detectors->names;
    detectors->env = (sw_worker_env){.loop = loop,
                                     .path = detectors->worker_path,
                                     .host = options->host,
                                     .ask_ms = SW_WORKER_ASK_MS,
                                     .read_buffer = xmalloc(SW_WORKER_READ_BYTES)};
    make_metrics(detectors);
    uv_idle_init(loop, &detectors->idle);
    uv_timer_init(loop, &detectors->keeper);
    uv_timer_init(loop, &detectors->quiet);
    detectors->idle.data = detectors->keeper.data = detectors->quiet.data = detectors;
    detectors->open_handles = 3;
    detectors->watches = sw_watches_new(loop, on_event, detectors);
    return detectors;
}

static void handle_closed(uv_handle_t *handle) {
    sw_detectors *detectors = handle->data;
    if (--detectors->open_handles == 0) {
        free(detectors->env.read_buffer);
        free(detectors);
    }
}

void sw_detectors_free(sw_detectors *detectors) {
    sw_detectors_explain_cancel(detectors);
    uv_close((uv_handle_t *)&detectors->idle, handle_closed);
    uv_close((uv_handle_t *)&detectors->keeper, handle_closed);
    uv_close((uv_handle_t *)&detectors->quiet, handle_closed);
    sw_watches_free(detectors->watches);
    if (detectors->spare != NULL) {
        sw_worker_stop(detectors->spare);
    }
    while (detectors->refused_first != NULL) {
        sw_check_call *call = detectors->refused_first;
        detectors->refused_first = call->next;
        sw_calls_free(call);
    }
    for (size_t i = 0; i < detectors->n_all; i++) {
        sw_detector_free(detectors->all[i]);
    }
    for (size_t i = 0; i < detectors->n_removed; i++) {
        sw_detector_free(detectors->removed[i]);
    }
    for (char **name = detectors->names; *name != NULL; name++) {
        free(*name);
    }
    sw_states_free(detectors);
    free(detectors->all);
    free(detectors->running);
    free(detectors->removed);
    free(detectors->waiters);
    free(detectors->names);
    free(detectors->scripts_dir);
    free(detectors->worker_path);
    free(detectors->folder_error);
}
