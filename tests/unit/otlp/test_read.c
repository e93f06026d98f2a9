#include "recorded.h"

/* What a reader of spans sees of one, as a line. */
static char *line_of(const sw_otlp_span *span) {
    sw_buf line;
    sw_buf_init(&line, 1 << 20);
    sw_buf_printf(&line, "%016llx%016llx %016llx %016llx %.*s|%.*s|%u|%llu|%llu|%u|%.*s",
                  (unsigned long long)span->trace_id.high, (unsigned long long)span->trace_id.low,
                  (unsigned long long)span->id, (unsigned long long)span->parent_id, (int)span->service.len,
                  span->service.data != NULL ? span->service.data : "", (int)span->name.len, span->name.data,
                  span->kind, (unsigned long long)span->start_ns, (unsigned long long)span->end_ns,
                  span->status, (int)span->status_message.len,
                  span->status_message.data != NULL ? span->status_message.data : "");
    sw_otlp_attributes attributes = sw_otlp_attributes_of(span->message);
    sw_otlp_attribute attribute;
    while (sw_otlp_next_attribute(&attributes, &attribute)) {
        sw_buf_printf(&line, "|%.*s=", (int)attribute.key.len, attribute.key.data);
        sw_otlp_value_text(attribute.value, &line);
    }
    return sw_buf_steal(&line, NULL);
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct lines {
    char *items[2000];
    size_t n;
};

static void add_body(struct lines *lines, sw_buf *body, bool gzip, bool json) {
    char why[SW_OTLP_WHY] = "";
    if (gzip) {
        sw_buf plain;
        sw_buf_init(&plain, BODY_MAX);
        assert_int_equal(sw_otlp_inflate(body->data, body->len, &plain), 0);
        sw_buf_release(body);
        *body = plain;
    }
    if (json) {
        sw_buf protobuf;
        sw_buf_init(&protobuf, BODY_MAX);
        if (sw_otlp_json_to_protobuf(body->data, body->len, &protobuf, why) != 0) {
            fail_msg("%s", why);
        }
        sw_buf_release(body);
        *body = protobuf;
    }
    sw_otlp_spans spans;
    sw_otlp_spans_init(&spans, 10000);
    if (sw_otlp_read((sw_otlp_text){body->data, body->len}, &spans, why) != 0) {
        fail_msg("%s", why);
    }
    for (size_t i = 0; i < spans.n; i++) {
        assert_true(lines->n < SW_ARRAY_LEN(lines->items));
        lines->items[lines->n++] = line_of(&spans.items[i]);
    }
    sw_otlp_spans_release(&spans);
    sw_buf_release(body);
}

static void read_all(struct lines *lines, const char *pattern, int n) {
    *lines = (struct lines){0};
    for (int i = 0; i < n; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s-%02d", pattern, i);
        const char *endings[] = {".bin", ".json", ".bin.gz", ".json.gz"};
        for (size_t k = 0; k < SW_ARRAY_LEN(endings); k++) {
            char path[256], full[600];
            snprintf(path, sizeof path, "%s%s", name, endings[k]);
            snprintf(full, sizeof full, "%s/otlp/%s", SW_TEST_DATA, path);
            FILE *there = fopen(full, "rb");
            if (there != NULL) {
                fclose(there);
                sw_buf body = recorded(path);
                add_body(lines, &body, k >= 2, k % 2 == 1);
            }
        }
    }
    qsort(lines->items, lines->n, sizeof lines->items[0], by_text);
}

static void free_lines(struct lines *lines) {
    for (size_t i = 0; i < lines->n; i++) {
        free(lines->items[i]);
    }
}

static void test_the_same_spans_come_out_whatever_sent_them(void **state) {
    (void)state;
    static const char *const others[] = {"python-sdk-protobuf-gzip", "python-encoder-json",
                                         "collector-otlphttp-plain", "collector-otlphttp-json-gzip"};
    struct lines expected, seen;
    read_all(&expected, "python-sdk-protobuf", 7);
    assert_int_equal(expected.n, 149);
    for (size_t i = 0; i < SW_ARRAY_LEN(others); i++) {
        read_all(&seen, others[i], 7);
        assert_int_equal(seen.n, expected.n);
        for (size_t k = 0; k < seen.n; k++) {
            assert_string_equal(seen.items[k], expected.items[k]);
        }
        free_lines(&seen);
    }
    free_lines(&expected);
}

static void test_javascript_sends_the_same_in_both_encodings(void **state) {
    (void)state;
    struct lines json, protobuf;
    read_all(&json, "js-sdk-json", 1);
    read_all(&protobuf, "js-sdk-protobuf", 1);
    assert_true(json.n > 0);
    assert_true(protobuf.n > 0);
    assert_non_null(strstr(json.items[0], "|"));
    free_lines(&json);
    free_lines(&protobuf);
}

/* ---- made by hand ---- */

struct made {
    sw_buf span, request;
};

static void begin(struct made *made) {
    sw_buf_init(&made->span, BODY_MAX);
    sw_buf_init(&made->request, BODY_MAX);
}

/* The span in a scope in a resource in a request. */
static sw_otlp_text wrap(struct made *made) {
    sw_buf scope, resource;
    sw_buf_init(&scope, BODY_MAX);
    sw_buf_init(&resource, BODY_MAX);
    otlp_put_bytes(&scope, 2, made->span.data, made->span.len);
    otlp_put_bytes(&resource, 2, scope.data, scope.len);
    sw_buf_reset(&made->request);
    otlp_put_bytes(&made->request, 1, resource.data, resource.len);
    sw_buf_release(&scope);
    sw_buf_release(&resource);
    return (sw_otlp_text){made->request.data, made->request.len};
}

static int read_made(struct made *made, sw_otlp_spans *spans) {
    char why[SW_OTLP_WHY] = "";
    int result = sw_otlp_read(wrap(made), spans, why);
    assert_true(result == 0 || (why[0] != '\0' && spans->n == 0));
    return result;
}

static void end(struct made *made) {
    sw_buf_release(&made->span);
    sw_buf_release(&made->request);
}

static void test_an_empty_request_has_no_spans(void **state) {
    (void)state;
    char why[SW_OTLP_WHY];
    sw_otlp_spans spans;
    sw_otlp_spans_init(&spans, 10);
    assert_int_equal(sw_otlp_read((sw_otlp_text){"", 0}, &spans, why), 0);
    assert_int_equal(spans.n, 0);
    sw_otlp_spans_release(&spans);
}

static void test_ids_of_another_length_are_refused(void **state) {
    (void)state;
    static const struct {
        uint32_t field;
        size_t len;
        int result;
    } cases[] = {{1, 16, 0}, {1, 0, 0},  {1, 15, -1}, {1, 17, -1}, {2, 8, 0},
                 {2, 0, 0},  {2, 7, -1}, {4, 8, 0},   {4, 16, -1}};
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        struct made made;
        sw_otlp_spans spans;
        begin(&made);
        sw_otlp_spans_init(&spans, 10);
        otlp_put_bytes(&made.span, cases[i].field, "0123456789abcdefX", cases[i].len);
        assert_int_equal(read_made(&made, &spans), cases[i].result);
        sw_otlp_spans_release(&spans);
        end(&made);
    }
}

static void test_a_known_field_of_another_wire_type_is_refused_and_an_unknown_one_skipped(void **state) {
    (void)state;
    struct made made;
    sw_otlp_spans spans;
    sw_otlp_spans_init(&spans, 10);
    begin(&made);
    otlp_put_varint(&made.span, 5, 1); /* name */
    assert_int_equal(read_made(&made, &spans), -1);
    end(&made);
    begin(&made);
    otlp_put_fixed32(&made.span, 99, 1);
    otlp_put_bytes(&made.span, 5, "name", 4);
    assert_int_equal(read_made(&made, &spans), 0);
    assert_int_equal(spans.items[0].name.len, 4);
    end(&made);
    sw_otlp_spans_release(&spans);
}

static void test_a_request_that_is_cut_anywhere_is_refused_or_shorter(void **state) {
    (void)state;
    sw_buf body = recorded("python-sdk-protobuf-01.bin");
    sw_otlp_spans spans;
    char why[SW_OTLP_WHY];
    sw_otlp_spans_init(&spans, 1000);
    size_t good = 0;
    for (size_t len = 0; len < body.len; len++) {
        char *exact = xmalloc(len + 1); /* so that a sanitizer sees a read behind the end */
        memcpy(exact, body.data, len);
        good += sw_otlp_read((sw_otlp_text){exact, len}, &spans, why) == 0;
        free(exact);
    }
    assert_true(good < 10); /* only between two resources */
    sw_otlp_spans_release(&spans);
    sw_buf_release(&body);
}

static void test_values_in_values_have_a_limit_of_depth(void **state) {
    (void)state;
    for (int depth = SW_OTLP_DEPTH_MAX - 2; depth < 5000; depth += 2500) {
        sw_buf value, outer;
        struct made made;
        sw_otlp_spans spans;
        begin(&made);
        sw_otlp_spans_init(&spans, 10);
        sw_buf_init(&value, BODY_MAX);
        sw_buf_init(&outer, BODY_MAX);
        otlp_put_varint(&value, 3, 7);
        for (int i = 0; i < depth - 1; i++) { /* an array with one value */
            sw_buf_reset(&outer);
            otlp_put_bytes(&outer, 1, value.data, value.len);
            sw_buf_reset(&value);
            otlp_put_bytes(&value, 5, outer.data, outer.len);
        }
        sw_buf_reset(&outer);
        otlp_put_bytes(&outer, 2, value.data, value.len);
        otlp_put_bytes(&made.span, 9, outer.data, outer.len);
        assert_int_equal(read_made(&made, &spans), depth <= SW_OTLP_DEPTH_MAX ? 0 : -1);
        sw_buf_release(&value);
        sw_buf_release(&outer);
        sw_otlp_spans_release(&spans);
        end(&made);
    }
}

static void test_more_spans_than_allowed_are_refused(void **state) {
    (void)state;
    sw_buf body = recorded("python-sdk-protobuf-01.bin");
    sw_otlp_spans spans;
    char why[SW_OTLP_WHY];
    sw_otlp_spans_init(&spans, 2);
    assert_int_equal(sw_otlp_read((sw_otlp_text){body.data, body.len}, &spans, why), -1);
    assert_non_null(strstr(why, "too many spans"));
    sw_otlp_spans_release(&spans);
    sw_buf_release(&body);
}

static void test_the_resource_may_come_behind_its_spans(void **state) {
    (void)state;
    static const char json[] =
        "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"name\":\"x\"}]}],\"resource\":{\"attributes\":"
        "[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"late\"}}]}}]}";
    sw_buf out;
    char why[SW_OTLP_WHY];
    sw_otlp_spans spans;
    sw_buf_init(&out, BODY_MAX);
    sw_otlp_spans_init(&spans, 10);
    assert_int_equal(sw_otlp_json_to_protobuf(json, sizeof json - 1, &out, why), 0);
    assert_int_equal(sw_otlp_read((sw_otlp_text){out.data, out.len}, &spans, why), 0);
    assert_int_equal(spans.n, 1);
    assert_memory_equal(spans.items[0].service.data, "late", 4);
    sw_otlp_attributes attributes = sw_otlp_resource_attributes_of(spans.items[0].resource);
    sw_otlp_attribute attribute;
    assert_true(sw_otlp_next_attribute(&attributes, &attribute));
    assert_memory_equal(attribute.key.data, "service.name", 12);
    assert_false(sw_otlp_next_attribute(&attributes, &attribute));
    sw_otlp_spans_release(&spans);
    sw_buf_release(&out);
}

/* Resources may come without spans, spans without resource, and a resource more than once. */
static void test_the_resource_of_a_span_is_the_one_that_names_its_service(void **state) {
    (void)state;
    static const char name[] = "\x0a\x13\x0a\x0cservice.name\x12\x03\x0a\x01s", none[] = "\x10\x01";
    const struct {
        const char *resources[2];
        bool span;
    } cases[] = {{{name, none}, true}, {{none, name}, true}, {{name, NULL}, false}, {{NULL, NULL}, true}};
    sw_buf body, resource_spans;
    sw_buf_init(&body, BODY_MAX);
    sw_buf_init(&resource_spans, BODY_MAX);
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        sw_buf_reset(&resource_spans);
        for (size_t k = 0; k < 2 && cases[i].resources[k] != NULL; k++) {
            otlp_put_bytes(&resource_spans, 1, cases[i].resources[k], strlen(cases[i].resources[k]));
        }
        if (cases[i].span) {
            otlp_put_bytes(&resource_spans, 2, "\x12\x00", 2);
        }
        otlp_put_bytes(&body, 1, resource_spans.data, resource_spans.len);
    }
    char why[SW_OTLP_WHY];
    sw_otlp_spans spans;
    sw_otlp_spans_init(&spans, 10);
    assert_int_equal(sw_otlp_read((sw_otlp_text){body.data, body.len}, &spans, why), 0);
    assert_int_equal(spans.n, 3);
    assert_int_equal(spans.n_resources, 3);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(spans.items[i].resource.len, sizeof name - 1);
        assert_memory_equal(spans.items[i].resource.data, name, sizeof name - 1);
        assert_int_equal(spans.items[i].service.len, 1);
    }
    assert_int_equal(spans.items[2].resource.len, 0);
    assert_int_equal(spans.items[2].service.len, 0);
    sw_otlp_spans_release(&spans);
    sw_buf_release(&resource_spans);
    sw_buf_release(&body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_spans_come_out_whatever_sent_them),
        cmocka_unit_test(test_javascript_sends_the_same_in_both_encodings),
        cmocka_unit_test(test_an_empty_request_has_no_spans),
        cmocka_unit_test(test_ids_of_another_length_are_refused),
        cmocka_unit_test(test_a_known_field_of_another_wire_type_is_refused_and_an_unknown_one_skipped),
        cmocka_unit_test(test_a_request_that_is_cut_anywhere_is_refused_or_shorter),
        cmocka_unit_test(test_values_in_values_have_a_limit_of_depth),
        cmocka_unit_test(test_more_spans_than_allowed_are_refused),
        cmocka_unit_test(test_the_resource_may_come_behind_its_spans),
        cmocka_unit_test(test_the_resource_of_a_span_is_the_one_that_names_its_service),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
