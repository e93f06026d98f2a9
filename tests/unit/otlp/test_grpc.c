#include "recorded.h"

#include <zlib.h>

#include "base/base64.h"
#include "otlp/grpc.h"

static void test_the_message_of_a_request_is_found_or_what_is_wrong_is_said(void **state) {
    (void)state;
    static const struct {
        const char *body;
        size_t len;
        const char *encoding;
        sw_otlp_code code;
        const char *says; /* the message, or a part of what is wrong */
    } cases[] = {
        {"\0\0\0\0\3abc", 8, NULL, SW_OTLP_OK, "abc"},
        {"\0\0\0\0\3abc", 8, "gzip", SW_OTLP_OK, "abc"},
        {"\0\0\0\0\0", 5, "identity", SW_OTLP_OK, ""},
        {"", 0, NULL, SW_OTLP_INTERNAL, "no whole message"},
        {"\0\0\0\0", 4, NULL, SW_OTLP_INTERNAL, "no whole message"},
        {"\0\0\0\0\4abc", 8, NULL, SW_OTLP_INTERNAL, "no whole message"},
        {"\0\xff\xff\xff\xff"
         "abc",
         8, NULL, SW_OTLP_INTERNAL, "no whole message"},
        {"\0\0\0\0\2abc", 8, NULL, SW_OTLP_INTERNAL, "more than one"},
        {"\2\0\0\0\3abc", 8, NULL, SW_OTLP_INTERNAL, "not framed"},
        {"\1\0\0\0\3abc", 8, NULL, SW_OTLP_INTERNAL, "grpc-encoding names nothing"},
        {"\1\0\0\0\3abc", 8, "identity", SW_OTLP_INTERNAL, "grpc-encoding names nothing"},
        {"\1\0\0\0\3abc", 8, "gzip", SW_OTLP_INTERNAL, "not what its grpc-encoding says"},
        {"\0\0\0\0\3abc", 8, "br", SW_OTLP_UNIMPLEMENTED, "must be gzip"},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        sw_buf inflated;
        sw_buf_init(&inflated, 100);
        sw_otlp_text message = {0};
        char why[SW_OTLP_WHY] = "";
        sw_otlp_text body = {cases[i].body, cases[i].len};
        assert_int_equal(sw_grpc_read(body, cases[i].encoding, &inflated, &message, why), cases[i].code);
        if (cases[i].code == SW_OTLP_OK) {
            assert_int_equal(message.len, strlen(cases[i].says));
            assert_memory_equal(message.data, cases[i].says, message.len);
        } else {
            assert_non_null(strstr(why, cases[i].says));
        }
        sw_buf_release(&inflated);
    }
}

static void test_a_compressed_message_is_decompressed_up_to_the_limit(void **state) {
    (void)state;
    static unsigned char zeros[100000], packed[4096];
    uLongf len = sizeof packed - 5;
    assert_int_equal(compress(packed + 5, &len, zeros, sizeof zeros), Z_OK);
    packed[0] = 1;
    packed[3] = (unsigned char)(len >> 8);
    packed[4] = (unsigned char)len;
    sw_otlp_text body = {(const char *)packed, len + 5}, message = {0};
    char why[SW_OTLP_WHY];
    sw_buf inflated;
    sw_buf_init(&inflated, sizeof zeros);
    assert_int_equal(sw_grpc_read(body, "deflate", &inflated, &message, why), SW_OTLP_OK);
    assert_int_equal(message.len, sizeof zeros);
    sw_buf_release(&inflated);
    sw_buf_init(&inflated, sizeof zeros - 1);
    assert_int_equal(sw_grpc_read(body, "deflate", &inflated, &message, why), SW_OTLP_RESOURCE_EXHAUSTED);
    sw_buf_release(&inflated);
}

static void test_timeouts_are_read_in_all_their_units(void **state) {
    (void)state;
    assert_int_equal(sw_grpc_timeout_ms("10S"), 10000);
    assert_int_equal(sw_grpc_timeout_ms("250m"), 250);
    assert_int_equal(sw_grpc_timeout_ms("1u"), 1);
    assert_int_equal(sw_grpc_timeout_ms("1000001n"), 2);
    assert_int_equal(sw_grpc_timeout_ms("0n"), 0);
    assert_int_equal(sw_grpc_timeout_ms("2M"), 120000);
    assert_int_equal(sw_grpc_timeout_ms("99999999H"), INT64_C(99999999) * 3600000);
    static const char *const wrong[] = {"", "S", "10", "10 S", "10SS", "-1S", "123456789S", "1x"};
    for (size_t i = 0; i < SW_ARRAY_LEN(wrong); i++) {
        assert_int_equal(sw_grpc_timeout_ms(wrong[i]), -1);
    }
}

static void test_messages_frames_and_details_are_written_as_grpc_wants_them(void **state) {
    (void)state;
    sw_buf out;
    sw_buf_init(&out, 1000);
    sw_grpc_message(&out, "100% \xc3\xa4\n");
    assert_string_equal(out.data, "100%25 %C3%A4%0A");
    sw_buf_reset(&out);
    sw_grpc_write(&out, "abc", 3);
    assert_int_equal(out.len, 8);
    assert_memory_equal(out.data, "\0\0\0\0\3abc", 8);
    sw_buf_reset(&out);
    sw_grpc_status_details(&out, SW_OTLP_UNAVAILABLE, "no", 1);
    assert_string_equal(out.data,
                        "CA4SAm5vGjAKKHR5cGUuZ29vZ2xlYXBpcy5jb20vZ29vZ2xlLnJwYy5SZXRyeUluZm8SBAoCCAE");
    sw_buf_release(&out);
}

static void test_base64_of_every_length(void **state) {
    (void)state;
    static const char *const cases[][3] = {{"", "", ""},
                                           {"f", "Zg==", "Zg"},
                                           {"fo", "Zm8=", "Zm8"},
                                           {"foo", "Zm9v", "Zm9v"},
                                           {"foob", "Zm9vYg==", "Zm9vYg"}};
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        for (int padded = 0; padded < 2; padded++) {
            sw_buf out;
            sw_buf_init(&out, 100);
            sw_buf_append_str(&out, "");
            sw_base64(&out, cases[i][0], strlen(cases[i][0]), padded != 0);
            assert_string_equal(out.data, cases[i][padded ? 1 : 2]);
            sw_buf_release(&out);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_message_of_a_request_is_found_or_what_is_wrong_is_said),
        cmocka_unit_test(test_a_compressed_message_is_decompressed_up_to_the_limit),
        cmocka_unit_test(test_timeouts_are_read_in_all_their_units),
        cmocka_unit_test(test_messages_frames_and_details_are_written_as_grpc_wants_them),
        cmocka_unit_test(test_base64_of_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
