/* The culprit of a trace, what is kept of it, and which alerts are about to need one. */
#include "alerts/alert_fixture.h"

#include "alerts/alerts_internal.h"

#define MS SW_NS_PER_MS
#define LEN SW_ARRAY_LEN

/* ---- finding it ---- */

static sw_attribute attributes[] = {{"exception.message", "no funds"}, {"exception.type", "CardDeclined"}};

/* shop calls payment, which fails because of the card; mail is sent meanwhile. */
static sw_span *spans_of_a_checkout(size_t *n) {
    static const sw_span drawn[] = {
        {.id = "a",
         .service = "shop",
         .name = "checkout",
         .start_ns = 0,
         .duration_ns = 1000 * MS,
         .status = SW_STATUS_ERROR},
        {.id = "b",
         .parent_id = "a",
         .service = "payment",
         .name = "pay",
         .start_ns = 100 * MS,
         .duration_ns = 200 * MS,
         .status = SW_STATUS_ERROR},
        {.id = "c",
         .parent_id = "b",
         .service = "payment",
         .name = "charge",
         .start_ns = 150 * MS,
         .duration_ns = 50 * MS,
         .status = SW_STATUS_ERROR,
         .attributes = attributes,
         .n_attributes = 2},
        {.id = "d",
         .parent_id = "a",
         .service = "mail",
         .name = "send",
         .start_ns = 300 * MS,
         .duration_ns = 600 * MS},
    };
    static sw_span spans[SW_ARRAY_LEN(drawn)];
    memcpy(spans, drawn, sizeof drawn);
    for (size_t i = 0; i < LEN(drawn); i++) {
        spans[i].status_message = "";
    }
    *n = LEN(drawn);
    return spans;
}

static sw_trace checkout(void) {
    sw_trace trace = {.id = "0123456789abcdef0123456789abcdef"};
    trace.spans = spans_of_a_checkout(&trace.n_spans);
    return trace;
}

static char *stored(const sw_culprit *culprit) {
    json_t *json = sw_culprit_to_stored(culprit);
    char *text = json_dumps(json, JSON_SORT_KEYS);
    json_decref(json);
    return text;
}

static void of_a_slow_trace_it_is_where_the_time_went(void **state) {
    (void)state;
    sw_trace trace = checkout();
    sw_culprit *culprit = sw_culprit_of(&trace, false);
    assert_non_null(culprit);
    assert_string_equal(culprit->service, "mail");
    assert_string_equal(culprit->name, "send");
    assert_string_equal(culprit->trace_id, trace.id);
    assert_string_equal(culprit->span_id, "d");
    assert_true(culprit->self_time_ms == 600);
    assert_int_equal(culprit->n_path, 4);
    static const char *const names[] = {"checkout", "pay", "charge", "send"};
    static const double ms[] = {200, 150, 50, 600};
    for (size_t i = 0; i < LEN(names); i++) {
        assert_string_equal(culprit->path[i].name, names[i]);
        assert_true(culprit->path[i].self_time_ms == ms[i]);
    }
    sw_culprit_free(culprit);
}

static void of_a_failed_trace_it_is_the_deepest_span_that_failed(void **state) {
    (void)state;
    sw_trace trace = checkout();
    sw_culprit *culprit = sw_culprit_of(&trace, true);
    assert_non_null(culprit);
    assert_string_equal(culprit->name, "charge");
    assert_string_equal(culprit->exception_type, "CardDeclined");
    assert_string_equal(culprit->error_message, "no funds");
    assert_true(culprit->self_time_ms == 50);
    sw_culprit_free(culprit);
}

static void a_trace_without_spans_has_none(void **state) {
    (void)state;
    sw_trace trace = {.id = "0123456789abcdef0123456789abcdef"};
    assert_null(sw_culprit_of(&trace, true));
    assert_null(sw_culprit_of(&trace, false));
}

/* ---- keeping it ---- */

static void what_is_stored_comes_back(void **state) {
    (void)state;
    sw_trace trace = checkout();
    sw_culprit *culprit = sw_culprit_of(&trace, true);
    culprit->agreed = true;
    char *before = stored(culprit);
    json_t *json = json_loads(before, 0, NULL);
    sw_culprit *back = sw_culprit_from_stored(json);
    assert_non_null(back);
    char *after = stored(back);
    assert_string_equal(before, after);
    json_decref(json);
    sw_culprit_free(back);
    sw_culprit_free(culprit);
    free(before);
    free(after);
}

static void what_is_damaged_is_refused(void **state) {
    (void)state;
    static const char *const damaged[] = {
        "[]",
        "{}",
        "{\"self_time_ms\": \"1\", \"path\": []}",
        "{\"self_time_ms\": -1, \"path\": []}",
        "{\"self_time_ms\": 1, \"path\": {}}",
        "{\"self_time_ms\": 1, \"path\": [7]}",
        "{\"self_time_ms\": 1, \"path\": [], \"name\": 7}",
        "{\"self_time_ms\": 1, \"path\": [], \"failing\": 1}",
        "{\"self_time_ms\": 1, \"path\": [], \"agreed\": \"yes\"}",
        "{\"self_time_ms\": 1, \"path\": [], \"span_id\": \"0123456789abcdef0\"}",
        "{\"self_time_ms\": 1, \"path\": [{\"self_time_ms\": 1}, {}]}",
    };
    for (size_t i = 0; i < LEN(damaged); i++) {
        json_t *json = json_loads(damaged[i], 0, NULL);
        assert_non_null(json);
        assert_null(sw_culprit_from_stored(json));
        json_decref(json);
    }
    json_t *json = json_loads("{\"self_time_ms\": 1, \"path\": []}", 0, NULL);
    sw_culprit *culprit = sw_culprit_from_stored(json);
    assert_non_null(culprit);
    sw_culprit_free(culprit);
    json_decref(json);
}

static const sw_culprit *known; /* to the sink */

static const sw_culprit *give(const sw_alert *alert, void *arg) {
    (void)alert;
    (void)arg;
    return known;
}

static void apply_with_culprit(struct fixture *f, const sw_finding *one, size_t n) {
    sw_alerts_sink sink = {.notify = note_notify,
                           .changed = note_changed,
                           .removed = note_removed,
                           .reported = note_reported,
                           .arg = f,
                           .culprit = give};
    sw_alerts_apply(f->alerts, "detect", "tempo", one, n, true, (T0 + f->now_s) * SW_NS_PER_S, &sink, NULL,
                    NULL);
}

static void an_alert_keeps_it_until_it_is_over(void **state) {
    struct fixture *f = *state;
    sw_trace trace = checkout();
    sw_culprit *culprit = sw_culprit_of(&trace, true);
    culprit->agreed = true;
    char *text = stored(culprit);
    sw_finding one = finding("error_status", "t1"), more = finding("error_status", "t2");
    known = culprit;
    apply_with_culprit(f, &one, 1);
    known = NULL;
    f->now_s = 30;
    apply_with_culprit(f, &more, 1);
    /* As after a restart. */
    sw_alert read = {0};
    assert_int_equal(sw_alert_from_json(f->stored.data, f->stored.len, &read), 0);
    sw_alert now = only_alert(f);
    const sw_alert *const both[] = {&read, &now};
    for (size_t i = 0; i < LEN(both); i++) {
        assert_non_null(both[i]->culprit);
        char *kept = stored(both[i]->culprit);
        assert_string_equal(kept, text);
        free(kept);
        sw_alert_release((sw_alert *)both[i]);
    }
    sw_culprit_free(culprit);
    sw_finding_release(&one);
    sw_finding_release(&more);
    free(text);
}

/* ---- which are about to begin ---- */

static size_t beginning(struct fixture *f, const sw_finding *findings, size_t n, sw_beginning *out,
                        size_t max) {
    return sw_alerts_beginning(f->alerts, findings, n, (T0 + f->now_s) * SW_NS_PER_S, out, max);
}

static void what_would_fire_is_named_with_its_longest_trace(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("rule", "t1,t2,t3");
    sw_beginning out[2];
    assert_int_equal(beginning(f, &one, 1, out, 2), 1);
    assert_string_equal(out[0].trace_id, "t3");
    assert_string_equal(out[0].type, "rule");
    apply(f, "detect", &one, 1, true);
    sw_alert alert = only_alert(f);
    assert_string_equal(out[0].fingerprint, alert.fingerprint);
    assert_int_equal(beginning(f, &one, 1, out, 2), 0); /* it fires, and its traces were reported */
    sw_alert_release(&alert);
    sw_finding_release(&one);
}

static void the_first_and_the_last_of_its_other_traces_may_confirm(void **state) {
    struct fixture *f = *state;
    sw_finding five = finding("rule", "t1,t2,t3,t4,t5"), one = finding("rule", "t1");
    sw_beginning out[1];
    assert_int_equal(beginning(f, &five, 1, out, 1), 1);
    assert_string_equal(out[0].service, "checkout");
    assert_int_equal(out[0].n_others, 2);
    assert_string_equal(out[0].others[0], "t1");
    assert_string_equal(out[0].others[1], "t4");
    five.traces[0].duration_ms = 9000; /* now the first is the longest */
    assert_int_equal(beginning(f, &five, 1, out, 1), 1);
    assert_string_equal(out[0].trace_id, "t1");
    assert_string_equal(out[0].others[0], "t2");
    assert_string_equal(out[0].others[1], "t5");
    assert_int_equal(beginning(f, &one, 1, out, 1), 1);
    assert_int_equal(out[0].n_others, 0);
    sw_finding_release(&five);
    sw_finding_release(&one);
}

static void what_stays_pending_is_not_named_until_its_time(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("rule", "t1,t2"), more = finding("rule", "t3");
    sw_beginning out[1];
    one.for_s = more.for_s = 60;
    assert_int_equal(beginning(f, &one, 1, out, 1), 0);
    apply(f, "detect", &one, 1, true);
    f->now_s = 59;
    assert_int_equal(beginning(f, &more, 1, out, 1), 0);
    f->now_s = 60;
    assert_int_equal(beginning(f, &more, 1, out, 1), 1);
    assert_string_equal(out[0].trace_id, "t2"); /* the longest of all that it has */
    sw_finding_release(&one);
    sw_finding_release(&more);
}

static void findings_without_traces_need_none(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("rule", NULL);
    sw_beginning out[1];
    assert_int_equal(beginning(f, &one, 1, out, 1), 0);
    sw_finding_release(&one);
}

static void the_most_severe_come_first_and_no_more_than_asked_for(void **state) {
    struct fixture *f = *state;
    sw_finding findings[] = {finding("a", "t1"), finding("b", "t2,t3"), finding("c", "t4"),
                             finding("d", "t5,t6,t7")};
    findings[2].severity = SW_SEVERITY_CRITICAL;
    sw_beginning out[3];
    static const char *const order[] = {"c", "d", "b"};
    for (size_t max = 1; max <= LEN(out); max++) {
        assert_int_equal(beginning(f, findings, LEN(findings), out, max), max);
        for (size_t i = 0; i < max; i++) {
            assert_string_equal(out[i].type, order[i]);
        }
    }
    for (size_t i = 0; i < LEN(findings); i++) {
        sw_finding_release(&findings[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_a_slow_trace_it_is_where_the_time_went),
        cmocka_unit_test(of_a_failed_trace_it_is_the_deepest_span_that_failed),
        cmocka_unit_test(a_trace_without_spans_has_none),
        cmocka_unit_test(what_is_stored_comes_back),
        cmocka_unit_test(what_is_damaged_is_refused),
        cmocka_unit_test_setup_teardown(an_alert_keeps_it_until_it_is_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_would_fire_is_named_with_its_longest_trace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_first_and_the_last_of_its_other_traces_may_confirm, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_stays_pending_is_not_named_until_its_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(findings_without_traces_need_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_most_severe_come_first_and_no_more_than_asked_for, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
