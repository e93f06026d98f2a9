#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "protocol/frame.h"
#include "protocol/wire.h"

static void reply(sw_frame_writer *writer, uint64_t sequence, const char *text) {
    sw_frame_begin(writer, SW_FRAME_REPLY, sequence);
    msgpack_pack_map(&writer->packer, 4);
    sw_pack_key_bool(&writer->packer, "ok", true);
    sw_pack_key_str(&writer->packer, "text", text);
    sw_pack_key_int(&writer->packer, "big", INT64_MIN);
    sw_pack_key_num(&writer->packer, "half", 0.5);
    assert_int_equal(sw_frame_end(writer, SW_FRAME_MAX_TO_HOST), 0);
}

static int parse_bytes(const void *bytes, size_t len, const char **why) {
    /* A heap copy of the exact size lets the sanitizer see a read beyond the end. */
    char *copy = malloc(len > 0 ? len : 1);
    memcpy(copy, bytes, len);
    sw_frame frame;
    int result = sw_frame_parse(copy, len, &frame, why);
    sw_frame_release(&frame);
    free(copy);
    return result;
}

static void what_was_written_is_read_back(void **state) {
    (void)state;
    sw_frame_writer writer;
    reply(&writer, UINT64_MAX, "gr\xc3\xbc\xc3\x9f");
    sw_frame_reader reader;
    sw_frame_reader_init(&reader, 1000);
    assert_int_equal(sw_frame_reader_feed(&reader, writer.bytes.data, writer.bytes.size), 0);
    const char *body, *why;
    size_t len;
    assert_int_equal(sw_frame_reader_next(&reader, &body, &len), 1);
    sw_frame frame;
    assert_int_equal(sw_frame_parse(body, len, &frame, &why), 0);
    assert_int_equal(frame.kind, SW_FRAME_REPLY);
    assert_true(frame.sequence == UINT64_MAX);
    assert_true(sw_map_bool(&frame.payload, "ok", false));
    char *text = sw_map_str(&frame.payload, "text", 100);
    assert_string_equal(text, "gr\xc3\xbc\xc3\x9f");
    double number;
    assert_true(sw_map_num(&frame.payload, "half", &number));
    assert_true(number == 0.5);
    assert_true(sw_map_num(&frame.payload, "big", &number));
    assert_true(number == (double)INT64_MIN);
    free(text);
    sw_frame_release(&frame);
    sw_frame_reader_release(&reader);
    sw_frame_writer_release(&writer);
}

static void frames_are_found_whatever_the_pieces(void **state) {
    (void)state;
    sw_buf stream;
    sw_buf_init(&stream, 1 << 20);
    for (uint64_t i = 1; i <= 20; i++) {
        sw_frame_writer writer;
        reply(&writer, i, "x");
        sw_buf_append(&stream, writer.bytes.data, writer.bytes.size);
        sw_frame_writer_release(&writer);
    }
    for (size_t piece = 1; piece < 97; piece++) {
        sw_frame_reader reader;
        sw_frame_reader_init(&reader, 1000);
        uint64_t expected = 1;
        for (size_t at = 0; at < stream.len; at += piece) {
            size_t n = stream.len - at < piece ? stream.len - at : piece;
            assert_int_equal(sw_frame_reader_feed(&reader, stream.data + at, n), 0);
            const char *body, *why;
            size_t len;
            while (sw_frame_reader_next(&reader, &body, &len) == 1) {
                sw_frame frame;
                assert_int_equal(sw_frame_parse(body, len, &frame, &why), 0);
                assert_int_equal(frame.sequence, expected++);
                sw_frame_release(&frame);
            }
        }
        assert_int_equal(expected, 21);
        sw_frame_reader_release(&reader);
    }
    sw_buf_release(&stream);
}

static void a_length_over_the_cap_is_refused_before_its_bytes_come(void **state) {
    (void)state;
    sw_frame_reader reader;
    sw_frame_reader_init(&reader, 1000);
    const char *body;
    size_t len;
    assert_int_equal(sw_frame_reader_feed(&reader, "\x00\x00\x03\xe9", 4), 0);
    assert_int_equal(sw_frame_reader_next(&reader, &body, &len), -1);
    sw_frame_reader_release(&reader);
    sw_frame_reader_init(&reader, 1000);
    assert_int_equal(sw_frame_reader_feed(&reader, "\xff\xff\xff\xff", 4), 0);
    assert_int_equal(sw_frame_reader_next(&reader, &body, &len), -1);
    sw_frame_reader_release(&reader);
}

static void a_reader_that_nobody_empties_stops_growing(void **state) {
    (void)state;
    sw_frame_reader reader;
    sw_frame_reader_init(&reader, 1000);
    static const char chunk[65536];
    int fed = 0;
    while (sw_frame_reader_feed(&reader, chunk, sizeof(chunk)) == 0) {
        assert_true(++fed < 100);
    }
    assert_true(reader.in.len <= 1000 + 4 + (1 << 20));
    sw_frame_reader_release(&reader);
}

static void an_empty_reader_gives_back_a_large_buffer(void **state) {
    (void)state;
    sw_frame_reader reader;
    sw_frame_reader_init(&reader, SW_FRAME_MAX_TO_HOST);
    char *text = calloc(1, 1 << 20);
    memset(text, 'a', (1 << 20) - 1);
    sw_frame_writer writer;
    reply(&writer, 1, text);
    assert_int_equal(sw_frame_reader_feed(&reader, writer.bytes.data, writer.bytes.size), 0);
    const char *body;
    size_t len;
    assert_int_equal(sw_frame_reader_next(&reader, &body, &len), 1);
    assert_int_equal(sw_frame_reader_next(&reader, &body, &len), 0);
    assert_int_equal(reader.in.allocated, 0);
    free(text);
    sw_frame_writer_release(&writer);
    sw_frame_reader_release(&reader);
}

static void a_frame_over_the_writers_cap_is_refused(void **state) {
    (void)state;
    sw_frame_writer writer;
    sw_frame_begin(&writer, SW_FRAME_LOG, 0);
    msgpack_pack_map(&writer.packer, 1);
    sw_pack_key_str(&writer.packer, "message", "far too long for ten bytes");
    assert_int_equal(sw_frame_end(&writer, 10), -1);
    assert_int_equal(sw_frame_end(&writer, 1000), 0);
    sw_frame_writer_release(&writer);
}

static void hostile_bodies_are_refused_with_a_reason(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *why;
    } cases[] = {
        {"", 0, "a frame is an array of three"},
        {"\xc0", 1, "a frame is an array of three"},
        {"\x92\x10\x01", 3, "a frame is an array of three"},
        {"\x93\x63\x01\x80", 4, "unknown kind of frame"},
        {"\x93\xa1g\x01\x80", 5, "unknown kind of frame"},
        {"\x93\x10\xff\x80", 4, "the sequence is not a natural number"},
        {"\x93\x10\x01\x90", 4, "the payload is not a map"},
        {"\x93\x10\x01\x80\xc0", 5, "bytes after the frame"},
        {"\x93\x10\x01\x81\xa1k", 6, "not MessagePack, or cut short"},
        {"\x93\x10\x01\x81\xa1k\xdd\xff\xff\xff\xff", 11, "not MessagePack, or cut short"},
        {"\x93\x10\x01\x81\xa1k\xdf\x7f\xff\xff\xff\xff", 12, "not MessagePack, or cut short"},
        {"\x93\x10\x01\x81\xa1k\xdb\xff\xff\xff\xff", 11, "not MessagePack, or cut short"},
        {"\x93\x10\x01\x81\xa1k\xd4\x01\x02", 9, "not MessagePack, or cut short"},
        {"\x93\x10\x01\x81\xa1k\xc1", 7, "not MessagePack, or cut short"},
        {"\x93\x10\x01\x81\xc0\xc0", 6, "a key is neither text nor an integer"},
        {"\x93\x10\x01\x81\x90\xc0", 6, "a key is neither text nor an integer"},
        {"\x93\x10\x01\x81\xa1k\xa2\xc0\x80", 9, "text is not UTF-8"},
        {"\x93\x10\x01\x81\xa1k\xa3\xed\xa0\x80", 10, "text is not UTF-8"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *why = "";
        assert_int_equal(parse_bytes(cases[i].bytes, cases[i].len, &why), -1);
        assert_string_equal(why, cases[i].why);
    }
}

static void every_cut_of_a_frame_is_refused(void **state) {
    (void)state;
    sw_frame_writer writer;
    reply(&writer, 70000, "some text");
    const char *why;
    size_t len = writer.bytes.size - 4;
    assert_int_equal(parse_bytes(writer.bytes.data + 4, len, &why), 0);
    for (size_t cut = 0; cut < len; cut++) {
        assert_int_equal(parse_bytes(writer.bytes.data + 4, cut, &why), -1);
    }
    sw_frame_writer_release(&writer);
}

static int parse_nested(int depth, const char **why) {
    sw_frame_writer writer;
    sw_frame_begin(&writer, SW_FRAME_REPLY, 1);
    msgpack_pack_map(&writer.packer, 1);
    sw_pack_str(&writer.packer, "deep");
    for (int i = 1; i < depth; i++) {
        msgpack_pack_array(&writer.packer, 1);
    }
    msgpack_pack_nil(&writer.packer);
    int result = parse_bytes(writer.bytes.data + 4, writer.bytes.size - 4, why);
    sw_frame_writer_release(&writer);
    return result;
}

static void depth_ends_at_the_limit(void **state) {
    (void)state;
    const char *why = "";
    assert_int_equal(parse_nested(SW_FRAME_MAX_DEPTH, &why), 0);
    assert_int_equal(parse_nested(SW_FRAME_MAX_DEPTH + 1, &why), -1);
    assert_string_equal(why, "nested too deeply");
    assert_int_equal(parse_nested(100000, &why), -1);
}

static void more_values_than_the_limit_are_refused(void **state) {
    (void)state;
    sw_frame_writer writer;
    sw_frame_begin(&writer, SW_FRAME_REPLY, 1);
    msgpack_pack_map(&writer.packer, 1);
    sw_pack_str(&writer.packer, "many");
    msgpack_pack_array(&writer.packer, SW_FRAME_MAX_OBJECTS);
    for (size_t i = 0; i < SW_FRAME_MAX_OBJECTS; i++) {
        msgpack_pack_nil(&writer.packer);
    }
    const char *why = "";
    assert_int_equal(parse_bytes(writer.bytes.data + 4, writer.bytes.size - 4, &why), -1);
    assert_string_equal(why, "too many values");
    sw_frame_writer_release(&writer);
}

static void look_ups_refuse_what_is_of_another_type(void **state) {
    (void)state;
    sw_frame_writer writer;
    sw_frame_begin(&writer, SW_FRAME_REPLY, 1);
    msgpack_pack_map(&writer.packer, 4);
    sw_pack_str(&writer.packer, "nul");
    msgpack_pack_str_with_body(&writer.packer, "a\0b", 3);
    sw_pack_key_str(&writer.packer, "bytes", "\xff");
    sw_pack_key_str(&writer.packer, "text", "abc");
    sw_pack_key_str(&writer.packer, "none", NULL);
    sw_frame frame;
    const char *why;
    assert_int_equal(sw_frame_parse(writer.bytes.data + 4, writer.bytes.size - 4, &frame, &why), 0);
    double number;
    assert_null(sw_map_str(&frame.payload, "nul", 10));
    assert_null(sw_map_str(&frame.payload, "bytes", 10));
    assert_null(sw_map_str(&frame.payload, "text", 2));
    assert_null(sw_map_str(&frame.payload, "absent", 10));
    assert_int_equal(sw_map_get(&frame.payload, "bytes")->type, MSGPACK_OBJECT_BIN);
    assert_int_equal(sw_map_get(&frame.payload, "none")->type, MSGPACK_OBJECT_NIL);
    assert_false(sw_map_num(&frame.payload, "text", &number));
    assert_true(sw_map_bool(&frame.payload, "text", true));
    assert_null(sw_map_get(sw_map_get(&frame.payload, "text"), "inner"));
    sw_frame_release(&frame);
    sw_frame_writer_release(&writer);
}

static void skipping_a_value_lands_on_the_next(void **state) {
    (void)state;
    static const char bytes[] = "\x82\xa1"
                                "a\x93\x01\x80\x90\xa1"
                                "b\xcb\x3f\xe0\0\0\0\0\0\0\x07";
    sw_cursor cursor;
    sw_token token;
    sw_cursor_init(&cursor, bytes, sizeof(bytes) - 1);
    assert_int_equal(sw_cursor_skip(&cursor, 8), 0);
    assert_int_equal(sw_cursor_next(&cursor, &token), 0);
    assert_int_equal(token.type, SW_TOKEN_INT);
    assert_int_equal(token.integer, 7);
    assert_true(sw_cursor_at_end(&cursor));
    sw_cursor_init(&cursor, bytes, sizeof(bytes) - 1);
    assert_int_equal(sw_cursor_skip(&cursor, 1), -1);
}

static void every_integer_form_keeps_its_value(void **state) {
    (void)state;
    static const int64_t values[] = {0,     1,          127,        128,       255,       256,      65535,
                                     65536, 4294967295, 4294967296, INT64_MAX, -1,        -32,      -33,
                                     -128,  -129,       -32768,     -32769,    INT32_MIN, INT64_MIN};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        msgpack_sbuffer bytes;
        msgpack_packer packer;
        msgpack_sbuffer_init(&bytes);
        msgpack_packer_init(&packer, &bytes, msgpack_sbuffer_write);
        msgpack_pack_int64(&packer, values[i]);
        sw_cursor cursor;
        sw_token token;
        sw_cursor_init(&cursor, bytes.data, bytes.size);
        assert_int_equal(sw_cursor_next(&cursor, &token), 0);
        assert_int_equal(token.type, SW_TOKEN_INT);
        assert_true(token.integer == values[i]);
        msgpack_sbuffer_destroy(&bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(frames_are_found_whatever_the_pieces),
        cmocka_unit_test(a_length_over_the_cap_is_refused_before_its_bytes_come),
        cmocka_unit_test(a_reader_that_nobody_empties_stops_growing),
        cmocka_unit_test(an_empty_reader_gives_back_a_large_buffer),
        cmocka_unit_test(a_frame_over_the_writers_cap_is_refused),
        cmocka_unit_test(hostile_bodies_are_refused_with_a_reason),
        cmocka_unit_test(every_cut_of_a_frame_is_refused),
        cmocka_unit_test(depth_ends_at_the_limit),
        cmocka_unit_test(more_values_than_the_limit_are_refused),
        cmocka_unit_test(look_ups_refuse_what_is_of_another_type),
        cmocka_unit_test(skipping_a_value_lands_on_the_next),
        cmocka_unit_test(every_integer_form_keeps_its_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
