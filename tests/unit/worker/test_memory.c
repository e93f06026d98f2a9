/* Every allocation fails in turn: loading, checking, and what a script does, with a cap that grows in small
 * steps from nothing to enough. Whatever fails fails as a memory error, and the state stays usable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "worker/internal.h"

/* lua-cjson 2.1.0 loses a buffer when its state runs out of memory; a worker that did is rebuilt. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:strbuf_init\nleak:strbuf_new\n";
}

#define STEP 48
#define ENOUGH ((size_t)1 << 20)

static const char source[] = "local t = setmetatable({}, { __close = function() local u = { 1, 2 } end })\n"
                             "return { config = { a = { b = 1 } }, check = function(ctx)\n"
                             "  local x <close> = t\n"
                             "  ctx.state.list = { 'a', 'b', { c = 1 } }\n"
                             "  local co = coroutine.wrap(function(...) coroutine.yield({ ... }) end)\n"
                             "  co(1, 2, 3)\n"
                             "  local f = load('return 1 + 1') pcall(f)\n"
                             "  ctx.metric('m', 1, { a = 'b' })\n"
                             "  ctx.state.text = json.encode(json.decode('{\"a\":[1,2,{\"b\":null}]}'))\n"
                             "  local ok, e = xpcall(error, function(m) return { m } end, 'x')\n"
                             "  assert(not ok and e[1] == 'x')\n"
                             "  return { { type = 'x', labels = { a = 'b' }, trace_id = 'ab' } }\n"
                             "end }";

static void pack_load(sw_frame_writer *writer) {
    sw_frame_begin(writer, SW_FRAME_LOAD, 1);
    msgpack_pack_map(&writer->packer, 2);
    sw_pack_key_str(&writer->packer, "path", "h.lua");
    sw_pack_key_str(&writer->packer, "source", source);
}

static void pack_check(sw_frame_writer *writer) {
    sw_frame_begin(writer, SW_FRAME_CHECK, 2);
    msgpack_pack_map(&writer->packer, 2);
    sw_pack_key_num(&writer->packer, "now", 5);
    sw_pack_str(&writer->packer, "window");
    msgpack_pack_map(&writer->packer, 1);
    sw_pack_str(&writer->packer, "series");
    msgpack_pack_array(&writer->packer, 1);
    msgpack_pack_map(&writer->packer, 1);
    sw_pack_key_int(&writer->packer, "count", 1);
}

static int run(sw_worker *worker, lua_CFunction body, void (*pack)(sw_frame_writer *)) {
    sw_frame_writer writer;
    pack(&writer);
    int kind;
    uint64_t sequence;
    const char *why;
    sw_cursor payload;
    assert_int_equal(
        sw_wire_open(writer.bytes.data + 4, writer.bytes.size - 4, &kind, &sequence, &payload, &why), 0);
    sw_frame_begin(&worker->reply, SW_FRAME_REPLY, sequence);
    int result = sw_protected(worker, body, &payload);
    sw_frame_writer_release(&worker->reply);
    sw_frame_writer_release(&writer);
    return result;
}

/* How far it came: 0 nothing, 1 a state, 2 opened, 3 loaded, 4 checked. */
static int attempt(sw_worker *worker, size_t cap) {
    int stage = 0;
    sw_limits_set(&worker->limits, cap, 10000);
    worker->limits.memory_used = 0;
    worker->L = sw_environment_new(worker);
    if (worker->L == NULL) {
        return stage;
    }
    stage++;
    if (sw_protected(worker, sw_environment_open, NULL) == 0) {
        stage++;
        if (run(worker, sw_call_load, pack_load) == 0) {
            stage++;
            stage += run(worker, sw_call_check, pack_check) == 0 ? 1 : 0;
        }
    }
    if (stage < 4) {
        assert_string_equal(sw_error_kind_name(worker->kind), "memory");
    }
    lua_close(worker->L);
    assert_int_equal(worker->limits.memory_used, 0);
    sw_scratch_free(&worker->config);
    sw_scratch_free(&worker->state);
    sw_scratch_free(&worker->next_state);
    return stage;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    static sw_worker worker;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    worker.fd = fds[0];
    assert_int_equal(sw_limits_init(&worker.limits), 0);
    int seen[5] = {0};
    int stage = 0;
    for (size_t cap = 1024; stage < 4; cap += STEP) {
        assert_true(cap < ENOUGH);
        stage = attempt(&worker, cap);
        seen[stage]++;
    }
    for (int i = 0; i < 5; i++) {
        assert_true(seen[i] > 0);
    }
    close(fds[0]);
    close(fds[1]);
}

static void a_type_tag_is_no_size(void **state) {
    (void)state;
    sw_limits limits = {.memory_cap = 1000};
    void *block = sw_limits_alloc(&limits, NULL, LUA_TTABLE, 100);
    assert_non_null(block);
    assert_int_equal(limits.memory_used, 100);
    assert_null(sw_limits_alloc(&limits, block, 100, 1001));
    assert_null(sw_limits_alloc(&limits, NULL, LUA_TSTRING, SIZE_MAX));
    assert_int_equal(limits.memory_used, 100);
    block = sw_limits_alloc(&limits, block, 100, 1000);
    assert_non_null(block);
    assert_int_equal(limits.memory_used, 1000);
    block = sw_limits_alloc(&limits, block, 1000, 10);
    assert_int_equal(limits.memory_used, 10);
    assert_int_equal(limits.memory_peak, 1000);
    assert_null(sw_limits_alloc(&limits, block, 10, 0));
    assert_int_equal(limits.memory_used, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(a_type_tag_is_no_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
