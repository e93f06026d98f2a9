#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

static void appended_bytes_are_kept_and_terminated(void **state) {
    (void)state;
    sw_buf buf;
    sw_buf_init(&buf, 1000);
    assert_null(buf.data);
    assert_int_equal(sw_buf_append_str(&buf, "span"), 0);
    assert_int_equal(sw_buf_append_char(&buf, '-'), 0);
    assert_int_equal(sw_buf_printf(&buf, "%03d", 7), 0);
    assert_int_equal(sw_buf_append(&buf, "\0x", 2), 0);
    assert_int_equal(buf.len, 10);
    assert_memory_equal(buf.data, "span-007\0x", 11);
    sw_buf_release(&buf);
    sw_buf_release(&buf);
    assert_null(buf.data);
}

static void an_append_over_the_cap_appends_nothing_and_sticks(void **state) {
    (void)state;
    sw_buf buf;
    sw_buf_init(&buf, 5);
    assert_int_equal(sw_buf_append_str(&buf, "abcd"), 0);
    assert_int_equal(sw_buf_append_str(&buf, "ef"), -1);
    assert_true(buf.overflow);
    assert_string_equal(buf.data, "abcd");
    assert_int_equal(sw_buf_append_char(&buf, 'e'), -1);
    assert_int_equal(sw_buf_printf(&buf, "%d", 1), -1);
    sw_buf_reset(&buf);
    assert_false(buf.overflow);
    assert_string_equal(buf.data, "");
    assert_int_equal(sw_buf_append_str(&buf, "abcde"), 0);
    assert_string_equal(buf.data, "abcde");
    sw_buf_release(&buf);
}

static void the_cap_can_be_filled_to_the_last_byte(void **state) {
    (void)state;
    sw_buf buf;
    sw_buf_init(&buf, 10000);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(sw_buf_append_char(&buf, (char)('a' + i % 26)), 0);
    }
    assert_int_equal(sw_buf_append_char(&buf, 'x'), -1);
    assert_int_equal(buf.len, 10000);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(buf.data[i], 'a' + i % 26);
    }
    sw_buf_release(&buf);
}

static void an_empty_append_gives_an_empty_string(void **state) {
    (void)state;
    sw_buf buf;
    sw_buf_init(&buf, 0);
    assert_int_equal(sw_buf_append(&buf, NULL, 0), 0);
    assert_string_equal(buf.data, "");
    assert_int_equal(sw_buf_append_char(&buf, 'a'), -1);
    sw_buf_release(&buf);
}

static void a_stolen_buffer_starts_again_with_the_same_cap(void **state) {
    (void)state;
    sw_buf buf;
    sw_buf_init(&buf, 4);
    size_t len = 99;
    char *nothing = sw_buf_steal(&buf, &len);
    assert_string_equal(nothing, "");
    assert_int_equal(len, 0);
    free(nothing);
    sw_buf_append_str(&buf, "four");
    char *four = sw_buf_steal(&buf, &len);
    assert_string_equal(four, "four");
    assert_int_equal(len, 4);
    free(four);
    assert_int_equal(buf.len, 0);
    assert_int_equal(sw_buf_append_str(&buf, "again"), -1);
    sw_buf_release(&buf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appended_bytes_are_kept_and_terminated),
        cmocka_unit_test(an_append_over_the_cap_appends_nothing_and_sticks),
        cmocka_unit_test(the_cap_can_be_filled_to_the_last_byte),
        cmocka_unit_test(an_empty_append_gives_an_empty_string),
        cmocka_unit_test(a_stolen_buffer_starts_again_with_the_same_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
