#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "sources/window.h"

static sw_span make_span(const char *id, const char *name) {
    sw_span span = {.kind = SW_KIND_SERVER, .status = SW_STATUS_ERROR, .start_ns = 5, .duration_ns = 7};
    strcpy(span.id, id);
    span.service = xstrdup("checkout");
    span.name = xstrdup(name);
    span.status_message = xstrdup("boom");
    span.attributes = xcalloc(1, sizeof *span.attributes);
    span.attributes[0] = (sw_attribute){xstrdup("http.method"), xstrdup("GET")};
    span.n_attributes = 1;
    return span;
}

static sw_trace make_trace(void) {
    sw_trace trace = {
        .source = "tempo", .root_known = true, .start_ns = 1, .duration_ms = 12.5, .n_matched = 2};
    strcpy(trace.id, "000102030405060708090a0b0c0d0e0f");
    trace.service = xstrdup("checkout");
    trace.operation = xstrdup("POST /pay");
    trace.error_message = xstrdup("");
    trace.spans = xcalloc(2, sizeof *trace.spans);
    trace.n_spans = 2;
    trace.spans[0] = make_span("0000000000000001", "one");
    trace.spans[1] = make_span("0000000000000002", "two");
    sw_trace_update_digest(&trace);
    return trace;
}

static void copy_shares_no_memory(void **state) {
    (void)state;
    sw_trace trace = make_trace();
    sw_trace copy;
    sw_trace_copy(&copy, &trace);
    sw_trace_release(&trace);
    assert_string_equal(copy.operation, "POST /pay");
    assert_string_equal(copy.source, "tempo");
    assert_int_equal(copy.n_spans, 2);
    assert_string_equal(copy.spans[1].name, "two");
    assert_string_equal(copy.spans[1].attributes[0].value, "GET");
    uint64_t digest = copy.digest;
    sw_trace_update_digest(&copy);
    assert_int_equal(copy.digest, digest);
    sw_trace_release(&copy);
    assert_null(copy.spans);
    sw_trace_release(&copy);
}

static void digest_changes_with_every_field(void **state) {
    (void)state;
    sw_trace trace = make_trace();
    uint64_t last = trace.digest;
#define CHANGED(statement)                                                                                   \
    do {                                                                                                     \
        statement;                                                                                           \
        sw_trace_update_digest(&trace);                                                                      \
        assert_true(trace.digest != last);                                                                   \
        last = trace.digest;                                                                                 \
    } while (0)
    CHANGED(trace.id[0] = 'f');
    CHANGED(trace.source = "otlp");
    CHANGED(trace.root_known = false);
    CHANGED(trace.service[0] = 'X');
    CHANGED(trace.operation[0] = 'X');
    CHANGED(trace.start_ns = 2);
    CHANGED(trace.duration_ms = 12.6);
    CHANGED(trace.status = SW_STATUS_ERROR);
    CHANGED((free(trace.error_message), trace.error_message = xstrdup("late")));
    CHANGED(trace.n_matched = 3);
    CHANGED(trace.spans[1].id[0] = 'f');
    CHANGED(trace.spans[1].parent_id[0] = 'f');
    CHANGED(trace.spans[1].service[0] = 'X');
    CHANGED(trace.spans[1].name[0] = 'X');
    CHANGED(trace.spans[1].kind = SW_KIND_CLIENT);
    CHANGED(trace.spans[1].status = SW_STATUS_OK);
    CHANGED(trace.spans[1].status_message[0] = 'X');
    CHANGED(trace.spans[1].start_ns = 6);
    CHANGED(trace.spans[1].duration_ns = 8);
    CHANGED(trace.spans[1].attributes[0].key[0] = 'X');
    CHANGED(trace.spans[1].attributes[0].value[0] = 'X');
#undef CHANGED
    sw_trace_release(&trace);
}

static void digest_does_not_depend_on_the_order_of_spans(void **state) {
    (void)state;
    sw_trace trace = make_trace();
    uint64_t digest = trace.digest;
    sw_span first = trace.spans[0];
    trace.spans[0] = trace.spans[1];
    trace.spans[1] = first;
    sw_trace_update_digest(&trace);
    assert_int_equal(trace.digest, digest);
    sw_trace_release(&trace);
}

static void texts_that_run_together_differ(void **state) {
    (void)state;
    sw_trace a = {.service = xstrdup("ab"), .operation = xstrdup("c")};
    sw_trace b = {.service = xstrdup("a"), .operation = xstrdup("bc")};
    sw_trace_update_digest(&a);
    sw_trace_update_digest(&b);
    assert_true(a.digest != b.digest);
    sw_trace_release(&a);
    sw_trace_release(&b);
}

static void window_is_released_twice_without_harm(void **state) {
    (void)state;
    sw_window window;
    sw_window_init(&window);
    assert_string_equal(window.reason, "");
    assert_string_equal(window.source, "");
    window.traces = xcalloc(1, sizeof *window.traces);
    window.traces[0] = make_trace();
    window.n_traces = 1;
    window.series = xcalloc(1, sizeof *window.series);
    window.series[0] = (sw_series){.service = xstrdup("a"), .operation = xstrdup("b"), .count = 1};
    window.series[0].buckets = xcalloc(3, sizeof *window.series[0].buckets);
    window.series[0].n_buckets = 3;
    window.n_series = 1;
    sw_window_release(&window);
    sw_window_release(&window);
    assert_int_equal(window.n_traces, 0);
    assert_null(window.series);
}

static void names_exist_for_every_value_and_for_wrong_ones(void **state) {
    (void)state;
    assert_string_equal(sw_status_name(SW_STATUS_UNSET), "unset");
    assert_string_equal(sw_status_name(SW_STATUS_OK), "ok");
    assert_string_equal(sw_status_name(SW_STATUS_ERROR), "error");
    assert_string_equal(sw_status_name((sw_status)77), "unset");
    assert_string_equal(sw_span_kind_name(SW_KIND_UNSPECIFIED), "unspecified");
    assert_string_equal(sw_span_kind_name(SW_KIND_INTERNAL), "internal");
    assert_string_equal(sw_span_kind_name(SW_KIND_SERVER), "server");
    assert_string_equal(sw_span_kind_name(SW_KIND_CLIENT), "client");
    assert_string_equal(sw_span_kind_name(SW_KIND_PRODUCER), "producer");
    assert_string_equal(sw_span_kind_name(SW_KIND_CONSUMER), "consumer");
    assert_string_equal(sw_span_kind_name((sw_span_kind)77), "unspecified");
}

static void a_trace_id_is_read_as_people_write_it(void **state) {
    (void)state;
    char id[SW_TRACE_ID_LEN + 1];
    assert_true(sw_trace_id_read("Af1", id));
    assert_string_equal(id, "00000000000000000000000000000af1");
    assert_true(sw_trace_id_read("0123456789ABCDEF0123456789abcdef", id));
    assert_string_equal(id, "0123456789abcdef0123456789abcdef");
    assert_false(sw_trace_id_read("", id));
    assert_false(sw_trace_id_read("12g", id));
    assert_false(sw_trace_id_read(" 12", id));
    assert_false(sw_trace_id_read("000000000000000000000000000000001", id));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trace_id_is_read_as_people_write_it),
        cmocka_unit_test(copy_shares_no_memory),
        cmocka_unit_test(digest_changes_with_every_field),
        cmocka_unit_test(digest_does_not_depend_on_the_order_of_spans),
        cmocka_unit_test(texts_that_run_together_differ),
        cmocka_unit_test(window_is_released_twice_without_harm),
        cmocka_unit_test(names_exist_for_every_value_and_for_wrong_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
