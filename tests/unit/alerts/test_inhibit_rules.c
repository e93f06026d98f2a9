/* Inhibition rules as they are written, and every mistake in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "alerts/inhibit_rules.h"

static void rules_are_read(void **state) {
    (void)state;
    sw_inhibit_rules rules;
    sw_buf mistakes;
    sw_buf_init(&mistakes, 65536);
    sw_inhibit_rules_parse(
        "[{\"source_matchers\": [\"alertname=\\\"down\\\"\", \"severity=~\\\"crit.*\\\"\"],"
        " \"target_matchers\": [\"service!=\\\"\\\"\"], \"equal\": [\"region\", \"service\"]},"
        " {\"source_matchers\": [\"a=b,c=d\"], \"target_matchers\": [\"{e=f}\"], \"equal\": {}}]",
        &rules, &mistakes);
    assert_int_equal(mistakes.len, 0);
    assert_int_equal(rules.n, 2);
    assert_int_equal(rules.items[0].source.n, 2);
    assert_int_equal(rules.items[0].source.items[1].op, SW_MATCH_REGEX);
    assert_int_equal(rules.items[0].n_equal, 2);
    assert_string_equal(rules.items[0].equal[0], "region");
    assert_int_equal(rules.items[1].source.n, 2); /* several in one text, as amtool takes them */
    assert_int_equal(rules.items[1].n_equal, 0);
    sw_inhibit_rules_release(&rules);
    sw_inhibit_rules_parse("{}", &rules, &mistakes); /* an empty Lua table */
    assert_int_equal(mistakes.len, 0);
    assert_int_equal(rules.n, 0);
    sw_inhibit_rules_release(&rules);
    sw_buf_release(&mistakes);
}

static void every_mistake_is_said(void **state) {
    (void)state;
    static const struct {
        const char *json, *said[6];
    } rows[] = {
        {"3", {"inhibit_rules must be a list of tables"}},
        {"{\"source_matchers\": []}", {"inhibit_rules must be a list of tables"}},
        {"[\"a\", [], {}]",
         {"inhibit_rules[1] must be a table", "inhibit_rules[2] must be a table",
          "inhibit_rules[3] must be a table"}},
        {"[{\"source_matchers\": \"a=b\", \"target_matchers\": [1, \"a=~\\\"(\\\"\"], \"equal\": [\"\", "
         "\"x\", \"x\"],"
         " \"source_match\": {}}]",
         {"inhibit_rules[1].source_match is not known", "inhibit_rules[1].source_matchers must be a list",
          "inhibit_rules[1].target_matchers entry 1 must be a text",
          "inhibit_rules[1].target_matchers entry 2 (a=~\"(\") cannot be used: ",
          "inhibit_rules[1].equal entry 1 must be the name",
          "inhibit_rules[1].equal entry 3 (x) is there already"}},
        {"[{\"source_matchers\": [\"a=b\"], \"target_matchers\": [\"a=b\"], \"equal\": \"x\"},"
         " {\"source_matchers\": [\"a!=b\"], \"target_matchers\": []}]",
         {"inhibit_rules[1].equal must be a list of labels",
          "inhibit_rules[2].source_matchers needs at least one matcher that does not match the empty text",
          "inhibit_rules[2].target_matchers needs at least one matcher: "}},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(rows); i++) {
        sw_inhibit_rules rules;
        sw_buf mistakes;
        sw_buf_init(&mistakes, 65536);
        sw_inhibit_rules_parse(rows[i].json, &rules, &mistakes);
        assert_int_equal(rules.n, 0);
        size_t lines = 0, wanted = 0;
        for (const char *c = mistakes.data; *c != '\0'; c++) {
            lines += *c == '\n' ? 1 : 0;
        }
        for (; wanted < SW_ARRAY_LEN(rows[i].said) && rows[i].said[wanted] != NULL; wanted++) {
            if (strstr(mistakes.data, rows[i].said[wanted]) == NULL) {
                fail_msg("\"%s\" is not in:\n%s", rows[i].said[wanted], mistakes.data);
            }
        }
        assert_int_equal(lines, wanted);
        sw_inhibit_rules_release(&rules);
        sw_buf_release(&mistakes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_are_read),
        cmocka_unit_test(every_mistake_is_said),
    };
    return cmocka_run_group_tests_name("inhibit rules", tests, NULL, NULL);
}
