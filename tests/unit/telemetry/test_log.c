#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "telemetry/log.h"
#include "telemetry/text.h"

static char last[SW_LOG_LINE_MAX + 1];
static int lines;

static void keep_line(const char *line, void *arg) {
    (void)arg;
    assert_true(strlen(line) < sizeof last);
    strcpy(last, line);
    lines++;
}

static int64_t fixed_wall(void *arg) {
    (void)arg;
    return INT64_C(1772359200123000000);
}

static const sw_clock fixed_clock = {fixed_wall, fixed_wall, NULL};

static int capture(void **state) {
    (void)state;
    lines = 0;
    last[0] = '\0';
    sw_log_set_clock(&fixed_clock);
    sw_log_set_sink(keep_line, NULL);
    sw_log_setup(SW_LOG_INFO, SW_LOG_LOGFMT);
    return 0;
}

static int restore(void **state) {
    (void)state;
    sw_log_set_sink(NULL, NULL);
    sw_log_set_clock(NULL);
    sw_log_setup(SW_LOG_INFO, SW_LOG_LOGFMT);
    return 0;
}

static void a_logfmt_line_has_time_level_message_and_pairs(void **state) {
    (void)state;
    sw_log(SW_LOG_WARN, "tempo query failed", "query", "counts", "reason", "timeout after 100 ms", "took_ms",
           sw_log_num(100.5), "attempt", sw_log_int(-2), NULL);
    assert_string_equal(last,
                        "time=2026-03-01T10:00:00.123Z level=warn msg=\"tempo query failed\" query=counts "
                        "reason=\"timeout after 100 ms\" took_ms=100.5 attempt=-2");
}

static void a_json_line_has_numbers_only_where_they_were_numbers(void **state) {
    (void)state;
    sw_log_setup(SW_LOG_INFO, SW_LOG_JSON);
    sw_log(SW_LOG_ERROR, "it \"broke\"", "trace_id", "0042", "ms", sw_log_num(1.5), "n",
           sw_log_int(INT64_MIN), "nan", sw_log_num(NAN), "inf", sw_log_num(INFINITY), NULL);
    assert_string_equal(last, "{\"time\":\"2026-03-01T10:00:00.123Z\",\"level\":\"error\","
                              "\"msg\":\"it \\\"broke\\\"\",\"trace_id\":\"0042\",\"ms\":1.5,"
                              "\"n\":-9223372036854775808,\"nan\":\"NaN\",\"inf\":\"+Inf\"}");
}

static void lines_below_the_level_are_not_written(void **state) {
    (void)state;
    sw_log(SW_LOG_DEBUG, "quiet", NULL);
    assert_int_equal(lines, 0);
    assert_false(sw_log_enabled(SW_LOG_DEBUG));
    sw_log_setup(SW_LOG_DEBUG, SW_LOG_LOGFMT);
    sw_log(SW_LOG_DEBUG, "loud", NULL);
    assert_int_equal(lines, 1);
    sw_log_setup(SW_LOG_ERROR, SW_LOG_LOGFMT);
    sw_log(SW_LOG_WARN, "quiet", NULL);
    assert_int_equal(lines, 1);
}

static void pairs_without_value_are_left_out(void **state) {
    (void)state;
    sw_log(SW_LOG_INFO, "x", "gone", NULL, "kept", "1", NULL);
    assert_string_equal(last, "time=2026-03-01T10:00:00.123Z level=info msg=x kept=1");
}

static void values_cannot_forge_lines_or_steer_a_terminal(void **state) {
    (void)state;
    sw_log(SW_LOG_INFO, "x", "v", "a\nlevel=error\r\t\x1b[31m\x7f\xC2\x9B\xE2\x80\xA8 \\ \"", NULL);
    assert_string_equal(last, "time=2026-03-01T10:00:00.123Z level=info msg=x "
                              "v=\"a\\nlevel=error\\r\\t\\u001b[31m\\u007f\\u009b\\u2028 \\\\ \\\"\"");
}

static void bytes_that_are_not_utf8_are_replaced(void **state) {
    (void)state;
    sw_log_setup(SW_LOG_INFO, SW_LOG_JSON);
    sw_log(SW_LOG_INFO, "x", "v", "\xFFok\xC3\xA9\xE2\x82", NULL);
    assert_true(sw_text_valid(last, strlen(last)));
    assert_non_null(strstr(last, "\"v\":\"" SW_UTF8_REPLACEMENT
                                 "ok\xC3\xA9" SW_UTF8_REPLACEMENT SW_UTF8_REPLACEMENT "\"}"));
}

static void values_are_quoted_only_when_needed(void **state) {
    (void)state;
    sw_log(SW_LOG_INFO, "x", "url", "http://127.0.0.1:3200/api", "empty", "", "eq", "a=b", "utf8", "\xC3\xA9",
           NULL);
    assert_non_null(strstr(last, " url=http://127.0.0.1:3200/api empty=\"\" eq=\"a=b\" utf8=\"\xC3\xA9\""));
}

static void keys_from_scripts_are_made_harmless(void **state) {
    (void)state;
    const char *keys[] = {"level", "a b=\"c", "", "service.name", "left_out"};
    const char *values[] = {"1", "2", "3", "4", NULL};
    sw_log_pairs(SW_LOG_INFO, "x", 5, keys, values);
    assert_non_null(strstr(last, " msg=x level_=1 a_b__c=2 _=3 service.name=4"));
    assert_null(strstr(last, "left_out"));
}

static void assert_cut_json(size_t len) {
    char *value = malloc(len + 1);
    memset(value, 'v', len);
    value[len] = '\0';
    sw_log(SW_LOG_INFO, "x", "first", value, "second", "s", NULL);
    free(value);
    size_t line = strlen(last);
    assert_true(line + 1 <= SW_LOG_LINE_MAX);
    const char *end = len < SW_LOG_LINE_MAX / 2 ? "\",\"second\":\"s\"}" : "\",\"truncated\":true}";
    assert_string_equal(last + line - strlen(end), end);
}

static void a_long_line_is_cut_and_still_well_formed(void **state) {
    (void)state;
    sw_log_setup(SW_LOG_INFO, SW_LOG_JSON);
    assert_cut_json(100);
    assert_cut_json(SW_LOG_LINE_MAX);
    assert_cut_json(SW_LOG_LINE_MAX * 3);
    sw_log_setup(SW_LOG_INFO, SW_LOG_LOGFMT);
    char *value = malloc(SW_LOG_LINE_MAX * 2 + 1);
    for (size_t i = 0; i < SW_LOG_LINE_MAX; i++) {
        memcpy(value + 2 * i, "\xC3\xA9", 2);
    }
    value[(size_t)SW_LOG_LINE_MAX * 2] = '\0';
    sw_log(SW_LOG_INFO, "x", "v", value, "w", "w", NULL);
    free(value);
    assert_true(strlen(last) + 1 <= SW_LOG_LINE_MAX);
    assert_true(sw_text_valid(last, strlen(last)));
    assert_string_equal(last + strlen(last) - 18, "\xC3\xA9\" truncated=true");
}

/* Takes the pairs of a logfmt line apart; false when it is none. */
static bool well_formed(const char *s) {
    while (*s != '\0') {
        size_t key = strcspn(s, "= \"");
        if (key == 0 || s[key] != '=') {
            return false;
        }
        s += key + 1;
        if (*s == '"') {
            s++;
            s += strcspn(s, "\"");
            if (*s++ != '"') {
                return false;
            }
        } else {
            size_t value = strcspn(s, " \"");
            if (value == 0) {
                return false;
            }
            s += value;
        }
        if (*s != '\0' && *s++ != ' ') {
            return false;
        }
    }
    return true;
}

static void the_line_stays_well_formed_at_every_length(void **state) {
    (void)state;
    char value[SW_LOG_LINE_MAX];
    int whole = 0;
    for (size_t len = SW_LOG_LINE_MAX - 150; len < SW_LOG_LINE_MAX - 60; len++) {
        memset(value, 'v', len);
        value[len] = '\0';
        sw_log(SW_LOG_INFO, "x", "a", value, "key", "bare", "k", "two words", NULL);
        assert_true(strlen(last) + 1 <= SW_LOG_LINE_MAX);
        assert_true(well_formed(last));
        bool cut = strstr(last, " truncated=true") != NULL;
        bool complete = strstr(last, " key=bare k=\"two words\"") != NULL;
        assert_true(cut != complete);
        whole += complete;
    }
    assert_in_range(whole, 1, 80);
}

static void sixteen_numbers_are_valid_at_once(void **state) {
    (void)state;
    const char *texts[16];
    for (int i = 0; i < 16; i++) {
        texts[i] = i % 2 == 0 ? sw_log_int(i) : sw_log_num(i + 0.5);
    }
    for (int i = 0; i < 16; i++) {
        assert_true(strtod(texts[i], NULL) == (i % 2 == 0 ? i : i + 0.5));
    }
}

static void names_of_levels_and_formats_are_known(void **state) {
    (void)state;
    sw_log_level level = SW_LOG_INFO;
    assert_int_equal(sw_log_level_parse("debug", &level), 0);
    assert_int_equal(level, SW_LOG_DEBUG);
    assert_int_equal(sw_log_level_parse("error", &level), 0);
    assert_int_equal(level, SW_LOG_ERROR);
    assert_int_equal(sw_log_level_parse("fatal", &level), -1);
    assert_int_equal(sw_log_level_parse(NULL, &level), -1);
    assert_int_equal(level, SW_LOG_ERROR);
    sw_log_format format = SW_LOG_LOGFMT;
    assert_int_equal(sw_log_format_parse("json", &format), 0);
    assert_int_equal(format, SW_LOG_JSON);
    assert_int_equal(sw_log_format_parse("JSON", &format), -1);
}

/* A datagram socket keeps each write apart. */
static void a_line_is_one_write_to_standard_error(void **state) {
    (void)state;
    sw_log_set_sink(NULL, NULL);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    int saved = dup(STDERR_FILENO);
    assert_int_equal(dup2(pair[1], STDERR_FILENO), STDERR_FILENO);
    sw_log(SW_LOG_INFO, "one", "k", "v", NULL);
    sw_log(SW_LOG_INFO, "two", NULL);
    dup2(saved, STDERR_FILENO);
    close(saved);
    char got[256] = {0};
    assert_true(recv(pair[0], got, sizeof got - 1, MSG_DONTWAIT) > 0);
    assert_string_equal(got, "time=2026-03-01T10:00:00.123Z level=info msg=one k=v\n");
    memset(got, 0, sizeof got);
    assert_true(recv(pair[0], got, sizeof got - 1, MSG_DONTWAIT) > 0);
    assert_string_equal(got, "time=2026-03-01T10:00:00.123Z level=info msg=two\n");
    close(pair[0]);
    close(pair[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_logfmt_line_has_time_level_message_and_pairs, capture, restore),
        cmocka_unit_test_setup_teardown(a_json_line_has_numbers_only_where_they_were_numbers, capture,
                                        restore),
        cmocka_unit_test_setup_teardown(lines_below_the_level_are_not_written, capture, restore),
        cmocka_unit_test_setup_teardown(pairs_without_value_are_left_out, capture, restore),
        cmocka_unit_test_setup_teardown(values_cannot_forge_lines_or_steer_a_terminal, capture, restore),
        cmocka_unit_test_setup_teardown(bytes_that_are_not_utf8_are_replaced, capture, restore),
        cmocka_unit_test_setup_teardown(values_are_quoted_only_when_needed, capture, restore),
        cmocka_unit_test_setup_teardown(keys_from_scripts_are_made_harmless, capture, restore),
        cmocka_unit_test_setup_teardown(a_long_line_is_cut_and_still_well_formed, capture, restore),
        cmocka_unit_test_setup_teardown(the_line_stays_well_formed_at_every_length, capture, restore),
        cmocka_unit_test_setup_teardown(sixteen_numbers_are_valid_at_once, capture, restore),
        cmocka_unit_test_setup_teardown(names_of_levels_and_formats_are_known, capture, restore),
        cmocka_unit_test_setup_teardown(a_line_is_one_write_to_standard_error, capture, restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
