#include "config/loading.h"

static void without_any_source_the_defaults_hold(void **state) {
    (void)state;
    loading it;
    load(&it, (given){0});
    assert_int_equal(it.rc, 0);
    assert_string_equal(said(&it.mistakes), "");
    assert_true(it.config.tempo_enabled);
    assert_string_equal(it.config.tempo_url, "http://127.0.0.1:3200");
    assert_int_equal(it.config.tempo_alert_interval_secs, 30);
    assert_true(it.config.tempo_error_rate_threshold == 0.05);
    assert_int_equal(it.config.group_by.n, 0);
    assert_null(it.config.group_by.items[0]);
    assert_string_equal(it.config.log_level, "info");
    assert_string_equal(it.config.detector_config_json, "{}");
    assert_null(it.config.config_file);
    unload(&it);
}

static void a_flag_beats_the_environment_that_beats_dotenv_that_beats_the_file(void **state) {
    (void)state;
    loading it;
    load(&it,
         (given){
             .flags = FLAGS("--tempo-alert-interval-secs=1"),
             .environment = ENVIRONMENT("TEMPO_ALERT_INTERVAL_SECS=2", "TEMPO_SETTLE_SECS=2"),
             .dotenv = "TEMPO_ALERT_INTERVAL_SECS=3\nTEMPO_SETTLE_SECS=3\nTEMPO_SEARCH_LIMIT=3\n",
             .table =
                 "{\"tempo_alert_interval_secs\": 4, \"tempo_settle_secs\": 4, \"tempo_search_limit\": 4, "
                 "\"max_alerts\": 4}",
         });
    assert_string_equal(said(&it.mistakes), "");
    assert_int_equal(it.config.tempo_alert_interval_secs, 1);
    assert_int_equal(it.config.tempo_settle_secs, 2);
    assert_int_equal(it.config.tempo_search_limit, 3);
    assert_int_equal(it.config.max_alerts, 4);
    unload(&it);
}

static void a_value_that_is_overridden_is_not_judged(void **state) {
    (void)state;
    loading it;
    load(&it, (given){.flags = FLAGS("--tempo-settle-secs=9"),
                      .environment = ENVIRONMENT("TEMPO_SETTLE_SECS=soon")});
    assert_int_equal(it.rc, 0);
    assert_int_equal(it.config.tempo_settle_secs, 9);
    unload(&it);
}

static void every_mistake_is_said_with_name_source_value_and_remedy(void **state) {
    (void)state;
    loading it;
    load(&it, (given){
                  .flags = FLAGS("--log-level=loud"),
                  .environment = ENVIRONMENT("TEMPO_ALERT_INTERVAL_SECS=abc", "TEMPO_ENABLED=maybe",
                                             "TEMPO_ERROR_RATE_THRESHOLD=1.5", "TEMPO_URL=tempo:3200"),
                  .table = "{\"tempo_settle_secs\": true, \"group_by\": [\"service\", 3]}",
              });
    assert_int_equal(it.rc, -1);
    assert_says(&it.mistakes, "--log-level (flag): \"loud\" must be one of debug|info|warn|error\n");
    assert_says(
        &it.mistakes,
        "TEMPO_ALERT_INTERVAL_SECS (environment): \"abc\" must be a whole number from 1 to 86400 (s)\n");
    assert_says(&it.mistakes, "TEMPO_ENABLED (environment): \"maybe\" must be true or false");
    assert_says(&it.mistakes,
                "TEMPO_ERROR_RATE_THRESHOLD (environment): \"1.5\" must be a number from 0 to 1 (ratio)");
    assert_says(&it.mistakes,
                "TEMPO_URL (environment): \"tempo:3200\" must be an absolute http or https URL");
    assert_says(&it.mistakes, "tempo_settle_secs (conf.lua): is a boolean, must be a number");
    assert_says(&it.mistakes, "group_by (conf.lua): must be a list of texts");
    /* What was wrong keeps its default, so that the rest can be judged. */
    assert_int_equal(it.config.tempo_alert_interval_secs, 30);
    unload(&it);
}

static void empty_variables_unset_numbers_but_may_empty_texts(void **state) {
    (void)state;
    loading it;
    load(&it,
         (given){.environment = ENVIRONMENT("TEMPO_SETTLE_SECS=", "TEMPO_ENABLED=", "SPANWATCH_LOG_LEVEL=",
                                            "SPANWATCH_LISTEN_ADDRESS=", "SPANWATCH_GROUP_BY=")});
    assert_string_equal(said(&it.mistakes), "");
    assert_int_equal(it.config.tempo_settle_secs, 35);
    assert_true(it.config.tempo_enabled);
    assert_string_equal(it.config.log_level, "info");
    assert_string_equal(it.config.listen_address, "");
    unload(&it);
}

static void a_key_or_an_authority_without_the_certificate_is_a_mistake(void **state) {
    (void)state;
    loading it;
    load(&it, (given){.environment = ENVIRONMENT("SPANWATCH_OTLP_TLS_KEY_FILE=/proc/self/status",
                                                 "SPANWATCH_OTLP_TLS_CLIENT_CA_FILE=/proc/self/status",
                                                 "SPANWATCH_LISTEN_TLS_KEY_FILE=/proc/self/status")});
    assert_int_equal(it.rc, -1);
    assert_says(&it.mistakes, "SPANWATCH_OTLP_TLS_KEY_FILE (environment): \"/proc/self/status\" needs "
                              "SPANWATCH_OTLP_TLS_CERT_FILE too");
    assert_says(&it.mistakes, "SPANWATCH_OTLP_TLS_CLIENT_CA_FILE (environment): \"/proc/self/status\" needs "
                              "SPANWATCH_OTLP_TLS_CERT_FILE too");
    assert_says(&it.mistakes, "SPANWATCH_LISTEN_TLS_KEY_FILE (environment): \"/proc/self/status\" needs "
                              "SPANWATCH_LISTEN_TLS_CERT_FILE too");
    unload(&it);
}

static void an_empty_flag_of_a_number_is_a_mistake(void **state) {
    (void)state;
    loading it;
    load(&it, (given){.flags = FLAGS("--tempo-settle-secs=")});
    assert_says(&it.mistakes, "--tempo-settle-secs (flag): \"\" must be a whole number");
    unload(&it);
}

static void unknown_variables_only_warn_and_name_the_nearest(void **state) {
    (void)state;
    loading it;
    load(&it, (given){.environment = ENVIRONMENT("TEMPO_ALERT_WEBHOK_URL=http://a/", "SPANWATCH_QQQQQQ=1",
                                                 "TEMPO_WHATEVER_THIS_IS=1", "HOME=/", "no equals sign")});
    assert_int_equal(it.rc, 0);
    assert_says(&it.warnings,
                "TEMPO_ALERT_WEBHOK_URL (environment) is not a setting and is ignored; did you mean "
                "TEMPO_ALERT_WEBHOOK_URL?\n");
    assert_says(&it.warnings, "SPANWATCH_QQQQQQ (environment) is not a setting and is ignored\n");
    assert_says(&it.warnings, "TEMPO_WHATEVER_THIS_IS (environment) is not a setting and is ignored\n");
    assert_null(strstr(said(&it.warnings), "HOME"));
    unload(&it);
}

static void variables_that_kubernetes_sets_for_a_service_are_silent(void **state) {
    (void)state;
    loading it;
    load(&it, (given){.environment =
                          ENVIRONMENT("TEMPO_PORT=tcp://10.0.0.1:3200", "TEMPO_SERVICE_HOST=10.0.0.1",
                                      "TEMPO_SERVICE_PORT_HTTP=3200", "TEMPO_PORT_3200_TCP_ADDR=10.0.0.1",
                                      "SPANWATCH_SERVICE_PORT=1")});
    assert_string_equal(said(&it.warnings), "");
    assert_string_equal(said(&it.mistakes), "");
    unload(&it);
}

static void unknown_names_in_dotenv_are_mistakes_unless_they_may_be_somebody_elses(void **state) {
    (void)state;
    loading it;
    load(&it, (given){.dotenv = "SPANWATCH_SCRIPT_DIR=/x\nSPANWATCH_ZZZZZZZZZ=1\nTEMPO_URLS=http://a/\n"
                                "TEMPO_IMAGE_VERSION_OF_COMPOSE=2\nOTHER=1\n"});
    assert_says(&it.mistakes, ":1): is not a setting; did you mean SPANWATCH_SCRIPTS_DIR?\n");
    assert_says(&it.mistakes, ":2): is not a setting\n");
    assert_says(&it.mistakes, ":3): is not a setting; did you mean TEMPO_URL?\n");
    assert_says(&it.warnings, "TEMPO_IMAGE_VERSION_OF_COMPOSE");
    assert_null(strstr(said(&it.mistakes), "OTHER"));
    unload(&it);
}

static void mistakes_of_dotenv_have_their_line(void **state) {
    (void)state;
    loading it;
    load(&it, (given){.dotenv = "# fine\nTEMPO_URL\nTEMPO_SETTLE_SECS=x\nTEMPO_TENANT=\"a\n"});
    assert_says(&it.mistakes, ":2: the line has no = after the name\n");
    assert_says(&it.mistakes, ":3): \"x\" must be a whole number");
    assert_says(&it.mistakes, ":4: the line has a quote that is not closed");
    unload(&it);
}

static void the_file_takes_lists_numbers_booleans_and_texts(void **state) {
    (void)state;
    loading it;
    load(&it,
         (given){.table =
                     "{\"group_by\": [\"service\", \"trace_id\"], \"tempo_enabled\": false,"
                     "\"tempo_settle_secs\": 12.0, \"tempo_error_rate_threshold\": 0.25,"
                     "\"storage_path\": \"/var/x\", \"max_alerts\": \"77\", \"detectors\": {},"
                     "\"webhook_headers\": [\"X-A: 1; 2\"], \"http_allowed_hosts\": \"a.example, b:81\"}"});
    assert_string_equal(said(&it.mistakes), "");
    assert_int_equal(it.config.group_by.n, 2);
    assert_string_equal(it.config.group_by.items[1], "trace_id");
    assert_null(it.config.group_by.items[2]);
    assert_false(it.config.tempo_enabled);
    assert_int_equal(it.config.tempo_settle_secs, 12);
    assert_true(it.config.tempo_error_rate_threshold == 0.25);
    assert_string_equal(it.config.storage_path, "/var/x");
    assert_int_equal(it.config.max_alerts, 77);
    assert_int_equal(it.config.detectors.n, 0);
    assert_string_equal(it.config.webhook_headers.items[0], "X-A: 1; 2");
    assert_string_equal(it.config.http_allowed_hosts.items[1], "b:81");
    assert_string_equal(it.config.config_file, "conf.lua");
    unload(&it);
}

static void unknown_keys_of_the_file_are_mistakes(void **state) {
    (void)state;
    loading it;
    load(&it, (given){.table = "{\"tempo_ulr\": \"x\", \"detectors_config\": {}, \"qqqqqqqq\": 1}"});
    assert_says(&it.mistakes, "tempo_ulr (conf.lua): is not a setting; did you mean tempo_url?\n");
    assert_says(&it.mistakes,
                "detectors_config (conf.lua): is not a setting; did you mean detector_config?\n");
    assert_says(&it.mistakes, "qqqqqqqq (conf.lua): is not a setting; see");
    unload(&it);
}

static void settings_of_detectors_win_over_their_variables(void **state) {
    (void)state;
    loading it;
    load(&it,
         (given){.environment =
                     ENVIRONMENT("TEMPO_LATENCY_THRESHOLD_MS=700", "TEMPO_ERROR_RATE_MIN_REQUESTS=5"),
                 .table = "{\"detector_config\": {\"detect\": {\"latency_threshold_ms\": 800, \"x\": [1, 2]},"
                          "\"detectors/other\": {\"a\": true}}}"});
    assert_string_equal(said(&it.mistakes), "");
    char *detect = sw_config_for_detector(&it.config, "detect");
    char *other = sw_config_for_detector(&it.config, "detectors/other");
    char *none = sw_config_for_detector(&it.config, "none");
    assert_string_equal(
        detect,
        "{\"latency_threshold_ms\":800,\"error_rate_threshold\":0.050000000000000003,\"min_requests\":5,"
        "\"x\":[1,2]}");
    assert_string_equal(other, "{\"a\":true}");
    assert_string_equal(none, "{}");
    free(detect);
    free(other);
    free(none);
    unload(&it);
}

static void detector_config_must_be_tables_by_detector(void **state) {
    (void)state;
    static const char *const wrong[] = {"{\"detector_config\": 3}", "{\"detector_config\": [1]}",
                                        "{\"detector_config\": {\"detect\": 800}}"};
    for (size_t i = 0; i < SW_ARRAY_LEN(wrong); i++) {
        loading it;
        load(&it, (given){.table = wrong[i]});
        assert_says(&it.mistakes, "detector_config (conf.lua): must be a table of tables");
        assert_string_equal(it.config.detector_config_json, "{}");
        unload(&it);
    }
}

static void a_file_that_is_no_table_of_settings_is_a_mistake(void **state) {
    (void)state;
    static const char *const wrong[] = {"3", "\"x\"", "[1]", "null", "{"};
    for (size_t i = 0; i < SW_ARRAY_LEN(wrong); i++) {
        loading it;
        load(&it, (given){.table = wrong[i]});
        assert_int_equal(it.rc, -1);
        assert_says(&it.mistakes, "config (conf.lua): must return a table of settings");
        unload(&it);
    }
}

static void the_error_of_the_file_is_a_mistake_beside_the_others(void **state) {
    (void)state;
    loading it;
    load(&it, (given){.evaluate_error = "conf.lua:3: unexpected symbol",
                      .environment = ENVIRONMENT("TEMPO_URL=x")});
    assert_says(&it.mistakes, "conf.lua:3: unexpected symbol\n");
    assert_says(&it.mistakes, "TEMPO_URL (environment)");
    unload(&it);
}

static void the_file_is_read_by_the_worker_and_with_the_variables_that_the_others_name(void **state) {
    (void)state;
    loading it;
    load(&it, (given){.environment = ENVIRONMENT("SPANWATCH_WORKER=/w", "A=2"),
                      .dotenv = "A=1\nB=3\n",
                      .table = "{}"});
    assert_string_equal(said(&it.seen), "path=conf.lua worker=/w A=1 B=3 SPANWATCH_WORKER=/w A=2");
    unload(&it);
}

static void the_files_name_may_be_a_variable(void **state) {
    (void)state;
    loading it;
    load(&it, (given){.environment = ENVIRONMENT("SPANWATCH_CONFIG=/etc/a.lua"),
                      .config_path = NULL,
                      .dotenv = "\n"});
    assert_says(&it.seen, "path=/etc/a.lua");
    assert_string_equal(it.config.config_file, "/etc/a.lua");
    unload(&it);
}

static void files_that_must_be_read_are_looked_at(void **state) {
    (void)state;
    char *empty = temporary_file(""), *good = temporary_file("user:password\n");
    char *first = xasprintf("TEMPO_BASIC_AUTH_FILE=%s", good), *second = xasprintf("TEMPO_CA_FILE=%s", empty);
    loading it;
    load(&it, (given){.environment =
                          ENVIRONMENT(first, second, "SPANWATCH_WEBHOOK_HMAC_SECRET_FILE=/nowhere/secret",
                                      "SPANWATCH_WEBHOOK_CA_FILE=/tmp")});
    assert_null(strstr(said(&it.mistakes), "TEMPO_BASIC_AUTH_FILE"));
    assert_says(&it.mistakes, "with something in it: it is empty");
    assert_says(&it.mistakes,
                "SPANWATCH_WEBHOOK_HMAC_SECRET_FILE (environment): \"/nowhere/secret\" must be a file "
                "that can be read: No such file or directory\n");
    assert_says(&it.mistakes, "\"/tmp\" must be a file that can be read: Is a directory\n");
    unload(&it);
    unlink(empty);
    unlink(good);
    free(empty);
    free(good);
    free(first);
    free(second);
}

static void settings_that_contradict_each_other_are_mistakes(void **state) {
    (void)state;
    loading it;
    load(&it, (given){.environment = ENVIRONMENT("TEMPO_URL=", "TEMPO_QUERY_TIMEOUT_MS=900",
                                                 "TEMPO_QUERY_TIMEOUT_MAX_MS=800",
                                                 "SPANWATCH_WEBHOOK_CLIENT_KEY_FILE=/etc/hostname")});
    assert_says(&it.mistakes, "TEMPO_URL (environment): \"\" must be set while TEMPO_ENABLED is true\n");
    assert_says(&it.mistakes, "\"800\" must not be less than TEMPO_QUERY_TIMEOUT_MS\n");
    assert_says(&it.mistakes, "needs SPANWATCH_WEBHOOK_CLIENT_CERT_FILE too\n");
    unload(&it);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_any_source_the_defaults_hold),
        cmocka_unit_test(a_flag_beats_the_environment_that_beats_dotenv_that_beats_the_file),
        cmocka_unit_test(a_value_that_is_overridden_is_not_judged),
        cmocka_unit_test(every_mistake_is_said_with_name_source_value_and_remedy),
        cmocka_unit_test(empty_variables_unset_numbers_but_may_empty_texts),
        cmocka_unit_test(a_key_or_an_authority_without_the_certificate_is_a_mistake),
        cmocka_unit_test(an_empty_flag_of_a_number_is_a_mistake),
        cmocka_unit_test(unknown_variables_only_warn_and_name_the_nearest),
        cmocka_unit_test(variables_that_kubernetes_sets_for_a_service_are_silent),
        cmocka_unit_test(unknown_names_in_dotenv_are_mistakes_unless_they_may_be_somebody_elses),
        cmocka_unit_test(mistakes_of_dotenv_have_their_line),
        cmocka_unit_test(the_file_takes_lists_numbers_booleans_and_texts),
        cmocka_unit_test(unknown_keys_of_the_file_are_mistakes),
        cmocka_unit_test(settings_of_detectors_win_over_their_variables),
        cmocka_unit_test(detector_config_must_be_tables_by_detector),
        cmocka_unit_test(a_file_that_is_no_table_of_settings_is_a_mistake),
        cmocka_unit_test(the_error_of_the_file_is_a_mistake_beside_the_others),
        cmocka_unit_test(the_file_is_read_by_the_worker_and_with_the_variables_that_the_others_name),
        cmocka_unit_test(the_files_name_may_be_a_variable),
        cmocka_unit_test(files_that_must_be_read_are_looked_at),
        cmocka_unit_test(settings_that_contradict_each_other_are_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
