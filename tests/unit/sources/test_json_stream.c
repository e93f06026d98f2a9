#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "sources/json_stream.h"
#include "sources/json_value.h"

static const char *const paths[] = {"traces", "trace.spans", NULL};

struct seen {
    char text[4096];
    size_t n;
};

static bool collect(const char *json, size_t len, void *arg) {
    struct seen *seen = arg;
    char why[SW_JSON_WHY];
    json_t *value = sw_json_parse(json, len, why);
    if (value == NULL) {
        return false;
    }
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    assert_true(strlen(seen->text) + strlen(text) + 2 < sizeof seen->text);
    strcat(seen->text, text);
    strcat(seen->text, ";");
    seen->n++;
    free(text);
    json_decref(value);
    return true;
}

/* Feeds `text` in pieces of `piece` bytes; the rest as compact JSON, or NULL when it is broken. */
static char *read_in_pieces(const char *text, size_t piece, struct seen *seen, char why[SW_JSON_WHY]) {
    *seen = (struct seen){0};
    sw_json_stream_options options = {.paths = paths, .on_element = collect, .arg = seen};
    sw_json_stream *stream = sw_json_stream_new(&options);
    size_t len = strlen(text);
    for (size_t at = 0; at < len; at += piece) {
        if (!sw_json_stream_feed(stream, text + at, len - at < piece ? len - at : piece)) {
            break;
        }
    }
    json_t *rest = sw_json_stream_finish(stream);
    char *dumped = rest != NULL ? json_dumps(rest, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    snprintf(why, SW_JSON_WHY, "%s", sw_json_stream_why(stream));
    assert_int_equal(sw_json_stream_elements(stream),
                     dumped != NULL ? seen->n : sw_json_stream_elements(stream));
    json_decref(rest);
    sw_json_stream_free(stream);
    return dumped;
}

static void expect(const char *text, const char *elements, const char *rest) {
    for (size_t piece = 1; piece <= strlen(text) + 1; piece++) {
        struct seen seen;
        char why[SW_JSON_WHY];
        char *dumped = read_in_pieces(text, piece, &seen, why);
        if (rest == NULL) {
            assert_null(dumped);
            assert_string_not_equal(why, "");
        } else {
            assert_non_null(dumped);
            assert_string_equal(dumped, rest);
            assert_string_equal(seen.text, elements);
        }
        free(dumped);
    }
}

static void elements_come_one_by_one_however_the_bytes_are_cut(void **state) {
    (void)state;
    expect("{\"traces\":[{\"a\":1},{\"b\":[1,2,{\"c\":\"],}\"}]}],\"metrics\":{\"n\":\"5\"}}",
           "{\"a\":1};{\"b\":[1,2,{\"c\":\"],}\"}]};", "{\"metrics\":{\"n\":\"5\"},\"traces\":[]}");
    expect(" { \"x\" : [ 1 , [ ] ] , \"traces\" : [ 1 , \"two\" , null ] } \n", "1;\"two\";null;",
           "{\"traces\":[],\"x\":[1,[]]}");
}

static void an_array_within_an_object_is_found_by_its_path(void **state) {
    (void)state;
    expect("{\"trace\":{\"k\":{\"spans\":[9]},\"spans\":[{\"s\":1}]},\"spans\":[7]}", "{\"s\":1};",
           "{\"spans\":[7],\"trace\":{\"k\":{\"spans\":[9]},\"spans\":[]}}");
}

static void an_array_called_by_an_escaped_name_is_not_taken_for_empty(void **state) {
    (void)state;
    expect("{\"tr\\u0061ces\":[1]}", NULL, NULL);
    expect("{\"tr\\u0061ces\":[]}", "", "{\"traces\":[]}");
}

static void an_array_inside_another_array_is_left_alone(void **state) {
    (void)state;
    expect("{\"x\":[{\"traces\":[1]}],\"traces\":[]}", "", "{\"traces\":[],\"x\":[{\"traces\":[1]}]}");
}

static void escapes_do_not_end_texts(void **state) {
    (void)state;
    expect("{\"traces\":[\"a\\\"]\",\"\\\\\"],\"q\":\"\\\\\"}", "\"a\\\"]\";\"\\\\\";",
           "{\"q\":\"\\\\\",\"traces\":[]}");
}

static void an_answer_without_the_array_is_whole_and_empty(void **state) {
    (void)state;
    expect("{}", "", "{}");
    expect("{\"traces\":null}", "", "{\"traces\":null}");
    expect("{\"traces\":[ ]}", "", "{\"traces\":[]}");
}

static void what_is_no_object_is_broken(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "   ",
                                      "[]",
                                      "null",
                                      "\"traces\"",
                                      "<html>",
                                      "{\"traces\":[1]} x",
                                      "{\"traces\":[1]}{}",
                                      "{\"traces\":[1]",
                                      "{\"traces\":[1",
                                      "{\"traces\":[",
                                      "{\"traces\":[\"a",
                                      "{\"traces\":[1,]}",
                                      "{\"traces\":[,1]}",
                                      "{\"traces\":[1,,2]}",
                                      "{\"traces\":[1}",
                                      "{\"traces\":[1]]}",
                                      "{\"traces\":[{]}",
                                      "{\"traces\":[1 2]}",
                                      "{\"traces\":[oops]}",
                                      "{\"traces\" [1]}",
                                      "{traces:[1]}",
                                      "{\"a\":1,}",
                                      "}",
                                      NULL};
    for (size_t i = 0; bad[i] != NULL; i++) {
        expect(bad[i], NULL, NULL);
    }
}

static void something_else_where_the_array_belongs_is_broken_and_not_empty(void **state) {
    (void)state;
    expect("{\"traces\":7}", "", NULL);
    expect("{\"traces\":\"none\"}", "", NULL);
    expect("{\"traces\":{}}", "", NULL);
    expect("{\"trace\":[]}", "", NULL);
    expect("{\"trace\":{\"spans\":true}}", "", NULL);
    expect("{\"traces\":null,\"trace\":null}", "", "{\"trace\":null,\"traces\":null}");
    expect("{\"trace\":{\"spans\":null}}", "", "{\"trace\":{\"spans\":null}}");
}

static void an_element_over_its_cap_is_too_large(void **state) {
    (void)state;
    struct seen seen = {0};
    sw_json_stream_options options = {.paths = paths, .max_element = 16, .on_element = collect, .arg = &seen};
    sw_json_stream *stream = sw_json_stream_new(&options);
    static const char fits[] = "{\"traces\":[\"0123456789\",", over[] = "\"01234567890123456789\"]}";
    assert_true(sw_json_stream_feed(stream, fits, strlen(fits)));
    assert_int_equal(seen.n, 1);
    assert_false(sw_json_stream_feed(stream, over, strlen(over)));
    assert_true(sw_json_stream_too_large(stream));
    assert_null(sw_json_stream_finish(stream));
    sw_json_stream_free(stream);
}

static void the_rest_has_a_cap_too(void **state) {
    (void)state;
    struct seen seen = {0};
    sw_json_stream_options options = {.paths = paths, .max_rest = 16, .on_element = collect, .arg = &seen};
    sw_json_stream *stream = sw_json_stream_new(&options);
    static const char text[] = "{\"other\":\"01234567890123456789\"}";
    assert_false(sw_json_stream_feed(stream, text, strlen(text)));
    assert_true(sw_json_stream_too_large(stream));
    sw_json_stream_free(stream);
}

static void a_reset_stream_knows_nothing_of_before(void **state) {
    (void)state;
    struct seen seen = {0};
    sw_json_stream_options options = {.paths = paths, .on_element = collect, .arg = &seen};
    sw_json_stream *stream = sw_json_stream_new(&options);
    assert_true(sw_json_stream_feed(stream, "{\"traces\":[1,{\"half\":", 21));
    sw_json_stream_reset(stream);
    seen = (struct seen){0};
    assert_true(sw_json_stream_feed(stream, "{\"traces\":[2]}", 14));
    json_t *rest = sw_json_stream_finish(stream);
    assert_non_null(rest);
    assert_string_equal(seen.text, "2;");
    json_decref(rest);
    sw_json_stream_free(stream);
}

static void an_answer_that_is_too_deep_is_broken(void **state) {
    (void)state;
    char text[5000] = "{\"traces\":[";
    memset(text + strlen(text), '[', 3000);
    struct seen seen;
    char why[SW_JSON_WHY];
    assert_null(read_in_pieces(text, sizeof text, &seen, why));
}

static void bytes_that_are_no_text_are_replaced(void **state) {
    (void)state;
    static const struct {
        const char *json, *text;
    } cases[] = {
        {"\"a\xff"
         "b\"",
         "a\xef\xbf\xbd"
         "b"},
        {"\"\xc3\"", "\xef\xbf\xbd"},
        {"\"\xed\xa0\x80\"", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\"\xc3\xa4 \xf0\x9f\x98\x80\"", "\xc3\xa4 \xf0\x9f\x98\x80"},
        {"\"\\ud800x\"", "\xef\xbf\xbdx"},
        {"\"\\ud83d\\ude00 \\udc00\"", "\xf0\x9f\x98\x80 \xef\xbf\xbd"},
        {"\"a\\u0000b\"", "a\xef\xbf\xbd"
                          "b"},
        {"\"\\\\\xff\"", "\\\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        char why[SW_JSON_WHY];
        json_t *value = sw_json_parse(cases[i].json, strlen(cases[i].json), why);
        assert_non_null(value);
        char *text = sw_json_text(value);
        assert_string_equal(text, cases[i].text);
        free(text);
        json_decref(value);
    }
}

static void integers_are_read_from_numbers_and_texts(void **state) {
    (void)state;
    static const struct {
        const char *json;
        bool ok;
        int64_t value;
    } cases[] = {
        {"\"1795385849378862008\"", true, INT64_C(1795385849378862008)},
        {"12", true, 12},
        {"-3", true, -3},
        {"\"-3\"", true, -3},
        {"2.0", true, 2},
        {"\"\"", false, 0},
        {"\"12x\"", false, 0},
        {"\" 12\"", false, 0},
        {"\"18446744073708551616\"", false, 0},
        {"true", false, 0},
        {"1e300", false, 0},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        char why[SW_JSON_WHY];
        json_t *value = sw_json_parse(cases[i].json, strlen(cases[i].json), why);
        assert_non_null(value);
        int64_t number = 0;
        assert_int_equal(sw_json_int(value, &number), cases[i].ok);
        assert_int_equal(number, cases[i].value);
        json_decref(value);
    }
}

static void what_is_no_finite_number_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"\"NaN\"", "\"+Inf\"", "\"1e999\"", "\"\"", "null", "[]"};
    for (size_t i = 0; i < SW_ARRAY_LEN(bad); i++) {
        char why[SW_JSON_WHY];
        json_t *value = sw_json_parse(bad[i], strlen(bad[i]), why);
        double number = 7;
        assert_false(sw_json_number(value, &number));
        assert_true(number == 7);
        json_decref(value);
    }
}

static void written_texts_are_read_back_the_same(void **state) {
    (void)state;
    static const char text[] = "quote \" slash \\ tab \t bell \x07 del \x7f \xc3\xa4";
    sw_buf out;
    sw_buf_init(&out, 1000);
    assert_int_equal(sw_json_append_string(&out, text), 0);
    char why[SW_JSON_WHY];
    json_t *value = sw_json_parse(out.data, out.len, why);
    assert_string_equal(json_string_value(value), text);
    json_decref(value);
    sw_buf_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_come_one_by_one_however_the_bytes_are_cut),
        cmocka_unit_test(an_array_within_an_object_is_found_by_its_path),
        cmocka_unit_test(an_array_called_by_an_escaped_name_is_not_taken_for_empty),
        cmocka_unit_test(an_array_inside_another_array_is_left_alone),
        cmocka_unit_test(escapes_do_not_end_texts),
        cmocka_unit_test(an_answer_without_the_array_is_whole_and_empty),
        cmocka_unit_test(what_is_no_object_is_broken),
        cmocka_unit_test(something_else_where_the_array_belongs_is_broken_and_not_empty),
        cmocka_unit_test(an_element_over_its_cap_is_too_large),
        cmocka_unit_test(the_rest_has_a_cap_too),
        cmocka_unit_test(a_reset_stream_knows_nothing_of_before),
        cmocka_unit_test(an_answer_that_is_too_deep_is_broken),
        cmocka_unit_test(bytes_that_are_no_text_are_replaced),
        cmocka_unit_test(integers_are_read_from_numbers_and_texts),
        cmocka_unit_test(what_is_no_finite_number_is_refused),
        cmocka_unit_test(written_texts_are_read_back_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
