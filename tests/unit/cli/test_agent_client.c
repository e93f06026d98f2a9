#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli/agent_client.h"

static void the_agent_is_found_where_it_listens(void **state) {
    (void)state;
    static const struct {
        const char *listen, *base;
    } cases[] = {
        {"127.0.0.1:9476", "http://127.0.0.1:9476"}, {":9476", "http://127.0.0.1:9476"},
        {"0.0.0.0:9476", "http://127.0.0.1:9476"},   {"[::]:9476", "http://[::1]:9476"},
        {"[::1]:9476", "http://[::1]:9476"},         {"10.1.2.3:80", "http://10.1.2.3:80"},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        char *base = sw_agent_client_base(cases[i].listen, false);
        assert_string_equal(base, cases[i].base);
        free(base);
    }
    assert_null(sw_agent_client_base("", false));
}

static void durations_are_read(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
    } cases[] = {{"30s", 30}, {"5m", 300}, {"2h", 7200}, {"1d12h", 129600}, {"1w", 604800}};
    int64_t seconds = 0;
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        assert_int_equal(sw_parse_duration(cases[i].text, &seconds), 0);
        assert_int_equal(seconds, cases[i].seconds);
    }
    static const char *const wrong[] = {"", "5", "h", "1.5h", "1h ", "-1h", "0s", "1y", "1234567890s"};
    for (size_t i = 0; i < SW_ARRAY_LEN(wrong); i++) {
        assert_int_equal(sw_parse_duration(wrong[i], &seconds), -1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_agent_is_found_where_it_listens),
        cmocka_unit_test(durations_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
