/* A worker's frame, read as a reply to CHECK, to LOAD, and as arguments of a host function. */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "detectors/convert.h"
#include "detectors/internal.h"
#include "telemetry/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void no_line(const char *line, void *arg) {
    (void)line;
    (void)arg;
}

static const sw_judged_window *window(void) {
    static sw_judged_window judged;
    if (judged.traces == NULL) {
        judged = (sw_judged_window){.source = "tempo", .from_s = 1, .to_s = 2, .n_traces = 1};
        judged.traces = xcalloc(1, sizeof *judged.traces);
        judged.traces[0] = (sw_trace){.source = "tempo",
                                      .id = "0000000000000000000000000000000a",
                                      .service = xstrdup("s"),
                                      .operation = xstrdup("o"),
                                      .error_message = xstrdup("")};
    }
    return &judged;
}

static sw_version *version(void) {
    static sw_detectors detectors;
    static sw_detector detector;
    static sw_version one;
    if (detectors.metrics == NULL) {
        static const char *const labels[] = {"detector", NULL};
        sw_log_set_sink(no_line, NULL);
        detectors.metrics = sw_metrics_new();
        detectors.clock = sw_clock_system();
        detectors.m.cpu = sw_metrics_counter(detectors.metrics, "cpu", "", labels);
        detectors.m.memory = sw_metrics_gauge(detectors.metrics, "memory", "", labels);
        detector = (sw_detector){.owner = &detectors, .name = xstrdup("d")};
        one.detector = &detector;
    }
    return &one;
}

/* What is accepted must keep the promises of finding.h. */
static void check_findings(const sw_check_reply *reply) {
    for (size_t i = 0; i < reply->n_findings; i++) {
        const sw_finding *finding = &reply->findings[i];
        if (finding->type == NULL || strlen(finding->type) > SW_FINDING_MAX_TYPE ||
            finding->summary == NULL || strlen(finding->summary) > SW_FINDING_MAX_TEXT ||
            finding->n_labels > SW_FINDING_MAX_LABELS) {
            abort();
        }
        for (size_t j = 0; j < finding->n_traces; j++) {
            if (strlen(finding->traces[j].id) != SW_TRACE_ID_LEN || finding->traces[j].service == NULL) {
                abort();
            }
        }
    }
}

static void there_and_back(const msgpack_object *object) {
    json_decref(sw_json_of(object, true));
    json_t *json = sw_json_of(object, false);
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    if (text == NULL) {
        abort();
    }
    sw_frame_writer writer;
    sw_frame_begin(&writer, SW_FRAME_ANSWER, 1);
    sw_pack_json(&writer.packer, json);
    sw_frame_writer_release(&writer);
    free(text);
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sw_frame frame;
    const char *why = NULL;
    if (sw_frame_parse((const char *)data, size, &frame, &why) != 0) {
        return 0;
    }
    sw_check_reply reply;
    char *refused = NULL;
    if (sw_check_reply_read(version(), window(), &frame.payload, &reply, &refused) == 0) {
        check_findings(&reply);
        sw_check_reply_release(&reply);
    }
    free(refused);
    sw_version *one = version();
    if (sw_version_describe(one, &frame.payload, &why) == 0 &&
        !(one->every_s >= 0 && one->every_s <= 86400)) {
        abort();
    }
    there_and_back(&frame.payload);
    sw_frame_release(&frame);
    return 0;
}
