#include "alerts/alert_fixture.h"

/* ---- the life of an alert, step by step ---- */

enum { SEEN = 1, ABSENT, UNKNOWN, RESTART };

struct step {
    int64_t at_s;
    int what;
    const char *traces; /* of the finding that is seen; NULL: it has none */
    const char *said;
};

struct life {
    const char *name;
    double for_s, keep_firing_s;
    struct step steps[10];
};

static const struct life lives[] = {
    {"fires at once and resolves when it is gone",
     0,
     0,
     {{0, SEEN, NULL, "FIRING rule;"},
      {30, SEEN, NULL, ""},
      {60, ABSENT, NULL, "RESOLVED rule;removed;"},
      {90, ABSENT, NULL, ""}}},
    {"waits until the condition has lasted",
     60,
     0,
     {{0, SEEN, NULL, ""},
      {30, SEEN, NULL, ""},
      {60, SEEN, NULL, "FIRING rule;"},
      {90, ABSENT, NULL, "RESOLVED rule;removed;"}}},
    {"was never anything when it goes while pending",
     60,
     0,
     {{0, SEEN, NULL, ""},
      {30, ABSENT, NULL, "removed;"},
      {60, SEEN, NULL, ""},
      {120, SEEN, NULL, "FIRING rule;"}}},
    {"an unknown evaluation neither resolves nor ends what is pending",
     60,
     0,
     {{0, SEEN, NULL, ""},
      {30, UNKNOWN, NULL, ""},
      {60, SEEN, NULL, "FIRING rule;"},
      {90, UNKNOWN, NULL, ""},
      {9000, UNKNOWN, NULL, ""},
      {9030, ABSENT, NULL, "RESOLVED rule;removed;"}}},
    {"goes on firing for a while after it was last seen",
     0,
     90,
     {{0, SEEN, NULL, "FIRING rule;"},
      {30, ABSENT, NULL, ""},
      {60, SEEN, NULL, ""},
      {90, ABSENT, NULL, ""},
      {149, ABSENT, NULL, ""},
      {150, ABSENT, NULL, "RESOLVED rule;removed;"}}},
    {"is repeated when it is still there after the interval",
     0,
     0,
     {{0, SEEN, NULL, "FIRING rule;"},
      {3599, SEEN, NULL, ""},
      {3600, SEEN, NULL, "REPEAT rule;"},
      {3630, SEEN, NULL, ""},
      {7200, SEEN, NULL, "REPEAT rule;"}}},
    {"is repeated while it is kept, and not while nobody knows",
     0,
     5000,
     {{0, SEEN, NULL, "FIRING rule;"},
      {3600, ABSENT, NULL, "REPEAT rule;"},
      {4900, SEEN, NULL, ""},
      {7200, UNKNOWN, NULL, "REPEAT rule;"},
      {10900, UNKNOWN, NULL, ""},
      {10930, SEEN, NULL, "REPEAT rule;"}}},
    {"traces that come later are told with the next notice",
     0,
     300,
     {{0, SEEN, "t1,t2", "reported rule/t1;reported rule/t2;FIRING rule t1,t2;"},
      {30, SEEN, "t2,t3", "reported rule/t3;"},
      {60, ABSENT, NULL, ""},
      {330, ABSENT, NULL, "RESOLVED rule t3;removed;"}}},
    {"a repeat tells the traces that were not told",
     0,
     5000,
     {{0, SEEN, "t1", "reported rule/t1;FIRING rule t1;"},
      {30, SEEN, "t2", "reported rule/t2;"},
      {3600, ABSENT, NULL, "REPEAT rule t2;"},
      {5030, ABSENT, NULL, "RESOLVED rule;removed;"}}},
    {"a finding whose traces were all reported is none",
     0,
     0,
     {{0, SEEN, "t1", "reported rule/t1;FIRING rule t1;"},
      {30, SEEN, "t1", "RESOLVED rule;removed;"},
      {60, SEEN, "t1", ""},
      {90, SEEN, "t1,t2", "reported rule/t2;FIRING rule t2;"}}},
    {"a restart changes nothing",
     60,
     120,
     {{0, SEEN, "t1", "reported rule/t1;"},
      {30, RESTART, NULL, ""},
      {60, SEEN, "t1,t2", "reported rule/t2;FIRING rule t1,t2;"},
      {70, RESTART, NULL, ""},
      {90, SEEN, "t1,t2", ""},
      {100, SEEN, "t3", "reported rule/t3;"},
      {110, RESTART, NULL, ""},
      {219, ABSENT, NULL, ""},
      {220, ABSENT, NULL, "RESOLVED rule t3;removed;"}}},
    {"a clock that steps back resolves, repeats and reports nothing",
     0,
     60,
     {{7200, SEEN, "t1", "reported rule/t1;FIRING rule t1;"},
      {3600, ABSENT, NULL, ""},
      {3650, SEEN, "t1", ""},
      {3659, ABSENT, NULL, ""},
      {3660, ABSENT, NULL, "RESOLVED rule;removed;"}}},
    {"a clock that steps back only delays what is pending",
     60,
     0,
     {{7200, SEEN, NULL, ""},
      {3600, SEEN, NULL, ""},
      {3630, SEEN, NULL, ""},
      {3660, SEEN, NULL, "FIRING rule;"},
      {60, SEEN, NULL, ""},
      {3659, SEEN, NULL, ""},
      {3660, SEEN, NULL, "REPEAT rule;"}}},
};

static void copy_reported(const char *text, struct fixture *f, sw_alerts *to) {
    char *copy = xstrdup(text), *rest = copy;
    for (char *part = strsep(&rest, ";"); part != NULL; part = strsep(&rest, ";")) {
        char type[64], id[64];
        if (sscanf(part, "reported %63[^/]/%63s", type, id) == 2) {
            sw_alerts_restore_reported(to, type, id, (T0 + f->now_s) * SW_NS_PER_S);
        }
    }
    free(copy);
}

static void restore_through_json(const sw_alert *alert, void *arg) {
    sw_buf json;
    sw_buf_init(&json, 1 << 20);
    assert_int_equal(sw_alert_to_json(alert, &json), 0);
    sw_alert back = {0};
    assert_int_equal(sw_alert_from_json(json.data, json.len, &back), 0);
    sw_alerts_restore(arg, &back);
    sw_alert_release(&back);
    sw_buf_release(&json);
}

/* What a store would give back: all alerts through JSON, and all that was reported. */
static void restart(struct fixture *f, const sw_buf *all_said) {
    sw_alerts *before = f->alerts;
    make_alerts(f, NULL);
    sw_alerts_each(before, restore_through_json, f->alerts);
    copy_reported(all_said->data, f, f->alerts);
    sw_alerts_free(before);
}

static void take_step(struct fixture *f, const struct life *life, const struct step *step, sw_buf *all_said) {
    f->now_s = step->at_s;
    if (step->what == RESTART) {
        restart(f, all_said);
        return;
    }
    sw_finding one = finding("rule", step->traces);
    one.for_s = life->for_s;
    one.keep_firing_s = life->keep_firing_s;
    apply(f, "detect", &one, step->what == SEEN ? 1 : 0, step->what != UNKNOWN);
    sw_finding_release(&one);
    const char *text = said(f);
    sw_buf_append_str(all_said, text);
    if (strcmp(text, step->said) != 0) {
        print_error("%s: at %lld s: \"%s\", expected \"%s\"\n", life->name, (long long)step->at_s, text,
                    step->said);
        fail();
    }
}

static void alerts_live_as_the_table_says(void **state) {
    struct fixture *f = *state;
    for (size_t i = 0; i < SW_ARRAY_LEN(lives); i++) {
        regroup(f, NULL);
        sw_buf all_said;
        sw_buf_init(&all_said, 1 << 20);
        sw_buf_append_str(&all_said, "");
        for (size_t j = 0; j < SW_ARRAY_LEN(lives[i].steps) && lives[i].steps[j].what != 0; j++) {
            take_step(f, &lives[i], &lives[i].steps[j], &all_said);
        }
        sw_buf_release(&all_said);
    }
}

/* ---- identity ---- */

static void the_fingerprint_is_the_digest_of_type_and_sorted_labels(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("rule", NULL);
    sw_label label = {"region", "eu"};
    one.labels = &label;
    one.n_labels = 1;
    apply(f, "detect", &one, 1, true);
    one.labels = NULL;
    one.n_labels = 0;
    sw_finding_release(&one);
    sw_alert alert = only_alert(f);
    char digest[65];
    const char *text = "4:rule9:operation9:POST /pay6:region2:eu7:service8:checkout";
    sw_sha256_hex(text, strlen(text), digest);
    digest[16] = '\0';
    assert_string_equal(alert.fingerprint, digest);
    assert_int_equal(alert.n_labels, 3);
    assert_string_equal(sw_alert_label(&alert, "region"), "eu");
    assert_string_equal(sw_alert_label(&alert, "operation"), "POST /pay");
    assert_null(sw_alert_label(&alert, "trace_id"));
    sw_alert_release(&alert);
}

static void a_key_is_the_whole_identity(void **state) {
    struct fixture *f = *state;
    static const char *const by_service[] = {"service", NULL};
    regroup(f, by_service);
    sw_finding two[] = {finding("rule", NULL), finding("rule", NULL)};
    for (size_t i = 0; i < 2; i++) {
        two[i].key = xstrdup("database");
        free(two[i].operation);
        two[i].operation = xstrdup(i == 0 ? "a" : "b");
    }
    apply(f, "detect", two, 2, true);
    assert_string_equal(said(f), "FIRING rule;");
    sw_alert alert = only_alert(f);
    assert_int_equal(alert.n_labels, 1);
    assert_string_equal(sw_alert_label(&alert, "key"), "database");
    assert_string_equal(alert.service, "checkout"); /* all agree */
    assert_null(alert.operation);                   /* they do not */
    sw_alert_release(&alert);
    sw_finding_release(&two[0]);
    sw_finding_release(&two[1]);
}

static void group_by_keeps_the_labels_that_it_names(void **state) {
    struct fixture *f = *state;
    static const char *const by_service[] = {"service", NULL};
    regroup(f, by_service);
    sw_finding two[] = {finding("rule", "t1"), finding("rule", "t2")};
    free(two[1].operation);
    two[1].operation = xstrdup("GET /cart");
    apply(f, "detect", two, 2, true);
    assert_string_equal(said(f), "reported rule/t1;reported rule/t2;FIRING rule t1,t2;");
    sw_alert alert = only_alert(f);
    assert_int_equal(alert.n_labels, 1);
    assert_null(alert.operation);
    assert_true(alert.affected_traces == 2);
    sw_alert_release(&alert);
    sw_finding_release(&two[0]);
    sw_finding_release(&two[1]);
}

static void one_alert_and_one_notification_for_each_trace(void **state) {
    struct fixture *f = *state;
    static const char *const by_trace[] = {"trace_id", NULL};
    regroup(f, by_trace);
    sw_finding two[] = {finding("rule", "t1,t2"), finding("rate", NULL)};
    two[0].for_s = 600; /* a trace that is over cannot go on */
    apply(f, "detect", two, 2, true);
    assert_string_equal(said(f),
                        "reported rule/t1;FIRING rule t1;reported rule/t2;FIRING rule t2;FIRING rate;");
    assert_int_equal(sw_alerts_count(f->alerts), 3);
    assert_int_equal(f->n_counted, 2);
    f->now_s = 7200;
    two[0].severity = SW_SEVERITY_CRITICAL;
    apply(f, "detect", two, 2, true);
    assert_string_equal(said(f), "REPEAT rate;removed;removed;"); /* no notice of the traces' end */
    sw_finding_release(&two[0]);
    sw_finding_release(&two[1]);
}

static void findings_without_traces_are_grouped_by_all_labels_when_only_traces_are_named(void **state) {
    struct fixture *f = *state;
    static const char *const by_trace[] = {"trace_id", NULL};
    regroup(f, by_trace);
    sw_finding two[] = {finding("rate", NULL), finding("rate", NULL)};
    free(two[1].service);
    two[1].service = xstrdup("cart");
    apply(f, "detect", two, 2, true);
    assert_string_equal(said(f), "FIRING rate;FIRING rate;");
    sw_finding_release(&two[0]);
    sw_finding_release(&two[1]);
}

/* ---- merging ---- */

static void of_several_findings_the_newest_window_speaks_and_traces_are_joined(void **state) {
    struct fixture *f = *state;
    sw_finding three[] = {finding("rule", "t1"), finding("rule", "t2"), finding("rule", "t3,t1")};
    for (size_t i = 0; i < 3; i++) {
        three[i].has_value = three[i].has_threshold = true;
        three[i].threshold = 100;
    }
    three[0].window_to_s = T0 + 30; /* newest, and farthest from its threshold */
    three[0].value = 500;
    three[1].window_to_s = T0 + 30;
    three[1].value = 300;
    three[2].value = 900;
    three[2].severity = SW_SEVERITY_CRITICAL;
    apply(f, "detect", three, 3, true);
    assert_string_equal(said(f), "reported rule/t1;reported rule/t2;reported rule/t3;FIRING rule t1,t2,t3;");
    sw_alert alert = only_alert(f);
    assert_true(alert.value == 500);
    assert_true(alert.affected_traces == 3);
    assert_int_equal(alert.severity, SW_SEVERITY_CRITICAL);
    assert_int_equal(alert.window_to_s, T0 + 30);
    assert_int_equal(alert.n_untold, 0);
    assert_int_equal(f->n_counted, 3);
    sw_alert_release(&alert);
    for (size_t i = 0; i < 3; i++) {
        sw_finding_release(&three[i]);
    }
}

static void a_finding_without_traces_brings_its_own_counts(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("rate", NULL);
    one.has_affected = one.has_total = true;
    one.affected_traces = 25;
    one.total_traces = 200;
    apply(f, "detect", &one, 1, true);
    one.affected_traces = 30;
    apply(f, "detect", &one, 1, true);
    sw_alert alert = only_alert(f);
    assert_true(alert.affected_traces == 30);
    assert_true(alert.total_traces == 200);
    assert_int_equal(f->n_counted, 0);
    sw_alert_release(&alert);
    sw_finding_release(&one);
}

static void rising_severity_is_told_at_once_and_falling_is_not(void **state) {
    struct fixture *f = *state;
    static const struct {
        sw_severity severity;
        const char *said;
    } steps[] = {{SW_SEVERITY_WARNING, "FIRING rate;"},
                 {SW_SEVERITY_CRITICAL, "FIRING rate;"},
                 {SW_SEVERITY_INFO, ""},
                 {SW_SEVERITY_CRITICAL, ""}, /* told before */
                 {SW_SEVERITY_WARNING, ""}};
    sw_finding one = finding("rate", NULL);
    for (size_t i = 0; i < SW_ARRAY_LEN(steps); i++) {
        one.severity = steps[i].severity;
        apply(f, "detect", &one, 1, true);
        assert_string_equal(said(f), steps[i].said);
        sw_alert alert = only_alert(f);
        assert_int_equal(alert.severity, steps[i].severity);
        sw_alert_release(&alert);
    }
    sw_finding_release(&one);
}

static void evidence_has_a_cap_and_what_was_told_goes_first(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("rule", "t1,t2,t3");
    one.keep_firing_s = 100;
    apply(f, "detect", &one, 1, true);
    sw_finding two = finding("rule", "t4,t5,t6");
    two.keep_firing_s = 100;
    apply(f, "detect", &two, 1, true);
    sw_alert alert = only_alert(f);
    assert_int_equal(alert.n_evidence, 4);
    static const char *const kept[] = {"t3", "t4", "t5", "t6"};
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(alert.evidence[i].trace_id, kept[i]);
        assert_int_equal(alert.evidence[i].notified, i == 0);
    }
    assert_int_equal(alert.n_untold, 3);
    assert_true(alert.affected_traces == 6);
    sw_alert_release(&alert);
    sw_finding three = finding("rule", "t7,t8");
    three.keep_firing_s = 100;
    apply(f, "detect", &three, 1, true);
    said(f);
    f->now_s = 200;
    apply(f, "detect", NULL, 0, true);
    assert_string_equal(said(f), "RESOLVED rule t5,t6,t7,t8;removed;");
    sw_finding_release(&one);
    sw_finding_release(&two);
    sw_finding_release(&three);
}

/* ---- whose alert it is ---- */

static void only_the_detector_that_reported_last_resolves(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("rule", NULL);
    apply(f, "first", &one, 1, true);
    apply(f, "second", NULL, 0, true);
    assert_string_equal(said(f), "FIRING rule;");
    apply(f, "second", &one, 1, true); /* the same alert, now of the second */
    apply(f, "first", NULL, 0, true);
    assert_string_equal(said(f), "");
    sw_alert alert = only_alert(f);
    assert_string_equal(alert.detector, "second");
    sw_alert_release(&alert);
    apply(f, "second", NULL, 0, true);
    assert_string_equal(said(f), "RESOLVED rule;removed;");
    sw_finding_release(&one);
}

/* Two sources show the same trouble, as one alert: that one of them does not show it any more ends nothing.
 */
static void only_the_source_that_showed_it_last_resolves(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("rule", NULL);
    apply_from(f, "detect", "tempo", &one, 1, true);
    apply_from(f, "detect", "otlp", NULL, 0, true);
    assert_string_equal(said(f), "FIRING rule;");
    free(one.source);
    one.source = xstrdup("otlp");
    apply_from(f, "detect", "otlp", &one, 1, true);
    apply_from(f, "detect", "tempo", NULL, 0, true);
    assert_string_equal(said(f), "");
    sw_alert alert = only_alert(f);
    assert_string_equal(alert.source, "otlp");
    /* So it is after a restart. */
    sw_alerts_free(f->alerts);
    f->alerts = sw_alerts_new(&f->options);
    sw_alerts_restore(f->alerts, &alert);
    sw_alert_release(&alert);
    apply_from(f, "detect", "tempo", NULL, 0, true);
    assert_string_equal(said(f), "");
    apply_from(f, "detect", "otlp", NULL, 0, true);
    assert_string_equal(said(f), "RESOLVED rule;removed;");
    sw_finding_release(&one);
}

/* ---- limits ---- */

static void alerts_over_the_cap_are_refused_and_their_traces_stay_unreported(void **state) {
    struct fixture *f = *state;
    sw_alerts_free(f->alerts);
    f->options.max_alerts = 1;
    f->alerts = sw_alerts_new(&f->options);
    sw_finding three[] = {finding("a", "t1"), finding("b", "t2"), finding("b", "t3")};
    apply(f, "detect", three, 3, true);
    assert_string_equal(said(f), "reported a/t1;FIRING a t1;");
    assert_int_equal(sw_alerts_refused(f->alerts), 1);
    assert_int_equal(f->n_counted, 1);
    apply(f, "detect", NULL, 0, true);
    assert_string_equal(said(f), "RESOLVED a;removed;");
    apply(f, "detect", three, 3, true);
    assert_string_equal(said(f), "reported b/t2;reported b/t3;FIRING b t2,t3;");
    for (size_t i = 0; i < 3; i++) {
        sw_finding_release(&three[i]);
    }
}

static void reported_traces_are_forgotten_after_their_time(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("rule", "t1");
    apply(f, "detect", &one, 1, true);
    apply(f, "detect", NULL, 0, true);
    said(f);
    f->now_s = 86400;
    sw_alerts_expire(f->alerts, (T0 + f->now_s) * SW_NS_PER_S);
    apply(f, "detect", &one, 1, true);
    assert_string_equal(said(f), "");
    f->now_s = 86401;
    sw_alerts_expire(f->alerts, (T0 + f->now_s) * SW_NS_PER_S);
    apply(f, "detect", &one, 1, true);
    assert_string_equal(said(f), "reported rule/t1;FIRING rule t1;");
    sw_finding_release(&one);
}

static void count_one(const sw_alert *alert, void *arg) {
    assert_string_equal(sw_alert_label(alert, "service"), "checkout");
    ++*(size_t *)arg;
}

static void many_alerts_come_and_go(void **state) {
    struct fixture *f = *state;
    sw_alerts_free(f->alerts);
    f->options.max_alerts = 100000;
    f->alerts = sw_alerts_new(&f->options);
    const size_t n = 20000;
    sw_finding *findings = xcalloc(n, sizeof *findings);
    for (size_t i = 0; i < n; i++) {
        findings[i] = finding("rule", NULL);
        free(findings[i].operation);
        findings[i].operation = xasprintf("op %zu", i);
    }
    apply(f, "detect", findings, n, true);
    assert_int_equal(sw_alerts_count(f->alerts), n);
    size_t seen = 0;
    sw_alerts_each(f->alerts, count_one, &seen);
    assert_int_equal(seen, n);
    apply(f, "detect", findings + n / 2, n / 2, true); /* the first half resolves */
    assert_int_equal(sw_alerts_count(f->alerts), n / 2);
    sw_buf_reset(&f->said);
    apply(f, "detect", findings, n, true); /* and begins again; the second is known */
    assert_int_equal(sw_alerts_count(f->alerts), n);
    size_t fired = 0;
    for (const char *at = f->said.data; (at = strstr(at, "FIRING")) != NULL; at++) {
        fired++;
    }
    assert_int_equal(fired, n / 2);
    sw_findings_free(findings, n);
}

#define ALERT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        ALERT_TEST(alerts_live_as_the_table_says),
        ALERT_TEST(the_fingerprint_is_the_digest_of_type_and_sorted_labels),
        ALERT_TEST(a_key_is_the_whole_identity),
        ALERT_TEST(group_by_keeps_the_labels_that_it_names),
        ALERT_TEST(one_alert_and_one_notification_for_each_trace),
        ALERT_TEST(findings_without_traces_are_grouped_by_all_labels_when_only_traces_are_named),
        ALERT_TEST(of_several_findings_the_newest_window_speaks_and_traces_are_joined),
        ALERT_TEST(a_finding_without_traces_brings_its_own_counts),
        ALERT_TEST(rising_severity_is_told_at_once_and_falling_is_not),
        ALERT_TEST(evidence_has_a_cap_and_what_was_told_goes_first),
        ALERT_TEST(only_the_detector_that_reported_last_resolves),
        ALERT_TEST(only_the_source_that_showed_it_last_resolves),
        ALERT_TEST(alerts_over_the_cap_are_refused_and_their_traces_stay_unreported),
        ALERT_TEST(reported_traces_are_forgotten_after_their_time),
        ALERT_TEST(many_alerts_come_and_go),
    };
    return cmocka_run_group_tests_name("alerts", tests, NULL, NULL);
}
