/* What must not be told yet, step by step. */
#include "alerts/alert_fixture.h"

enum { SEEN = 1, ABSENT, SWEEP, RESTART, MUTE, UNMUTE };

struct step {
    int64_t at_s;
    int what;
    const char *said; /* "held" the first time, "again" later */
};

struct life {
    const char *name;
    const char *group_by, *traces;
    struct step steps[12];
};

static bool muted;

static bool hold(const sw_alert *alert, sw_notice notice, bool again, void *arg) {
    static const char *const names[] = {"FIRING", "REPEAT", "RESOLVED"};
    struct fixture *f = arg;
    (void)alert;
    if (muted) {
        sw_buf_printf(&f->said, "%s %s;", again ? "again" : "held", names[notice]);
    }
    return muted;
}

static sw_alerts_sink holding(struct fixture *f) {
    return (sw_alerts_sink){.notify = note_notify,
                            .changed = note_changed,
                            .removed = note_removed,
                            .reported = note_reported,
                            .arg = f,
                            .withheld = hold};
}

static const struct life lives[] = {
    {"a firing notice comes once when it is not withheld any more",
     NULL,
     NULL,
     {{0, MUTE, ""},
      {0, SEEN, "held FIRING;"},
      {30, SEEN, "again FIRING;"},
      {30, SWEEP, "again FIRING;"},
      {40, UNMUTE, ""},
      {40, SWEEP, "FIRING rule;"},
      {41, SWEEP, ""},
      {60, SEEN, ""},
      {90, ABSENT, "RESOLVED rule;removed;"}}},
    {"the next evaluation tells it too",
     NULL,
     NULL,
     {{0, MUTE, ""}, {0, SEEN, "held FIRING;"}, {10, UNMUTE, ""}, {30, SEEN, "FIRING rule;"}}},
    {"what ends before it was told is never told",
     NULL,
     NULL,
     {{0, MUTE, ""},
      {0, SEEN, "held FIRING;"},
      {30, ABSENT, "removed;"},
      {40, UNMUTE, ""},
      {40, SWEEP, ""},
      {60, ABSENT, ""}}},
    {"a resolved notice waits, and is told when it may be",
     NULL,
     NULL,
     {{0, SEEN, "FIRING rule;"},
      {10, MUTE, ""},
      {30, ABSENT, "held RESOLVED;"},
      {60, ABSENT, ""},
      {60, SWEEP, "again RESOLVED;"},
      {70, UNMUTE, ""},
      {70, SWEEP, "RESOLVED rule;removed;"},
      {71, SWEEP, ""}}},
    {"a resolved notice waits over a restart",
     NULL,
     NULL,
     {{0, SEEN, "FIRING rule;"},
      {10, MUTE, ""},
      {30, ABSENT, "held RESOLVED;"},
      {30, RESTART, ""},
      {60, SWEEP, "again RESOLVED;"},
      {70, UNMUTE, ""},
      {70, SWEEP, "RESOLVED rule;removed;"}}},
    {"a firing notice waits over a restart",
     NULL,
     NULL,
     {{0, MUTE, ""},
      {0, SEEN, "held FIRING;"},
      {30, RESTART, ""},
      {40, UNMUTE, ""},
      {40, SWEEP, "FIRING rule;"},
      {60, ABSENT, "RESOLVED rule;removed;"}}},
    {"what comes back while its end is withheld goes on as the same",
     NULL,
     NULL,
     {{0, SEEN, "FIRING rule;"},
      {10, MUTE, ""},
      {30, ABSENT, "held RESOLVED;"},
      {60, SEEN, ""},
      {70, UNMUTE, ""},
      {70, SWEEP, ""},
      {90, SEEN, ""},
      {120, ABSENT, "RESOLVED rule;removed;"}}},
    {"a repetition waits and comes once",
     NULL,
     NULL,
     {{0, SEEN, "FIRING rule;"},
      {10, MUTE, ""},
      {3600, SEEN, "held REPEAT;"},
      {3630, SEEN, "again REPEAT;"},
      {3640, UNMUTE, ""},
      {3640, SWEEP, "REPEAT rule;"},
      {3660, SEEN, ""}}},
    {"evidence that came meanwhile is told with it",
     NULL,
     "t",
     {{0, MUTE, ""},
      {0, SEEN, "reported rule/t0;held FIRING;"},
      {30, SEEN, "reported rule/t30;again FIRING;"},
      {40, UNMUTE, ""},
      {40, SWEEP, "FIRING rule t0,t30;"}}},
    {"an alert of one trace is told too while it lasts",
     "trace_id",
     "t",
     {{0, MUTE, ""},
      {0, SEEN, "reported rule/t0;held FIRING;"},
      {0, SWEEP, "again FIRING;"},
      {10, UNMUTE, ""},
      {10, SWEEP, "FIRING rule t0;"},
      {30, ABSENT, "removed;"}}},
};

static void restart(struct fixture *f) {
    sw_alert alert = {0};
    assert_int_equal(sw_alert_from_json(f->stored.data, f->stored.len, &alert), 0);
    sw_alerts_free(f->alerts);
    f->alerts = sw_alerts_new(&f->options);
    sw_alerts_restore(f->alerts, &alert);
    sw_alert_release(&alert);
}

static void evaluate(struct fixture *f, const struct life *life, bool seen) {
    sw_alerts_sink sink = holding(f);
    char *traces = life->traces != NULL ? xasprintf("%s%lld", life->traces, (long long)f->now_s) : NULL;
    sw_finding one = finding("rule", traces);
    sw_alerts_apply(f->alerts, "detect", "tempo", &one, seen ? 1 : 0, true, (T0 + f->now_s) * SW_NS_PER_S,
                    &sink, NULL, NULL);
    sw_finding_release(&one);
    free(traces);
}

static void take_step(struct fixture *f, const struct life *life, const struct step *step) {
    sw_alerts_sink sink = holding(f);
    f->now_s = step->at_s;
    switch (step->what) {
    case MUTE:
    case UNMUTE:
        muted = step->what == MUTE;
        break;
    case RESTART:
        restart(f);
        break;
    case SWEEP:
        sw_alerts_tell_withheld(f->alerts, (T0 + f->now_s) * SW_NS_PER_S, &sink);
        break;
    default:
        evaluate(f, life, step->what == SEEN);
    }
    const char *got = said(f);
    if (strcmp(got, step->said) != 0) {
        fail_msg("%s, at %lld: \"%s\" instead of \"%s\"", life->name, (long long)step->at_s, got, step->said);
    }
}

static void alerts_live_as_the_table_says(void **state) {
    struct fixture *f = *state;
    for (size_t i = 0; i < SW_ARRAY_LEN(lives); i++) {
        const char *group_by[] = {lives[i].group_by, NULL};
        regroup(f, lives[i].group_by != NULL ? group_by : NULL);
        muted = false;
        for (size_t j = 0; lives[i].steps[j].what != 0; j++) {
            take_step(f, &lives[i], &lives[i].steps[j]);
        }
    }
}

static void a_rise_in_severity_waits_too(void **state) {
    struct fixture *f = *state;
    sw_alerts_sink sink = holding(f);
    sw_finding one = finding("rule", NULL);
    muted = false;
    sw_alerts_apply(f->alerts, "detect", "tempo", &one, 1, true, T0 * SW_NS_PER_S, &sink, NULL, NULL);
    assert_string_equal(said(f), "FIRING rule;");
    one.severity = SW_SEVERITY_CRITICAL;
    muted = true;
    sw_alerts_apply(f->alerts, "detect", "tempo", &one, 1, true, (T0 + 30) * SW_NS_PER_S, &sink, NULL, NULL);
    assert_string_equal(said(f), "held FIRING;");
    muted = false;
    sw_alerts_tell_withheld(f->alerts, (T0 + 40) * SW_NS_PER_S, &sink);
    assert_string_equal(said(f), "FIRING rule;");
    sw_finding_release(&one);
}

static void rises_to(struct fixture *f, sw_severity severity, const char *want) {
    sw_alerts_sink sink = holding(f);
    sw_finding one = finding("rule", NULL);
    one.severity = severity;
    f->now_s += 30;
    sw_alerts_apply(f->alerts, "detect", "tempo", &one, 1, true, (T0 + f->now_s) * SW_NS_PER_S, &sink, NULL,
                    NULL);
    sw_finding_release(&one);
    assert_string_equal(said(f), want);
}

static void a_rise_in_severity_is_told_once_over_restarts_and_silences(void **state) {
    struct fixture *f = *state;
    sw_alerts_sink sink = holding(f);
    muted = false;
    rises_to(f, SW_SEVERITY_INFO, "FIRING rule;");
    restart(f);
    rises_to(f, SW_SEVERITY_INFO, "");
    rises_to(f, SW_SEVERITY_WARNING, "FIRING rule;");
    restart(f);
    rises_to(f, SW_SEVERITY_WARNING, "");
    muted = true;
    rises_to(f, SW_SEVERITY_CRITICAL, "held FIRING;");
    rises_to(f, SW_SEVERITY_CRITICAL, "again FIRING;");
    restart(f);
    muted = false;
    sw_alerts_tell_withheld(f->alerts, (T0 + f->now_s) * SW_NS_PER_S, &sink);
    assert_string_equal(said(f), "FIRING rule;");
    restart(f);
    rises_to(f, SW_SEVERITY_CRITICAL, "");
    rises_to(f, SW_SEVERITY_INFO, ""); /* falling is not told, nor rising to what was told */
    restart(f);
    rises_to(f, SW_SEVERITY_CRITICAL, "");
    muted = true;
    rises_to(f, SW_SEVERITY_INFO, "");
    muted = false;
    rises_to(f, SW_SEVERITY_WARNING, "");
}

static void a_rise_that_is_over_when_it_may_be_told_is_not_told(void **state) {
    struct fixture *f = *state;
    muted = false;
    rises_to(f, SW_SEVERITY_WARNING, "FIRING rule;");
    muted = true;
    rises_to(f, SW_SEVERITY_CRITICAL, "held FIRING;");
    rises_to(f, SW_SEVERITY_WARNING, "");
    muted = false;
    rises_to(f, SW_SEVERITY_WARNING, "");
}

static void it_can_be_told_in_pieces(void **state) {
    struct fixture *f = *state;
    sw_alerts_sink sink = holding(f);
    assert_null(sw_alerts_withheld_round(f->alerts, T0 * SW_NS_PER_S, &sink));
    sw_finding three[] = {finding("a", NULL), finding("b", NULL), finding("c", NULL)};
    muted = true;
    sw_alerts_apply(f->alerts, "detect", "tempo", three, 3, true, T0 * SW_NS_PER_S, &sink, NULL, NULL);
    assert_string_equal(said(f), "held FIRING;held FIRING;held FIRING;");
    muted = false;
    sw_alerts_round *round = sw_alerts_withheld_round(f->alerts, T0 * SW_NS_PER_S, &sink);
    assert_true(sw_alerts_round_step(round));
    assert_string_equal(said(f), "FIRING a;");
    sw_alerts_apply(f->alerts, "detect", "tempo", three + 1, 2, true, T0 * SW_NS_PER_S, &sink, NULL, NULL);
    assert_string_equal(said(f), "FIRING b;FIRING c;RESOLVED a;removed;"); /* somebody else was faster */
    while (sw_alerts_round_step(round)) {
    }
    assert_string_equal(said(f), "");
    sw_alerts_round_free(round);
    for (size_t i = 0; i < 3; i++) {
        sw_finding_release(&three[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(alerts_live_as_the_table_says, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_rise_in_severity_waits_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_rise_in_severity_is_told_once_over_restarts_and_silences, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(it_can_be_told_in_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_rise_that_is_over_when_it_may_be_told_is_not_told, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
