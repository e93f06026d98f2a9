/* Flapping: the figure, the histories, and what an alert that flaps tells, also over restarts. */
#include "alerts/alert_fixture.h"

/* ---- the figure ---- */

static uint32_t states_of(const char *text) { /* oldest first, blanks are for the eye */
    uint32_t states = 0;
    for (; *text != '\0'; text++) {
        states = *text == ' ' ? states : states << 1 | (*text == '1' ? 1 : 0);
    }
    return states;
}

static void newer_changes_weigh_more(void **state) {
    (void)state;
    static const struct {
        const char *states; /* 21 of them */
        double percent;
    } rows[] = {
        {"000000000000000000000", 0},
        {"111111111111111111111", 0},
        {"010101010101010101010", 100},
        {"000000000000000000001", 6}, /* 1.2 of 20 */
        {"100000000000000000000", 4}, /* 0.8 of 20 */
        {"000000000000000000010", 100 * (1.2 + 1.2 - 0.4 / 19) / 20},
        {"011111111110000000000", 100 * (0.8 + 0.8 + 0.4 * 10 / 19) / 20},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(rows); i++) {
        double percent = sw_flap_percent(states_of(rows[i].states));
        if (percent < rows[i].percent - 1e-9 || percent > rows[i].percent + 1e-9) {
            fail_msg("%s: %.6f instead of %.6f", rows[i].states, percent, rows[i].percent);
        }
    }
}

static void what_was_not_recorded_was_as_before(void **state) {
    (void)state;
    sw_flap_history history = {0};
    sw_flap_record(&history, 3, true);
    assert_int_equal(history.states, states_of("1"));
    sw_flap_record(&history, 6, false);
    assert_int_equal(history.states, states_of("1110"));
    sw_flap_record(&history, 6, false); /* the same evaluation again */
    assert_int_equal(history.states, states_of("1110"));
    sw_flap_record(&history, 6, true); /* an unknown evaluation, which has no number of its own */
    assert_int_equal(history.states, states_of("11101"));
    sw_flap_record(&history, 4000000000, true);
    assert_int_equal(history.states, states_of("111111111111111111111"));
    sw_flap_record(&history, 2, false); /* the count was lost with the database */
    sw_flap_record(&history, 3, false);
    assert_int_equal(history.states, states_of("111111111111111111100"));
}

static void note_dropped(uint64_t fingerprint, void *arg) {
    *(uint64_t *)arg = fingerprint;
}

static void histories_have_a_cap_and_an_end(void **state) {
    (void)state;
    sw_flaps *flaps = sw_flaps_new();
    sw_flap_history history = {states_of("010"), 5}, back;
    uint64_t dropped = UINT64_MAX;
    bool was_there = false;
    for (uint64_t i = 0; i < SW_FLAP_HISTORIES_MAX; i++) {
        sw_flaps_put(flaps, i, i == 1 ? 9 : 2, &history, note_dropped, &dropped);
    }
    assert_int_equal(dropped, UINT64_MAX);
    sw_flaps_put(flaps, SW_FLAP_HISTORIES_MAX, 2, &history, note_dropped, &dropped);
    assert_int_equal(dropped, 0); /* the oldest */
    assert_int_equal(sw_flaps_count(flaps), SW_FLAP_HISTORIES_MAX);
    assert_true(sw_flaps_take(flaps, 5, 2, &back, &was_there));
    assert_int_equal(back.states, history.states);
    assert_false(sw_flaps_take(flaps, 5, 2, &back, &was_there)); /* taken */
    assert_false(was_there);
    assert_false(sw_flaps_take(flaps, 6, 3, &back, &was_there)); /* of another reporter */
    assert_true(was_there);
    sw_flaps_expire(flaps, 2, 5 + 19, note_dropped, &dropped); /* the firing state is the 21st */
    assert_int_equal(sw_flaps_count(flaps), SW_FLAP_HISTORIES_MAX - 2);
    sw_flaps_expire(flaps, 2, 5 + 20, note_dropped, &dropped);
    assert_int_equal(sw_flaps_count(flaps), 1); /* the other reporter's */
    sw_flaps_free(flaps);
}

/* ---- the life of an alert, beside one that is written down simply ---- */

/* What a store would hold. */
struct disk {
    char *alert; /* NULL: none */
    char fingerprint[SW_FINGERPRINT_LEN + 1];
    bool has_history;
    sw_flap_history history;
    char reporter[64], counted_reporter[64]; /* whose history, and whose number */
    uint32_t evaluated;
};

struct life {
    struct fixture *f;
    struct disk disk;
    bool muted;
};

static void notify(const sw_alert *alert, sw_notice notice, void *arg) {
    static const char *const names[] = {"FIRING", "REPEAT", "RESOLVED"};
    struct life *life = arg;
    sw_buf_printf(&life->f->said, "%s%s;", names[notice], alert->flapping ? " flapping" : "");
}

static void changed(const sw_alert *alert, void *arg) {
    struct life *life = arg;
    sw_buf json;
    sw_buf_init(&json, 1 << 20);
    assert_int_equal(sw_alert_to_json(alert, &json), 0);
    free(life->disk.alert);
    life->disk.alert = sw_buf_steal(&json, NULL);
    memcpy(life->disk.fingerprint, alert->fingerprint, sizeof life->disk.fingerprint);
}

static void removed(const char *fingerprint, void *arg) {
    struct life *life = arg;
    assert_string_equal(fingerprint, life->disk.fingerprint);
    free(life->disk.alert);
    life->disk.alert = NULL;
}

static void reported(const char *type, const char *trace_id, int64_t at_ns, void *arg) {
    (void)type, (void)trace_id, (void)at_ns, (void)arg;
}

static bool withheld(const sw_alert *alert, sw_notice notice, bool again, void *arg) {
    (void)alert, (void)notice, (void)again;
    return ((struct life *)arg)->muted;
}

static void history(const char *fingerprint, const char *reporter, const sw_flap_history *flaps, void *arg) {
    struct life *life = arg;
    assert_string_equal(fingerprint, life->disk.fingerprint);
    life->disk.has_history = flaps != NULL;
    if (flaps != NULL) {
        snprintf(life->disk.reporter, sizeof life->disk.reporter, "%s", reporter);
        life->disk.history = *flaps;
    }
}

static void evaluated(const char *reporter, uint32_t number, void *arg) {
    struct life *life = arg;
    snprintf(life->disk.counted_reporter, sizeof life->disk.counted_reporter, "%s", reporter);
    life->disk.evaluated = number;
}

static sw_alerts_sink sink_of(struct life *life) {
    return (sw_alerts_sink){.notify = notify,
                            .changed = changed,
                            .removed = removed,
                            .reported = reported,
                            .arg = life,
                            .withheld = withheld,
                            .history = history,
                            .evaluated = evaluated};
}

static void begin(struct life *life) {
    sw_alerts_free(life->f->alerts);
    life->f->options.flap_high_percent = 30;
    life->f->options.flap_low_percent = 20;
    life->f->options.repeat_interval_ns = INT64_MAX;
    life->f->alerts = sw_alerts_new(&life->f->options);
}

static void restart(struct life *life) {
    begin(life);
    sw_alert alert = {0};
    if (life->disk.alert != NULL) {
        assert_int_equal(sw_alert_from_json(life->disk.alert, strlen(life->disk.alert), &alert), 0);
        sw_alerts_restore(life->f->alerts, &alert);
        sw_alert_release(&alert);
    }
    if (life->disk.has_history) {
        sw_alerts_restore_history(life->f->alerts, life->disk.fingerprint, life->disk.reporter,
                                  &life->disk.history);
    }
    if (life->disk.evaluated > 0) {
        sw_alerts_restore_evaluated(life->f->alerts, life->disk.counted_reporter, life->disk.evaluated);
    }
}

/* S: seen, s: seen and the window was not whole, A: absent, U: nobody knows, R: kill -9, W: a sweep,
 * M: muted from here on, O: and open again. */
static const char *step(struct life *life, char what) {
    sw_alerts_sink sink = sink_of(life);
    int64_t now_ns = (T0 + (life->f->now_s += 30)) * SW_NS_PER_S;
    if (what == 'R') {
        restart(life);
    } else if (what == 'W') {
        sw_alerts_tell_withheld(life->f->alerts, now_ns, &sink);
    } else if (what == 'M' || what == 'O') {
        life->muted = what == 'M';
    } else {
        bool seen = what == 'S' || what == 's';
        sw_finding one = finding("rule", NULL);
        sw_alerts_apply(life->f->alerts, "detect", "tempo", &one, seen ? 1 : 0, what == 'S' || what == 'A',
                        now_ns, &sink, NULL, NULL);
        sw_finding_release(&one);
    }
    return said(life->f);
}

/* Steps and what they say: "S=FIRING; A=RESOLVED; S=". */
static void live(struct life *life, const char *text) {
    int at = 0;
    for (const char *c = text; *c != '\0'; at++) {
        c += strspn(c, " ");
        char what = *c++, want[64] = "";
        if (*c == '=') {
            size_t len = strcspn(++c, ";") + 1;
            snprintf(want, sizeof want, "%.*s", (int)len, c);
            c += len;
        }
        const char *got = step(life, what);
        if (strcmp(got, want) != 0) {
            fail_msg("%s: step %d (%c): \"%s\" instead of \"%s\"", text, at, what, got, want);
        }
    }
}

static int start_life(void **state) {
    void *f = NULL;
    set_up(&f);
    struct life *life = xcalloc(1, sizeof *life);
    life->f = f;
    begin(life);
    *state = life;
    return 0;
}

static int end_life(void **state) {
    struct life *life = *state;
    void *f = life->f;
    tear_down(&f);
    free(life->disk.alert);
    free(life);
    return 0;
}

#define BEGINNING "S=FIRING; A=RESOLVED; S=FIRING; A=RESOLVED; S=FIRING; A=RESOLVED; S=FIRING flapping;"

static void flapping_is_said_once_and_the_end_is_told_when_it_is_calm(void **state) {
    live(*state, BEGINNING "ASASASAS UUUUUUUUU AAAAAAAAAAAAAAAA");
    assert_int_equal(sw_alerts_count(((struct life *)*state)->f->alerts), 1);
    live(*state, "A=RESOLVED; AA");
    assert_int_equal(sw_alerts_count(((struct life *)*state)->f->alerts), 0);
    assert_true(((struct life *)*state)->disk.has_history);
    live(*state, "AAAAAAAAAAAAAAAAAAAAAAAA S=FIRING; A=RESOLVED; S=FIRING;"); /* all is forgotten */
}

static void what_still_fires_is_told_when_it_is_calm(void **state) {
    live(*state, BEGINNING "SSSSSSSSSSSSSSS S=FIRING; SSSS A=RESOLVED;");
}

static void kill_9_changes_nothing(void **state) {
    live(*state, "S=FIRING; R A=RESOLVED; R S=FIRING; R A=RESOLVED; R S=FIRING; R A=RESOLVED; R "
                 "S=FIRING flapping; R W A R W S R S W R A R UURU AAAAAAAARAAAR W R AAA A=RESOLVED; R W A R "
                 "S=FIRING;");
}

static void calm_is_counted_while_it_is_away_too(void **state) {
    live(*state, "S=FIRING; A=RESOLVED; S=FIRING; A=RESOLVED; S=FIRING; A=RESOLVED;"
                 "R AAAAAAAAAAAAAAAAA R S=FIRING; A=RESOLVED;");
}

static void unknown_is_no_state(void **state) {
    live(*state, "S=FIRING; UUUUUUUUUUUUUUUUUUUUUUUU A=RESOLVED; UUUUUUUUUUUUUUUUU S=FIRING; A=RESOLVED; U "
                 "S=FIRING; A=RESOLVED; s=FIRING flapping; UUU s A");
}

static void what_a_silence_keeps_back_is_said_afterwards(void **state) {
    live(
        *state,
        "S=FIRING; A=RESOLVED; S=FIRING; A=RESOLVED; S=FIRING; A=RESOLVED; M S W O W=FIRING flapping; W A W");
    live(*state, "M AAAAAAAAAAAAA AA R W A O W=RESOLVED; W A");
}

static void what_began_and_ended_in_a_silence_is_never_told(void **state) {
    live(*state, "M SASASASASASAS A O W A AA S=FIRING flapping; A W");
}

static void the_count_goes_on_for_what_another_detector_takes_over(void **state) {
    struct life *life = *state;
    live(life, "S=FIRING; A=RESOLVED; S=FIRING; A=RESOLVED; S=FIRING;");
    sw_alerts_sink sink = sink_of(life);
    sw_finding one = finding("rule", NULL);
    for (int i = 0; i < 5; i++) { /* its evaluations are counted on their own */
        sw_alerts_apply(life->f->alerts, "detect two", "tempo", NULL, 0, true, T0 * SW_NS_PER_S, &sink, NULL,
                        NULL);
    }
    sw_alerts_apply(life->f->alerts, "detect two", "tempo", &one, 1, true, T0 * SW_NS_PER_S, &sink, NULL,
                    NULL);
    assert_string_equal(said(life->f), "");
    sw_alerts_apply(life->f->alerts, "detect two", "tempo", NULL, 0, true, T0 * SW_NS_PER_S, &sink, NULL,
                    NULL);
    assert_string_equal(said(life->f), "RESOLVED;");
    assert_int_equal(life->disk.history.states, states_of("1010110"));
    sw_finding_release(&one);
}

static void one_trace_does_not_flap_and_it_can_be_turned_off(void **state) {
    struct life *life = *state;
    life->f->options.flap_high_percent = 0;
    sw_alerts_free(life->f->alerts);
    life->f->alerts = sw_alerts_new(&life->f->options);
    live(life,
         "S=FIRING; A=RESOLVED; S=FIRING; A=RESOLVED; S=FIRING; A=RESOLVED; S=FIRING; A=RESOLVED; S=FIRING;");
    assert_false(life->disk.has_history);
}

static void turned_off_while_it_flaps_it_tells_what_is_so(void **state) {
    struct life *life = *state;
    live(life, BEGINNING "A");
    sw_alert alert = {0};
    assert_int_equal(sw_alert_from_json(life->disk.alert, strlen(life->disk.alert), &alert), 0);
    sw_alerts_free(life->f->alerts);
    life->f->options.flap_high_percent = 0;
    life->f->alerts = sw_alerts_new(&life->f->options);
    sw_alerts_restore(life->f->alerts, &alert);
    sw_alert_release(&alert);
    live(life, "W A=RESOLVED; A");
}

/* ---- beside a model ---- */

struct model {
    bool states[SW_FLAP_STATES];
    bool known, firing, flapping;
};

static double model_percent(const struct model *model) {
    double sum = 0;
    for (size_t i = 1; i < SW_FLAP_STATES; i++) {
        sum += model->states[i] != model->states[i - 1] ? 0.8 + 0.4 * (double)(i - 1) / 19 : 0;
    }
    return sum * 5;
}

static const char *model_step(struct model *model, bool seen) {
    memmove(model->states, model->states + 1, sizeof model->states - sizeof model->states[0]);
    model->states[SW_FLAP_STATES - 1] = seen;
    bool was_firing = model->firing, was_flapping = model->flapping;
    model->firing = seen;
    if (model->flapping) {
        model->flapping = model_percent(model) >= 20;
    } else if (seen && !was_firing) {
        model->flapping = model_percent(model) >= 30;
    }
    if (was_flapping) {
        return model->flapping ? "" : seen ? "FIRING;" : "RESOLVED;";
    }
    if (seen == was_firing) {
        return "";
    }
    return !seen ? "RESOLVED;" : model->flapping ? "FIRING flapping;" : "FIRING;";
}

static void it_does_what_a_simple_model_does(void **state) {
    struct life *life = *state;
    struct model model = {0};
    uint64_t random = 88172645463325252U; /* xorshift64 */
    bool seen = false;
    size_t flapped = 0;
    for (int i = 0; i < 20000; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        unsigned changes = i / 500 % 2 == 0 ? 3 : 12; /* restless and calm times take turns */
        seen = random % changes == 0 ? !seen : seen;
        if (random >> 32 & 1) {
            assert_string_equal(step(life, "RWU"[(random >> 40) % 3]), "");
        }
        const char *want = model_step(&model, seen);
        const char *got = step(life, seen ? 'S' : 'A');
        flapped += strstr(want, "flapping") != NULL ? 1 : 0;
        if (strcmp(got, want) != 0) {
            fail_msg("step %d: \"%s\" instead of \"%s\"", i, got, want);
        }
    }
    assert_true(flapped > 50);
}

#define LIFE_TEST(name) cmocka_unit_test_setup_teardown(name, start_life, end_life)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newer_changes_weigh_more),
        cmocka_unit_test(what_was_not_recorded_was_as_before),
        cmocka_unit_test(histories_have_a_cap_and_an_end),
        LIFE_TEST(flapping_is_said_once_and_the_end_is_told_when_it_is_calm),
        LIFE_TEST(what_still_fires_is_told_when_it_is_calm),
        LIFE_TEST(kill_9_changes_nothing),
        LIFE_TEST(calm_is_counted_while_it_is_away_too),
        LIFE_TEST(unknown_is_no_state),
        LIFE_TEST(what_a_silence_keeps_back_is_said_afterwards),
        LIFE_TEST(what_began_and_ended_in_a_silence_is_never_told),
        LIFE_TEST(the_count_goes_on_for_what_another_detector_takes_over),
        LIFE_TEST(one_trace_does_not_flap_and_it_can_be_turned_off),
        LIFE_TEST(turned_off_while_it_flaps_it_tells_what_is_so),
        LIFE_TEST(it_does_what_a_simple_model_does),
    };
    return cmocka_run_group_tests_name("flapping", tests, NULL, NULL);
}
