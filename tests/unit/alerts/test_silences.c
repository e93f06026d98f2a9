#include "alerts/alert_fixture.h"

#include "alerts/silences.h"

#define S SW_NS_PER_S

struct book {
    sw_silences *silences;
    sw_buf said;
    sw_silence stored; /* the last that was changed, through its JSON */
    char id[SW_SILENCE_ID_LEN + 1];
    char *why;
};

static void note_silence(const sw_silence *silence, void *arg) {
    struct book *b = arg;
    sw_buf json;
    sw_buf_init(&json, 1 << 20);
    assert_int_equal(sw_silence_to_json(silence, &json), 0);
    sw_silence_release(&b->stored);
    assert_int_equal(sw_silence_from_json(json.data, json.len, &b->stored), 0);
    sw_buf_release(&json);
    sw_buf_append_str(&b->said, "changed;");
}

static void note_gone(const char *id, void *arg) {
    struct book *b = arg;
    assert_int_equal(strlen(id), SW_SILENCE_ID_LEN);
    sw_buf_append_str(&b->said, "removed;");
}

static sw_silences_sink sink_of(struct book *b) {
    return (sw_silences_sink){note_silence, note_gone, b};
}

static int open_book(void **state) {
    struct book *b = xcalloc(1, sizeof *b);
    sw_silences_options options = {.max = 4, .retention_ns = 100 * S};
    b->silences = sw_silences_new(&options);
    sw_buf_init(&b->said, 1 << 16);
    *state = b;
    return 0;
}

static int close_book(void **state) {
    struct book *b = *state;
    sw_silences_free(b->silences);
    sw_silence_release(&b->stored);
    sw_buf_release(&b->said);
    free(b->why);
    free(b);
    return 0;
}

static void assert_said_book(struct book *b, const char *expected) {
    assert_string_equal(b->said.data != NULL ? b->said.data : "", expected);
    sw_buf_reset(&b->said);
    if (b->said.data != NULL) {
        b->said.data[0] = '\0';
    }
}

/* At T0 + now_s; the span in seconds after T0 too. Its id is in b->id. */
static sw_silence_result set(struct book *b, const char *id, const char *text, int64_t from_s, int64_t to_s,
                             bool until_resolved, int64_t now_s) {
    sw_silence wanted = {.starts_at_ns = (T0 + from_s) * S,
                         .ends_at_ns = (T0 + to_s) * S,
                         .created_by = "ann",
                         .comment = "known",
                         .until_resolved = until_resolved};
    snprintf(wanted.id, sizeof wanted.id, "%s", id);
    free(b->why);
    b->why = NULL;
    char *why = NULL;
    assert_int_equal(sw_matchers_parse(&wanted.matchers, text, &why), 0);
    sw_silences_sink sink = sink_of(b);
    sw_silence_result result = sw_silences_set(b->silences, &wanted, (T0 + now_s) * S, &sink, b->id, &b->why);
    sw_matchers_release(&wanted.matchers);
    assert_int_equal(result == SW_SILENCE_OK, b->why == NULL);
    return result;
}

static sw_alert alert_of(const char *type) {
    return (sw_alert){.fingerprint = "0123456789abcdef", .type = (char *)type, .state = SW_ALERT_FIRING};
}

static bool silenced(const struct book *b, const char *type, int64_t now_s) {
    sw_alert alert = alert_of(type);
    const char *ids[1] = {NULL};
    size_t n = sw_silences_matching(b->silences, &alert, (T0 + now_s) * S, ids, 1);
    assert_true((n > 0) == (ids[0] != NULL));
    return n > 0;
}

static void a_silence_is_pending_then_active_then_expired(void **state) {
    struct book *b = *state;
    assert_int_equal(set(b, "", "alertname=rule", 10, 20, false, 0), SW_SILENCE_OK);
    assert_said_book(b, "changed;");
    const sw_silence *silence = sw_silences_find(b->silences, b->id);
    assert_non_null(silence);
    assert_string_equal(silence->created_by, "ann");
    assert_false(silenced(b, "rule", 9));
    assert_true(silenced(b, "rule", 10));
    assert_false(silenced(b, "other", 10));
    assert_true(silenced(b, "rule", 19));
    assert_false(silenced(b, "rule", 20));
    assert_int_equal(sw_silence_state_at(silence, T0 * S), SW_SILENCE_PENDING);
    assert_int_equal(sw_silence_state_at(silence, (T0 + 10) * S), SW_SILENCE_ACTIVE);
    assert_int_equal(sw_silence_state_at(silence, (T0 + 20) * S), SW_SILENCE_EXPIRED);
}

static void what_cannot_be_is_refused_in_alertmanagers_words(void **state) {
    struct book *b = *state;
    static const struct {
        const char *text;
        int64_t from_s, to_s;
        const char *why;
    } cases[] = {
        {"", 0, 10, "at least one matcher required"},
        {"a=~\".*\"", 0, 10, "at least one matcher must not match the empty string"},
        {"a=b", 10, 10, "start time must be before end time"},
        {"a=b", -20, -10, "end time can't be in the past"},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        assert_int_equal(set(b, "", cases[i].text, cases[i].from_s, cases[i].to_s, false, 0),
                         SW_SILENCE_INVALID);
        assert_string_equal(b->why, cases[i].why);
    }
    assert_int_equal(set(b, "00000000-0000-4000-8000-000000000000", "a=b", 0, 10, false, 0),
                     SW_SILENCE_UNKNOWN);
    assert_said_book(b, "");
}

static void an_active_one_keeps_its_id_when_its_end_moves(void **state) {
    struct book *b = *state;
    char first[SW_SILENCE_ID_LEN + 1];
    set(b, "", "alertname=rule", 0, 10, false, 0);
    memcpy(first, b->id, sizeof first);
    assert_int_equal(set(b, first, "alertname=rule", 0, 50, false, 5), SW_SILENCE_OK);
    assert_string_equal(b->id, first);
    assert_true(silenced(b, "rule", 40));
    /* Other matchers make another silence, and the old one ends. */
    assert_int_equal(set(b, first, "alertname=other", 0, 50, false, 6), SW_SILENCE_OK);
    assert_string_not_equal(b->id, first);
    assert_false(silenced(b, "rule", 7));
    assert_true(silenced(b, "other", 7));
    assert_non_null(sw_silences_find(b->silences, first));
}

static void expiring_ends_it_now_and_only_once(void **state) {
    struct book *b = *state;
    sw_silences_sink sink = sink_of(b);
    char *why = NULL;
    set(b, "", "alertname=rule", 10, 50, false, 0);
    assert_int_equal(sw_silences_expire(b->silences, b->id, (T0 + 5) * S, &sink, &why), SW_SILENCE_OK);
    assert_false(silenced(b, "rule", 20));
    assert_int_equal(sw_silences_expire(b->silences, b->id, (T0 + 6) * S, &sink, &why), SW_SILENCE_INVALID);
    assert_non_null(strstr(why, "already expired"));
    free(why);
    assert_int_equal(sw_silences_expire(b->silences, "x", (T0 + 6) * S, &sink, &why), SW_SILENCE_UNKNOWN);
    free(why);
}

static void expired_ones_are_forgotten_after_a_while(void **state) {
    struct book *b = *state;
    struct fixture none = {0};
    make_alerts(&none, NULL);
    sw_silences_sink sink = sink_of(b);
    set(b, "", "alertname=rule", 0, 10, false, 0);
    assert_said_book(b, "changed;");
    sw_silences_sweep(b->silences, none.alerts, (T0 + 110) * S, &sink);
    assert_said_book(b, "");
    sw_silences_sweep(b->silences, none.alerts, (T0 + 111) * S, &sink);
    assert_said_book(b, "removed;");
    assert_null(sw_silences_find(b->silences, b->id));
    sw_alerts_free(none.alerts);
}

static void the_number_is_capped_and_expired_ones_give_way(void **state) {
    struct book *b = *state;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(set(b, "", "alertname=rule", 0, 10 + i, false, 0), SW_SILENCE_OK);
    }
    assert_int_equal(set(b, "", "alertname=more", 0, 10, false, 0), SW_SILENCE_INVALID);
    assert_int_equal(set(b, "", "alertname=more", 11, 20, false, 11), SW_SILENCE_OK);
    assert_int_equal(sw_silences_count(b->silences, SW_SILENCE_ACTIVE, (T0 + 11) * S), 3);
}

static void until_resolved_ends_when_nothing_it_matched_fires(void **state) {
    struct book *b = *state;
    struct fixture alerts = {0};
    sw_buf_init(&alerts.said, 1 << 20);
    sw_buf_init(&alerts.stored, 1 << 20);
    make_alerts(&alerts, NULL);
    sw_silences_sink sink = sink_of(b);
    set(b, "", "alertname=rule", 0, 1000, true, 0);
    assert_said_book(b, "changed;");
    sw_silences_sweep(b->silences, alerts.alerts, (T0 + 1) * S, &sink);
    assert_said_book(b, ""); /* nothing to be resolved yet */
    assert_true(silenced(b, "rule", 1));

    sw_finding f = finding("rule", NULL);
    apply(&alerts, "detect", &f, 1, true);
    sw_silences_sweep(b->silences, alerts.alerts, (T0 + 2) * S, &sink);
    assert_said_book(b, "changed;"); /* has matched */
    assert_true(b->stored.matched);
    sw_silences_sweep(b->silences, alerts.alerts, (T0 + 3) * S, &sink);
    assert_said_book(b, "");

    alerts.now_s = 4;
    apply(&alerts, "detect", NULL, 0, true);
    sw_silences_sweep(b->silences, alerts.alerts, (T0 + 4) * S, &sink);
    assert_said_book(b, "changed;");
    assert_false(silenced(b, "rule", 4));
    sw_finding_release(&f);
    sw_alerts_free(alerts.alerts);
    sw_buf_release(&alerts.said);
    sw_buf_release(&alerts.stored);
}

static void what_was_stored_silences_after_a_restart(void **state) {
    struct book *b = *state;
    set(b, "", "alertname=~\"ru.*\",severity!=info", 0, 100, true, 0);
    sw_silences_options options = {.max = 4, .retention_ns = 100 * S};
    sw_silences_free(b->silences);
    b->silences = sw_silences_new(&options);
    sw_silences_restore(b->silences, &b->stored);
    sw_silences_restore(b->silences, &b->stored);
    sw_alert alert = alert_of("rule");
    alert.severity = SW_SEVERITY_WARNING;
    const char *ids[2] = {NULL};
    assert_int_equal(sw_silences_matching(b->silences, &alert, (T0 + 50) * S, ids, 2), 1);
    assert_string_equal(ids[0], b->id);
    assert_true(sw_silences_find(b->silences, b->id)->until_resolved);
}

static void a_damaged_one_is_refused(void **state) {
    (void)state;
    static const char *const cases[] = {
        "",
        "[]",
        "{}",
        "{\"id\":\"x\"}",
        "{\"id\":\"00000000-0000-4000-8000-000000000000\",\"starts_at_ns\":0,\"ends_at_ns\":1,"
        "\"updated_at_ns\":0,\"matchers\":[]}",
        "{\"id\":\"00000000-0000-4000-8000-000000000000\",\"starts_at_ns\":0,\"ends_at_ns\":1,"
        "\"updated_at_ns\":0,\"matchers\":[{\"name\":\"a\",\"op\":\"=~\",\"value\":\"(\"}]}",
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        sw_silence silence;
        assert_int_equal(sw_silence_from_json(cases[i], strlen(cases[i]), &silence), -1);
    }
}

static void collect(const sw_silence *silence, void *arg) {
    sw_buf *out = arg;
    sw_buf_printf(out, "%lld ", (long long)(silence->ends_at_ns / S - T0));
}

static void they_are_listed_in_alertmanagers_order(void **state) {
    struct book *b = *state;
    set(b, "", "a=b", 0, 30, false, 0);
    set(b, "", "a=b", 0, 5, false, 0);
    set(b, "", "a=b", 0, 20, false, 0);
    set(b, "", "a=b", 15, 40, false, 0);
    sw_buf out;
    sw_buf_init(&out, 1024);
    sw_silences_each(b->silences, (T0 + 10) * S, collect, &out);
    assert_string_equal(out.data, "20 30 40 5 ");
    sw_buf_release(&out);
}

#define BOOK_TEST(test) cmocka_unit_test_setup_teardown(test, open_book, close_book)

int main(void) {
    const struct CMUnitTest tests[] = {
        BOOK_TEST(a_silence_is_pending_then_active_then_expired),
        BOOK_TEST(what_cannot_be_is_refused_in_alertmanagers_words),
        BOOK_TEST(an_active_one_keeps_its_id_when_its_end_moves),
        BOOK_TEST(expiring_ends_it_now_and_only_once),
        BOOK_TEST(expired_ones_are_forgotten_after_a_while),
        BOOK_TEST(the_number_is_capped_and_expired_ones_give_way),
        BOOK_TEST(until_resolved_ends_when_nothing_it_matched_fires),
        BOOK_TEST(what_was_stored_silences_after_a_restart),
        BOOK_TEST(a_damaged_one_is_refused),
        BOOK_TEST(they_are_listed_in_alertmanagers_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
