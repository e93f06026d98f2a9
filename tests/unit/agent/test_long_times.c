/*
 * What takes hours, with all parts of the agent, a real database, a real receiver, and a clock that is moved:
 * the wall clock steps by an hour, and a receiver is away for a day. Nothing may be lost, and nothing told
 * twice.
 */
#include "delivery/receiver.h"

#include "agent/agent_internal.h"
#include "store/temp_folder.h"
#include "telemetry/log.h"

#define HOUR_S 3600
#define TICK_S 30

struct fixture {
    sw_agent agent;
    sw_config config;
    sw_agent_paths paths;
    sw_clock clock;
    int64_t wall_ns, mono_ns;
    char *folder;
    uv_loop_t receiver_loop; /* survives the agent's */
    struct receiver receiver;
    sw_buf told; /* what was taken, since the last look: "firing a;resolved a;" */
    size_t looked_at;
    sw_buf last_body;
};

static int64_t fake_wall(void *arg) {
    return ((struct fixture *)arg)->wall_ns;
}

static int64_t fake_mono(void *arg) {
    return ((struct fixture *)arg)->mono_ns;
}

static void ignore_log(const char *line, void *arg) {
    (void)line;
    (void)arg;
}

static void load_config(struct fixture *f) {
    char *url = xasprintf("TEMPO_ALERT_WEBHOOK_URL=http://127.0.0.1:%d/hook", f->receiver.port);
    char *environment[] = {url, "TEMPO_ENABLED=false",
                           "SPANWATCH_OTLP_HTTP_ADDRESS=", "SPANWATCH_OTLP_GRPC_ADDRESS=", NULL};
    sw_config_sources sources = {.environment = environment};
    sw_buf mistakes;
    sw_buf_init(&mistakes, 1 << 16);
    int result = sw_config_load(&f->config, &sources, &mistakes);
    if (result != 0) {
        print_error("%s\n", mistakes.data);
    }
    assert_int_equal(result, 0);
    sw_buf_release(&mistakes);
    free(url);
}

static void open_agent(struct fixture *f) {
    assert_int_equal(sw_agent_open(&f->agent, &f->config, &f->paths, &f->clock, true), 0);
}

static int set_up(void **state) {
    struct fixture *f = xcalloc(1, sizeof *f);
    unsetenv("http_proxy");
    unsetenv("HTTP_PROXY");
    unsetenv("all_proxy");
    unsetenv("ALL_PROXY");
    sw_log_set_sink(ignore_log, NULL);
    f->wall_ns = INT64_C(1700000000) * SW_NS_PER_S;
    f->mono_ns = 1000 * SW_NS_PER_S;
    f->clock = (sw_clock){fake_wall, fake_mono, f};
    f->folder = make_temp_folder();
    f->paths = (sw_agent_paths){.scripts_dir = f->folder, .storage = f->folder, .worker = "/nowhere"};
    uv_loop_init(&f->receiver_loop);
    start_receiver(&f->receiver, &f->receiver_loop, 0);
    sw_buf_init(&f->told, 1 << 16);
    load_config(f);
    open_agent(f);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    sw_agent_close(&f->agent);
    sw_config_release(&f->config);
    stop_receiver(&f->receiver);
    uv_run(&f->receiver_loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->receiver_loop), 0);
    forget_received(&f->receiver);
    sw_buf_release(&f->told);
    sw_log_set_sink(NULL, NULL);
    remove_folder(f->folder);
    free(f);
    return 0;
}

/* Both loops, until nothing can happen before the clock is moved. */
static void run_until_idle(struct fixture *f) {
    sw_agent *agent = &f->agent;
    for (int quiet = 0; quiet < 20;) {
        sw_commit_flush(agent); /* nothing else keeps the loop alive */
        sw_receivers_committed(agent);
        uv_run(&agent->loop, UV_RUN_NOWAIT);
        uv_run(&f->receiver_loop, UV_RUN_NOWAIT);
        bool idle = sw_http_client_active(agent->http) == 0 && sw_commit_idle(agent) &&
                    sw_store_commits_waiting(agent->store) == 0;
        quiet = idle ? quiet + 1 : 0;
    }
}

static void restart(struct fixture *f) {
    sw_agent_close(&f->agent);
    open_agent(f);
    run_until_idle(f);
}

/* What the receiver was sent since the last look, attempts included. */
static const char *told(struct fixture *f) {
    sw_buf_reset(&f->told);
    for (; f->looked_at < f->receiver.n; f->looked_at++) {
        const char *body = f->receiver.got[f->looked_at].body;
        const char *status = strstr(body, "\"status\":\""), *type = strstr(body, "\"anomaly_type\":\"");
        assert_non_null(status);
        assert_non_null(type);
        status += strlen("\"status\":\"");
        type += strlen("\"anomaly_type\":\"");
        sw_buf_printf(&f->told, "%.*s %.*s;", (int)strcspn(status, "\""), status, (int)strcspn(type, "\""),
                      type);
    }
    return f->told.data != NULL ? f->told.data : "";
}

/* One evaluation that finds the alerts of these types ("a,b"). Those that begin with p are pending for two
 * minutes first. */
static void tick(struct fixture *f, const char *types) {
    sw_finding findings[8] = {0};
    size_t n = 0;
    char *copy = xstrdup(types), *rest = copy;
    for (char *type = strsep(&rest, ","); type != NULL; type = strsep(&rest, ",")) {
        if (*type != '\0') {
            findings[n++] = (sw_finding){.type = xstrdup(type),
                                         .detector = xstrdup("detect"),
                                         .source = xstrdup("test"),
                                         .summary = xstrdup(""),
                                         .severity = SW_SEVERITY_WARNING,
                                         .for_s = *type == 'p' ? 120 : 0,
                                         .window_complete = true};
        }
    }
    sw_alerting_apply(&f->agent, "detect", "test", findings, n, true);
    sw_silencing_sweep(&f->agent);
    run_until_idle(f);
    for (size_t i = 0; i < n; i++) {
        sw_finding_release(&findings[i]);
    }
    free(copy);
}

static void pass(struct fixture *f, int64_t seconds) {
    f->wall_ns += seconds * SW_NS_PER_S;
    f->mono_ns += seconds * SW_NS_PER_S;
    run_until_idle(f);
}

static void ticks(struct fixture *f, const char *types, int64_t seconds) {
    for (int64_t s = 0; s < seconds; s += TICK_S) {
        pass(f, TICK_S);
        tick(f, types);
    }
}

static void silence(struct fixture *f, const char *type, int64_t seconds) {
    sw_silence wanted = {.starts_at_ns = f->wall_ns, .ends_at_ns = f->wall_ns + seconds * SW_NS_PER_S};
    wanted.created_by = xstrdup("test");
    wanted.comment = xstrdup("");
    char *why = NULL, id[SW_SILENCE_ID_LEN + 1];
    char *matcher = xasprintf("alertname=\"%s\"", type);
    assert_int_equal(sw_matchers_parse(&wanted.matchers, matcher, &why), 0);
    sw_silences_sink sink = sw_silencing_sink(&f->agent);
    assert_int_equal(sw_silences_set(f->agent.silences, &wanted, f->wall_ns, &sink, id, &why), SW_SILENCE_OK);
    sw_silence_release(&wanted);
    free(matcher);
}

static size_t count_of(const char *text, const char *word) {
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word)) {
        n++;
    }
    return n;
}

/* ---- the wall clock ---- */

/* One alert that fires, one that is pending, one that is silenced and one that waits for its second attempt;
 * then the clock steps, and perhaps the agent starts again. */
static void step_the_clock(struct fixture *f, int64_t step_s, bool with_restart) {
    silence(f, "silenced", HOUR_S / 2);
    f->receiver.answers[0] = STATUS("503 Service Unavailable");
    tick(f, "a_retried");
    assert_string_equal(told(f), "firing a_retried;");
    tick(f, "a_retried,fires,pending,silenced");
    assert_string_equal(told(f), "firing fires;");

    f->wall_ns += step_s * SW_NS_PER_S;
    if (with_restart) {
        restart(f);
    }
    char everything[4096] = "";
    const char *const all = "a_retried,fires,pending,silenced";
    for (int64_t s = 0; s < 2 * HOUR_S; s += TICK_S) {
        pass(f, TICK_S);
        tick(f, all);
        strcat(everything, told(f));
    }
    assert_int_equal(count_of(everything, "firing a_retried;"), 1);
    assert_int_equal(count_of(everything, "firing pending;"), 1);
    assert_int_equal(count_of(everything, "firing silenced;"), 1);
    assert_int_equal(count_of(everything, ";"), 3);
    tick(f, "");
    const char *ended = told(f);
    assert_int_equal(count_of(ended, "resolved "), 4);
    assert_int_equal(count_of(ended, ";"), 4);
    ticks(f, "", 600);
    assert_string_equal(told(f), "");
    assert_int_equal(sw_receivers_depth(&f->agent), 0);
    assert_int_equal(sw_receivers_dead(&f->agent), 0);
    assert_int_equal(sw_alerts_count(f->agent.alerts), 0);
}

static void an_hour_forward(void **state) {
    step_the_clock(*state, HOUR_S, false);
}

static void an_hour_back(void **state) {
    step_the_clock(*state, -HOUR_S, false);
}

static void an_hour_forward_over_a_restart(void **state) {
    step_the_clock(*state, HOUR_S, true);
}

static void an_hour_back_over_a_restart(void **state) {
    step_the_clock(*state, -HOUR_S, true);
}

static void to_and_fro_in_every_tick(void **state) {
    struct fixture *f = *state;
    char everything[4096] = "";
    for (int i = 0; i < 40; i++) {
        f->wall_ns += (i % 2 == 0 ? HOUR_S : -HOUR_S) * SW_NS_PER_S;
        pass(f, TICK_S);
        tick(f, "fires");
        strcat(everything, told(f));
    }
    assert_string_equal(everything, "firing fires;");
    tick(f, "");
    assert_string_equal(told(f), "resolved fires;");
}

/* ---- the receiver ---- */

/* Each that was taken was taken once. */
static void assert_each_key_once(const struct fixture *f, size_t from) {
    for (size_t i = from; i < f->receiver.n; i++) {
        char *key = xstrdup(header(&f->receiver, i, "Idempotency-Key"));
        for (size_t j = from; j < i; j++) {
            assert_string_not_equal(header(&f->receiver, j, "Idempotency-Key"), key);
        }
        free(key);
    }
}

/* An alert that began before, one that begins and ends meanwhile, one that begins meanwhile. */
static void a_receiver_that_is_away_for_a_day_gets_everything_once_and_in_order(void **state) {
    struct fixture *f = *state;
    f->receiver.otherwise = RESET;
    tick(f, "before");
    for (int hour = 0; hour < 24; hour++) {
        const char *types = hour < 8 ? "before" : hour < 16 ? "before,passing" : "before,later";
        for (int part = 0; part < 4; part++) {
            pass(f, HOUR_S / 4);
            tick(f, types);
        }
        if (hour == 12) {
            restart(f);
        }
    }
    size_t away = f->receiver.n;
    assert_true(away >= 24 && away < 24 * 3600 / 15); /* it goes on trying, and not without a pause */
    assert_true(sw_receiver_oldest_age_ms(sw_receivers_at(&f->agent, 0)) >= INT64_C(86400) * 1000);
    told(f);
    f->receiver.otherwise = OK;
    char everything[4096] = "";
    for (int i = 0; i < 60; i++) {
        pass(f, TICK_S);
        tick(f, "before,later");
        strcat(everything, told(f));
    }
    assert_int_equal(sw_receivers_depth(&f->agent), 0);
    assert_int_equal(sw_receivers_dead(&f->agent), 0);
    const char *begins = strstr(everything, "firing passing;"),
               *ends = strstr(everything, "resolved passing;");
    assert_true(begins != NULL && ends != NULL && begins < ends);
    /* Each went on for hours, and would have been told again every four: not while the first is still to
     * come. */
    assert_int_equal(count_of(everything, "firing before;"), 1);
    assert_int_equal(count_of(everything, "firing passing;"), 1);
    assert_int_equal(count_of(everything, "firing later;"), 2); /* its time comes again afterwards */
    assert_each_key_once(f, away);
    assert_int_equal(count_of(everything, "resolved before;"), 0);
    tick(f, "");
    const char *end = told(f);
    assert_int_equal(count_of(end, "resolved before;"), 1);
    assert_int_equal(count_of(end, "resolved later;"), 1);
}

/* As SPANWATCH_WEBHOOK_MAX_AGE_SECS says: three days. What dies can be sent again; what is younger is
 * delivered. */
static void after_max_age_it_is_a_dead_letter_and_the_rest_is_delivered(void **state) {
    struct fixture *f = *state;
    f->receiver.otherwise = RESET;
    tick(f, "old");
    for (int hour = 0; hour < 74; hour++) {
        pass(f, HOUR_S);
        tick(f, hour < 60 ? "" : "young");
    }
    assert_int_equal(sw_receivers_dead(&f->agent), 2); /* it began, and it ended */
    told(f);
    f->receiver.otherwise = OK;
    pass(f, HOUR_S);
    tick(f, "young");
    assert_int_equal(sw_receivers_depth(&f->agent), 0);
    const char *text = told(f);
    assert_null(strstr(text, "old;"));
    assert_true(count_of(text, "firing young;") >= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_hour_forward, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_hour_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_hour_forward_over_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_hour_back_over_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(to_and_fro_in_every_tick, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_receiver_that_is_away_for_a_day_gets_everything_once_and_in_order,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(after_max_age_it_is_a_dead_letter_and_the_rest_is_delivered, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
