#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "telemetry/text.h"

static void assert_next(const char *s, size_t len, size_t size, uint32_t expected) {
    uint32_t code = 0;
    assert_int_equal(sw_utf8_next(s, len, &code), size);
    assert_int_equal(code, expected);
}

static void well_formed_characters_are_read(void **state) {
    (void)state;
    assert_next("a", 1, 1, 'a');
    assert_next("\xC3\xA9", 2, 2, 0xE9);
    assert_next("\xE2\x82\xAC", 3, 3, 0x20AC);
    assert_next("\xF0\x9F\x9A\xA8", 4, 4, 0x1F6A8);
    assert_next("\xF4\x8F\xBF\xBF", 4, 4, 0x10FFFF);
    assert_true(sw_text_valid("a\xC3\xA9\xE2\x82\xAC", 6));
    assert_true(sw_text_valid(SW_UTF8_REPLACEMENT, 3));
    assert_true(sw_text_valid("", 0));
}

static void malformed_bytes_are_one_replacement_each(void **state) {
    (void)state;
    static const char *const bad[] = {
        "\x80",             /* continuation without a start */
        "\xC0\xAF",         /* overlong */
        "\xE0\x80\xAF",     /* overlong */
        "\xF0\x80\x80\xAF", /* overlong */
        "\xED\xA0\x80",     /* surrogate */
        "\xF4\x90\x80\x80", /* above U+10FFFF */
        "\xFF",
        "\xE2\x82", /* cut */
        "\xC3(",    /* not continued */
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(bad); i++) {
        assert_next(bad[i], strlen(bad[i]), 1, 0xFFFD);
        assert_false(sw_text_valid(bad[i], strlen(bad[i])));
    }
}

static void assert_double(double value, const char *expected) {
    char out[SW_DOUBLE_TEXT];
    sw_format_double(value, out);
    assert_string_equal(out, expected);
}

static void numbers_are_short_and_read_back_the_same(void **state) {
    (void)state;
    assert_double(0, "0");
    assert_double(-0.0, "0");
    assert_double(42, "42");
    assert_double(-7, "-7");
    assert_double(1772359200123, "1772359200123");
    assert_double(0.1, "0.1");
    assert_double(12.5, "12.5");
    assert_double(1e300, "1e+300");
    assert_double(NAN, "NaN");
    assert_double(INFINITY, "+Inf");
    assert_double(-INFINITY, "-Inf");
    const double exact[] = {1.0 / 3.0, 0.1 + 0.2, DBL_MAX, DBL_MIN, 4.9e-324, -123456.789e-20};
    for (size_t i = 0; i < SW_ARRAY_LEN(exact); i++) {
        char out[SW_DOUBLE_TEXT];
        sw_format_double(exact[i], out);
        assert_true(strtod(out, NULL) == exact[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_characters_are_read),
        cmocka_unit_test(malformed_bytes_are_one_replacement_each),
        cmocka_unit_test(numbers_are_short_and_read_back_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
