#include "config/loading.h"

#include <jansson.h>

static const sw_receiver_config *receiver(const loading *it, const char *name) {
    const sw_receiver_config *found = sw_config_receiver(&it->config, name);
    assert_non_null(found);
    return found;
}

static void without_a_config_file_there_is_the_webhook_alone(void **state) {
    (void)state;
    loading it;
    load(&it, (given){.environment = ENVIRONMENT(
                          "TEMPO_ALERT_WEBHOOK_URL=http://hook/x", "SPANWATCH_WEBHOOK_FORMAT=slack",
                          "SPANWATCH_WEBHOOK_HEADERS=A: 1; B: 2", "SPANWATCH_REPEAT_INTERVAL_SECS=60")});
    assert_string_equal(said(&it.mistakes), "");
    assert_int_equal(it.config.n_receivers, 1);
    const sw_receiver_config *webhook = receiver(&it, "webhook");
    assert_string_equal(webhook->url, "http://hook/x");
    assert_string_equal(webhook->format, "slack");
    assert_string_equal(webhook->headers.items[1], "B: 2");
    assert_int_equal(webhook->timeout_ms, 10000);
    assert_true(webhook->send_resolved);
    assert_string_equal(it.config.route.receiver, "webhook");
    assert_int_equal(it.config.route.repeat_interval_ms, 60000);
    assert_false(it.config.has_route);
    unload(&it);
}

static void what_is_not_given_is_the_webhooks_but_for_credentials(void **state) {
    (void)state;
    char *secret = temporary_file("secret");
    char *variable = xasprintf("SPANWATCH_WEBHOOK_BEARER_TOKEN_FILE=%s", secret);
    loading it;
    load(&it,
         (given){
             .environment =
                 ENVIRONMENT(variable, "SPANWATCH_WEBHOOK_TIMEOUT_MS=77", "SPANWATCH_WEBHOOK_MAX_AGE_SECS=88",
                             "SPANWATCH_WEBHOOK_FORMAT=slack", "SPANWATCH_WEBHOOK_HEADERS=Authorization: x",
                             "SPANWATCH_WEBHOOK_PROXY=http://proxy:3128"),
             .table =
                 "{\"receivers\": [{\"name\": \"pager\", \"url\": \"http://pager/\", \"timeout_ms\": 99, "
                 "\"format\": \"own\", \"format_config\": {\"a\": 1}}, "
                 "{\"name\": \"chat\", \"url\": \"http://chat/\", \"headers\": [\"X: y\"], "
                 "\"send_resolved\": false, \"insecure_tls\": true}], \"route\": {\"receiver\": \"chat\", "
                 "\"routes\": [{\"receiver\": \"pager\"}]}}",
         });
    assert_string_equal(said(&it.mistakes), "");
    assert_string_equal(said(&it.warnings), "");
    const sw_receiver_config *pager = receiver(&it, "pager"), *chat = receiver(&it, "chat");
    assert_int_equal(pager->timeout_ms, 99);
    assert_int_equal(pager->max_age_secs, 88);
    assert_string_equal(pager->proxy, "http://proxy:3128");
    assert_string_equal(pager->bearer_token_file, "");
    assert_int_equal(pager->headers.n, 0);
    assert_string_equal(pager->format_config_json, "{\"a\":1}");
    assert_int_equal(chat->timeout_ms, 77);
    assert_string_equal(chat->format, "");
    assert_string_equal(chat->headers.items[0], "X: y");
    assert_null(chat->headers.items[1]);
    assert_false(chat->send_resolved);
    assert_true(chat->insecure_tls);
    assert_string_equal(receiver(&it, "webhook")->bearer_token_file, secret);
    unload(&it);
    unlink(secret);
    free(secret);
    free(variable);
}

static void routes_below_have_what_the_route_above_says(void **state) {
    (void)state;
    loading it;
    load(&it,
         (given){.table =
                     "{\"receivers\": [{\"name\": \"a\", \"url\": \"http://a/\"}, {\"name\": \"b\", "
                     "\"url\": \"http://b/\"}], \"route\": {\"repeat_interval\": \"1h30m\", "
                     "\"routes\": [{\"matchers\": [\"x=1\"], \"receiver\": \"a\", \"continue\": true, "
                     "\"routes\": [{\"matchers\": {}}, {\"receiver\": \"b\", \"repeat_interval\": 1.5}]}], "
                     "\"receiver\": \"b\"}}"});
    assert_string_equal(said(&it.mistakes), "");
    const sw_route_config *root = &it.config.route, *child = &root->routes[0];
    assert_string_equal(root->receiver, "b");
    assert_int_equal(root->repeat_interval_ms, 5400000);
    assert_string_equal(child->matchers.items[0], "x=1");
    assert_true(child->continues);
    assert_string_equal(child->routes[0].receiver, "a");
    assert_int_equal(child->routes[0].repeat_interval_ms, 5400000);
    assert_false(child->routes[0].continues);
    assert_int_equal(child->routes[1].repeat_interval_ms, 1500);
    assert_string_equal(child->routes[1].name, "route.routes[1].routes[2]");
    assert_true(sw_route_leads_to(root, "a"));
    assert_false(sw_route_leads_to(root, "webhook"));
    unload(&it);
}

static void groups_are_those_of_the_settings_until_a_route_says_otherwise(void **state) {
    (void)state;
    loading it;
    load(
        &it,
        (given){.environment = ENVIRONMENT("SPANWATCH_GROUP_NOTIFICATIONS_BY=type,service",
                                           "SPANWATCH_GROUP_WAIT_SECS=7", "SPANWATCH_WEBHOOK_MAX_ALERTS=9"),
                .table =
                    "{\"receivers\": [{\"name\": \"a\", \"url\": \"http://a/\", "
                    "\"max_notifications_per_hour\": 5}], \"route\": {\"routes\": [{\"matchers\": [\"x=1\"], "
                    "\"receiver\": \"a\", \"group_by\": [\"...\"]}, {\"matchers\": [\"x=1\", \"y=2\"], "
                    "\"group_by\": [], \"group_wait\": 0, \"group_interval\": \"1m\"}]}}"});
    assert_string_equal(said(&it.mistakes), "");
    const sw_route_config *root = &it.config.route, *alone = &root->routes[0], *all = &root->routes[1];
    assert_true(root->grouped);
    assert_int_equal(root->group_by.n, 2);
    assert_string_equal(root->group_by.items[1], "service");
    assert_int_equal(root->group_wait_ms, 7000);
    assert_int_equal(root->group_interval_ms, 300000);
    assert_string_equal(root->key, "{}");
    assert_false(alone->grouped);
    assert_int_equal(alone->group_by.n, 0);
    assert_string_equal(alone->key, "{}/{x=1}");
    assert_true(all->grouped);
    assert_int_equal(all->group_by.n, 0);
    assert_int_equal(all->group_wait_ms, 0);
    assert_int_equal(all->group_interval_ms, 60000);
    assert_string_equal(all->key, "{}/{x=1,y=2}");
    assert_int_equal(receiver(&it, "a")->max_notifications_per_hour, 5);
    assert_int_equal(receiver(&it, "a")->max_alerts, 9);
    unload(&it);
    load(&it, (given){0});
    assert_false(it.config.route.grouped);
    assert_string_equal(it.config.route.key, "{}");
    unload(&it);
}

static void alertmanager_gets_what_it_needs(void **state) {
    (void)state;
    loading it;
    load(&it,
         (given){.environment = ENVIRONMENT("SPANWATCH_WEBHOOK_FORMAT=alertmanager_push",
                                            "TEMPO_ALERT_WEBHOOK_URL=http://am/alerts"),
                 .table =
                     "{\"receivers\": [{\"name\": \"a\", \"url\": \"http://am/api/v2/alerts?x=1\", "
                     "\"format\": \"alertmanager_push\", \"resend_secs\": 7, \"max_alerts\": 5}, {\"name\": "
                     "\"b\", \"url\": \"http://b/\", \"resend_secs\": 9}], \"route\": {\"routes\": "
                     "[{\"receiver\": \"a\"}, {\"receiver\": \"b\"}]}}"});
    assert_string_equal(said(&it.mistakes), "");
    assert_string_equal(said(&it.warnings),
                        "receiver webhook: its url does not end with /api/v2/alerts, where "
                        "Alertmanager takes alerts\n");
    assert_int_equal(receiver(&it, "webhook")->resend_secs, 60);
    assert_int_equal(receiver(&it, "a")->resend_secs, 7);
    assert_int_equal(receiver(&it, "a")->max_alerts, 0);
    assert_int_equal(receiver(&it, "b")->resend_secs, 9);
    assert_int_equal(receiver(&it, "b")->max_alerts, 100);
    char *settings = sw_config_for_format(&it.config, receiver(&it, "a"));
    assert_string_equal(settings, "{\"ends_after_secs\":28}");
    free(settings);
    unload(&it);
}

static void assert_mistake(const char *table, const char *mistake) {
    loading it;
    load(&it, (given){.table = table});
    if (it.rc != -1 || strstr(said(&it.mistakes), mistake) == NULL) {
        fail_msg("%s\nmust give\n%s\nbut gives\n%s", table, mistake, said(&it.mistakes));
    }
    unload(&it);
}

#define RECEIVER(rest) "{\"receivers\": [{\"name\": \"a\", \"url\": \"http://a/\"" rest "}]}"
#define ROUTE(route) "{\"receivers\": [{\"name\": \"a\", \"url\": \"http://a/\"}], \"route\": " route "}"

static void every_mistake_is_said_where_it_is(void **state) {
    (void)state;
    assert_mistake("{\"receiver\": []}", "receiver (conf.lua): is not a setting; did you mean receivers?");
    assert_mistake("{\"receivers\": 3}", "receivers (conf.lua): must be a list of tables");
    assert_mistake("{\"receivers\": {\"a\": {}}}", "must be a list of tables");
    assert_mistake("{\"receivers\": [3]}", "receivers[1] (conf.lua): must be a table");
    assert_mistake("{\"receivers\": [{\"url\": \"http://a/\"}]}",
                   "receivers[1].name (conf.lua): must be given");
    assert_mistake("{\"receivers\": [{\"name\": \"a b\", \"url\": \"http://a/\"}]}", "receivers[1].name");
    assert_mistake("{\"receivers\": [{\"name\": \"a\\u0000\", \"url\": \"http://a/\"}]}",
                   "receivers[1].name");
    assert_mistake("{\"receivers\": [{\"name\": \"webhook\", \"url\": \"http://a/\"}]}", "cannot be webhook");
    assert_mistake("{\"receivers\": [{\"name\": \"a\", \"url\": \"http://a/\"}, {\"name\": \"a\", \"url\": "
                   "\"http://a/\"}]}",
                   "receivers[2].name (conf.lua): is the name of another receiver already");
    assert_mistake("{\"receivers\": [{\"name\": \"a\"}]}", "receivers.a.url (conf.lua): must be given");
    assert_mistake("{\"receivers\": [{\"name\": \"a\", \"url\": \"\"}]}",
                   "receivers.a.url (conf.lua): must be");
    assert_mistake("{\"receivers\": [{\"name\": \"a\", \"url\": \"a:b@c\"}]}",
                   "receivers.a.url (conf.lua): (hidden) must be an absolute http or https URL");
    assert_mistake(RECEIVER(", \"hedaers\": []"),
                   "receivers.a.hedaers (conf.lua): is not known; did you mean headers?");
    assert_mistake(RECEIVER(", \"headers\": [\"x\"]"), "header 1 must be Name: value");
    assert_mistake(RECEIVER(", \"headers\": [3]"),
                   "receivers.a.headers (conf.lua): is a table, must be a list");
    assert_mistake(RECEIVER(", \"timeout_ms\": true"),
                   "receivers.a.timeout_ms (conf.lua): is a boolean, must be a");
    assert_mistake(RECEIVER(", \"timeout_ms\": 5"),
                   "receivers.a.timeout_ms (conf.lua): \"5\" must be a whole number");
    assert_mistake(RECEIVER(", \"backoff_min_ms\": 9, \"backoff_max_ms\": 8"),
                   "must not be less than backoff_min_ms");
    assert_mistake(RECEIVER(", \"client_key_file\": \"/proc/self/status\""), "needs client_cert_file too");
    assert_mistake(RECEIVER(", \"format_config\": {\"a\": 1}"),
                   "receivers.a.format (conf.lua): must be given");
    assert_mistake(RECEIVER(", \"format\": \"../x\""),
                   "receivers.a.format (conf.lua): \"../x\" must be the name of");
    assert_mistake("{\"receivers\": [{}, {\"name\": \"b\"}], \"route\": 1}",
                   "receivers.b.url"); /* not only the first */
    assert_mistake(ROUTE("[1]"), "route (conf.lua): must be a table");
    assert_mistake(ROUTE("{\"receiver\": \"aa\"}"), "route.receiver (conf.lua): there is no receiver \"aa\"");
    assert_mistake(ROUTE("{\"receiver\": 1}"), "route.receiver (conf.lua): must be the name of a receiver");
    assert_mistake(ROUTE("{\"recieve\": \"a\"}"),
                   "route.recieve (conf.lua): is not known; did you mean receiver?");
    assert_mistake(ROUTE("{\"matchers\": [\"a=b\"]}"), "the first route is for every alert");
    assert_mistake(ROUTE("{\"continue\": true}"), "nothing comes after it");
    assert_mistake(ROUTE("{\"routes\": [{\"matchers\": \"a=b\"}]}"),
                   "route.routes[1].matchers (conf.lua): must be a list");
    assert_mistake(ROUTE("{\"routes\": [{\"continue\": 1}]}"),
                   "route.routes[1].continue (conf.lua): must be true or");
    assert_mistake(ROUTE("{\"group_by\": \"type\"}"), "route.group_by (conf.lua): must be a list of labels");
    assert_mistake(ROUTE("{\"group_by\": [\"a b\"]}"), "route.group_by (conf.lua): name 1 must be a label");
    assert_mistake(ROUTE("{\"group_by\": [\"a\", \"...\"]}"),
                   "route.group_by (conf.lua): \"...\" cannot be used together with labels");
    assert_mistake(ROUTE("{\"group_wait\": -1}"),
                   "route.group_wait (conf.lua): must be a duration of 0 to a year");
    assert_mistake(ROUTE("{\"routes\": {\"a\": 1}}"), "route.routes (conf.lua): must be a list of routes");
}

static void durations_are_prometheus(void **state) {
    (void)state;
    static const char *const wrong[] = {"\"\"",     "\"5\"",   "\"5x\"",    "\"1s1m\"",
                                        "\"1m1m\"", "\"-1s\"", "\"500ms\"", "\"54w\"",
                                        "0.5",      "-1",      "true",      "\"99999999999999999999h\"",
                                        "1e300"};
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        {"\"1s\"", 1000}, {"\"1d2h3m4s5ms\"", 93784005}, {"\"52w\"", INT64_C(31449600000)}, {"30", 30000}};
    for (size_t i = 0; i < SW_ARRAY_LEN(wrong); i++) {
        char *table = xasprintf("{\"route\": {\"repeat_interval\": %s}}", wrong[i]);
        assert_mistake(table, "route.repeat_interval (conf.lua): must be a duration");
        free(table);
    }
    for (size_t i = 0; i < SW_ARRAY_LEN(good); i++) {
        char *table = xasprintf("{\"route\": {\"repeat_interval\": %s}}", good[i].text);
        loading it;
        load(&it, (given){.table = table});
        assert_string_equal(said(&it.mistakes), "");
        assert_int_equal(it.config.route.repeat_interval_ms, good[i].ms);
        unload(&it);
        free(table);
    }
}

/* Depth and number have a cap. */
static void a_tree_without_end_is_refused(void **state) {
    (void)state;
    sw_buf text;
    sw_buf_init(&text, 1 << 20);
    sw_buf_append_str(&text, "{\"route\": ");
    for (int i = 0; i < SW_ROUTES_DEPTH_MAX + 1; i++) {
        sw_buf_append_str(&text, "{\"routes\": [");
    }
    for (int i = 0; i < SW_ROUTES_DEPTH_MAX + 1; i++) {
        sw_buf_append_str(&text, "]}");
    }
    sw_buf_append_str(&text, "}");
    assert_mistake(text.data, "is too deep");
    sw_buf_reset(&text);
    sw_buf_append_str(&text, "{\"route\": {\"routes\": [{}");
    for (int i = 0; i < SW_ROUTES_MAX; i++) {
        sw_buf_append_str(&text, ",{}");
    }
    sw_buf_append_str(&text, "]}}");
    assert_mistake(text.data, "is too much");
    sw_buf_release(&text);
}

static void the_printed_configuration_hides_secrets_and_shows_the_routes(void **state) {
    (void)state;
    loading it;
    load(&it,
         (given){.table = "{\"receivers\": [{\"name\": \"a\", \"url\": \"http://u:p@a/token\", \"headers\": "
                          "[\"Authorization: topsecret\"]}], \"route\": {\"routes\": [{\"receiver\": \"a\", "
                          "\"matchers\": [\"x=1\", \"y=2\"]}]}}"});
    sw_buf out;
    sw_buf_init(&out, 1 << 20);
    sw_config_print(&it.config, &out);
    assert_non_null(
        strstr(out.data,
               "# receiver a  # conf.lua\n#   url=http://a/(hidden)\n#   headers=Authorization: (hidden)\n"));
    assert_non_null(strstr(out.data, "#   receiver: webhook\n#     {x=1, y=2}  receiver: a\n"));
    assert_null(strstr(out.data, "topsecret"));
    assert_null(strstr(out.data, "token\n"));
    sw_buf_release(&out);
    unload(&it);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_config_file_there_is_the_webhook_alone),
        cmocka_unit_test(what_is_not_given_is_the_webhooks_but_for_credentials),
        cmocka_unit_test(routes_below_have_what_the_route_above_says),
        cmocka_unit_test(groups_are_those_of_the_settings_until_a_route_says_otherwise),
        cmocka_unit_test(alertmanager_gets_what_it_needs),
        cmocka_unit_test(every_mistake_is_said_where_it_is),
        cmocka_unit_test(durations_are_prometheus),
        cmocka_unit_test(a_tree_without_end_is_refused),
        cmocka_unit_test(the_printed_configuration_hides_secrets_and_shows_the_routes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
