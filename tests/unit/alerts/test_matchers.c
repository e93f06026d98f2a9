#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alerts/matchers.h"

static sw_matchers parse(const char *text) {
    sw_matchers matchers = {0};
    char *why = NULL;
    if (sw_matchers_parse(&matchers, text, &why) != 0) {
        fail_msg("%s: %s", text, why);
    }
    assert_null(why);
    return matchers;
}

static void lists_are_read_as_amtool_writes_them(void **state) {
    (void)state;
    static const struct {
        const char *text, *printed;
    } cases[] = {
        {"a=b", "a=\"b\""},
        {"{a=\"b\"}", "a=\"b\""},
        {" a = b , c != \"d, e\" ", "a=\"b\",c!=\"d, e\""},
        {"a=~\"x|y\",b!~z.*", "a=~\"x|y\",b!~\"z.*\""},
        {"a=\"q\\\"q\\\\q\\nq\\d\",", "a=\"q\\\"q\\\\q\\nq\\\\d\""},
        {"{a=}", "a=\"\""},
        {"http.route=\"/x\"", "http.route=\"/x\""},
        {"{}", ""},
        {"", ""},
        {"a=b=c", "a=\"b=c\""},
        {"{a=~\"x{2}\"}", "a=~\"x{2}\""},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        sw_matchers matchers = parse(cases[i].text);
        sw_buf out;
        sw_buf_init(&out, 4096);
        sw_matchers_print(&matchers, &out);
        assert_string_equal(out.data != NULL ? out.data : "", cases[i].printed);
        sw_buf_release(&out);
        sw_matchers_release(&matchers);
    }
}

static void lists_that_cannot_be_used_say_why(void **state) {
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"a", "needs =, !=, =~ or !~"},
        {"a~b", "needs =, !=, =~ or !~"},
        {"=b", "invalid label name"},
        {"1a=b", "invalid label name"},
        {"a b=c", "needs ="},
        {"a=\"b", "quote that is not closed"},
        {"a=b\"c\"", "a quote within a value"},
        {"a=\"b\"c", "goes on behind its value"},
        {"{a=b", "a brace is not closed"},
        {"{a=b} c", "something follows"},
        {"a=~\"(\"", "open group"},
        {"a=~\")(\"", "closes a group"},
        {"a=~\"[a\"", "open bracket"},
        {"a=~\"(?i)x\"", "only (?:"},
        {"a=~\"(x)\\\\1\"", "back-reference"},
        {"a=~\"\\\\pL\"", "escape that is not known"},
        {"a=~\"((x{200}){200})\"", "too large"},
        {"a=~\"x{256}\"", "255 at most"},
        {"a=~\"(((a?)?)?){255}b\"", "repeated groups"}, /* would take gigabytes to compile */
        {"a=~\"((a*)*){32}b\"", "too large"},
        {"a=~\"(((a*)*)*)*\"", "repeated groups"},
        {"a=~\"*x\"", "repetition of nothing"},
        {"a=~\"x|+\"", "repetition of nothing"},
        {"a=~\"(?:?x)\"", "repetition of nothing"},
        {"a=~\"x++++++++++++++++++++++++++++++++++++++++\"", "repetition of a repetition"}, /* likewise */
        {"a=~\"x*{3}\"", "repetition of a repetition"},
        {"a=~\"x{2}{3}\"", "repetition of a repetition"},
        {"a=~\"x+?*\"", "repetition of a repetition"},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        sw_matchers matchers = {0};
        char *why = NULL;
        if (sw_matchers_parse(&matchers, cases[i].text, &why) == 0) {
            fail_msg("%s was taken", cases[i].text);
        }
        if (strstr(why, cases[i].why) == NULL) {
            fail_msg("%s: %s", cases[i].text, why);
        }
        free(why);
        sw_matchers_release(&matchers);
    }
}

static void values_match_as_in_alertmanager(void **state) {
    (void)state;
    static const struct {
        const char *matcher, *value;
        bool matches;
    } cases[] = {
        {"a=x", "x", true},
        {"a=x", "xx", false},
        {"a=\"\"", "", true},
        {"a!=x", "", true},
        {"a!=x", "x", false},
        {"a=~x", "x", true},
        {"a=~x", "ax", false},
        {"a=~x|y", "y", true},
        {"a=~x|y", "yz", false},
        {"a=~\".*\"", "", true},
        {"a=~.+", "", false},
        {"a!~x.*", "xyz", false},
        {"a!~x.*", "", true},
        {"a=~\"(?:GET|POST) /a\"", "POST /a", true},
        {"a=~\"x+?y*?z{1,2}?\"", "xxzz", true}, /* lazy or not is all the same for a whole value */
        {"a=~\"x+?\"", "", false},
        {"a=~\"{x{{\"", "{x{{", true},
        {"a=~\"GET /users/\\\\d+\"", "GET /users/42", true},
        {"a=~\"[\\\\w.-]+\"", "my_host-1.x", true},
        {"a=~\"[^\\\\d]+\"", "abc1", false},
        {"a=~\"[]x]+\"", "]x]", true},
        {"a=~\"a\\\\.b\"", "axb", false},
        {"a=~\"a\\\\/b\"", "a/b", true},
        {"a=~\"x{2,3}\"", "xxx", true},
        {"a=~\"x{2,3}\"", "xxxx", false},
        {"a=~\"a{b}\"", "a{b}", true},
        {"a=~\"x*?y\"", "xxy", true},
        {"a=~\"[[:alpha:]]+\"", "abc", true},
        {"a=~\"^x$\"", "x", true},
        {"a=~\"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\"", "5b1ff0b0-6b2c-4a57-8b0d-0b8a4f0c8e7e", true},
        {"a=~\"([0-9]{1,3}[.]){3}[0-9]{1,3}\"", "10.0.0.255", true},
        {"a=~\"/(users|orders)(/[0-9]+)?(/items)*\"", "/users/7/items", true},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        sw_matchers matchers = parse(cases[i].matcher);
        if (sw_matcher_matches(&matchers.items[0], cases[i].value) != cases[i].matches) {
            fail_msg("%s on \"%s\"", cases[i].matcher, cases[i].value);
        }
        sw_matchers_release(&matchers);
    }
}

static void an_alert_is_matched_by_its_labels_and_what_it_is(void **state) {
    (void)state;
    sw_label labels[] = {{"region", "eu"}, {"service", "checkout"}};
    sw_alert alert = {.fingerprint = "0123456789abcdef",
                      .type = "high_latency",
                      .detector = "detect",
                      .source = "tempo",
                      .labels = labels,
                      .n_labels = 2,
                      .severity = SW_SEVERITY_CRITICAL,
                      .operation = "GET /"};
    static const struct {
        const char *text;
        bool matches;
    } cases[] = {
        {"alertname=high_latency", true},
        {"alertname=~high_.*,service=checkout,region!=us", true},
        {"service=checkout,region=us", false},
        {"severity=critical,detector=detect,source=tempo,operation=\"GET /\"", true},
        {"fingerprint=0123456789abcdef", true},
        {"team=\"\"", true},
        {"team!=\"\"", false},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        sw_matchers matchers = parse(cases[i].text);
        if (sw_matchers_match_alert(&matchers, &alert) != cases[i].matches) {
            fail_msg("%s", cases[i].text);
        }
        sw_matchers_release(&matchers);
    }
}

static void copies_are_equal_and_an_order_is_not(void **state) {
    (void)state;
    sw_matchers one = parse("a=b,c=~d"), other = parse("c=~d,a=b"), copy;
    sw_matchers_copy(&copy, &one);
    assert_true(sw_matchers_equal(&one, &copy));
    assert_false(sw_matchers_equal(&one, &other));
    assert_true(sw_matcher_matches(&copy.items[1], "d"));
    sw_matchers_release(&one);
    sw_matchers_release(&other);
    sw_matchers_release(&copy);
}

static void a_list_has_a_cap(void **state) {
    (void)state;
    sw_matchers matchers = {0};
    char *why = NULL;
    for (int i = 0; i < SW_MATCHERS_MAX; i++) {
        assert_int_equal(sw_matchers_add(&matchers, "a", SW_MATCH_EQUAL, "b", &why), 0);
    }
    assert_int_equal(sw_matchers_add(&matchers, "a", SW_MATCH_EQUAL, "b", &why), -1);
    assert_non_null(why);
    free(why);
    sw_matchers_release(&matchers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_read_as_amtool_writes_them),
        cmocka_unit_test(lists_that_cannot_be_used_say_why),
        cmocka_unit_test(values_match_as_in_alertmanager),
        cmocka_unit_test(an_alert_is_matched_by_its_labels_and_what_it_is),
        cmocka_unit_test(copies_are_equal_and_an_order_is_not),
        cmocka_unit_test(a_list_has_a_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
