/* Whatever happens, in whatever order: what each alert said last is told last, nothing is told twice with
 * another key, and a key is one body. Random alerts, groups, answers, restarts and limits. */
#include "delivery/notices.h"

#define ALERTS 12
#define STEPS 250

struct model {
    struct fixture *f;
    uint32_t seed;
    int said[ALERTS]; /* number of the last notice */
    int told[ALERTS]; /* of the last one that was taken */
    int number;
    char keys[STEPS * 4][40]; /* of the notification that told it, by the number of the notice */
    size_t seen;
};

static uint32_t random_below(struct model *m, uint32_t n) {
    m->seed = m->seed * 1664525u + 1013904223u;
    return (m->seed >> 8) % n;
}

static void say(struct model *m, sw_store_batch *batch) {
    static const char *const groups[] = {NULL, "G", "H", "I"};
    int alert = (int)random_below(m, ALERTS), number = m->said[alert] = ++m->number;
    char fingerprint[16], body[128];
    bool resolved = random_below(m, 2) == 0;
    snprintf(fingerprint, sizeof fingerprint, "%d", alert);
    snprintf(body, sizeof body, "{\"fingerprint\": \"%d\", \"status\": \"%s\", \"number\": %d}", alert,
             resolved ? "resolved" : "firing", number);
    sw_notification notification = {
        .fingerprint = fingerprint,
        .resolved = resolved,
        .severity = (int)random_below(m, 3),
        .group_key = groups[random_below(m, SW_ARRAY_LEN(groups))],
        .group_wait_ms = 1000 * random_below(m, 5),
        .group_interval_ms = 1000 * random_below(m, 10),
        .content_type = "application/json",
        .body = body,
        .len = strlen(body),
    };
    sw_outbox_add(m->f->outbox, batch, &notification);
}

static void take(struct model *m, const json_t *alert, const char *key) {
    int number = (int)json_integer_value(json_object_get(alert, "number"));
    int which = atoi(json_string_value(json_object_get(alert, "fingerprint")));
    assert_true(number > 0 && number <= m->number);
    assert_true(number > m->told[which]);
    assert_int_equal(m->keys[number][0], '\0');
    snprintf(m->keys[number], sizeof m->keys[number], "%s", key);
    m->told[which] = number;
}

/* What the receiver has answered with 2xx since the last time. */
static void look(struct model *m) {
    struct receiver *receiver = &m->f->receiver;
    for (; m->seen < receiver->n; m->seen++) {
        const char *answer = receiver->answers[m->seen];
        char key[40];
        snprintf(key, sizeof key, "%.39s", header(receiver, m->seen, "Idempotency-Key"));
        for (size_t i = 0; i < m->seen; i++) {
            bool same = strstr(receiver->got[i].head, key) != NULL;
            assert_true(!same || strcmp(receiver->got[i].body, receiver->got[m->seen].body) == 0);
        }
        if (answer != NULL && strcmp(answer, OK) != 0) {
            continue;
        }
        json_t *root = json_loads(receiver->got[m->seen].body, 0, NULL);
        const json_t *alerts = json_object_get(root, "alerts");
        if (alerts == NULL) {
            take(m, root, key);
        }
        for (size_t i = 0; i < json_array_size(alerts); i++) {
            take(m, json_array_get(alerts, i), key);
        }
        json_decref(root);
    }
}

static void forget(struct model *m) {
    if (m->f->receiver.n > RECEIVED_MAX / 2) {
        forget_received(&m->f->receiver);
        m->seen = 0;
    }
    for (size_t i = m->f->receiver.n; i < RECEIVED_MAX; i++) {
        static const char *const bad[] = {STATUS("500 Internal Server Error"), RESET,
                                          STATUS("429 Too Many Requests")};
        m->f->receiver.answers[i] = random_below(m, 4) == 0 ? bad[random_below(m, 3)] : OK;
    }
}

/* As run_until_idle(), but records are written at once. */
static void settle(struct fixture *f) {
    while (f->outbox->in_flight > 0 || f->outbox->loading || f->outbox->records != NULL ||
           f->outbox->writing || sw_store_commits_waiting(f->store) > 0) {
        sw_records_flush(f->outbox);
        uv_run(&f->loop, UV_RUN_ONCE);
    }
}

static void pass(struct fixture *f, int64_t ms) {
    f->wall_ns += ms * SW_NS_PER_MS;
    f->mono_ns += ms * SW_NS_PER_MS;
    sw_outbox_committed(f->outbox);
    settle(f);
}

static void live(struct fixture *f, uint32_t seed) {
    struct model *m = xcalloc(1, sizeof *m);
    m->f = f;
    m->seed = seed;
    f->options.max_age_ms = INT64_C(1) << 40;
    f->options.max_per_hour = random_below(m, 2) == 0 ? 40 : 0;
    f->options.max_rows = random_below(m, 2) == 0 ? 8 : 100;
    restart(f);
    for (int step = 0; step < STEPS; step++) {
        forget(m);
        uint32_t what = random_below(m, 20);
        if (what == 0) {
            restart(f);
            settle(f);
        } else if (what < 12) {
            sw_store_batch *batch = sw_store_batch_new(f->store);
            for (uint32_t i = 0; i <= random_below(m, 4); i++) {
                say(m, batch);
            }
            commit(f, batch);
            settle(f);
        } else {
            pass(f, random_below(m, what == 12 ? 3600000 : 8000));
        }
        look(m);
    }
    for (int i = 0; i < 200 && sw_outbox_depth(f->outbox) > 0; i++) {
        forget(m);
        pass(f, 600000);
        look(m);
    }
    assert_settled(f);
    for (int i = 0; i < ALERTS; i++) {
        assert_int_equal(m->told[i], m->said[i]);
    }
    forget_received(&f->receiver);
    free(m);
}

static void what_an_alert_said_last_is_told_last(void **state) {
    for (uint32_t seed = 1; seed <= 4; seed++) {
        live(*state, seed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_an_alert_said_last_is_told_last, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("order", tests, NULL, NULL);
}
