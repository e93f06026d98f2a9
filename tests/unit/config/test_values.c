#include "config/loading.h"

/* Loads one variable; true when it was taken. */
static bool takes(const char *variable) {
    loading it;
    load(&it, (given){.environment = ENVIRONMENT((char *)variable)});
    bool taken = it.rc == 0;
    if (taken) {
        assert_string_equal(said(&it.mistakes), "");
    }
    unload(&it);
    return taken;
}

static void booleans_are_read_in_every_usual_spelling(void **state) {
    (void)state;
    static const char *const words[] = {"true", "TRUE", "1", "yes", "Yes", "on", " true "};
    for (size_t i = 0; i < SW_ARRAY_LEN(words); i++) {
        char *variable = xasprintf("TEMPO_ALERT_INSECURE_TLS=%s", words[i]);
        loading it;
        load(&it, (given){.environment = ENVIRONMENT(variable)});
        assert_true(it.config.tempo_alert_insecure_tls);
        unload(&it);
        free(variable);
    }
    assert_true(takes("TEMPO_ENABLED=Off") && takes("TEMPO_ENABLED=no") && takes("TEMPO_ENABLED=0"));
    assert_false(takes("TEMPO_ENABLED=2") || takes("TEMPO_ENABLED=y"));
}

static void whole_numbers_have_limits_and_no_tail(void **state) {
    (void)state;
    assert_true(takes("TEMPO_ALERT_INTERVAL_SECS=1") && takes("TEMPO_ALERT_INTERVAL_SECS=86400"));
    assert_false(takes("TEMPO_ALERT_INTERVAL_SECS=0") || takes("TEMPO_ALERT_INTERVAL_SECS=86401"));
    assert_false(takes("TEMPO_ALERT_INTERVAL_SECS=30s") || takes("TEMPO_ALERT_INTERVAL_SECS=1.5"));
    assert_false(takes("TEMPO_ALERT_INTERVAL_SECS=99999999999999999999") ||
                 takes("TEMPO_ALERT_INTERVAL_SECS=-1"));
}

static void numbers_are_finite_and_decimal(void **state) {
    (void)state;
    assert_true(takes("TEMPO_ERROR_RATE_THRESHOLD=5e-2") && takes("TEMPO_ERROR_RATE_THRESHOLD=1"));
    assert_false(takes("TEMPO_ERROR_RATE_THRESHOLD=nan") || takes("TEMPO_LATENCY_THRESHOLD_MS=inf"));
    assert_false(takes("TEMPO_LATENCY_THRESHOLD_MS=0x10") || takes("TEMPO_LATENCY_THRESHOLD_MS=1,5"));
}

static void choices_may_be_written_in_any_case_and_are_kept_in_one(void **state) {
    (void)state;
    loading it;
    load(&it, (given){.environment = ENVIRONMENT("SPANWATCH_LOG_LEVEL=WARN", "SPANWATCH_LOG_FORMAT=Json")});
    assert_string_equal(it.config.log_level, "warn");
    assert_string_equal(it.config.log_format, "json");
    unload(&it);
    assert_false(takes("SPANWATCH_LOG_LEVEL=warning") || takes("SPANWATCH_LOG_LEVEL=debug|info"));
}

static void lists_are_split_trimmed_and_free_of_empty_items(void **state) {
    (void)state;
    loading it;
    load(&it, (given){.environment = ENVIRONMENT("SPANWATCH_GROUP_BY= service ,,operation,",
                                                 "TEMPO_HEADERS=X-A: 1, 2 ; X-B:3;")});
    assert_int_equal(it.config.group_by.n, 2);
    assert_string_equal(it.config.group_by.items[0], "service");
    assert_string_equal(it.config.group_by.items[1], "operation");
    assert_int_equal(it.config.tempo_headers.n, 2);
    assert_string_equal(it.config.tempo_headers.items[0], "X-A: 1, 2");
    assert_string_equal(it.config.tempo_headers.items[1], "X-B:3");
    unload(&it);
    assert_false(takes("SPANWATCH_GROUP_BY=service,service") || takes("SPANWATCH_GROUP_BY=a b"));
    assert_false(takes("TEMPO_HEADERS=no colon") || takes("TEMPO_HEADERS=A: b\r\nC: d"));
}

static void names_of_detectors_stay_beneath_the_scripts_folder(void **state) {
    (void)state;
    assert_true(takes("SPANWATCH_DETECTORS=detectors/latency_zscore,other"));
    assert_false(takes("SPANWATCH_DETECTORS=/etc/passwd") || takes("SPANWATCH_DETECTORS=../x"));
    assert_false(takes("SPANWATCH_DETECTORS=detectors/x.lua"));
}

static void listen_addresses_are_addresses_with_a_port(void **state) {
    (void)state;
    static const char *const good[] = {"127.0.0.1:9476", ":9476", "[::1]:0", "0.0.0.0:65535"};
    static const char *const bad[] = {"9476",   "localhost:1", "127.0.0.1", "127.0.0.1:65536",
                                      "::1:80", "[::1]",       "1.2.3.4:+5"};
    for (size_t i = 0; i < SW_ARRAY_LEN(good) + SW_ARRAY_LEN(bad); i++) {
        bool is_good = i < SW_ARRAY_LEN(good);
        char *variable =
            xasprintf("SPANWATCH_LISTEN_ADDRESS=%s", is_good ? good[i] : bad[i - SW_ARRAY_LEN(good)]);
        if (takes(variable) != is_good) {
            fail_msg("%s", variable);
        }
        free(variable);
    }
}

static void other_texts_are_checked_by_what_they_are_for(void **state) {
    (void)state;
    assert_true(takes("SPANWATCH_HTTP_ALLOWED_HOSTS=a.example,10.0.0.1:81,[::1]:80"));
    assert_false(takes("SPANWATCH_HTTP_ALLOWED_HOSTS=http://a.example") ||
                 takes("SPANWATCH_HTTP_ALLOWED_HOSTS=a/b"));
    assert_true(takes("SPANWATCH_TRACE_URL=https://g/explore?left={\"id\":\"{trace_id}\"}"));
    assert_false(takes("SPANWATCH_TRACE_URL=https://g/explore") || takes("SPANWATCH_TRACE_URL=g/{trace_id}"));
    assert_true(takes("TEMPO_TENANT=a|b"));
    assert_false(takes("TEMPO_TENANT=a b"));
    assert_false(takes("TEMPO_ALERT_WEBHOOK_URL=ftp://x/"));
}

static void secrets_are_neither_in_mistakes_nor_in_what_is_printed(void **state) {
    (void)state;
    loading it;
    load(&it,
         (given){.environment = ENVIRONMENT("TEMPO_URL=http://user:geheim@tempo:3200/p?token=geheim",
                                            "TEMPO_ALERT_WEBHOOK_URL=ftp://user:geheim@host/",
                                            "SPANWATCH_WEBHOOK_HEADERS=Authorization geheim",
                                            "TEMPO_HEADERS=Authorization: geheim; X-Key: geheim"),
                 .table = "{\"detector_config\": {\"d\": {\"api_token\": \"geheim\", \"n\": [{\"password\": "
                          "\"geheim\"}], \"limit\": 3}}}"});
    sw_buf out;
    sw_buf_init(&out, 1 << 16);
    sw_config_print(&it.config, &out);
    assert_null(strstr(said(&it.mistakes), "geheim"));
    assert_null(strstr(said(&out), "geheim"));
    assert_says(&out, "TEMPO_URL=http://tempo:3200/p  # environment\n");
    assert_says(&out, "TEMPO_HEADERS=\"Authorization: (hidden); X-Key: (hidden)\"  # environment\n");
    assert_says(&out, "{\"d\":{\"api_token\":\"(hidden)\",\"limit\":3,\"n\":[{\"password\":\"(hidden)\"}]}}");
    sw_buf_release(&out);
    unload(&it);
}

static void each_printed_value_says_where_it_came_from(void **state) {
    (void)state;
    loading it;
    load(&it, (given){.flags = FLAGS("--storage-path=/a b"),
                      .environment = ENVIRONMENT("TEMPO_TENANT=t"),
                      .dotenv = "\nSPANWATCH_GROUP_BY=service,operation\n",
                      .table = "{\"max_alerts\": 9}"});
    sw_buf out;
    sw_buf_init(&out, 1 << 16);
    sw_config_print(&it.config, &out);
    assert_says(&out, "SPANWATCH_STORAGE_PATH=\"/a b\"  # flag\n");
    assert_says(&out, "TEMPO_TENANT=t  # environment\n");
    assert_says(&out, "SPANWATCH_GROUP_BY=service,operation  # /tmp/spanwatch-test-");
    assert_says(&out, ":2\n");
    assert_says(&out, "SPANWATCH_MAX_ALERTS=9  # conf.lua\n");
    assert_says(&out, "TEMPO_SETTLE_SECS=35  # default\n");
    sw_buf_release(&out);
    unload(&it);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(booleans_are_read_in_every_usual_spelling),
        cmocka_unit_test(whole_numbers_have_limits_and_no_tail),
        cmocka_unit_test(numbers_are_finite_and_decimal),
        cmocka_unit_test(choices_may_be_written_in_any_case_and_are_kept_in_one),
        cmocka_unit_test(lists_are_split_trimmed_and_free_of_empty_items),
        cmocka_unit_test(names_of_detectors_stay_beneath_the_scripts_folder),
        cmocka_unit_test(listen_addresses_are_addresses_with_a_port),
        cmocka_unit_test(other_texts_are_checked_by_what_they_are_for),
        cmocka_unit_test(secrets_are_neither_in_mistakes_nor_in_what_is_printed),
        cmocka_unit_test(each_printed_value_says_where_it_came_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
