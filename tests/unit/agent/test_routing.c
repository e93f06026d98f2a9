#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/routing.h"

static char *evaluate(const sw_config_file *file, char **error, void *arg) {
    (void)file;
    (void)error;
    return xstrdup(arg);
}

struct fixture {
    sw_config config;
    sw_routing *routing;
    sw_buf mistakes;
};

static void open_with(struct fixture *f, const char *route) {
    char *table =
        xasprintf("{\"receivers\": [{\"name\": \"a\", \"url\": \"http://a/\"}, {\"name\": \"b\", \"url\": "
                  "\"http://b/\"}, {\"name\": \"c\", \"url\": \"http://c/\"}], \"route\": %s}",
                  route);
    sw_config_sources sources = {.config_path = "c.lua", .evaluate = evaluate, .evaluate_arg = table};
    sw_buf_init(&f->mistakes, 1 << 20);
    assert_int_equal(sw_config_load(&f->config, &sources, &f->mistakes), 0);
    f->routing = sw_routing_new(&f->config, &f->mistakes);
    free(table);
}

static void close_it(struct fixture *f) {
    sw_routing_free(f->routing);
    sw_config_release(&f->config);
    sw_buf_release(&f->mistakes);
}

/* "a,b" for an alert of this service and severity. */
static const char *receivers(const struct fixture *f, const char *service, sw_severity severity) {
    static char text[256];
    sw_label labels[] = {{"service", (char *)service}};
    sw_alert alert = {.type = "high_latency", .labels = labels, .n_labels = 1, .severity = severity};
    const sw_route_config *routes[SW_RECEIVERS_MAX];
    size_t n = sw_routing_of(f->routing, &alert, routes);
    text[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        strcat(strcat(text, i == 0 ? "" : ","), routes[i]->receiver);
    }
    return text;
}

static void the_first_route_that_matches_takes_it(void **state) {
    (void)state;
    struct fixture f;
    open_with(&f,
              "{\"routes\": [{\"matchers\": [\"service=shop\", \"severity=critical\"], \"receiver\": \"a\"}, "
              "{\"matchers\": [\"service=~\\\"sh.*\\\"\"], \"receiver\": \"b\"}, "
              "{\"matchers\": [\"type!=high_latency\"], \"receiver\": \"c\"}]}");
    assert_string_equal(receivers(&f, "shop", SW_SEVERITY_CRITICAL), "a");
    assert_string_equal(receivers(&f, "shop", SW_SEVERITY_WARNING), "b");
    assert_string_equal(receivers(&f, "sheep", SW_SEVERITY_CRITICAL), "b");
    assert_string_equal(receivers(&f, "cart", SW_SEVERITY_CRITICAL), "webhook");
    close_it(&f);
}

static void continue_asks_the_next_as_well_and_each_receiver_is_told_once(void **state) {
    (void)state;
    struct fixture f;
    open_with(&f, "{\"receiver\": \"c\", \"routes\": ["
                  "{\"matchers\": [\"severity=critical\"], \"receiver\": \"a\", \"continue\": true}, "
                  "{\"matchers\": [\"service=shop\"], \"receiver\": \"b\", \"continue\": true}, "
                  "{\"matchers\": [\"service=shop\"], \"receiver\": \"a\"}, {\"receiver\": \"b\"}]}");
    assert_string_equal(receivers(&f, "shop", SW_SEVERITY_CRITICAL), "a,b");
    assert_string_equal(receivers(&f, "shop", SW_SEVERITY_INFO), "b,a");
    assert_string_equal(receivers(&f, "cart", SW_SEVERITY_CRITICAL), "a,b");
    assert_string_equal(receivers(&f, "cart", SW_SEVERITY_INFO), "b");
    close_it(&f);
}

static void a_route_takes_what_none_below_it_takes(void **state) {
    (void)state;
    struct fixture f;
    open_with(&f,
              "{\"receiver\": \"c\", \"routes\": [{\"matchers\": [\"service=shop\"], \"receiver\": \"a\", "
              "\"routes\": [{\"matchers\": [\"severity=critical\"], \"receiver\": \"b\"}, {\"matchers\": "
              "[\"severity=warning\"]}]}]}");
    assert_string_equal(receivers(&f, "shop", SW_SEVERITY_CRITICAL), "b");
    assert_string_equal(receivers(&f, "shop", SW_SEVERITY_WARNING), "a");
    assert_string_equal(receivers(&f, "shop", SW_SEVERITY_INFO), "a");
    assert_string_equal(receivers(&f, "cart", SW_SEVERITY_CRITICAL), "c");
    close_it(&f);
}

static void without_routes_everything_goes_to_the_webhook(void **state) {
    (void)state;
    struct fixture f;
    open_with(&f, "{}");
    assert_string_equal(receivers(&f, "shop", SW_SEVERITY_CRITICAL), "webhook");
    close_it(&f);
}

static void a_matcher_that_cannot_be_used_is_said_and_matches_nothing(void **state) {
    (void)state;
    struct fixture f;
    open_with(
        &f,
        "{\"routes\": [{\"matchers\": [\"x\", \"service=~\\\"((\\\"\"], \"receiver\": \"a\"}, {\"matchers\": "
        "[\"service=~\\\"[\\\"\"], \"receiver\": \"b\"}]}");
    assert_non_null(strstr(f.mistakes.data, "route.routes[1].matchers[1] (c.lua): "));
    assert_non_null(strstr(f.mistakes.data, "route.routes[1].matchers[2] (c.lua): "));
    assert_non_null(strstr(f.mistakes.data, "route.routes[2].matchers[1] (c.lua): "));
    assert_string_equal(receivers(&f, "shop", SW_SEVERITY_CRITICAL), "webhook");
    close_it(&f);
}

static const char *group(const struct fixture *f, const char *service, sw_severity severity) {
    static char text[512];
    sw_label labels[] = {{"service", (char *)service}};
    sw_alert alert = {.type = "high_latency", .labels = labels, .n_labels = 1, .severity = severity};
    const sw_route_config *routes[SW_RECEIVERS_MAX];
    sw_routing_of(f->routing, &alert, routes);
    sw_buf key, json;
    sw_buf_init(&key, 4096);
    sw_buf_init(&json, 4096);
    bool grouped = sw_routing_group(routes[0], &alert, &key, &json);
    snprintf(text, sizeof text, "%s %s", grouped ? key.data : "alone", grouped ? json.data : "");
    sw_buf_release(&key);
    sw_buf_release(&json);
    return text;
}

static void a_group_is_its_route_and_the_labels_that_alerts_agree_on(void **state) {
    (void)state;
    struct fixture f;
    open_with(
        &f,
        "{\"group_by\": [\"type\", \"severity\", \"zone\"], \"routes\": [{\"matchers\": [\"service=shop\"], "
        "\"receiver\": \"a\"}, {\"matchers\": [\"service=cart\"], \"group_by\": []}, {\"matchers\": "
        "[\"service=mail\"], \"group_by\": [\"...\"]}]}");
    const char *labels = "{\"severity\":\"critical\",\"type\":\"high_latency\"}";
    char *want = xasprintf("{}:%s %s", labels, labels);
    assert_string_equal(group(&f, "x", SW_SEVERITY_CRITICAL), want);
    assert_string_not_equal(group(&f, "x", SW_SEVERITY_INFO), want);
    assert_string_equal(group(&f, "y", SW_SEVERITY_CRITICAL), want);
    free(want);
    want = xasprintf("{}/{service=shop}:%s %s", labels, labels);
    assert_string_equal(group(&f, "shop", SW_SEVERITY_CRITICAL), want);
    free(want);
    assert_string_equal(group(&f, "cart", SW_SEVERITY_CRITICAL), "{}/{service=cart}:{} {}");
    assert_string_equal(group(&f, "mail", SW_SEVERITY_CRITICAL), "alone ");
    close_it(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_route_that_matches_takes_it),
        cmocka_unit_test(continue_asks_the_next_as_well_and_each_receiver_is_told_once),
        cmocka_unit_test(a_route_takes_what_none_below_it_takes),
        cmocka_unit_test(without_routes_everything_goes_to_the_webhook),
        cmocka_unit_test(a_group_is_its_route_and_the_labels_that_alerts_agree_on),
        cmocka_unit_test(a_matcher_that_cannot_be_used_is_said_and_matches_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
