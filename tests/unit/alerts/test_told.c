#include "alerts/alert_fixture.h"

#include "alerts/told.h"

static const char *with(const char *told, const char *receiver, int64_t at_s) {
    static char text[256];
    sw_buf out;
    sw_buf_init(&out, SW_TOLD_MAX);
    sw_told_append(told, receiver, at_s, &out);
    snprintf(text, sizeof text, "%s", out.data);
    sw_buf_release(&out);
    return text;
}

static void each_receiver_is_there_once_with_its_last_time(void **state) {
    (void)state;
    assert_string_equal(with(NULL, "a", 5), "a@5");
    assert_string_equal(with("", "a", 5), "a@5");
    assert_string_equal(with("a@5", "b", 6), "a@5 b@6");
    assert_string_equal(with("a@5 b@6", "a", 7), "b@6 a@7");
    assert_int_equal(sw_told_at("a@5 bb@6", "bb"), 6);
    assert_int_equal(sw_told_at("a@5 bb@6", "b"), -1);
    assert_int_equal(sw_told_at(NULL, "b"), -1);
}

static void what_cannot_be_read_is_passed_over(void **state) {
    (void)state;
    static const char *const damaged[] = {"@1", "a", "a@",   "a@x", "a@1x", "a@99999999999999999999",
                                          "@",  " ", "a@-1", "a@@1"};
    for (size_t i = 0; i < SW_ARRAY_LEN(damaged); i++) {
        char *text = xasprintf("%s b@2", damaged[i]);
        sw_told entry;
        const char *rest = sw_told_next(text, &entry);
        assert_non_null(rest);
        assert_string_equal(entry.receiver, "b");
        assert_null(sw_told_next(rest, &entry));
        assert_null(sw_told_next(damaged[i], &entry));
        free(text);
    }
    char name[SW_TOLD_NAME_MAX + 4];
    memset(name, 'x', sizeof name);
    memcpy(name + SW_TOLD_NAME_MAX + 1, "@1", 3);
    sw_told entry;
    assert_null(sw_told_next(name, &entry));
    assert_non_null(sw_told_next(name + 1, &entry));
}

/* ---- in the life of an alert ---- */

static const char *now_told;
static int64_t repeat_at_ns;

static const char *give_told(const sw_alert *alert, void *arg) {
    (void)alert;
    (void)arg;
    return now_told;
}

static int64_t give_repeat(const sw_alert *alert, void *arg) {
    (void)alert;
    (void)arg;
    return repeat_at_ns;
}

static void apply_told(struct fixture *f, const sw_finding *findings, size_t n) {
    sw_alerts_sink sink = {.notify = note_notify,
                           .changed = note_changed,
                           .removed = note_removed,
                           .reported = note_reported,
                           .arg = f,
                           .told = give_told,
                           .repeat_at = give_repeat};
    sw_alerts_apply(f->alerts, "detect", "tempo", findings, n, true, (T0 + f->now_s) * SW_NS_PER_S, &sink,
                    note_counted, f);
}

static void note_told(const sw_alert *alert, void *arg) {
    snprintf(arg, 64, "%s", alert->told != NULL ? alert->told : "(null)");
}

static const char *told_of(struct fixture *f) {
    static char text[64];
    sw_alerts_each(f->alerts, note_told, text);
    return text;
}

static void whom_an_alert_was_told_to_is_kept_with_it_and_stored(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("slow", NULL);
    now_told = "a@1 b@2";
    repeat_at_ns = INT64_MAX;
    apply_told(f, &one, 1);
    assert_string_equal(said(f), "FIRING slow;");
    assert_string_equal(told_of(f), "a@1 b@2");
    sw_alert stored;
    assert_int_equal(sw_alert_from_json(f->stored.data, f->stored.len, &stored), 0);
    assert_string_equal(stored.told, "a@1 b@2");
    sw_alert copy;
    sw_alert_copy(&copy, &stored);
    assert_string_equal(copy.told, "a@1 b@2");
    sw_alert_release(&copy);
    sw_alert_release(&stored);
    now_told = NULL; /* stays, and so it does while nothing is told */
    f->now_s = 7200;
    apply_told(f, &one, 1);
    assert_string_equal(said(f), "");
    assert_string_equal(told_of(f), "a@1 b@2");
    sw_finding_release(&one);
}

static void the_caller_says_when_an_alert_is_told_again(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("slow", NULL);
    now_told = "a@1";
    repeat_at_ns = (T0 + 100) * SW_NS_PER_S;
    apply_told(f, &one, 1);
    said(f);
    f->now_s = 99;
    apply_told(f, &one, 1);
    assert_string_equal(said(f), "");
    f->now_s = 100;
    now_told = "a@2";
    apply_told(f, &one, 1);
    assert_string_equal(said(f), "REPEAT slow;");
    assert_string_equal(told_of(f), "a@2");
    sw_finding_release(&one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_receiver_is_there_once_with_its_last_time),
        cmocka_unit_test(what_cannot_be_read_is_passed_over),
        cmocka_unit_test_setup_teardown(whom_an_alert_was_told_to_is_kept_with_it_and_stored, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_caller_says_when_an_alert_is_told_again, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
