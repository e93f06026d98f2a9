#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/url_suffix.h"

static void what_stays_beneath_the_url_is_good(void **state) {
    (void)state;
    static const char *const good[] = {"/a",
                                       "/0123abcd/close",
                                       "/a/close?identifierType=alias",
                                       "/a?b=c?d&e=%20",
                                       "/%C3%A4",
                                       "/...",
                                       "/.hidden",
                                       "/a.b/..c",
                                       "/a:b@c",
                                       "/%2F"};
    for (size_t i = 0; i < SW_ARRAY_LEN(good); i++) {
        assert_null(sw_url_suffix_check(good[i], strlen(good[i])));
    }
}

static void what_leads_elsewhere_or_is_no_path_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",        "/",       "a",         "//host/x", "/a//b",         "/a/",       "/..",
        "/a/../b", "/.",      "/%2e%2E/x", "/.%2e",    "http://host/",  "/a#b",      "/a b",
        "/a\\b",   "/a%",     "/a%2",      "/a%zz",    "/a\r\nHost: x", "/\xc3\xa4", "?a=b",
        "@host/",  "/a?b=\"", "/?a=b",     "/a%?20"};
    for (size_t i = 0; i < SW_ARRAY_LEN(bad); i++) {
        if (sw_url_suffix_check(bad[i], strlen(bad[i])) == NULL) {
            fail_msg("\"%s\" is taken", bad[i]);
        }
    }
    assert_non_null(sw_url_suffix_check("/a\0b", 4));
    char *longest = xcalloc(1, SW_URL_SUFFIX_MAX + 2);
    memset(longest, 'a', SW_URL_SUFFIX_MAX + 1);
    longest[0] = '/';
    assert_non_null(sw_url_suffix_check(longest, SW_URL_SUFFIX_MAX + 1));
    assert_null(sw_url_suffix_check(longest, SW_URL_SUFFIX_MAX));
    free(longest);
}

static void assert_joined(const char *url, const char *suffix, const char *want) {
    char *joined = sw_url_with_suffix(url, suffix);
    assert_string_equal(joined, want);
    free(joined);
}

static void it_comes_at_the_end_of_the_path_and_queries_are_joined(void **state) {
    (void)state;
    assert_joined("http://h/v2/alerts", "/a/close?t=alias", "http://h/v2/alerts/a/close?t=alias");
    assert_joined("http://h/v2/alerts/", "/a", "http://h/v2/alerts/a");
    assert_joined("http://h", "/a", "http://h/a");
    assert_joined("http://h/x?k=1#f", "/a?b=2", "http://h/x/a?k=1&b=2");
    assert_joined("http://h/x?k=1", "/a", "http://h/x/a?k=1");
    assert_joined("http://h?k=/../1", "/a?", "http://h/a?k=/../1&");
    assert_joined("http://h/x#f?g", "/a?b", "http://h/x/a?b");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stays_beneath_the_url_is_good),
        cmocka_unit_test(what_leads_elsewhere_or_is_no_path_is_refused),
        cmocka_unit_test(it_comes_at_the_end_of_the_path_and_queries_are_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
