/* Which alert is inhibited by which: rules, traces, circles, and many of them. */
#include "alerts/alert_fixture.h"
#include "alerts/inhibition.h"

#include <time.h>

/* ---- alerts by the line ---- */

struct alert_line {
    char id;                   /* the fingerprint's last digit: 1 to 9, a to f */
    const char *type, *labels; /* "service=shop,region=eu" */
    sw_severity severity;
    int64_t starts_s, fired_s;
    bool pending, untold;
    const char *culprit; /* "service/name", with ! before it when it failed; then steps of the path. With ~
                            before all: another trace says otherwise */
};

struct world {
    sw_alerts *alerts;
    sw_inhibit_rules rules;
    const char *silenced; /* ids that are kept back */
    bool by_traces;
    sw_inhibition *inhibition;
};

static void set_labels(sw_alert *alert, char *text) {
    static sw_label labels[8];
    alert->labels = labels;
    alert->n_labels = 0;
    for (char *part = strsep(&text, ","); part != NULL && *part != '\0'; part = strsep(&text, ",")) {
        char *value = strchr(part, '=');
        *value++ = '\0';
        labels[alert->n_labels++] = (sw_label){part, value};
    }
}

static void set_culprit(sw_alert *alert, sw_culprit *culprit, char *text) {
    culprit->agreed = *text != '~';
    text += culprit->agreed ? 0 : 1;
    culprit->failing = *text == '!';
    text += culprit->failing ? 1 : 0;
    for (char *part = strsep(&text, ","); part != NULL; part = strsep(&text, ",")) {
        char *name = strchr(part, '/');
        *name++ = '\0';
        if (culprit->service == NULL) {
            culprit->service = part;
            culprit->name = name;
            culprit->error_message = culprit->exception_type = (char *)"";
        } else {
            culprit->path[culprit->n_path++] = (sw_path_step){part, name, 1};
        }
    }
    alert->culprit = culprit;
}

static void add(struct world *world, const struct alert_line *line) {
    sw_alert alert = {.type = (char *)line->type,
                      .detector = (char *)"detect",
                      .source = (char *)"tempo",
                      .summary = (char *)"what it says",
                      .severity = line->severity,
                      .state = line->pending ? SW_ALERT_PENDING : SW_ALERT_FIRING,
                      .starts_at_ns = (T0 + line->starts_s) * SW_NS_PER_S,
                      .fired_at_ns = (T0 + line->fired_s) * SW_NS_PER_S,
                      .last_notified_ns = line->untold ? 0 : T0 * SW_NS_PER_S};
    char *labels = xstrdup(line->labels != NULL ? line->labels : "");
    char *spans = line->culprit != NULL ? xstrdup(line->culprit) : NULL;
    sw_culprit culprit = {.span_id = "8f3a1c2b4d5e6f70"};
    snprintf(alert.fingerprint, sizeof alert.fingerprint, "000000000000000%c", line->id);
    set_labels(&alert, labels);
    if (spans != NULL) {
        set_culprit(&alert, &culprit, spans);
    }
    sw_alerts_restore(world->alerts, &alert);
    free(labels);
    free(spans);
}

static bool speaks(const sw_alert *alert, void *arg) {
    const struct world *world = arg;
    return world->silenced == NULL || strchr(world->silenced, alert->fingerprint[15]) == NULL;
}

static struct world make(const char *rules, bool by_traces, const struct alert_line *lines) {
    static const sw_alerts_options options = {.evidence_max = 4, .max_alerts = 100000};
    struct world world = {.alerts = sw_alerts_new(&options), .by_traces = by_traces};
    sw_buf mistakes;
    sw_buf_init(&mistakes, 65536);
    sw_inhibit_rules_parse(rules, &world.rules, &mistakes);
    assert_int_equal(mistakes.len, 0);
    sw_buf_release(&mistakes);
    for (; lines != NULL && lines->id != '\0'; lines++) {
        add(&world, lines);
    }
    return world;
}

static void unmake(struct world *world) {
    sw_alerts_free(world->alerts);
    sw_inhibit_rules_release(&world->rules);
}

static void note(const sw_alert *alert, void *arg) {
    void **args = arg;
    const sw_inhibition *inhibition = args[0];
    const char *by = sw_inhibition_by(inhibition, alert->fingerprint);
    const sw_likely_cause *cause = sw_inhibition_cause(inhibition, alert->fingerprint);
    if (by != NULL || cause != NULL) {
        sw_buf_printf(args[1], "%c", alert->fingerprint[15]);
        if (by != NULL) {
            sw_buf_printf(args[1], "<%c", by[15]);
        }
        if (cause != NULL) {
            sw_buf_printf(args[1], "?%c", cause->fingerprint[15]);
        }
        sw_buf_append_char(args[1], ' ');
    }
}

/* "2<1 3?1 ": 2 is inhibited by 1, 3 has 1 as its likely cause. */
static void expect(struct world *world, const char *want) {
    sw_inhibition_options options = {&world->rules, world->by_traces, speaks, world};
    sw_inhibition *inhibition = sw_inhibition_new(world->alerts, &options);
    sw_buf got;
    sw_buf_init(&got, 65536);
    sw_buf_append_str(&got, "");
    void *args[] = {inhibition, &got};
    sw_alerts_each(world->alerts, note, args);
    assert_string_equal(got.data, want);
    sw_buf_release(&got);
    sw_inhibition_free(inhibition);
}

static void check(const char *rules, bool by_traces, const struct alert_line *lines, const char *want) {
    struct world world = make(rules, by_traces, lines);
    expect(&world, want);
    unmake(&world);
}

/* ---- rules ---- */

#define RULE(source, target, equal)                                                                          \
    "{\"source_matchers\": [\"" source "\"], \"target_matchers\": [\"" target "\"], \"equal\": [" equal "]}"

static void a_source_inhibits_targets_that_agree_on_the_labels(void **state) {
    (void)state;
    check("[" RULE("alertname=down", "severity=warning", "\"region\"") "]", false,
          (struct alert_line[]){{.id = '1', "down", "region=eu", SW_SEVERITY_CRITICAL, .starts_s = 5},
                                {.id = '2', "slow", "region=eu", SW_SEVERITY_WARNING},
                                {.id = '3', "slow", "region=us", SW_SEVERITY_WARNING},
                                {.id = '4', "slow", "service=x", SW_SEVERITY_WARNING},
                                {.id = '5', "slow", "region=eu", SW_SEVERITY_CRITICAL},
                                {0}},
          "2<1 ");
}

static void a_missing_label_equals_an_empty_one(void **state) {
    (void)state;
    check("[" RULE("alertname=down", "alertname=slow", "\"region\", \"zone\"") "]", false,
          (struct alert_line[]){{.id = '1', "down", "region="},
                                {.id = '2', "slow", "service=a"},
                                {.id = '3', "slow", "zone=z"},
                                {0}},
          "2<1 ");
}

static void only_what_fires_inhibits(void **state) {
    (void)state;
    check("[" RULE("alertname=down", "alertname=slow", "") "]", false,
          (struct alert_line[]){{.id = '1', "down", NULL, .pending = true}, {.id = '2', "slow", NULL}, {0}},
          "");
}

static void an_alert_does_not_inhibit_itself_nor_its_like(void **state) {
    (void)state;
    check("[" RULE("severity=~critical|warning", "alertname=slow", "") "]", false,
          (struct alert_line[]){{.id = '1', "slow", NULL, SW_SEVERITY_WARNING},
                                {.id = '2', "slow", "service=b", SW_SEVERITY_CRITICAL},
                                {.id = '3', "slow", "service=c", SW_SEVERITY_INFO},
                                {0}},
          "3<1 "); /* 1 and 2 match both sides */
}

static void inhibited_ones_inhibit(void **state) {
    (void)state;
    check("[" RULE("alertname=a", "alertname=b", "") "," RULE("alertname=b", "alertname=c", "") "]", false,
          (struct alert_line[]){{.id = '1', "a", NULL}, {.id = '2', "b", NULL}, {.id = '3', "c", NULL}, {0}},
          "2<1 3<2 ");
}

static void of_a_circle_the_oldest_is_told(void **state) {
    (void)state;
    const char *rules = "[" RULE("alertname=a", "alertname=b", "") "," RULE(
        "alertname=b", "alertname=c", "") "," RULE("alertname=c", "alertname=a", "") "]";
    check(rules, false,
          (struct alert_line[]){
              {.id = '1', "a", NULL, .starts_s = 20}, {.id = '2', "b", NULL, .starts_s = 10}, {0}},
          "2<1 ");
    check("[" RULE("alertname=a", "alertname=b", "") "," RULE("alertname=b", "alertname=a", "") "]", false,
          (struct alert_line[]){
              {.id = '1', "a", NULL, .starts_s = 20}, {.id = '2', "b", NULL, .starts_s = 10}, {0}},
          "1<2 ");
    struct world world = make(rules, false,
                              (struct alert_line[]){{.id = '1', "a", NULL},
                                                    {.id = '2', "b", NULL, .starts_s = 1},
                                                    {.id = '3', "c", NULL, .starts_s = 2},
                                                    {0}});
    sw_inhibition_options options = {&world.rules, false, speaks, &world};
    sw_inhibition *inhibition = sw_inhibition_new(world.alerts, &options);
    size_t silent = 0;
    for (char id = '1'; id <= '3'; id++) {
        char fingerprint[] = "0000000000000000";
        fingerprint[15] = id;
        silent += sw_inhibition_by(inhibition, fingerprint) != NULL ? 1 : 0;
    }
    assert_int_equal(silent, 2); /* one of them is told */
    sw_inhibition_free(inhibition);
    unmake(&world);
}

/* ---- traces ---- */

#define W SW_SEVERITY_WARNING
#define C SW_SEVERITY_CRITICAL
#define CALLER "error_status", "operation=POST /pay,service=shop"

static void the_service_that_the_culprit_is_in_inhibits_its_caller(void **state) {
    (void)state;
    static const struct alert_line lines[] = {
        {.id = '1', CALLER, W, .untold = true, .culprit = "!payment/charge card"},
        {.id = '2', "high_error_rate", "service=payment", C},
        {0},
    };
    check("[]", true, lines, "1<2?2 ");
    check("[]", false, lines, ""); /* turned off */
}

static void what_is_missing_or_does_not_fit_inhibits_nothing(void **state) {
    (void)state;
    static const struct {
        struct alert_line caller, cause;
        const char *want;
    } rows[] = {
        /* no culprit; its own; of another service; not the one that failed; of another topic, or of none */
        {{.id = '1', CALLER, W}, {.id = '2', "high_error_rate", "service=payment", C}, ""},
        {{.id = '1', CALLER, W, .culprit = "!shop/x"}, {.id = '2', "high_error_rate", "service=shop", C}, ""},
        {{.id = '1', CALLER, W, .culprit = "!mail/send"},
         {.id = '2', "high_error_rate", "service=payment", C},
         ""},
        {{.id = '1', CALLER, W, .culprit = "payment/x"},
         {.id = '2', "high_error_rate", "service=payment", C},
         ""},
        {{.id = '1', CALLER, W, .culprit = "!payment/x"},
         {.id = '2', "high_latency", "service=payment", C},
         ""},
        {{.id = '1', CALLER, W, .culprit = "!payment/x"}, {.id = '2', "broken", "service=payment", C}, ""},
        {{.id = '1', CALLER, W, .culprit = "!payment/x"},
         {.id = '2', "slow_errors", "service=payment", C},
         ""},
        {{.id = '1', "broken", "service=shop", W, .culprit = "!payment/x"},
         {.id = '2', "error_status", "service=payment", C},
         ""},
        /* time is about time */
        {{.id = '1', "high_latency", "service=shop", W, .culprit = "db/SELECT"},
         {.id = '2', "slow_query", "service=db", W},
         "1<2?2 "},
        {{.id = '1', "high_latency", "service=shop", W, .culprit = "!db/SELECT"},
         {.id = '2', "slow_query", "service=db", W},
         ""},
        /* an alert without a service of its own may be about the culprit's */
        {{.id = '1', "error_status", "operation=x", W, .culprit = "!payment/x"},
         {.id = '2', "high_error_rate", "service=payment", C},
         ""},
        {{.id = '1', CALLER, W, .culprit = "!payment/x"}, {.id = '2', "high_error_rate", NULL, C}, ""},
        {{.id = '1', CALLER, W, .culprit = "!payment/x"},
         {.id = '2', "high_error_rate", "service=payment", C, .pending = true},
         ""},
        /* of another operation than the trace went through */
        {{.id = '1', CALLER, W, .culprit = "!payment/x"},
         {.id = '2', "error_status", "operation=GET /,service=payment", C},
         ""},
        {{.id = '1', CALLER, W, .culprit = "!payment/x"},
         {.id = '2', "error_status", "operation=x,service=payment", C},
         "1<2?2 "},
        {{.id = '1', CALLER, W, .culprit = "!payment/x,shop/y,payment/y"},
         {.id = '2', "error_status", "operation=y,service=payment", C},
         "1<2?2 "},
        {{.id = '1', CALLER, W, .culprit = "!payment/x,shop/y"},
         {.id = '2', "error_status", "operation=y,service=payment", C},
         ""},
        /* named, but it does not inhibit: traces do not agree, it is less severe, too late */
        {{.id = '1', CALLER, W, .culprit = "~!payment/x"},
         {.id = '2', "high_error_rate", "service=payment", C},
         "1?2 "},
        {{.id = '1', CALLER, C, .culprit = "!payment/x"},
         {.id = '2', "high_error_rate", "service=payment", W},
         "1?2 "},
        {{.id = '1', CALLER, W, .culprit = "!payment/x"},
         {.id = '2', "high_error_rate", "service=payment", C, .starts_s = 600},
         "1<2?2 "},
        {{.id = '1', CALLER, W, .culprit = "!payment/x"},
         {.id = '2', "high_error_rate", "service=payment", C, .starts_s = 601},
         "1?2 "},
        {{.id = '1', CALLER, W, .fired_s = 60, .culprit = "!payment/x"},
         {.id = '2', "high_error_rate", "service=payment", C, .starts_s = 660},
         "1<2?2 "},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(rows); i++) {
        check("[]", true, (struct alert_line[]){rows[i].caller, rows[i].cause, {0}}, rows[i].want);
    }
}

static void a_cause_that_nobody_heard_of_keeps_nobody_silent(void **state) {
    (void)state;
    struct alert_line lines[] = {{.id = '1', CALLER, W, .untold = true, .culprit = "!payment/x"},
                                 {.id = '2', "high_error_rate", "service=payment", C, .untold = true},
                                 {0}};
    struct world world = make("[]", true, lines);
    expect(&world, "1<2?2 "); /* both begin in this tick */
    world.silenced = "2";
    expect(&world, "1?2 ");
    unmake(&world);
    lines[1].untold = false; /* told, and silenced afterwards */
    world = make("[]", true, lines);
    world.silenced = "2";
    expect(&world, "1<2?2 ");
    unmake(&world);
}

static void a_second_alert_of_the_service_may_be_the_one_that_inhibits(void **state) {
    (void)state;
    struct world world =
        make("[]", true,
             (struct alert_line[]){{.id = '1', CALLER, W, .culprit = "!payment/x"},
                                   {.id = '2', "high_error_rate", "service=payment", C, .starts_s = 9999},
                                   {.id = '3', "error_status", "service=payment", W},
                                   {0}});
    expect(&world, "1<3?3 ");
    unmake(&world);
}

static void a_chain_is_silent_but_for_its_end(void **state) {
    (void)state;
    struct alert_line lines[] = {
        {.id = '1', CALLER, W, .untold = true, .culprit = "!payment/x"},
        {.id = '2', "error_status", "service=payment", W, .untold = true, .culprit = "!bank/y"},
        {.id = '3', "error_status", "service=bank", W, .untold = true},
        {0}};
    check("[]", true, lines, "1<2?2 2<3?3 ");
    struct world world = make("[]", true, lines);
    world.silenced = "3"; /* nobody hears of the bank: then of payment, but not of the shop too */
    expect(&world, "1<2?2 2?3 ");
    unmake(&world);
}

static void two_services_that_blame_each_other_are_not_both_silent(void **state) {
    (void)state;
    check("[]", true,
          (struct alert_line[]){
              {.id = '1', "error_status", "service=a", W, .starts_s = 1, .untold = true, .culprit = "!b/x"},
              {.id = '2', "error_status", "service=b", W, .starts_s = 2, .untold = true, .culprit = "!a/x"},
              {0}},
          "1?2 2<1?1 ");
}

static void rules_and_traces_together_leave_one_that_is_told(void **state) {
    (void)state;
    /* The shop's alert inhibits the bank's by rule, and the traces say the opposite. */
    check("[" RULE("service=shop", "service=payment", "") "]", true,
          (struct alert_line[]){
              {.id = '1', CALLER, W, .starts_s = 1, .untold = true, .culprit = "!payment/x"},
              {.id = '2', "error_status", "service=payment", W, .starts_s = 2, .untold = true},
              {0}},
          "1?2 2<1 ");
    check("[" RULE("service=shop", "service=payment", "") "]", true,
          (struct alert_line[]){
              {.id = '1', CALLER, W, .starts_s = 2, .untold = true, .culprit = "!payment/x"},
              {.id = '2', "error_status", "service=payment", W, .starts_s = 1, .untold = true},
              {0}},
          "1<2?2 ");
}

static void what_nothing_could_inhibit_is_known_at_once(void **state) {
    (void)state;
    struct world world = make("[" RULE("alertname=down", "region=eu", "") "]", true, NULL);
    sw_inhibition_options options = {&world.rules, true, speaks, &world};
    sw_label label = {(char *)"service", (char *)"shop"}, region = {(char *)"region", (char *)"eu"};
    sw_culprit culprit = {.service = (char *)"payment", .name = (char *)"x", .failing = true};
    sw_alert alert = {.type = (char *)"error_status", .labels = &label, .n_labels = 1};
    assert_false(sw_inhibition_concerns(&options, &alert));
    alert.culprit = &culprit;
    assert_true(sw_inhibition_concerns(&options, &alert));
    options.by_traces = false;
    assert_false(sw_inhibition_concerns(&options, &alert));
    alert.labels = &region;
    assert_true(sw_inhibition_concerns(&options, &alert));
    unmake(&world);
}

/* 30 000 targets, each with its source: matching each with each would be 900 million pairs. */
static void many_are_matched_by_their_labels(void **state) {
    (void)state;
    struct world world = make("[" RULE("alertname=down", "alertname=slow",
                                       "\"host\"") "," RULE("alertname=slow", "alertname=tiny", "") "]",
                              true, NULL);
    const int n = 30000;
    for (int i = 0; i < 2 * n; i++) {
        char host[32];
        sw_label label = {(char *)"host", host};
        sw_alert alert = {.type = (char *)(i % 2 == 0 ? "down" : "slow"),
                          .detector = (char *)"detect",
                          .source = (char *)"tempo",
                          .summary = (char *)"",
                          .labels = &label,
                          .n_labels = 1,
                          .state = SW_ALERT_FIRING,
                          .starts_at_ns = i};
        snprintf(host, sizeof host, "host %d", i / 2);
        snprintf(alert.fingerprint, sizeof alert.fingerprint, "%016x", i);
        sw_alerts_restore(world.alerts, &alert);
    }
    sw_inhibition_options options = {&world.rules, true, speaks, &world};
    clock_t began = clock();
    sw_inhibition *inhibition = sw_inhibition_new(world.alerts, &options);
    double seconds = (double)(clock() - began) / CLOCKS_PER_SEC;
    for (int i = 0; i < 2 * n; i++) {
        char fingerprint[17], want[17];
        snprintf(fingerprint, sizeof fingerprint, "%016x", i);
        snprintf(want, sizeof want, "%016x", i - 1);
        const char *by = sw_inhibition_by(inhibition, fingerprint);
        assert_true(i % 2 == 0 ? by == NULL : sw_streq(by, want));
    }
    print_message("%d alerts: %.0f ms\n", 2 * n, seconds * 1000);
    assert_true(seconds < 5);
    sw_inhibition_free(inhibition);
    unmake(&world);
}

/* Whatever blames and inhibits whatever: from each silent alert the way leads to one that is told. */
static void nobody_is_silent_because_of_a_circle(void **state) {
    (void)state;
    static const char *const services[] = {"a", "b", "c", "d", "e"};
    uint64_t random = 88172645463325252U; /* xorshift64 */
    size_t silent = 0;
    for (int run = 0; run < 2000; run++) {
        struct world world =
            make("[" RULE("service=a", "service=b", "") "," RULE("service=~b|c", "service=~c|d", "") "," RULE(
                     "severity=critical", "service=a", "\"region\"") "]",
                 true, NULL);
        for (int i = 0; i < 9; i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            char labels[32], culprit[32];
            const char *service = services[random % 5], *blamed = services[random / 5 % 5];
            snprintf(labels, sizeof labels, "service=%s", service);
            snprintf(culprit, sizeof culprit, "!%s/x", blamed);
            struct alert_line line = {.id = (char)('1' + i),
                                      .type = "error_status",
                                      .labels = labels,
                                      .severity = random / 25 % 2 != 0 ? C : W,
                                      .starts_s = (int64_t)(random / 50 % 4),
                                      .untold = random / 200 % 2 != 0,
                                      .culprit = random / 400 % 3 != 0 ? culprit : NULL};
            add(&world, &line);
        }
        sw_inhibition_options options = {&world.rules, true, speaks, &world};
        sw_inhibition *inhibition = sw_inhibition_new(world.alerts, &options);
        for (int i = 0; i < 9; i++) {
            char fingerprint[] = "0000000000000000";
            fingerprint[15] = (char)('1' + i);
            const char *at = sw_inhibition_by(inhibition, fingerprint);
            silent += at != NULL ? 1 : 0;
            int steps = 0;
            while (at != NULL && steps++ < 10) {
                at = sw_inhibition_by(inhibition, at);
            }
            assert_null(at);
        }
        sw_inhibition_free(inhibition);
        unmake(&world);
    }
    assert_true(silent > 4000);
}

static void add_many(struct world *world, int n) {
    for (int i = 0; i < n; i++) {
        sw_alert alert = {.type = (char *)(i == 0 ? "down" : "slow"),
                          .detector = (char *)"detect",
                          .source = (char *)"tempo",
                          .summary = (char *)"",
                          .state = SW_ALERT_FIRING,
                          .last_notified_ns = 1};
        snprintf(alert.fingerprint, sizeof alert.fingerprint, "%016x", i);
        sw_alerts_restore(world->alerts, &alert);
    }
}

static void ignore_notify(const sw_alert *alert, sw_notice notice, void *arg) {
    (void)alert, (void)notice, (void)arg;
}

static void ignore_changed(const sw_alert *alert, void *arg) {
    (void)alert, (void)arg;
}

static void ignore_removed(const char *fingerprint, void *arg) {
    (void)fingerprint, (void)arg;
}

static void what_goes_between_two_pieces_is_not_counted(void **state) {
    (void)state;
    struct world world = make("[" RULE("alertname=down", "alertname=slow", "") "]", true, NULL);
    add_many(&world, 200);
    sw_inhibition_options options = {&world.rules, true, speaks, &world};
    sw_inhibition *inhibition = sw_inhibition_begin(world.alerts, &options);
    size_t pieces = 0;
    while (sw_inhibition_step(inhibition)) {
        pieces++;
    }
    assert_true(pieces > 5);
    assert_true(sw_inhibition_knows(inhibition, "00000000000000c7"));
    assert_false(sw_inhibition_knows(inhibition, "00000000000000c8"));
    assert_string_equal(sw_inhibition_by(inhibition, "00000000000000c7"), "0000000000000000");
    sw_inhibition_free(inhibition);
    inhibition = sw_inhibition_begin(world.alerts, &options);
    for (size_t i = 0; i < pieces - 3; i++) {
        assert_true(sw_inhibition_step(inhibition));
    }
    sw_alerts_sink sink = {.notify = ignore_notify, .changed = ignore_changed, .removed = ignore_removed};
    sw_alerts_apply(world.alerts, "detect", "tempo", NULL, 0, true, T0 * SW_NS_PER_S, &sink, NULL, NULL);
    assert_int_equal(sw_alerts_count(world.alerts), 0);
    add_many(&world, 50);
    while (sw_inhibition_step(inhibition)) {
    }
    assert_false(sw_inhibition_knows(inhibition, "00000000000000c7"));
    assert_string_equal(sw_inhibition_by(inhibition, "0000000000000031"), "0000000000000000");
    sw_inhibition_free(inhibition);
    unmake(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_inhibits_targets_that_agree_on_the_labels),
        cmocka_unit_test(a_missing_label_equals_an_empty_one),
        cmocka_unit_test(only_what_fires_inhibits),
        cmocka_unit_test(an_alert_does_not_inhibit_itself_nor_its_like),
        cmocka_unit_test(inhibited_ones_inhibit),
        cmocka_unit_test(of_a_circle_the_oldest_is_told),
        cmocka_unit_test(the_service_that_the_culprit_is_in_inhibits_its_caller),
        cmocka_unit_test(what_is_missing_or_does_not_fit_inhibits_nothing),
        cmocka_unit_test(a_cause_that_nobody_heard_of_keeps_nobody_silent),
        cmocka_unit_test(a_second_alert_of_the_service_may_be_the_one_that_inhibits),
        cmocka_unit_test(a_chain_is_silent_but_for_its_end),
        cmocka_unit_test(two_services_that_blame_each_other_are_not_both_silent),
        cmocka_unit_test(rules_and_traces_together_leave_one_that_is_told),
        cmocka_unit_test(nobody_is_silent_because_of_a_circle),
        cmocka_unit_test(what_nothing_could_inhibit_is_known_at_once),
        cmocka_unit_test(many_are_matched_by_their_labels),
        cmocka_unit_test(what_goes_between_two_pieces_is_not_counted),
    };
    return cmocka_run_group_tests_name("inhibition", tests, NULL, NULL);
}
