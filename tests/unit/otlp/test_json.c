#include "recorded.h"

#define SPAN(members) "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{" members "}]}]}]}"

struct read {
    sw_buf protobuf;
    sw_otlp_spans spans;
    char why[SW_OTLP_WHY];
};

static int read_json(struct read *read, const char *json, size_t len) {
    *read = (struct read){.why = ""};
    sw_buf_init(&read->protobuf, BODY_MAX);
    sw_otlp_spans_init(&read->spans, 1000);
    int result = sw_otlp_json_to_protobuf(json, len, &read->protobuf, read->why);
    if (result == 0) {
        assert_int_equal(
            sw_otlp_read((sw_otlp_text){read->protobuf.data, read->protobuf.len}, &read->spans, read->why),
            0);
    }
    return result;
}

static void release(struct read *read) {
    sw_buf_release(&read->protobuf);
    sw_otlp_spans_release(&read->spans);
}

static void test_what_senders_write_in_other_ways_means_the_same(void **state) {
    (void)state;
    static const char *const same[] = {
        SPAN("\"traceId\":\"5b8efff798038103d269b633813fc60c\",\"spanId\":\"eee19b7ec3c1b174\",\"kind\":2,"
             "\"startTimeUnixNano\":\"1795386000000000000\",\"status\":{\"code\":2,\"message\":\"no\"}"),
        SPAN("\"traceId\":\"5B8EFFF798038103D269B633813FC60C\",\"spanId\":\"EEE19B7EC3C1B174\","
             "\"kind\":\"SPAN_KIND_SERVER\",\"startTimeUnixNano\":1795386000000000000,"
             "\"status\":{\"code\":\"STATUS_CODE_ERROR\",\"message\":\"no\"}"),
        SPAN("\"trace_id\":\"5b8efff798038103d269b633813fc60c\",\"span_id\":\"eee19b7ec3c1b174\",\"kind\":2,"
             "\"start_time_unix_nano\":\"1795386000000000000\",\"status\":{\"message\":\"no\",\"code\":2},"
             "\"name\":null,\"somethingNew\":{\"deep\":[1,2,{\"x\":null}]}"),
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(same); i++) {
        struct read read;
        if (read_json(&read, same[i], strlen(same[i])) != 0) {
            fail_msg("%zu: %s", i, read.why);
        }
        const sw_otlp_span *span = &read.spans.items[0];
        assert_int_equal(read.spans.n, 1);
        assert_true(span->trace_id.high == UINT64_C(0x5b8efff798038103));
        assert_true(span->trace_id.low == UINT64_C(0xd269b633813fc60c));
        assert_true(span->id == UINT64_C(0xeee19b7ec3c1b174));
        assert_true(span->parent_id == 0);
        assert_int_equal(span->kind, 2);
        assert_int_equal(span->status, 2);
        assert_true(span->start_ns == UINT64_C(1795386000000000000));
        assert_int_equal(span->status_message.len, 2);
        release(&read);
    }
}

static void test_what_is_wrong_is_refused_with_the_name_of_the_field(void **state) {
    (void)state;
    static const struct {
        const char *json, *why;
    } cases[] = {
        {SPAN("\"traceId\":\"5b8e\""), "traceId"},
        {SPAN("\"spanId\":\"zzzzzzzzzzzzzzzz\""), "spanId"},
        {SPAN("\"startTimeUnixNano\":1.5e18"), "startTimeUnixNano"},
        {SPAN("\"startTimeUnixNano\":\"-1\""), "startTimeUnixNano"},
        {SPAN("\"endTimeUnixNano\":\"99999999999999999999999\""), "endTimeUnixNano"},
        {SPAN("\"name\":5"), "name"},
        {SPAN("\"kind\":\"SERVER\""), "kind"},
        {SPAN("\"attributes\":{}"), "attributes"},
        {SPAN("\"attributes\":[7]"), "attributes"},
        {SPAN("\"attributes\":[{\"key\":\"a\",\"value\":{\"intValue\":\"x\"}}]"), "intValue"},
        {SPAN("\"attributes\":[{\"key\":\"a\",\"value\":{\"bytesValue\":\"!\"}}]"), "bytesValue"},
        {"[]", "object"},
        {"{\"resourceSpans\":[{", "JSON"},
        {"{} x", "JSON"},
        {"", "JSON"},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        struct read read;
        assert_int_equal(read_json(&read, cases[i].json, strlen(cases[i].json)), -1);
        if (strstr(read.why, cases[i].why) == NULL) {
            fail_msg("%s: %s", cases[i].json, read.why);
        }
        release(&read);
    }
}

static void test_values_of_all_kinds_are_shown_as_text(void **state) {
    (void)state;
    static const char json[] =
        SPAN("\"attributes\":[{\"key\":\"s\",\"value\":{\"stringValue\":\"a\\\"b\"}},"
             "{\"key\":\"i\",\"value\":{\"intValue\":\"-9223372036854775808\"}},"
             "{\"key\":\"b\",\"value\":{\"boolValue\":true}},{\"key\":\"d\",\"value\":{\"doubleValue\":0.5}},"
             "{\"key\":\"x\",\"value\":{\"bytesValue\":\"AQL/\"}},{\"key\":\"n\",\"value\":null},"
             "{\"key\":\"a\",\"value\":{\"arrayValue\":{\"values\":[{\"stringValue\":\"q\\\"\"},"
             "{\"intValue\":1},{}]}}},{\"key\":\"m\",\"value\":{\"kvlistValue\":{\"values\":[{\"key\":\"k\","
             "\"value\":{\"boolValue\":false}}]}}}]");
    static const char *const expected[] = {"a\"b", "-9223372036854775808", "true",         "0.5", "0102ff",
                                           "",     "[\"q\\\"\",1,null]",   "{\"k\":false}"};
    struct read read;
    assert_int_equal(read_json(&read, json, sizeof json - 1), 0);
    sw_otlp_attributes attributes = sw_otlp_attributes_of(read.spans.items[0].message);
    sw_otlp_attribute attribute;
    sw_buf text;
    sw_buf_init(&text, 1000);
    for (size_t i = 0; i < SW_ARRAY_LEN(expected); i++) {
        assert_true(sw_otlp_next_attribute(&attributes, &attribute));
        sw_buf_reset(&text);
        sw_otlp_value_text(attribute.value, &text);
        assert_string_equal(text.data != NULL ? text.data : "", expected[i]);
    }
    assert_false(sw_otlp_next_attribute(&attributes, &attribute));
    sw_buf_release(&text);
    release(&read);
}

static void test_null_and_an_empty_object_are_empty_requests(void **state) {
    (void)state;
    static const char *const empty[] = {"null", "{}", "{\"resourceSpans\":[]}", "{\"resourceSpans\":null}"};
    for (size_t i = 0; i < SW_ARRAY_LEN(empty); i++) {
        struct read read;
        assert_int_equal(read_json(&read, empty[i], strlen(empty[i])), 0);
        assert_int_equal(read.spans.n, 0);
        release(&read);
    }
}

static void test_depth_and_number_of_values_are_limited(void **state) {
    (void)state;
    sw_buf json;
    struct read read;
    sw_buf_init(&json, BODY_MAX);
    sw_buf_append_str(&json, "{\"x\":[");
    for (int i = 0; i < 1100000; i++) {
        sw_buf_append_str(&json, "1,");
    }
    sw_buf_append_str(&json, "1]}");
    assert_int_equal(read_json(&read, json.data, json.len), -1);
    release(&read);
    sw_buf_reset(&json);
    sw_buf_append_str(&json, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"a\",\"value\":");
    for (int i = 0; i < 300; i++) {
        sw_buf_append_str(&json, "{\"arrayValue\":{\"values\":[");
    }
    for (int i = 0; i < 300; i++) {
        sw_buf_append_str(&json, "]}}");
    }
    sw_buf_append_str(&json, "}]}}]}");
    assert_int_equal(read_json(&read, json.data, json.len), -1);
    assert_non_null(strstr(read.why, "deep"));
    release(&read);
    sw_buf_release(&json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_senders_write_in_other_ways_means_the_same),
        cmocka_unit_test(test_what_is_wrong_is_refused_with_the_name_of_the_field),
        cmocka_unit_test(test_values_of_all_kinds_are_shown_as_text),
        cmocka_unit_test(test_null_and_an_empty_object_are_empty_requests),
        cmocka_unit_test(test_depth_and_number_of_values_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
