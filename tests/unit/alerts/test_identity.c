/* Questions that change nothing: which alert a finding is about, and what is known of a trace. */
#include "alert_fixture.h"

static void the_fingerprint_is_that_of_the_alert(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("rule", "t1,t2");
    char fingerprint[SW_FINGERPRINT_LEN + 1], second[SW_FINGERPRINT_LEN + 1];
    assert_true(sw_alerts_fingerprint(f->alerts, &one, 0, fingerprint));
    assert_false(sw_alerts_fingerprint(f->alerts, &one, 1, second));
    apply(f, "detect", &one, 1, true);
    sw_alert alert = only_alert(f);
    assert_string_equal(alert.fingerprint, fingerprint);
    sw_alert_release(&alert);

    static const char *const by_trace[] = {"trace_id", NULL};
    regroup(f, by_trace);
    assert_true(sw_alerts_fingerprint(f->alerts, &one, 0, fingerprint));
    assert_true(sw_alerts_fingerprint(f->alerts, &one, 1, second));
    assert_false(sw_alerts_fingerprint(f->alerts, &one, 2, second));
    assert_string_not_equal(fingerprint, second);
    apply(f, "detect", &one, 1, true);
    assert_non_null(sw_alerts_find(f->alerts, fingerprint));
    assert_non_null(sw_alerts_find(f->alerts, second));
    sw_finding_release(&one);
}

static void note_type(const char *type, int64_t at_ns, void *arg) {
    sw_buf_printf(arg, "%s@%lld;", type, (long long)(at_ns / SW_NS_PER_S - T0));
}

static void a_trace_is_known_under_each_type_that_it_was_reported_under(void **state) {
    struct fixture *f = *state;
    sw_finding slow = finding("slow", "t1"), failed = finding("failed", "t1,t2");
    assert_int_equal(sw_alerts_new_traces(f->alerts, &failed), 2);
    apply(f, "detect", &slow, 1, true);
    assert_int_equal(sw_alerts_new_traces(f->alerts, &failed), 2); /* under another type */
    f->now_s = 30;
    apply(f, "detect", &failed, 1, true);
    assert_int_equal(sw_alerts_new_traces(f->alerts, &failed), 0);
    sw_buf types;
    sw_buf_init(&types, 1024);
    sw_alerts_reported(f->alerts, "t1", note_type, &types);
    assert_string_equal(types.data, "slow@0;failed@30;");
    sw_buf_reset(&types);
    sw_alerts_reported(f->alerts, "t2", note_type, &types);
    assert_string_equal(types.data, "failed@30;");
    sw_buf_reset(&types);
    sw_alerts_reported(f->alerts, "t3", note_type, &types);
    assert_int_equal(types.len, 0);
    sw_buf_release(&types);
    sw_finding_release(&slow);
    sw_finding_release(&failed);
}

#define IDENTITY_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        IDENTITY_TEST(the_fingerprint_is_that_of_the_alert),
        IDENTITY_TEST(a_trace_is_known_under_each_type_that_it_was_reported_under),
    };
    return cmocka_run_group_tests_name("identity", tests, NULL, NULL);
}
