#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alerts/alerts_internal.h"

/* What is written is what jansson writes, character by character. */
static void it_is_written_as_by_jansson(void **state) {
    (void)state;
    static const char *const documents[] = {
        "{}",
        "[]",
        "[[],{},[{}]]",
        "{\"a\":1,\"b\":[true,false,null],\"c\":{\"d\":\"e\"}}",
        "[0,-1,9223372036854775807,-9223372036854775808]",
        "[0.05,1500.5,-0.25,123456.789]",
        "[\"\",\"plain\",\"quote \\\" slash / back \\\\ \\b\\f\\n\\r\\t\",\"\\u0001\\u001f\\u007f\"]",
        "[\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"]",
        "{\"needs \\\"escape\\n\":1}",
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(documents); i++) {
        json_t *document = json_loads(documents[i], 0, NULL);
        assert_non_null(document);
        char *expected = json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(15));
        sw_buf out;
        sw_buf_init(&out, 1 << 16);
        assert_int_equal(sw_write_json(document, 15, &out), 0);
        assert_string_equal(out.data, expected);
        sw_buf_release(&out);
        free(expected);
    }
}

static void numbers_that_are_no_integers_look_like_it_and_read_back(void **state) {
    (void)state;
    static const double numbers[] = {2.9999999999999996, 1e300, 1e-300, 0.1, 1.0 / 3, 5e15 + 0.5};
    for (size_t i = 0; i < SW_ARRAY_LEN(numbers); i++) {
        sw_buf out;
        sw_buf_init(&out, 1 << 16);
        assert_int_equal(sw_write_json(json_pack("[f]", numbers[i]), 17, &out), 0);
        json_t *back = json_loads(out.data, 0, NULL);
        assert_true(json_is_real(json_array_get(back, 0)));
        assert_true(json_real_value(json_array_get(back, 0)) == numbers[i]);
        json_decref(back);
        sw_buf_release(&out);
    }
}

static void what_does_not_fit_is_an_error(void **state) {
    (void)state;
    sw_buf out;
    sw_buf_init(&out, 8);
    assert_int_equal(sw_write_json(json_pack("[s]", "longer than that"), 15, &out), -1);
    sw_buf_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_written_as_by_jansson),
        cmocka_unit_test(numbers_that_are_no_integers_look_like_it_and_read_back),
        cmocka_unit_test(what_does_not_fit_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
