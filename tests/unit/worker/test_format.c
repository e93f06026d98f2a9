/* The call FORMAT. */
#include "harness.h"

static const char *body_to_send = "{\"status\": \"firing\", \"value\": null, \"traces\": []}";

static void pack_body(msgpack_packer *pk) {
    sw_pack_key_str(pk, "body", body_to_send);
    sw_pack_str(pk, "config");
    msgpack_pack_map(pk, 1);
    sw_pack_key_str(pk, "secret", "s3cret");
}

static const msgpack_object *first(peer *p, const char *source) {
    peer_start(p);
    return peer_source(p, SW_FRAME_FORMAT, "f.lua", source, 2, pack_body);
}

static const msgpack_object *again(peer *p) {
    sw_frame_writer writer;
    sw_frame_begin(&writer, SW_FRAME_FORMAT, ++p->sequence);
    msgpack_pack_map(&writer.packer, 2);
    pack_body(&writer.packer);
    peer_send(p, &writer);
    return peer_reply(p, PATIENCE_MS);
}

static void assert_body(const msgpack_object *reply, const char *want) {
    assert_ok(reply);
    const msgpack_object *body = sw_map_get(reply, "body");
    assert_non_null(body);
    assert_int_equal(body->type, MSGPACK_OBJECT_BIN);
    assert_int_equal(body->via.bin.size, strlen(want));
    assert_memory_equal(body->via.bin.ptr, want, strlen(want));
}

static void a_table_becomes_json_and_null_is_nil(void **state) {
    (void)state;
    peer p;
    const msgpack_object *reply = first(&p, "return { format = function(alert, config)\n"
                                            "assert(alert.value == nil and #alert.traces == 0)\n"
                                            "return { text = alert.status .. ' ' .. config.secret } end }");
    assert_body(reply, "{\"text\":\"firing s3cret\"}");
    assert_text(reply, "content_type", "application/json");
    assert_int_equal(peer_end(&p), 0);
}

static void text_is_sent_as_it_is_and_later_calls_need_no_source(void **state) {
    (void)state;
    peer p;
    const msgpack_object *reply = first(&p, "return { name = 'T', content_type = 'text/plain',\n"
                                            "format = function() return 'a\\0\\xff' end }");
    assert_ok(reply);
    assert_text(reply, "content_type", "text/plain");
    assert_int_equal(sw_map_get(reply, "body")->via.bin.size, 3);
    reply = again(&p);
    assert_ok(reply);
    assert_text(reply, "content_type", "text/plain");
    assert_memory_equal(sw_map_get(reply, "body")->via.bin.ptr, "a\0\xff", 3);
    assert_int_equal(peer_end(&p), 0);
}

static void what_is_no_format_is_a_shape_error(void **state) {
    (void)state;
    static const struct {
        const char *source, *kind, *part;
    } cases[] = {
        {"return 7", "shape", "f.lua: must return a table (it returns number)"},
        {"", "shape", "returns nothing"},
        {"return {}", "shape", "format must be a function"},
        {"return { formats = 1 }", "shape", "unknown key 'formats'; known are name, content_type, format"},
        {"return { [1] = 1 }", "shape", "unknown key 'number'"},
        {"return { name = 1, format = print }", "shape", "name must be text"},
        {"return { content_type = 'a\\nb', format = type }", "shape", "content_type must be"},
        {"return { content_type = ('x'):rep(128), format = type }", "shape", "content_type must be"},
        {"return { format = function() end }", "shape", "format returned a nil"},
        {"return { format = function() return 7 end }", "shape", "format returned a number"},
        {"return { format = function() return { print } end }", "runtime", "json.encode"},
        {"return { format = function() return ('x'):rep(2097153) end }", "shape", "more than 2 MiB"},
        {"return {", "syntax", "f.lua:1:"},
        {"return { format = function() while true do end end }", "cpu", ""},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        peer p;
        harness_cpu_ms = strcmp(cases[i].kind, "cpu") == 0 ? CPU_MS : 10000;
        assert_error(first(&p, cases[i].source), cases[i].kind, cases[i].part);
        assert_int_equal(peer_end(&p), 0);
    }
    harness_cpu_ms = 10000;
}

static void a_format_that_raised_goes_on_and_one_that_was_never_loaded_does_not(void **state) {
    (void)state;
    peer p;
    assert_error(first(&p, "local n = 0 return { format = function() n = n + 1\n"
                           "if n == 1 then error('not yet') end return 'n' .. n end }"),
                 "runtime", "f.lua:2: not yet");
    assert_body(again(&p), "n2");
    assert_int_equal(peer_end(&p), 0);
    assert_error(first(&p, "return 7"), "shape", "");
    assert_error(again(&p), "runtime", "no format is loaded");
    assert_int_equal(peer_end(&p), 0);
}

static void a_notification_that_is_no_object_is_refused(void **state) {
    (void)state;
    peer p;
    const char *good = body_to_send;
    body_to_send = "[1";
    assert_error(first(&p, "return { format = function() return 'x' end }"), "runtime",
                 "the notification is not a JSON object");
    body_to_send = good;
    assert_body(again(&p), "x");
    assert_int_equal(peer_end(&p), 0);
}

static void a_detector_formats_nothing(void **state) {
    (void)state;
    peer p;
    peer_start(&p);
    assert_ok(peer_load(&p, "return { check = function() return {} end }"));
    assert_error(again(&p), "runtime", "no format is loaded");
    assert_int_equal(peer_end(&p), 0);
}

static void a_second_value_is_where_the_body_goes_beneath_the_url(void **state) {
    (void)state;
    peer p;
    const msgpack_object *reply =
        first(&p, "return { format = function() return 'x', '/4711/close?by=alias' end }");
    assert_body(reply, "x");
    assert_text(reply, "url_suffix", "/4711/close?by=alias");
    assert_int_equal(peer_end(&p), 0);
    static const char *const bad[] = {"3", "'http://else.where/'", "'//else.where'", "'/a/../..'", "'/a\\0b'",
                                      "{}"};
    for (size_t i = 0; i < SW_ARRAY_LEN(bad); i++) {
        char *source = xasprintf("return { format = function() return 'x', %s end }", bad[i]);
        assert_error(first(&p, source), "shape", "path");
        assert_int_equal(peer_end(&p), 0);
        free(source);
    }
    reply = first(&p, "return { format = function() return 'x', nil end }");
    assert_body(reply, "x");
    assert_null(sw_map_get(reply, "url_suffix"));
    assert_int_equal(peer_end(&p), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_becomes_json_and_null_is_nil),
        cmocka_unit_test(a_second_value_is_where_the_body_goes_beneath_the_url),
        cmocka_unit_test(text_is_sent_as_it_is_and_later_calls_need_no_source),
        cmocka_unit_test(what_is_no_format_is_a_shape_error),
        cmocka_unit_test(a_format_that_raised_goes_on_and_one_that_was_never_loaded_does_not),
        cmocka_unit_test(a_notification_that_is_no_object_is_refused),
        cmocka_unit_test(a_detector_formats_nothing),
    };
    return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}
