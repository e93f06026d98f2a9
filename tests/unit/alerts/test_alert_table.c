#include "alert_fixture.h"

#include "alerts/alert_table.h"

#define N 3000 /* more different texts than are shared */

static char *written(const sw_alert *alert) {
    sw_buf json;
    sw_buf_init(&json, 1 << 20);
    assert_int_equal(sw_alert_to_json(alert, &json), 0);
    return sw_buf_steal(&json, NULL);
}

/* Every third has everything, the others little. */
static sw_alert numbered(int i, char text[64], sw_label *labels) {
    snprintf(text, 64, "text %d", i);
    sw_alert alert = {
        .type = text,
        .detector = i % 2 == 0 ? "even" : "odd",
        .source = "test",
        .summary = "",
        .labels = labels,
        .n_labels = (size_t)(i % 3),
        .state = SW_ALERT_FIRING,
        .starts_at_ns = T0 * SW_NS_PER_S + i,
        .window_complete = true,
    };
    labels[0] = (sw_label){"key", text};
    labels[1] = (sw_label){text, "value"};
    snprintf(alert.fingerprint, sizeof alert.fingerprint, "%016x", (unsigned)i + 1);
    if (i % 3 == 0) {
        alert.has_value = alert.has_threshold = true;
        alert.value = -1.5 * i;
        alert.threshold = 1e-300;
        alert.detector_sha256 = text;
        alert.error_message = text;
        alert.severity = SW_SEVERITY_CRITICAL;
        alert.keep_firing_s = 0.25;
    }
    return alert;
}

static void what_was_put_is_seen_again_also_with_more_texts_than_are_shared(void **state) {
    (void)state;
    sw_alert_table table = {0};
    char text[64];
    sw_label labels[2];
    for (int i = 0; i < N; i++) {
        sw_alert alert = numbered(i, text, labels);
        sw_alert_table_put(&table, (uint64_t)i + 1, &alert);
    }
    assert_int_equal(table.n, N);
    assert_int_equal(table.n_shared, SW_ALERT_SHARED_MAX);
    for (int round = 0; round < 2; round++) { /* the second time as what was packed from a view */
        for (int i = 0; i < N; i++) {
            sw_alert alert = numbered(i, text, labels);
            size_t index = sw_alert_table_find(&table, (uint64_t)i + 1);
            assert_true(index != SW_ALERT_NONE);
            sw_alert *view = sw_alert_table_view(&table, index);
            char *expected = written(&alert), *got = written(view);
            assert_string_equal(got, expected);
            free(expected);
            free(got);
            sw_alert_table_put(&table, (uint64_t)i + 1, view);
        }
    }
    sw_alert_table_release(&table);
}

/* Texts that grow and shrink, and alerts that go: what is left is right, and the room stays in proportion. */
static void room_is_used_again(void **state) {
    (void)state;
    enum { MANY = 4000, LONGEST = 2000 };
    sw_alert_table table = {0};
    static char message[LONGEST + 1];
    char text[64];
    sw_label labels[2];
    unsigned random = 1;
    size_t lengths[MANY] = {0}, compactions = 0, taken = 0;
    bool there[MANY] = {false};
    for (int i = 0; i < 20 * MANY; i++) {
        random = random * 1103515245 + 12345;
        int which = (int)(random / 65536 % MANY);
        size_t index = sw_alert_table_find(&table, (uint64_t)which + 1);
        assert_int_equal(index != SW_ALERT_NONE, there[which]);
        if (there[which] && random % 3 == 0) {
            sw_alert_table_remove(&table, index);
            there[which] = false;
        } else {
            sw_alert alert = numbered(which, text, labels);
            lengths[which] = random / 256 % LONGEST;
            memset(message, 'a' + which % 26, lengths[which]);
            message[lengths[which]] = '\0';
            alert.summary = message;
            sw_alert_table_put(&table, (uint64_t)which + 1, &alert);
            there[which] = true;
        }
        compactions += table.blocks.taken < taken;
        taken = table.blocks.taken;
    }
    assert_true(compactions > 3);
    assert_true(table.blocks.taken - table.blocks.live <= table.blocks.live / 2 + ((size_t)1 << 20));
    for (int i = 0; i < MANY; i++) {
        size_t index = sw_alert_table_find(&table, (uint64_t)i + 1);
        assert_int_equal(index != SW_ALERT_NONE, there[i]);
        if (there[i]) {
            const sw_alert *view = sw_alert_table_view(&table, index);
            sw_alert alert = numbered(i, text, labels);
            assert_string_equal(view->type, alert.type);
            assert_int_equal(strlen(view->summary), lengths[i]);
            assert_int_equal(strspn(view->summary, (char[]){(char)('a' + i % 26), '\0'}), lengths[i]);
        }
    }
    sw_alert_table_release(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_seen_again_also_with_more_texts_than_are_shared),
        cmocka_unit_test(room_is_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
