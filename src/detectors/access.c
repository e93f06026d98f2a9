/* What the agent may read of detectors. */
#include "detectors/internal.h"

#include <string.h>

void sw_detectors_on_change(sw_detectors *detectors, void (*changed)(void *arg), void *arg) {
    detectors->changed = changed;
    detectors->changed_arg = arg;
}

sw_wants sw_detectors_wants(const sw_detectors *detectors, int source) {
    sw_wants joined = {.min_duration_ms = -1};
    for (size_t i = 0; i < detectors->n_running; i++) {
        const sw_wants *wants = &detectors->running[i]->running->wants;
        if (!sw_detector_watches(detectors->running[i], source)) {
            continue;
        }
        if (wants->min_duration_ms >= 0 &&
            (joined.min_duration_ms < 0 || wants->min_duration_ms < joined.min_duration_ms)) {
            joined.min_duration_ms = wants->min_duration_ms;
        }
        joined.errors = joined.errors || wants->errors;
        joined.series = joined.series || wants->series;
    }
    return joined;
}

size_t sw_detectors_count(const sw_detectors *detectors) {
    return detectors->n_running;
}

sw_detector *sw_detectors_at(const sw_detectors *detectors, size_t i) {
    return detectors->running[i];
}

sw_detector *sw_detectors_running(const sw_detectors *detectors, const char *name) {
    for (size_t i = 0; i < detectors->n_running; i++) {
        if (sw_streq(detectors->running[i]->name, name)) {
            return detectors->running[i];
        }
    }
    return NULL;
}

bool sw_detectors_has(const sw_detectors *detectors, const char *name, int source) {
    const sw_detector *detector = sw_detectors_find(detectors, name);
    return detector != NULL && sw_detector_watches(detector, source);
}

bool sw_detector_watches(const sw_detector *detector, int source) {
    return detector->running == NULL || (detector->running->sources >> source & 1U) != 0;
}

const char *sw_detector_name(const sw_detector *detector) {
    return detector->name;
}

const char *sw_detector_hash(const sw_detector *detector) {
    return detector->running != NULL ? detector->running->hash : "";
}

sw_wants sw_detector_wants(const sw_detector *detector) {
    return detector->running != NULL ? detector->running->wants : (sw_wants){.min_duration_ms = -1};
}

double sw_detector_every_s(const sw_detector *detector) {
    bool own = detector->running != NULL && detector->running->every_s > 0;
    return own ? detector->running->every_s : detector->owner->options.interval_s;
}

bool sw_detector_wants_revisions(const sw_detector *detector) {
    return detector->running != NULL && detector->running->revisions;
}

bool sw_detector_ready(const sw_detector *detector) {
    return !detector->removed && detector->running != NULL && !sw_detector_paused(detector);
}

const char *sw_detector_last_error(const sw_detector *detector) {
    return detector->last_error != NULL ? detector->last_error : "";
}

const char *sw_detector_load_error(const sw_detector *detector) {
    if (detector->rejected != NULL) {
        return detector->rejected->error;
    }
    return detector->file_error != NULL ? detector->file_error : detector->start_error;
}

size_t sw_detectors_broken(const sw_detectors *detectors,
                           void (*each)(const char *name, const char *error, void *arg), void *arg) {
    size_t n = 0;
    for (size_t i = 0; i < detectors->n_all; i++) {
        const sw_detector *detector = detectors->all[i];
        const char *error = sw_detector_load_error(detector);
        if (detector->running != NULL || detector->candidate != NULL || detector->removed || error == NULL) {
            continue;
        }
        n++;
        if (each != NULL) {
            each(detector->name, error, arg);
        }
    }
    return n;
}
