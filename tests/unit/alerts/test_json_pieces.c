#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alerts/json_pieces.h"

static sw_json_piece piece(const char *text) {
    return (sw_json_piece){text, strlen(text)};
}

static void members_are_found_in_any_order(void **state) {
    (void)state;
    sw_json_members members;
    assert_true(sw_piece_members(
        piece(" { \"a\" : 1, \"b\":{\"a\":[2,{}]} ,\"c\":\"x}\\\"\",\"d\":null,\"e\":[ ] } "), &members));
    assert_int_equal(members.n, 5);
    static const char *const names[] = {"e", "a", "c", "b", "a", "d"};
    static const char *const values[] = {"[ ]", "1", "\"x}\\\"\"", "{\"a\":[2,{}]}", "1", "null"};
    for (size_t i = 0; i < SW_ARRAY_LEN(names); i++) {
        assert_true(sw_piece_is(sw_piece_member(&members, names[i]), values[i]));
    }
    assert_null(sw_piece_member(&members, "f").at);
    assert_true(sw_piece_members(piece("{}"), &members));
    assert_null(sw_piece_member(&members, "a").at);
}

static void what_is_no_object_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "1",
                                      "[]",
                                      "{",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{\"a\":1",
                                      "{\"a\":1,}",
                                      "{,}",
                                      "{a:1}",
                                      "{\"a\":1}}",
                                      "{\"a\":1} x",
                                      "{\"a\" 1}",
                                      "{\"a\":\"x}",
                                      "{\"a\":[}",
                                      "{\"a\":1\"b\":2}",
                                      "{\"a\":\"\n\"}"};
    for (size_t i = 0; i < SW_ARRAY_LEN(bad); i++) {
        sw_json_members members;
        if (sw_piece_members(piece(bad[i]), &members) && sw_piece_member(&members, "a").at != NULL) {
            /* What lies in brackets is only counted: whoever asks for it finds out. */
            const char *cursor = NULL;
            sw_json_piece element;
            bool damaged = false;
            while (sw_piece_element(sw_piece_member(&members, "a"), &cursor, &element, &damaged)) {
            }
            assert_true(damaged);
        } else {
            assert_false(sw_piece_members(piece(bad[i]), &members));
        }
    }
    char deep[400] = "{\"a\":";
    memset(deep + 5, '[', 100);
    memset(deep + 105, ']', 100);
    strcpy(deep + 205, "}");
    sw_json_members members;
    assert_false(sw_piece_members(piece(deep), &members));
}

static void elements_come_one_after_the_other(void **state) {
    (void)state;
    const char *cursor = NULL;
    sw_json_piece element;
    bool bad = false;
    sw_json_piece array = piece("[ 1 , \"two\" ,[3]]");
    static const char *const expected[] = {"1", "\"two\"", "[3]"};
    for (size_t i = 0; i < SW_ARRAY_LEN(expected); i++) {
        assert_true(sw_piece_element(array, &cursor, &element, &bad));
        assert_true(sw_piece_is(element, expected[i]));
    }
    assert_false(sw_piece_element(array, &cursor, &element, &bad));
    assert_false(bad);
    static const char *const damaged[] = {"", "1", "[", "[1", "[1,", "[,1]", "[1 2]", "[1],", "{}"};
    for (size_t i = 0; i < SW_ARRAY_LEN(damaged); i++) {
        cursor = NULL;
        bad = false;
        while (sw_piece_element(piece(damaged[i]), &cursor, &element, &bad)) {
        }
        assert_true(bad);
    }
}

static void texts_lose_their_escapes(void **state) {
    (void)state;
    static const struct {
        const char *json, *text; /* NULL: none */
    } cases[] = {
        {"\"\"", ""},
        {"\"plain\"", "plain"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u0041\\u00e9\\u20AC\"", "A\xc3\xa9\xe2\x82\xac"},
        {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80"},
        {"\"\\ud83d\"", NULL},
        {"\"\\ude00\\ud83d\"", NULL},
        {"\"\\u0000\"", NULL},
        {"\"\\u12\"", NULL},
        {"\"\\x\"", NULL},
        {"\"\xc3\xa9\"", "\xc3\xa9"},
        {"\"\xc3\"", NULL},
        {"\"\xff\"", NULL},
        {"1", NULL},
        {"null", NULL},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        char *text = sw_piece_text(piece(cases[i].json));
        if (cases[i].text == NULL) {
            assert_null(text);
        } else {
            assert_string_equal(text, cases[i].text);
        }
        free(text);
    }
}

static void numbers_are_whole_or_not(void **state) {
    (void)state;
    double real = 0;
    int64_t whole = 0;
    assert_true(sw_piece_real(piece("-1.5e3"), &real) && real == -1500);
    assert_true(sw_piece_real(piece("7"), &real) && real == 7);
    assert_true(sw_piece_whole(piece("9223372036854775807"), &whole) && whole == INT64_MAX);
    assert_true(sw_piece_whole(piece("-12"), &whole) && whole == -12);
    static const char *const not_whole[] = {"9223372036854775808", "1.5", "1e3", "\"1\"", "+1", "x", "-"};
    for (size_t i = 0; i < SW_ARRAY_LEN(not_whole); i++) {
        assert_false(sw_piece_whole(piece(not_whole[i]), &whole));
    }
    static const char *const not_real[] = {"1e999", "nan", "-inf", "0x10", "1.5.5", "\"1\"", "true"};
    for (size_t i = 0; i < SW_ARRAY_LEN(not_real); i++) {
        assert_false(sw_piece_real(piece(not_real[i]), &real));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_found_in_any_order),    cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(elements_come_one_after_the_other), cmocka_unit_test(texts_lose_their_escapes),
        cmocka_unit_test(numbers_are_whole_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
