#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "telemetry/metrics.h"

#define DROPPED                                                                                              \
    "# HELP spanwatch_metrics_dropped_series_total Updates that had no series of their own because a limit " \
    "was reached.\n# TYPE spanwatch_metrics_dropped_series_total counter\n"                                  \
    "spanwatch_metrics_dropped_series_total "

static int begin(void **state) {
    *state = sw_metrics_new();
    return 0;
}

static int end(void **state) {
    sw_metrics_free(*state);
    return 0;
}

static char *render(const sw_metrics *metrics) {
    sw_buf out;
    sw_buf_init(&out, 16u << 20);
    sw_metrics_render(metrics, &out);
    assert_false(out.overflow);
    return sw_buf_steal(&out, NULL);
}

static void assert_rendered(const sw_metrics *metrics, const char *expected) {
    char *text = render(metrics);
    assert_string_equal(text, expected);
    free(text);
}

static void assert_contains(const sw_metrics *metrics, const char *expected) {
    char *text = render(metrics);
    if (strstr(text, expected) == NULL) {
        fail_msg("no %s in:\n%s", expected, text);
    }
    free(text);
}

static const char *const two_labels[] = {"service", "code", NULL};
static const char *const one_label[] = {"detector", NULL};

static void families_and_children_are_printed_in_order(void **state) {
    sw_metrics *metrics = *state;
    sw_metric *z = sw_metrics_counter(metrics, "z_total", "Last.", two_labels);
    sw_metric *a = sw_metrics_gauge(metrics, "a_seconds", "First.", NULL);
    sw_metric_add(z, 1, "shop", "500");
    sw_metric_add(z, 2.5, "cart", "200");
    sw_metric_add(z, 1, "shop", "200");
    sw_metric_add(z, 1, "shop", "200");
    sw_metric_set(a, 0.25);
    assert_rendered(metrics, "# HELP a_seconds First.\n# TYPE a_seconds gauge\na_seconds 0.25\n" DROPPED "0\n"
                             "# HELP z_total Last.\n# TYPE z_total counter\n"
                             "z_total{service=\"cart\",code=\"200\"} 2.5\n"
                             "z_total{service=\"shop\",code=\"200\"} 2\n"
                             "z_total{service=\"shop\",code=\"500\"} 1\n");
}

static void a_family_without_labels_shows_zero_and_one_with_labels_nothing(void **state) {
    sw_metrics *metrics = *state;
    sw_metrics_counter(metrics, "ticks_total", "Ticks.", NULL);
    sw_metrics_counter(metrics, "with_labels_total", "None yet.", two_labels);
    assert_rendered(metrics,
                    DROPPED "0\n# HELP ticks_total Ticks.\n# TYPE ticks_total counter\nticks_total 0\n");
}

static void a_histogram_is_cumulative_and_its_bounds_are_inclusive(void **state) {
    sw_metrics *metrics = *state;
    const double bounds[] = {0.1, 1, 10};
    sw_metric *h = sw_metrics_histogram(metrics, "h_seconds", "Times.", one_label, bounds, 3);
    const double values[] = {0.05, 0.1, 0.5, 10, 11, NAN};
    for (size_t i = 0; i < SW_ARRAY_LEN(values); i++) {
        sw_metric_observe(h, values[i], "d");
    }
    assert_contains(metrics, "# TYPE h_seconds histogram\n"
                             "h_seconds_bucket{detector=\"d\",le=\"0.1\"} 2\n"
                             "h_seconds_bucket{detector=\"d\",le=\"1\"} 3\n"
                             "h_seconds_bucket{detector=\"d\",le=\"10\"} 4\n"
                             "h_seconds_bucket{detector=\"d\",le=\"+Inf\"} 5\n"
                             "h_seconds_sum{detector=\"d\"} 21.65\n"
                             "h_seconds_count{detector=\"d\"} 5\n");
}

static void help_and_label_values_are_escaped(void **state) {
    sw_metrics *metrics = *state;
    sw_metric *g = sw_metrics_gauge(metrics, "g", "a\\b\n\"c\"", one_label);
    sw_metric_set(g, 1, "a\\b\n\"c\"\xFF");
    assert_contains(metrics, "# HELP g a\\\\b\\n\"c\"\n");
    assert_contains(metrics, "g{detector=\"a\\\\b\\n\\\"c\\\"\xEF\xBF\xBD\"} 1\n");
    assert_true(sw_metric_get(g, "a\\b\n\"c\"\xFF") == 1);
}

static void long_label_values_are_cut_between_characters(void **state) {
    sw_metrics *metrics = *state;
    sw_metric *g = sw_metrics_gauge(metrics, "g", "G.", one_label);
    char value[SW_METRICS_MAX_LABEL_VALUE + 40];
    memset(value, 'a', sizeof value);
    memcpy(value + SW_METRICS_MAX_LABEL_VALUE - 1, "\xC3\xA9", 2);
    value[sizeof value - 1] = '\0';
    sw_metric_set(g, 1, value);
    value[SW_METRICS_MAX_LABEL_VALUE - 1] = '\0';
    assert_true(sw_metric_get(g, value) == 1);
}

static void values_read_back_and_a_counter_never_falls(void **state) {
    sw_metrics *metrics = *state;
    sw_metric *c = sw_metrics_counter(metrics, "c_total", "C.", one_label);
    assert_true(sw_metric_get(c, "x") == 0);
    sw_metric_add(c, 3, "x");
    sw_metric_add(c, -1, "x");
    sw_metric_add(c, NAN, "x");
    assert_true(sw_metric_get(c, "x") == 3);
    sw_metric *g = sw_metrics_gauge(metrics, "g", "G.", NULL);
    sw_metric_set(g, 5);
    sw_metric_add(g, -7);
    assert_true(sw_metric_get(g) == -2);
    sw_metric_set(g, -INFINITY);
    assert_contains(metrics, "g -Inf\n");
}

static void registering_twice_gives_the_same_family(void **state) {
    sw_metrics *metrics = *state;
    const double bounds[] = {1, 2};
    sw_metric *c = sw_metrics_counter(metrics, "c_total", "C.", two_labels);
    assert_ptr_equal(sw_metrics_counter(metrics, "c_total", "Other help.", two_labels), c);
    sw_metric *h = sw_metrics_histogram(metrics, "h", "H.", NULL, bounds, 2);
    assert_ptr_equal(sw_metrics_histogram(metrics, "h", "H.", NULL, bounds, 2), h);
}

static void register_with_another_type(sw_metrics *metrics) {
    sw_metrics_gauge(metrics, "c_total", "C.", two_labels);
}

static void register_with_other_labels(sw_metrics *metrics) {
    sw_metrics_counter(metrics, "c_total", "C.", one_label);
}

static void register_a_bad_name(sw_metrics *metrics) {
    sw_metrics_counter(metrics, "c-total", "C.", NULL);
}

static void register_falling_bounds(sw_metrics *metrics) {
    const double bounds[] = {2, 1};
    sw_metrics_histogram(metrics, "h", "H.", NULL, bounds, 2);
}

static void programming_mistakes_abort(void **state) {
    sw_metrics *metrics = *state;
    sw_metrics_counter(metrics, "c_total", "C.", two_labels);
    void (*const mistakes[])(sw_metrics *) = {register_with_another_type, register_with_other_labels,
                                              register_a_bad_name, register_falling_bounds};
    for (size_t i = 0; i < SW_ARRAY_LEN(mistakes); i++) {
        pid_t child = fork();
        if (child == 0) {
            signal(SIGABRT, SIG_DFL);
            fclose(stderr);
            mistakes[i](metrics);
            _exit(0);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}

static void children_over_the_limit_are_counted_as_other(void **state) {
    sw_metrics *metrics = *state;
    sw_metric *c = sw_metrics_counter(metrics, "c_total", "C.", two_labels);
    for (int i = 0; i < SW_METRICS_MAX_CHILDREN + 10; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", i);
        sw_metric_add(c, 1, name, "200");
    }
    sw_metric_add(c, 1, "s0", "200");
    assert_true(sw_metric_get(c, "s0", "200") == 2);
    assert_true(sw_metric_get(c, "other", "other") == 10);
    assert_contains(metrics, "spanwatch_metrics_dropped_series_total 10\n");
    sw_metric_remove(c, "service", "s7");
    sw_metric_add(c, 1, "late", "200");
    assert_true(sw_metric_get(c, "late", "200") == 1);
}

static void removed_children_are_gone(void **state) {
    sw_metrics *metrics = *state;
    sw_metric *c = sw_metrics_counter(metrics, "c_total", "C.", two_labels);
    sw_metric_add(c, 1, "a", "200");
    sw_metric_add(c, 1, "a", "500");
    sw_metric_add(c, 1, "b", "500");
    sw_metric_remove(c, "service", "a");
    sw_metric_remove(c, "no_such_label", "b");
    assert_true(sw_metric_get(c, "a", "200") == 0);
    assert_true(sw_metric_get(c, "a", "500") == 0);
    assert_true(sw_metric_get(c, "b", "500") == 1);
}

static const char *set_custom(sw_metrics *metrics, const char *name, size_t n, const char *const *keys,
                              const char *const *values) {
    const char *why = NULL;
    int result = sw_metrics_set_custom(metrics, "det", name, 1.5, n, keys, values, &why);
    assert_int_equal(result, why == NULL ? 0 : -1);
    return why;
}

static void a_script_may_name_a_gauge(void **state) {
    sw_metrics *metrics = *state;
    const char *keys[] = {"zone", "app"};
    const char *values[] = {"z\"1", "shop"};
    const char *keys_again[] = {"app", "zone"};
    const char *values_again[] = {"shop", "z\"1"};
    assert_null(set_custom(metrics, "queue_depth", 2, keys, values));
    assert_null(set_custom(metrics, "queue_depth", 2, keys_again, values_again));
    assert_null(set_custom(metrics, "queue_depth", 0, NULL, NULL));
    assert_null(set_custom(metrics, "a:first", 0, NULL, NULL));
    assert_rendered(metrics, DROPPED "0\n# HELP a:first Set by a detector.\n# TYPE a:first gauge\n"
                                     "a:first{detector=\"det\"} 1.5\n"
                                     "# HELP queue_depth Set by a detector.\n# TYPE queue_depth gauge\n"
                                     "queue_depth{detector=\"det\"} 1.5\n"
                                     "queue_depth{detector=\"det\",app=\"shop\",zone=\"z\\\"1\"} 1.5\n");
}

static void a_script_cannot_take_names_that_are_not_its_own(void **state) {
    sw_metrics *metrics = *state;
    const double bounds[] = {1};
    sw_metrics_histogram(metrics, "http_seconds", "H.", NULL, bounds, 1);
    static const char *const agents[] = {"spanwatch_up", "http_seconds", "http_seconds_count",
                                         "http_seconds_bucket"};
    for (size_t i = 0; i < SW_ARRAY_LEN(agents); i++) {
        assert_string_equal(set_custom(metrics, agents[i], 0, NULL, NULL), "the name belongs to the agent");
    }
    static const char *const invalid[] = {"", "1a", "a b", "a-b", "a{b=\"c\"}", "a\n", "\xC3\xA9"};
    for (size_t i = 0; i < SW_ARRAY_LEN(invalid); i++) {
        assert_string_equal(set_custom(metrics, invalid[i], 0, NULL, NULL), "not a valid metric name");
    }
}

static void labels_of_a_script_are_checked(void **state) {
    sw_metrics *metrics = *state;
    const char *values[] = {"1", "2", "3", "4", "5", "6"};
    const char *many[] = {"a", "b", "c", "d", "e", "f"};
    const char *twice[] = {"a", "a"};
    const char *bad[] = {"a:b"};
    const char *hidden[] = {"__name__"};
    const char *own[] = {"detector"};
    assert_string_equal(set_custom(metrics, "m", 6, many, values), "too many labels");
    assert_null(set_custom(metrics, "m", 5, many, values));
    assert_string_equal(set_custom(metrics, "m", 2, twice, values), "a label is given twice");
    assert_string_equal(set_custom(metrics, "m", 1, bad, values), "not a valid label name");
    assert_string_equal(set_custom(metrics, "m", 1, hidden, values), "not a valid label name");
    assert_string_equal(set_custom(metrics, "m", 1, own, values), "the label belongs to the agent");
}

static void one_detector_cannot_take_the_series_of_the_others(void **state) {
    sw_metrics *metrics = *state;
    const char *why = NULL;
    const char *key = "k";
    for (int i = 0; i < SW_METRICS_MAX_PER_DETECTOR; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        const char *value = text;
        assert_int_equal(sw_metrics_set_custom(metrics, "greedy", "m", i, 1, &key, &value, &why), 0);
    }
    const char *more = "more";
    assert_int_equal(sw_metrics_set_custom(metrics, "greedy", "m", 1, 1, &key, &more, &why), -1);
    assert_string_equal(why, "too many series");
    const char *known = "7";
    assert_int_equal(sw_metrics_set_custom(metrics, "greedy", "m", 1, 1, &key, &known, &why), 0);
    assert_int_equal(sw_metrics_set_custom(metrics, "modest", "m", 1, 1, &key, &more, &why), 0);
    assert_contains(metrics, "spanwatch_metrics_dropped_series_total 1\n");
    sw_metrics_remove_custom(metrics, "greedy");
    assert_rendered(metrics, DROPPED "1\n# HELP m Set by a detector.\n# TYPE m gauge\n"
                                     "m{detector=\"modest\",k=\"more\"} 1\n");
    sw_metrics_remove_custom(metrics, NULL);
    assert_rendered(metrics, DROPPED "1\n");
}

static void a_family_of_the_agent_wins_over_a_gauge_of_a_script(void **state) {
    sw_metrics *metrics = *state;
    assert_null(set_custom(metrics, "up", 0, NULL, NULL));
    sw_metrics_gauge(metrics, "up", "Whether it is.", NULL);
    assert_rendered(metrics, DROPPED "0\n# HELP up Whether it is.\n# TYPE up gauge\nup 0\n");
}

static void promtool_accepts_what_is_printed(void **state) {
    sw_metrics *metrics = *state;
    if (system("promtool --version >/dev/null 2>&1") != 0) {
        skip();
    }
    const double bounds[] = {0.001, 0.1, 2.5};
    sw_metric *h =
        sw_metrics_histogram(metrics, "http_request_duration_seconds", "Times.", two_labels, bounds, 3);
    sw_metric_observe(h, 0.2, "a\"b\\c\nd", "\xC3\xA9\xFF");
    sw_metric *c = sw_metrics_counter(metrics, "errors_total", "Errors\nin \\ two lines.", one_label);
    sw_metric_add(c, 1e21, "x");
    const char *key = "zone";
    const char *value = "\x01\x7F";
    const char *why = NULL;
    assert_int_equal(sw_metrics_set_custom(metrics, "d", "depth", NAN, 1, &key, &value, &why), 0);
    assert_int_equal(sw_metrics_set_custom(metrics, "d", "depth", -INFINITY, 0, NULL, NULL, &why), 0);
    FILE *promtool = popen("promtool check metrics", "w");
    assert_non_null(promtool);
    char *text = render(metrics);
    fputs(text, promtool);
    free(text);
    assert_int_equal(pclose(promtool), 0);
}

static void a_text_that_does_not_fit_is_marked(void **state) {
    sw_metrics *metrics = *state;
    sw_buf out;
    sw_buf_init(&out, 40);
    sw_metrics_render(metrics, &out);
    assert_true(out.overflow);
    sw_buf_release(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(families_and_children_are_printed_in_order),
        TEST(a_family_without_labels_shows_zero_and_one_with_labels_nothing),
        TEST(a_histogram_is_cumulative_and_its_bounds_are_inclusive),
        TEST(help_and_label_values_are_escaped),
        TEST(long_label_values_are_cut_between_characters),
        TEST(values_read_back_and_a_counter_never_falls),
        TEST(registering_twice_gives_the_same_family),
        TEST(programming_mistakes_abort),
        TEST(children_over_the_limit_are_counted_as_other),
        TEST(removed_children_are_gone),
        TEST(a_script_may_name_a_gauge),
        TEST(a_script_cannot_take_names_that_are_not_its_own),
        TEST(labels_of_a_script_are_checked),
        TEST(one_detector_cannot_take_the_series_of_the_others),
        TEST(a_family_of_the_agent_wins_over_a_gauge_of_a_script),
        TEST(promtool_accepts_what_is_printed),
        TEST(a_text_that_does_not_fit_is_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
