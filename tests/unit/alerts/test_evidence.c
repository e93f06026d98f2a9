/* Which traces are marked, and which go when there are more than are kept. */
#include "alerts/evidence.h"

#include "alert_fixture.h"

#define MAX 64

/* One trace: how long it took, when it began, whether it was told. */
struct row {
    double duration_ms;
    int64_t start_s;
    bool told;
};

static sw_evidence rows_as_evidence[MAX];

static sw_alert alert_with(const struct row *rows, size_t n) {
    assert_true(n <= MAX);
    for (size_t i = 0; i < n; i++) {
        rows_as_evidence[i] = (sw_evidence){.start_ns = rows[i].start_s * SW_NS_PER_S,
                                            .duration_ms = rows[i].duration_ms,
                                            .notified = rows[i].told};
        snprintf(rows_as_evidence[i].trace_id, sizeof rows_as_evidence[i].trace_id, "t%zu", i);
    }
    return (sw_alert){.evidence = rows_as_evidence, .n_evidence = n};
}

static const char *ids(const sw_alert *alert) {
    static char text[MAX * 8];
    text[0] = '\0';
    for (size_t i = 0; i < alert->n_evidence; i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%s%s", i > 0 ? "," : "", alert->evidence[i].trace_id);
    }
    return text;
}

static void worst_newest_and_representative_are_of_what_was_not_told(void **state) {
    (void)state;
    static const struct row rows[] = {
        {9000, 50, true}, {1500, 10, false}, {1100, 40, false}, {1200, 30, false}, {8000, 20, false},
    };
    sw_alert alert = alert_with(rows, SW_ARRAY_LEN(rows));
    sw_evidence_marks marks = sw_evidence_mark(alert.evidence, alert.n_evidence);
    assert_int_equal(marks.worst, 4);
    assert_int_equal(marks.newest, 2);
    /* The median is 1350: 1500 and 1200 are as near, and the first of them is it. */
    assert_int_equal(marks.representative, 1);
}

static void nothing_is_marked_when_all_was_told(void **state) {
    (void)state;
    static const struct row rows[] = {{1, 1, true}};
    sw_alert alert = alert_with(rows, 1);
    sw_evidence_marks marks = sw_evidence_mark(alert.evidence, 1);
    assert_true(marks.worst == SW_NO_EVIDENCE && marks.newest == SW_NO_EVIDENCE &&
                marks.representative == SW_NO_EVIDENCE);
    marks = sw_evidence_mark(NULL, 0);
    assert_true(marks.worst == SW_NO_EVIDENCE);
}

static void told_ones_go_first_and_marked_ones_last(void **state) {
    (void)state;
    static const struct row rows[] = {
        {5000, 1, false},                                   /* worst */
        {10, 2, true},    {900, 3, true},                   /* longest of those told */
        {20, 4, true},    {100, 5, false}, {200, 6, false}, /* nearest to the median, 200 */
        {110, 7, false},  {300, 8, false},                  /* newest */
    };
    static const struct {
        size_t max;
        const char *kept;
    } steps[] = {
        {8, "t0,t1,t2,t3,t4,t5,t6,t7"},
        {7, "t0,t2,t3,t4,t5,t6,t7"},
        {6, "t0,t2,t4,t5,t6,t7"},
        {5, "t0,t4,t5,t6,t7"},
        {4, "t0,t5,t6,t7"},
        {3, "t0,t5,t7"},
        {2, "t0,t7"},
        {1, "t0"},
        {0, ""},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(steps); i++) {
        sw_alert alert = alert_with(rows, SW_ARRAY_LEN(rows));
        sw_evidence_trim(&alert, steps[i].max);
        assert_string_equal(ids(&alert), steps[i].kept);
    }
}

/* The longest trace comes early and thousands after it. */
static void the_worst_outlives_all_others(void **state) {
    struct fixture *f = *state;
    sw_finding first = finding("rule", "slowest,second");
    first.for_s = 1e6; /* pending: nothing is told meanwhile */
    first.traces[0].duration_ms = 60000;
    apply(f, "detect", &first, 1, true);
    sw_finding_release(&first);
    for (int i = 0; i < 500; i++) {
        char text[64];
        snprintf(text, sizeof text, "a%d,b%d,c%d", i, i, i);
        sw_finding more = finding("rule", text);
        more.for_s = 1e6;
        f->now_s++;
        for (size_t k = 0; k < more.n_traces; k++) {
            more.traces[k].start_ns += f->now_s * SW_NS_PER_S;
        }
        apply(f, "detect", &more, 1, true);
        sw_finding_release(&more);
    }
    sw_alert alert = only_alert(f);
    assert_int_equal(alert.n_evidence, 4);
    sw_evidence_marks marks = sw_evidence_mark(alert.evidence, alert.n_evidence);
    assert_string_equal(alert.evidence[marks.worst].trace_id, "slowest");
    assert_string_equal(alert.evidence[marks.newest].trace_id, "c499");
    assert_true(alert.affected_traces == 1502);
    sw_alert_release(&alert);
}

#define EVIDENCE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        EVIDENCE_TEST(worst_newest_and_representative_are_of_what_was_not_told),
        EVIDENCE_TEST(nothing_is_marked_when_all_was_told),
        EVIDENCE_TEST(told_ones_go_first_and_marked_ones_last),
        EVIDENCE_TEST(the_worst_outlives_all_others),
    };
    return cmocka_run_group_tests_name("evidence", tests, NULL, NULL);
}
