#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detectors/convert.h"
#include "detectors/findings_read.h"

/* Findings written as JSON, through a frame as a worker would send them. */
typedef struct given {
    sw_frame_writer writer;
    sw_frame frame;
} given;

static void give(given *g, const char *json) {
    json_t *value = json_loads(json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    assert_non_null(value);
    const char *why = NULL;
    sw_frame_begin(&g->writer, SW_FRAME_REPLY, 1);
    msgpack_pack_map(&g->writer.packer, 1);
    sw_pack_str(&g->writer.packer, "findings");
    assert_int_equal(sw_pack_json(&g->writer.packer, value), 0);
    assert_int_equal(sw_frame_end(&g->writer, SIZE_MAX), 0);
    json_decref(value);
    assert_int_equal(sw_frame_parse(g->writer.bytes.data + 4, g->writer.bytes.size - 4, &g->frame, &why), 0);
}

static void take_back(given *g) {
    sw_frame_release(&g->frame);
    sw_frame_writer_release(&g->writer);
}

static sw_judged_window judged(void) {
    sw_window window;
    sw_window_init(&window);
    window.source = "tempo";
    window.from_s = 100;
    window.to_s = 160;
    window.complete = true;
    window.estimated = true;
    window.n_traces = 2;
    window.traces = xcalloc(2, sizeof *window.traces);
    const char *ids[] = {"ff000000000000000000000000000001", "0000000000000000000000000000000a"};
    for (size_t i = 0; i < 2; i++) {
        sw_trace *trace = &window.traces[i];
        trace->source = "tempo";
        strcpy(trace->id, ids[i]);
        trace->service = xasprintf("known%zu", i);
        trace->operation = xstrdup("op");
        trace->error_message = xstrdup("");
        trace->duration_ms = 7;
        trace->spans = xcalloc(1, sizeof *trace->spans);
        trace->n_spans = 1;
        trace->spans[0] =
            (sw_span){.service = xstrdup("s"), .name = xstrdup("n"), .status_message = xstrdup("")};
    }
    const size_t all[] = {0, 1};
    sw_judged_window out;
    sw_judged_window_copy(&out, &window, all, 2);
    sw_window_release(&window);
    return out;
}

/* Reads it; the number of findings, or -1 with the reason in `why`. */
static int read_json(const char *json, sw_finding **out, char **why) {
    given g;
    give(&g, json);
    sw_judged_window window = judged();
    size_t n = 0;
    int result = sw_findings_read(sw_map_get(&g.frame.payload, "findings"), "slow", &window, out, &n, why);
    sw_judged_window_release(&window);
    take_back(&g);
    return result == 0 ? (int)n : -1;
}

static void refused(const char *json, const char *reason) {
    sw_finding *findings = NULL;
    char *why = NULL;
    assert_int_equal(read_json(json, &findings, &why), -1);
    assert_null(findings);
    if (strstr(why, reason) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", why, reason);
    }
    free(why);
}

static sw_finding *one(const char *json) {
    sw_finding *findings = NULL;
    char *why = NULL;
    int n = read_json(json, &findings, &why);
    if (n != 1) {
        fail_msg("%d findings: %s", n, why);
    }
    return findings;
}

static void every_field_is_taken(void **state) {
    (void)state;
    sw_finding *f = one("[{\"type\":\"high_latency\",\"service\":\"s\",\"operation\":\"o\",\"key\":\"k\","
                        "\"labels\":{\"b\":\"2\","
                        "\"a\":\"1\"},\"severity\":\"critical\",\"summary\":\"sum\",\"span_name\":\"sp\","
                        "\"error_message\":\"e\","
                        "\"duration_ms\":12.5,\"value\":3,\"threshold\":2.5,\"baseline\":-1.5,\"baseline_"
                        "samples\":20,\"affected_traces\":4,\"total_"
                        "traces\":9,\"for_s\":60,"
                        "\"keep_firing_s\":120,\"traces\":[]}]");
    assert_string_equal(f->type, "high_latency");
    assert_string_equal(f->detector, "slow");
    assert_string_equal(f->source, "tempo");
    assert_string_equal(f->service, "s");
    assert_string_equal(f->operation, "o");
    assert_string_equal(f->key, "k");
    assert_int_equal(f->n_labels, 2);
    assert_string_equal(f->labels[0].name, "a");
    assert_string_equal(f->labels[1].value, "2");
    assert_int_equal(f->severity, SW_SEVERITY_CRITICAL);
    assert_string_equal(f->summary, "sum");
    assert_string_equal(f->span_name, "sp");
    assert_string_equal(f->error_message, "e");
    assert_true(f->has_duration && f->duration_ms == 12.5);
    assert_true(f->has_value && f->value == 3);
    assert_true(f->has_threshold && f->threshold == 2.5);
    assert_true(f->has_baseline && f->baseline == -1.5);
    assert_true(f->has_baseline_samples && f->baseline_samples == 20);
    assert_true(f->has_affected && f->affected_traces == 4);
    assert_true(f->has_total && f->total_traces == 9);
    assert_true(f->for_s == 60 && f->keep_firing_s == 120);
    assert_int_equal(f->window_from_s, 100);
    assert_int_equal(f->window_to_s, 160);
    assert_true(f->window_complete && f->window_estimated);
    sw_findings_free(f, 1);
}

static void what_is_not_said_has_its_default(void **state) {
    (void)state;
    sw_finding *f = one("[{\"type\":\"x\",\"service\":\"\",\"value\":null}]");
    assert_int_equal(f->severity, SW_SEVERITY_WARNING);
    assert_string_equal(f->summary, "");
    assert_null(f->service);
    assert_null(f->key);
    assert_null(f->span_name);
    assert_false(f->has_value || f->has_total || f->has_affected || f->has_duration || f->has_threshold);
    assert_false(f->has_baseline || f->has_baseline_samples);
    assert_int_equal(f->n_traces, 0);
    sw_findings_free(f, 1);
}

static void nothing_found_is_an_empty_array_or_an_empty_table(void **state) {
    (void)state;
    sw_finding *findings = NULL;
    char *why = NULL;
    assert_int_equal(read_json("[]", &findings, &why), 0);
    assert_int_equal(read_json("{}", &findings, &why), 0);
    assert_int_equal(read_json("null", &findings, &why), 0);
    assert_null(findings);
    refused("{\"a\":1}", "must be an array");
    refused("7", "must be an array");
}

static void traces_are_completed_from_the_window(void **state) {
    (void)state;
    sw_finding *f =
        one("[{\"type\":\"x\",\"traces\":[{\"id\":\"FF000000000000000000000000000001\",\"service\":\"lie\"},"
            "{\"id\":\"a\"},{\"id\":\"0000000000000000000000000000000a\"},"
            "{\"id\":\"bb\",\"service\":\"other\",\"operation\":\"op\",\"start_ns\":5,\"duration_ms\":2.5,"
            "\"error_message\":\"boom\",\"span_name\":\"inner\"}]}]");
    assert_int_equal(f->n_traces, 3); /* named twice is once */
    assert_string_equal(f->traces[0].service, "known0");
    assert_true(f->traces[0].duration_ms == 7);
    assert_int_equal(f->traces[0].n_spans, 1);
    assert_string_equal(f->traces[1].service, "known1");
    const sw_trace *foreign = &f->traces[2];
    assert_string_equal(foreign->id, "000000000000000000000000000000bb");
    assert_string_equal(foreign->service, "other");
    assert_int_equal(foreign->start_ns, 5);
    assert_true(foreign->duration_ms == 2.5);
    assert_int_equal(foreign->status, SW_STATUS_ERROR);
    assert_string_equal(foreign->error_message, "boom");
    assert_string_equal(foreign->spans[0].name, "inner");
    assert_string_equal(foreign->source, "tempo");
    sw_findings_free(f, 1);
}

static void ids_that_are_none_are_refused(void **state) {
    (void)state;
    refused("[{\"type\":\"x\",\"traces\":[{\"id\":\"\"}]}]", "hex digits");
    refused("[{\"type\":\"x\",\"traces\":[{\"id\":\"xyz\"}]}]", "hex digits");
    refused("[{\"type\":\"x\",\"traces\":[{\"id\":\"00000000000000000000000000000000\"}]}]", "hex digits");
    refused("[{\"type\":\"x\",\"traces\":[{\"id\":\"1ff000000000000000000000000000001\"}]}]", "hex digits");
    refused("[{\"type\":\"x\",\"traces\":[{\"id\":7}]}]", "hex digits");
    refused("[{\"type\":\"x\",\"traces\":[\"a\"]}]", "hex digits");
    refused("[{\"type\":\"x\",\"traces\":\"a\"}]", "traces must be an array");
}

static void types_that_are_no_names_are_refused(void **state) {
    (void)state;
    const char *const bad[] = {"[{}]",
                               "[{\"type\":\"\"}]",
                               "[{\"type\":\"9a\"}]",
                               "[{\"type\":\"a b\"}]",
                               "[{\"type\":\"a\\n\"}]",
                               "[{\"type\":\"a\\u0000b\"}]",
                               "[{\"type\":\"\xc3\xa9\"}]",
                               "[{\"type\":5}]"};
    for (size_t i = 0; i < SW_ARRAY_LEN(bad); i++) {
        refused(bad[i], "finding 1: type must be");
    }
    char *json = xasprintf("[{\"type\":\"%0129d\"}]", 0);
    memset(strchr(json, '0'), 'a', 129);
    refused(json, "type must be");
    free(json);
}

static void wrong_types_of_fields_refuse_the_whole_reply(void **state) {
    (void)state;
    refused("[{\"type\":\"a\"},{\"type\":\"b\",\"service\":{}}]", "finding 2: service is not text");
    refused("[{\"type\":\"a\",\"value\":\"much\"}]", "value is not a number");
    refused("[{\"type\":\"a\",\"for_s\":[]}]", "for_s is not a number");
    refused("[{\"type\":\"a\",\"severity\":\"page\"}]", "severity must be");
    refused("[{\"type\":\"a\",\"severity\":1}]", "severity must be");
    refused("[{\"type\":\"a\",\"labels\":[\"x\"]}]", "labels must be");
    refused("[{\"type\":\"a\",\"labels\":{\"x\":{}}}]", "labels must be");
    refused("[{\"type\":\"a\",\"labels\":{\"\":\"x\"}}]", "labels must be");
    refused("[7]", "not a table");
}

static void too_many_labels_are_refused(void **state) {
    (void)state;
    sw_buf json;
    sw_buf_init(&json, 4096);
    sw_buf_append_str(&json, "[{\"type\":\"a\",\"labels\":{");
    for (int i = 0; i < SW_FINDING_MAX_LABELS + 1; i++) {
        sw_buf_printf(&json, "%s\"l%d\":\"v\"", i > 0 ? "," : "", i);
    }
    sw_buf_append_str(&json, "}}]");
    refused(json.data, "labels must be");
    sw_buf_release(&json);
}

static void too_many_findings_are_refused(void **state) {
    (void)state;
    sw_buf json;
    sw_buf_init(&json, 1 << 20);
    sw_buf_append_char(&json, '[');
    for (int i = 0; i < SW_FINDINGS_MAX + 1; i++) {
        sw_buf_append_str(&json, i > 0 ? ",{\"type\":\"a\"}" : "{\"type\":\"a\"}");
    }
    sw_buf_append_char(&json, ']');
    refused(json.data, "10001 findings");
    sw_buf_release(&json);
}

static void long_texts_are_cut_between_characters(void **state) {
    (void)state;
    sw_buf json;
    sw_buf_init(&json, 8192);
    sw_buf_append_str(&json, "[{\"type\":\"a\",\"summary\":\"x");
    for (int i = 0; i < 1000; i++) {
        sw_buf_append_str(&json, "\xc3\xa9");
    }
    sw_buf_append_str(&json, "\"}]");
    sw_finding *f = one(json.data);
    assert_int_equal(strlen(f->summary), SW_FINDING_MAX_TEXT - 1); /* x and 511 characters of 2 bytes */
    assert_int_equal((unsigned char)f->summary[SW_FINDING_MAX_TEXT - 2], 0xa9);
    sw_findings_free(f, 1);
    sw_buf_release(&json);
}

static void numbers_that_are_none_count_as_absent(void **state) {
    (void)state;
    sw_frame_writer w;
    sw_frame frame;
    const char *why_frame = NULL;
    sw_frame_begin(&w, SW_FRAME_REPLY, 1);
    msgpack_pack_map(&w.packer, 1);
    sw_pack_str(&w.packer, "findings");
    msgpack_pack_array(&w.packer, 1);
    msgpack_pack_map(&w.packer, 6);
    sw_pack_key_str(&w.packer, "type", "a");
    sw_pack_key_num(&w.packer, "value", (double)NAN);
    sw_pack_key_num(&w.packer, "threshold", HUGE_VAL);
    sw_pack_key_num(&w.packer, "for_s", HUGE_VAL);
    sw_pack_key_num(&w.packer, "keep_firing_s", 1e300);
    sw_pack_key_num(&w.packer, "affected_traces", -5);
    sw_frame_end(&w, SIZE_MAX);
    assert_int_equal(sw_frame_parse(w.bytes.data + 4, w.bytes.size - 4, &frame, &why_frame), 0);
    sw_judged_window window = judged();
    sw_finding *f = NULL;
    size_t n = 0;
    char *why = NULL;
    assert_int_equal(sw_findings_read(sw_map_get(&frame.payload, "findings"), "d", &window, &f, &n, &why), 0);
    assert_false(f->has_value || f->has_threshold || f->has_affected);
    assert_true(f->for_s == 0);
    assert_true(f->keep_firing_s == SW_FINDING_MAX_SECONDS);
    sw_findings_free(f, n);
    sw_judged_window_release(&window);
    sw_frame_release(&frame);
    sw_frame_writer_release(&w);
}

static void bytes_that_are_no_text_are_replaced(void **state) {
    (void)state;
    sw_frame_writer w;
    sw_frame frame;
    const char *why_frame = NULL;
    sw_frame_begin(&w, SW_FRAME_REPLY, 1);
    msgpack_pack_map(&w.packer, 2);
    sw_pack_key_str(&w.packer, "type", "a");
    sw_pack_str(&w.packer, "summary");
    msgpack_pack_bin(&w.packer, 4);
    msgpack_pack_bin_body(&w.packer, "a\xff\0b", 4);
    sw_frame_end(&w, SIZE_MAX);
    assert_int_equal(sw_frame_parse(w.bytes.data + 4, w.bytes.size - 4, &frame, &why_frame), 0);
    char *text = sw_object_text(sw_map_get(&frame.payload, "summary"), 100);
    assert_string_equal(text, "a\xEF\xBF\xBD\xEF\xBF\xBD"
                              "b");
    free(text);
    sw_frame_release(&frame);
    sw_frame_writer_release(&w);
}

static void severities_have_names(void **state) {
    (void)state;
    sw_severity severity = SW_SEVERITY_INFO;
    assert_int_equal(sw_severity_parse("critical", &severity), 0);
    assert_int_equal(severity, SW_SEVERITY_CRITICAL);
    assert_string_equal(sw_severity_name(SW_SEVERITY_INFO), "info");
    assert_string_equal(sw_severity_name(SW_SEVERITY_WARNING), "warning");
    assert_string_equal(sw_severity_name((sw_severity)9), "warning");
    assert_int_equal(sw_severity_parse("", &severity), -1);
    assert_int_equal(sw_severity_parse(NULL, &severity), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_is_taken),
        cmocka_unit_test(what_is_not_said_has_its_default),
        cmocka_unit_test(nothing_found_is_an_empty_array_or_an_empty_table),
        cmocka_unit_test(traces_are_completed_from_the_window),
        cmocka_unit_test(ids_that_are_none_are_refused),
        cmocka_unit_test(types_that_are_no_names_are_refused),
        cmocka_unit_test(wrong_types_of_fields_refuse_the_whole_reply),
        cmocka_unit_test(too_many_labels_are_refused),
        cmocka_unit_test(too_many_findings_are_refused),
        cmocka_unit_test(long_texts_are_cut_between_characters),
        cmocka_unit_test(numbers_that_are_none_count_as_absent),
        cmocka_unit_test(bytes_that_are_no_text_are_replaced),
        cmocka_unit_test(severities_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
