#include "detectors/internal.h"

#include <jansson.h>
#include <stdlib.h>

#include "protocol/sources.h"

static const char *state_of(const sw_detector *detector) {
    if (detector->running == NULL) {
        return detector->candidate != NULL ? "loading" : "error";
    }
    if (sw_detector_paused(detector)) {
        return "paused";
    }
    return detector->running->loaded ? "running" : "restarting";
}

static json_t *text_or_null(const char *text) {
    return text != NULL ? json_string(text) : json_null();
}

static void add_running(json_t *out, const sw_detector *detector) {
    const sw_version *running = detector->running;
    json_object_set_new(out, "shown_name", text_or_null(running->shown_name));
    json_object_set_new(out, "hash", json_string(running->hash));
    json_object_set_new(out, "loaded_at", json_real((double)running->loaded_wall_ns / (double)SW_NS_PER_S));
    json_object_set_new(out, "every_s", json_real(sw_detector_every_s(detector)));
    json_object_set_new(out, "revisions", json_boolean(running->revisions));
    json_object_set_new(out, "wants",
                        json_pack("{s:f, s:b, s:b}", "min_duration_ms", running->wants.min_duration_ms,
                                  "errors", running->wants.errors, "series", running->wants.series));
    json_t *sources = json_array();
    for (int i = 0; i < SW_SOURCES; i++) {
        if (sw_detector_watches(detector, i)) {
            json_array_append_new(sources, json_string(sw_source_names[i]));
        }
    }
    json_object_set_new(out, "sources", sources);
    json_object_set_new(out, "pid",
                        running->worker != NULL ? json_integer(sw_worker_pid(running->worker)) : json_null());
    json_t *modules = json_array();
    for (size_t i = 0; i < running->n_modules; i++) {
        if (running->modules[i].path != NULL) {
            json_array_append_new(modules, json_string(running->modules[i].path));
        }
    }
    json_object_set_new(out, "modules", modules);
}

static void add_numbers(json_t *out, const sw_detector *detector) {
    int64_t now = sw_mono_ns(detector->owner->clock);
    double paused_s =
        detector->paused_until_ns > now ? (double)(detector->paused_until_ns - now) / (double)SW_NS_PER_S : 0;
    json_object_set_new(out, "failures_in_row", json_integer(detector->failures));
    json_object_set_new(out, "paused_for_s", json_real(paused_s));
    json_object_set_new(out, "last_error", text_or_null(detector->last_error));
    json_object_set_new(out, "last_error_kind", text_or_null(detector->last_error_kind));
    json_object_set_new(out, "queued", json_integer((json_int_t)detector->n_queued));
    json_object_set_new(out, "busy", json_boolean(detector->current != NULL));
    json_object_set_new(out, "last_check_at",
                        detector->last_check_wall_ns != 0
                            ? json_real((double)detector->last_check_wall_ns / (double)SW_NS_PER_S)
                            : json_null());
    json_object_set_new(out, "last_check_ms",
                        json_real((double)detector->last_check_duration_ns / (double)SW_NS_PER_MS));
    json_object_set_new(out, "last_cpu_us", json_integer(detector->last_cpu_us));
    json_object_set_new(out, "memory_bytes", json_real(detector->memory_bytes));
    json_object_set_new(out, "memory_peak_bytes", json_real(detector->memory_peak_bytes));
    json_object_set_new(out, "state_bytes", json_integer((json_int_t)detector->state_len));
    json_object_set_new(out, "state_committed",
                        json_boolean(!detector->has_state || detector->state_committed));
    json_object_set_new(out, "checks",
                        json_pack("{s:I, s:I, s:I}", "ok", (json_int_t)detector->n_ok, "unknown",
                                  (json_int_t)detector->n_unknown, "failed", (json_int_t)detector->n_failed));
    json_object_set_new(out, "restarts", json_integer((json_int_t)detector->n_restarts));
    json_object_set_new(out, "kills", json_integer((json_int_t)detector->n_kills));
}

static json_t *detector_json(const sw_detector *detector) {
    json_t *out = json_object();
    json_object_set_new(out, "name", json_string(detector->name));
    json_object_set_new(out, "file", json_string(detector->path));
    json_object_set_new(out, "state", json_string(state_of(detector)));
    json_object_set_new(out, "load_error", text_or_null(sw_detector_load_error(detector)));
    json_object_set_new(out, "load_error_kind",
                        detector->rejected != NULL ? text_or_null(detector->rejected->error_kind)
                                                   : json_null());
    if (detector->running != NULL) {
        add_running(out, detector);
    }
    add_numbers(out, detector);
    return out;
}

void sw_detectors_status_json(const sw_detectors *detectors, sw_buf *out) {
    json_t *all = json_array();
    for (size_t i = 0; i < detectors->n_all; i++) {
        json_array_append_new(all, detector_json(detectors->all[i]));
    }
    char *text = json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(15));
    sw_buf_append_str(out, text != NULL ? text : "[]");
    free(text);
    json_decref(all);
}
