#include "recorded.h"

#include <zlib.h>

static void test_success_and_failure_are_encoded_as_the_specification_says(void **state) {
    (void)state;
    sw_buf out;
    sw_buf_init(&out, 1000);
    sw_otlp_response(&out, false, 0, NULL);
    assert_int_equal(out.len, 2);
    assert_memory_equal(out.data, "\x0a\x00", 2);
    sw_buf_reset(&out);
    sw_otlp_response(&out, true, 0, NULL);
    assert_string_equal(out.data, "{\"partialSuccess\":{}}");
    sw_buf_reset(&out);
    sw_otlp_response(&out, false, 3, "no");
    assert_int_equal(out.len, 8);
    assert_memory_equal(out.data, "\x0a\x06\x08\x03\x12\x02no", 8);
    sw_buf_reset(&out);
    sw_otlp_response(&out, true, 3, "no");
    assert_string_equal(out.data, "{\"partialSuccess\":{\"rejectedSpans\":\"3\",\"errorMessage\":\"no\"}}");
    sw_buf_reset(&out);
    sw_otlp_status(&out, false, SW_OTLP_INVALID_ARGUMENT, "no");
    assert_memory_equal(out.data, "\x08\x03\x12\x02no", 6);
    sw_buf_reset(&out);
    sw_otlp_status(&out, true, SW_OTLP_INVALID_ARGUMENT, "a \"b\"");
    assert_string_equal(out.data, "{\"code\":3,\"message\":\"a \\\"b\\\"\"}");
    sw_buf_release(&out);
}

static size_t deflate_zeros(unsigned char *out, size_t room, size_t zeros, int window) {
    static const unsigned char piece[65536];
    z_stream stream = {.next_out = out, .avail_out = (uInt)room};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, window, 9, Z_DEFAULT_STRATEGY), Z_OK);
    for (size_t done = 0; done < zeros; done += sizeof piece) {
        stream.next_in = (Bytef *)(uintptr_t)piece;
        stream.avail_in = sizeof piece;
        assert_int_equal(deflate(&stream, done + sizeof piece >= zeros ? Z_FINISH : Z_NO_FLUSH),
                         done + sizeof piece >= zeros ? Z_STREAM_END : Z_OK);
    }
    deflateEnd(&stream);
    return room - stream.avail_out;
}

static void test_a_bomb_ends_at_the_limit(void **state) {
    (void)state;
    static unsigned char bomb[1 << 20];
    size_t len = deflate_zeros(bomb, sizeof bomb, (size_t)256 << 20, 15 + 16);
    sw_buf out;
    sw_buf_init(&out, 1 << 20);
    assert_int_equal(sw_otlp_inflate((char *)bomb, len, &out), -2);
    assert_true(out.len <= out.cap);
    sw_buf_release(&out);
}

static void test_gzip_and_zlib_are_undone_and_what_is_cut_or_followed_by_rubbish_is_refused(void **state) {
    (void)state;
    static unsigned char packed[1 << 16];
    static const int windows[] = {15 + 16, 15};
    for (size_t i = 0; i < SW_ARRAY_LEN(windows); i++) {
        size_t len = deflate_zeros(packed, sizeof packed - 1, 65536, windows[i]);
        sw_buf out;
        sw_buf_init(&out, 1 << 20);
        assert_int_equal(sw_otlp_inflate((char *)packed, len, &out), 0);
        assert_int_equal(out.len, 65536);
        for (size_t cut = 0; cut < len; cut++) {
            sw_buf_reset(&out);
            assert_int_equal(sw_otlp_inflate((char *)packed, cut, &out), -1);
        }
        packed[len] = 'x';
        sw_buf_reset(&out);
        assert_int_equal(sw_otlp_inflate((char *)packed, len + 1, &out), -1);
        sw_buf_release(&out);
    }
}

static void test_the_sampling_threshold_says_how_many_a_span_stands_for(void **state) {
    (void)state;
    static const struct {
        const char *state;
        double weight;
    } cases[] = {
        {"", 1},
        {"ot=th:0", 1},
        {"ot=th:8", 2},
        {"ot=th:c", 4},
        {"ot=rv:1;th:c", 4},
        {"x=1, ot=th:c,y=2", 4},
        {"other=th:c", 1},
        {"ot=th:", 1},
        {"ot=th:zz", 1},
        {"ot=th:123456789abcdef", 1},
        {"ot=th:ffffffffffffff", 72057594037927936.0},
        {"ot=p:0", 1},
        {"ot=p:3", 8},
        {"x=1,ot=r:20;p:12", 4096},
        {"ot=p:3;th:8", 2},
        {"ot=th:8;p:3", 2},
        {"ot=p:62", 4611686018427387904.0},
        {"ot=p:63", 1},
        {"ot=p:", 1},
        {"ot=p:x", 1},
        {"ot=p:100", 1},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        double weight = sw_otlp_weight((sw_otlp_text){cases[i].state, strlen(cases[i].state)});
        assert_true(weight == cases[i].weight);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_success_and_failure_are_encoded_as_the_specification_says),
        cmocka_unit_test(test_a_bomb_ends_at_the_limit),
        cmocka_unit_test(test_gzip_and_zlib_are_undone_and_what_is_cut_or_followed_by_rubbish_is_refused),
        cmocka_unit_test(test_the_sampling_threshold_says_how_many_a_span_stands_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
