/* An evaluation in pieces: what comes between them, and stopping in the middle. */
#include "alert_fixture.h"

#define N 20

static sw_alerts_sink sink_for(struct fixture *f) {
    return (sw_alerts_sink){.notify = note_notify,
                            .changed = note_changed,
                            .removed = note_removed,
                            .reported = note_reported,
                            .arg = f};
}

static sw_alerts_round *begin(struct fixture *f, const char *detector, const sw_finding *findings, size_t n) {
    sw_alerts_sink sink = sink_for(f);
    return sw_alerts_round_new(f->alerts, detector, "tempo", findings, n, true, (T0 + f->now_s) * SW_NS_PER_S,
                               &sink, note_counted, f);
}

static void finish(sw_alerts_round *round) {
    while (sw_alerts_round_step(round)) {
    }
    sw_alerts_round_free(round);
}

static sw_finding numbered(const char *type, int i, bool with_trace) {
    char name[32], id[32];
    snprintf(name, sizeof name, "%s%d", type, i);
    snprintf(id, sizeof id, "trace%d", i);
    return finding(name, with_trace ? id : NULL);
}

static void make(sw_finding *findings, const char *type, bool with_traces) {
    for (int i = 0; i < N; i++) {
        findings[i] = numbered(type, i, with_traces);
    }
}

static void release(sw_finding *findings) {
    for (int i = 0; i < N; i++) {
        sw_finding_release(&findings[i]);
    }
}

static size_t count_of(const char *text, const char *word) {
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word)) {
        n++;
    }
    return n;
}

/* Removing an alert moves the last one into its place: the one that moves must not be missed. */
static void what_others_remove_between_two_steps_hides_nothing(void **state) {
    struct fixture *f = *state;
    sw_finding mine[N], others[N];
    make(others, "other", false);
    make(mine, "mine", false);
    apply(f, "other", others, N, true);
    apply(f, "mine", mine, N, true);
    said(f);
    f->now_s += 60;
    sw_alerts_round *round = begin(f, "mine", NULL, 0);
    for (int i = 0; i < 3; i++) {
        assert_true(sw_alerts_round_step(round));
    }
    apply(f, "other", NULL, 0, true); /* ends all of its own, in front of those that are still to come */
    finish(round);
    const char *text = said(f);
    assert_int_equal(count_of(text, "RESOLVED mine"), N);
    assert_int_equal(count_of(text, "RESOLVED other"), N);
    assert_int_equal(sw_alerts_count(f->alerts), 0);
    release(mine);
    release(others);
}

static void two_rounds_at_once_do_not_end_each_others_alerts(void **state) {
    struct fixture *f = *state;
    sw_finding mine[N], others[N];
    make(others, "other", false);
    make(mine, "mine", false);
    sw_alerts_round *first = begin(f, "mine", mine, N), *second = begin(f, "other", others, N);
    bool more = true;
    while (more) {
        more = sw_alerts_round_step(first);
        more = sw_alerts_round_step(second) || more;
    }
    sw_alerts_round_free(first);
    sw_alerts_round_free(second);
    const char *text = said(f);
    assert_int_equal(count_of(text, "FIRING"), 2 * N);
    assert_null(strstr(text, "RESOLVED"));
    release(mine);
    release(others);
}

static void restore_each(const sw_alert *alert, void *arg) {
    sw_alerts_restore(arg, alert);
}

/* A process that ends in the middle has stored what was said until then, and judges the same again. */
static void stopped_in_the_middle_nothing_is_lost_or_told_twice(void **state) {
    for (int steps = 0; steps <= 2 * N; steps++) {
        struct fixture *f = *state;
        sw_finding findings[N];
        make(findings, "rule", true);
        sw_alerts_round *round = begin(f, "detect", findings, N);
        for (int i = 0; i < steps; i++) {
            sw_alerts_round_step(round);
        }
        sw_alerts_round_free(round);
        char before[65536];
        snprintf(before, sizeof before, "%s", said(f));
        sw_alerts *stopped = f->alerts;
        make_alerts(f, NULL);
        sw_alerts_each(stopped, restore_each, f->alerts);
        for (int i = 0; i < N; i++) {
            char report[64];
            snprintf(report, sizeof report, "reported rule%d/%s;", i, findings[i].traces[0].id);
            if (strstr(before, report) != NULL) {
                sw_alerts_restore_reported(f->alerts, findings[i].type, findings[i].traces[0].id,
                                           T0 * SW_NS_PER_S);
            }
        }
        sw_alerts_free(stopped);
        sw_alerts_sink sink = sink_for(f);
        sw_alerts_apply(f->alerts, "detect", "tempo", findings, N, false, T0 * SW_NS_PER_S, &sink,
                        note_counted, f);
        const char *after = said(f);
        assert_int_equal(count_of(before, "FIRING") + count_of(after, "FIRING"), N);
        assert_int_equal(count_of(before, "reported") + count_of(after, "reported"), N);
        assert_int_equal(f->n_counted, N);
        f->n_counted = 0;
        regroup(f, NULL);
        release(findings);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_others_remove_between_two_steps_hides_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(two_rounds_at_once_do_not_end_each_others_alerts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stopped_in_the_middle_nothing_is_lost_or_told_twice, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
