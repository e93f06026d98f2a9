/* One explanation: a second worker loads what the running version is, judges a window dry, and ends. */
#include "detectors/internal.h"

#include <stdlib.h>
#include <string.h>

#include "detectors/convert.h"
#include "detectors/window_pack.h"

#define LINES_MAX 1000
#define LINE_MAX_BYTES 4096

typedef struct sw_explaining {
    sw_detector *detector;
    sw_version *version; /* of its own */
    sw_bytes *check;     /* the call that follows LOAD */
    uint64_t sequence;
    sw_judged_window judged;
    sw_explain_done done;
    void *arg;
} sw_explaining;

/* Frees it; the detector may be gone then. */
static void end(sw_explaining *explaining) {
    sw_detector *detector = explaining->detector;
    sw_detectors *detectors = detector->owner;
    detectors->explaining = NULL;
    sw_version_free(explaining->version);
    sw_bytes_drop(explaining->check);
    sw_judged_window_release(&explaining->judged);
    free(explaining);
    detector->waiting--;
    sw_detectors_kick(detectors);
}

/* The next one may be started from inside the callback. */
static void tell(sw_explaining *explaining, const sw_explanation *explanation) {
    sw_explain_done done = explaining->done;
    void *arg = explaining->arg;
    end(explaining);
    done(explanation, arg);
}

static void tell_failed(sw_explaining *explaining, const char *message) {
    char *copy = xstrdup(message); /* it may be the worker's */
    tell(explaining, &(sw_explanation){.status = SW_CHECK_FAILED, .message = copy});
    free(copy);
}

/* True when the call brought nothing, which has been told then. */
static bool failed(sw_explaining *explaining, const sw_outcome *outcome) {
    if (outcome->lost) {
        explaining->version->worker = NULL;
    }
    if (outcome->reply == NULL) {
        tell_failed(explaining, outcome->message);
    }
    return outcome->reply == NULL;
}

/* ---- the reply ---- */

static char **read_lines(const msgpack_object *reply, size_t *n) {
    const msgpack_object *elements = NULL;
    uint32_t count = 0;
    *n = 0;
    if (sw_object_array(sw_map_get(reply, "explained"), &elements, &count) != 0) {
        return NULL;
    }
    count = count < LINES_MAX ? count : LINES_MAX;
    char **lines = xcalloc(count, sizeof *lines);
    for (uint32_t i = 0; i < count; i++) {
        char *line = sw_object_text(&elements[i], LINE_MAX_BYTES);
        if (line != NULL) {
            lines[(*n)++] = line;
        }
    }
    return lines;
}

static char *read_config(const msgpack_object *reply) {
    const msgpack_object *config = sw_map_get(reply, "config");
    json_t *json = config != NULL ? sw_json_of(config, false) : NULL;
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS) : NULL;
    json_decref(json);
    return text;
}

static void read_reply(sw_explaining *explaining, const msgpack_object *reply) {
    const msgpack_object *unknown = sw_map_get(reply, "unknown");
    sw_finding *findings = NULL;
    char *why = NULL, *reason = NULL;
    sw_explanation explanation = {.status = SW_CHECK_OK};
    if (unknown != NULL && unknown->type != MSGPACK_OBJECT_NIL) {
        reason = sw_object_text(unknown, SW_FINDING_MAX_TEXT);
        explanation.status = SW_CHECK_UNKNOWN;
        explanation.message = reason != NULL ? reason : "";
    } else if (sw_findings_read(sw_map_get(reply, "findings"), explaining->detector->name,
                                &explaining->judged, &findings, &explanation.n_findings, &why) != 0) {
        explanation.status = SW_CHECK_FAILED;
        explanation.message = why;
    }
    char *config = read_config(reply);
    char **lines = read_lines(reply, &explanation.n_lines);
    explanation.findings = findings;
    explanation.config_json = config;
    explanation.lines = (const char *const *)lines;
    tell(explaining, &explanation);
    for (size_t i = 0; i < explanation.n_lines; i++) {
        free(lines[i]);
    }
    free(lines);
    free(config);
    free(reason);
    free(why);
    sw_findings_free(findings, explanation.n_findings);
}

/* ---- the calls ---- */

static void checked(sw_worker *worker, const sw_outcome *outcome, void *arg) {
    (void)worker;
    sw_explaining *explaining = ((sw_version *)arg)->detector->owner->explaining;
    if (!failed(explaining, outcome)) {
        read_reply(explaining, outcome->reply);
    }
}

static void loaded(sw_worker *worker, const sw_outcome *outcome, void *arg) {
    sw_version *version = arg;
    sw_detectors *detectors = version->detector->owner;
    sw_explaining *explaining = detectors->explaining;
    const char *why = NULL;
    if (failed(explaining, outcome)) {
        return;
    }
    if (sw_version_describe(version, outcome->reply, &why) != 0) {
        tell_failed(explaining, why);
        return;
    }
    sw_worker_call(worker, &(sw_worker_request){.bytes = explaining->check,
                                                .sequence = explaining->sequence,
                                                .timeout_ms = detectors->options.worker_timeout_ms,
                                                .trial = true,
                                                .done = checked,
                                                .arg = version});
}

static int pack_check(sw_explaining *explaining, const sw_window *window, int64_t now_ns,
                      const size_t *chosen) {
    sw_detector *detector = explaining->detector;
    sw_frame_writer writer;
    sw_frame_begin(&writer, SW_FRAME_CHECK, explaining->sequence);
    msgpack_pack_map(&writer.packer, 4);
    sw_pack_key_num(&writer.packer, "now", (double)now_ns / (double)SW_NS_PER_S);
    sw_pack_str(&writer.packer, "window");
    sw_window_pack(&writer.packer, window, chosen, window->n_traces, detector->running->wants.series);
    sw_pack_key_bool(&writer.packer, "dry", true);
    sw_pack_key_bool(&writer.packer, "explain", true);
    if (sw_frame_end(&writer, SW_FRAME_MAX_TO_WORKER) != 0) {
        sw_frame_writer_release(&writer);
        return -1;
    }
    explaining->check = sw_bytes_of(&writer);
    return 0;
}

/* LOAD's sequence must be the smaller one: a worker's calls ascend. */
static int start(sw_explaining *explaining, const sw_window *window, int64_t now_ns) {
    sw_detectors *detectors = explaining->detector->owner;
    char *error = NULL;
    size_t *all = xcalloc(window->n_traces, sizeof *all);
    for (size_t i = 0; i < window->n_traces; i++) {
        all[i] = i;
    }
    int result = sw_version_load(explaining->version, loaded, &error);
    explaining->sequence = sw_worker_next_sequence(&detectors->env);
    if (result == 0) {
        result = pack_check(explaining, window, now_ns, all);
    }
    sw_judged_window_copy(&explaining->judged, window, all, window->n_traces);
    free(all);
    free(error);
    return result;
}

int sw_detector_explain(sw_detector *detector, const sw_window *window, int64_t now_ns, sw_explain_done done,
                        void *arg) {
    sw_detectors *detectors = detector->owner;
    if (detectors->explaining != NULL || detector->running == NULL) {
        return -1;
    }
    sw_explaining *explaining = xcalloc(1, sizeof *explaining);
    *explaining = (sw_explaining){
        .detector = detector, .version = sw_version_copy(detector->running), .done = done, .arg = arg};
    detectors->explaining = explaining;
    detector->waiting++;
    int result = start(explaining, window, now_ns);
    if (result != 0) {
        end(explaining);
    }
    return result;
}

void sw_detectors_explain_cancel(sw_detectors *detectors) {
    if (detectors->explaining != NULL) {
        end(detectors->explaining);
    }
}
