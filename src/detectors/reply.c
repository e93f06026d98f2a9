#include "detectors/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detectors/convert.h"
#include "telemetry/log.h"

#define METRICS_MAX 1000 /* per reply */
#define UNKNOWN_MAX 1024

void sw_check_reply_release(sw_check_reply *reply) {
    free(reply->unknown);
    sw_findings_free(reply->findings, reply->n_findings);
    msgpack_sbuffer_destroy(&reply->state);
    *reply = (sw_check_reply){0};
}

static int read_state(const msgpack_object *reply, msgpack_sbuffer *out, char **why) {
    static const msgpack_object nil = {.type = MSGPACK_OBJECT_NIL};
    const msgpack_object *state = sw_map_get(reply, "state");
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    msgpack_pack_object(&packer, state != NULL ? *state : nil);
    if (out->size > SW_STATE_MAX_BYTES) {
        *why = xasprintf("the state is larger than %zu bytes", SW_STATE_MAX_BYTES);
        return -1;
    }
    return 0;
}

static void read_usage(sw_version *version, const msgpack_object *reply, sw_check_reply *out) {
    sw_detector *detector = version->detector;
    const sw_detector_metrics *m = &detector->owner->m;
    const msgpack_object *usage = sw_map_get(reply, "usage");
    double number = 0;
    if (sw_map_num(usage, "cpu_us", &number) && number >= 0 && number < 1e12) {
        out->cpu_us = (int64_t)number;
        sw_metric_add(m->cpu, number / 1e6, detector->name);
    }
    if (sw_map_num(usage, "memory_bytes", &number) && number >= 0 && isfinite(number)) {
        detector->memory_bytes = number;
    }
    if (sw_map_num(usage, "memory_peak_bytes", &number) && number >= 0 && isfinite(number)) {
        detector->memory_peak_bytes = number;
        sw_metric_set(m->memory, number, detector->name);
    }
}

/* Hostile scripts ask for one metric after another: a refusal is said once per version. */
static void metric_refused(sw_version *version, const char *name, const char *why) {
    if (!version->metric_refused) {
        version->metric_refused = true;
        sw_log(SW_LOG_WARN, "metric of a script refused", "detector", version->detector->name, "metric", name,
               "reason", why, NULL);
    }
}

static void set_metric(sw_version *version, const msgpack_object *metric) {
    sw_detector *detector = version->detector;
    const msgpack_object *labels = sw_map_get(metric, "labels");
    uint32_t n_labels = labels != NULL && labels->type == MSGPACK_OBJECT_MAP ? labels->via.map.size : 0;
    char *name = sw_map_str(metric, "name", SW_METRICS_MAX_NAME);
    const char *why = "it has no name or no value";
    char *texts[2 * SW_METRICS_MAX_LABELS] = {NULL};
    const char *keys[SW_METRICS_MAX_LABELS] = {NULL}, *values[SW_METRICS_MAX_LABELS] = {NULL};
    double value = 0;
    bool usable = name != NULL && sw_map_num(metric, "value", &value);
    if (n_labels > SW_METRICS_MAX_LABELS) {
        usable = false;
        why = "too many labels";
    }
    for (uint32_t i = 0; i < n_labels && usable; i++) {
        keys[i] = texts[2 * i] = sw_object_text(&labels->via.map.ptr[i].key, SW_METRICS_MAX_NAME);
        values[i] = texts[2 * i + 1] =
            sw_object_text(&labels->via.map.ptr[i].val, SW_METRICS_MAX_LABEL_VALUE);
    }
    if (!usable || sw_metrics_set_custom(detector->owner->metrics, detector->name, name, value, n_labels,
                                         keys, values, &why) != 0) {
        metric_refused(version, name != NULL ? name : "?", why);
    }
    for (size_t i = 0; i < SW_ARRAY_LEN(texts); i++) {
        free(texts[i]);
    }
    free(name);
}

static void set_metrics(sw_version *version, const msgpack_object *reply) {
    const msgpack_object *metrics = NULL;
    uint32_t n = 0;
    if (sw_object_array(sw_map_get(reply, "metrics"), &metrics, &n) != 0) {
        metric_refused(version, "?", "metrics is not an array");
        return;
    }
    for (uint32_t i = 0; i < n && i < METRICS_MAX; i++) {
        set_metric(version, &metrics[i]);
    }
}

int sw_check_reply_read(sw_version *version, const sw_judged_window *judged, const msgpack_object *reply,
                        sw_check_reply *out, char **why) {
    *out = (sw_check_reply){0};
    msgpack_sbuffer_init(&out->state);
    read_usage(version, reply, out);
    const msgpack_object *unknown = sw_map_get(reply, "unknown");
    int result = read_state(reply, &out->state, why);
    if (result == 0 && unknown != NULL && unknown->type != MSGPACK_OBJECT_NIL) {
        char *text = sw_object_text(unknown, UNKNOWN_MAX);
        out->unknown = text != NULL ? text : xstrdup("");
    } else if (result == 0) {
        result = sw_findings_read(sw_map_get(reply, "findings"), version->detector->name, judged,
                                  &out->findings, &out->n_findings, why);
        for (size_t i = 0; i < out->n_findings; i++) {
            memcpy(out->findings[i].detector_sha256, version->hash, sizeof version->hash);
        }
    }
    if (result == 0) {
        set_metrics(version, reply);
    } else {
        sw_check_reply_release(out);
    }
    return result;
}
