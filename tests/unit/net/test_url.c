#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/url.h"

static void good_urls_have_nothing_wrong(void **state) {
    (void)state;
    static const char *const good[] = {
        "http://127.0.0.1:3200",
        "https://tempo.example/prefix/",
        "HTTP://Tempo:80/a?b=c#d",
        "http://user:pw@[::1]:9464/x",
        "https://h/%7B%20%7D?q={resource.service.name=%22a%22}",
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(good); i++) {
        const char *wrong = sw_url_check(good[i]);
        if (wrong != NULL) {
            fail_msg("%s: %s", good[i], wrong);
        }
    }
}

static void assert_wrong(const char *url, const char *expected) {
    const char *wrong = sw_url_check(url);
    assert_non_null(wrong);
    assert_string_equal(wrong, expected);
    char *redacted = sw_url_redact(url);
    assert_string_equal(redacted, "(invalid URL)");
    free(redacted);
    assert_null(sw_url_host(url));
}

static void bad_urls_are_told_what_is_wrong(void **state) {
    (void)state;
    assert_wrong(NULL, "it is empty");
    assert_wrong("", "it is empty");
    assert_wrong("tempo:3200", "it must start with http:// or https://");
    assert_wrong("ftp://tempo", "it must start with http:// or https://");
    assert_wrong("file:///etc/passwd", "it must start with http:// or https://");
    assert_wrong("http:/tempo", "it must start with http:// or https://");
    assert_wrong("http://", "it has no host");
    assert_wrong("http:///tempo", "it has no host");
    assert_wrong("http://?q=1", "it has no host");
    assert_wrong("http://tempo:port/", "its port is not a number from 1 to 65535");
    assert_wrong("http://tempo:65536/", "its port is not a number from 1 to 65535");
    assert_wrong("http://tempo:0/", "its port is not a number from 1 to 65535");
    assert_wrong("http://tem po/", "it has spaces or control characters");
    assert_wrong("http://tempo/\r\nX: y", "it has spaces or control characters");
    assert_wrong("http://[::1/", "its host name is malformed");
    assert_wrong("http://us7%%7ftp:/x", "its host name is malformed");
    assert_wrong("http://%35", "its host name is malformed");
}

static void a_url_over_the_limit_is_invalid(void **state) {
    (void)state;
    char *url = malloc(SW_URL_MAX + 2);
    memset(url, 'a', SW_URL_MAX + 1);
    memcpy(url, "http://h/", 9);
    url[SW_URL_MAX + 1] = '\0';
    assert_string_equal(sw_url_check(url), "it is too long");
    url[SW_URL_MAX] = '\0';
    assert_null(sw_url_check(url));
    free(url);
}

static void assert_redacted(const char *url, const char *expected) {
    char *redacted = sw_url_redact(url);
    assert_string_equal(redacted, expected);
    free(redacted);
}

static void user_password_query_and_fragment_are_hidden(void **state) {
    (void)state;
    assert_redacted("http://127.0.0.1:3200", "http://127.0.0.1:3200/");
    assert_redacted("https://user:secret@tempo.example:8443/p/q?token=secret#secret",
                    "https://tempo.example:8443/p/q");
    assert_redacted("http://user@[::1]/?secret", "http://[::1]/");
    assert_redacted("http://a:b%40c@host/x", "http://host/x");
    assert_redacted("http://a:b@c@host/x", "(invalid URL)");
}

static void assert_host(const char *url, const char *expected) {
    char *host = sw_url_host(url);
    assert_non_null(host);
    assert_string_equal(host, expected);
    free(host);
}

static void the_host_is_the_one_that_is_connected_to(void **state) {
    (void)state;
    assert_host("http://Tempo.Example/x", "tempo.example");
    assert_host("http://tempo:3200/x", "tempo:3200");
    assert_host("https://tempo:443", "tempo:443");
    assert_host("http://[::1]:9464/", "[::1]:9464");
    assert_host("http://allowed@evil:80/", "evil:80");
    assert_host("http://evil/@allowed", "evil");
    assert_host("http://evil?@allowed", "evil");
    assert_host("http://evil#@allowed", "evil");
    assert_host("http://127.1/", "127.0.0.1");
    assert_host("http://2130706433/", "127.0.0.1");
}

static void everything_but_unreserved_characters_is_encoded(void **state) {
    (void)state;
    sw_buf out;
    sw_buf_init(&out, 100);
    assert_int_equal(sw_url_encode(&out, "aZ09-._~ {a=\"b\"}&+%/\xC3\xA9"), 0);
    assert_string_equal(out.data, "aZ09-._~%20%7Ba%3D%22b%22%7D%26%2B%25%2F%C3%A9");
    sw_buf_release(&out);
    sw_buf_init(&out, 5);
    assert_int_equal(sw_url_encode(&out, "    "), -1);
    sw_buf_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_urls_have_nothing_wrong),
        cmocka_unit_test(bad_urls_are_told_what_is_wrong),
        cmocka_unit_test(a_url_over_the_limit_is_invalid),
        cmocka_unit_test(user_password_query_and_fragment_are_hidden),
        cmocka_unit_test(the_host_is_the_one_that_is_connected_to),
        cmocka_unit_test(everything_but_unreserved_characters_is_encoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
