/* Any MessagePack value, as the host may send it or a script may return it: into Lua, and from there as a
 * state, as findings and as JSON. What is packed must be what the host's end accepts. */
#include <stdlib.h>
#include <string.h>

#include "worker/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static sw_worker worker;

static int open_json(lua_State *L) {
    sw_json_push(L);
    lua_getfield(L, -1, "encode");
    lua_setglobal(L, "encode");
    lua_getfield(L, -1, "decode");
    lua_setglobal(L, "decode");
    return 0;
}

static int as_state(lua_State *L) {
    sw_cursor cursor = *(sw_cursor *)lua_touserdata(L, 1);
    sw_values_push(L, &cursor);
    sw_pack_str(&worker.reply.packer, "state");
    sw_values_writer writer;
    sw_values_begin(&writer, &worker.reply.packer, &worker.reply.bytes, "state");
    sw_values_pack(L, -1, &writer);
    return 0;
}

static int as_findings(lua_State *L) {
    sw_cursor cursor = *(sw_cursor *)lua_touserdata(L, 1);
    const char *reason;
    sw_values_push(L, &cursor);
    lua_pushnil(L);
    sw_detector_judged(L, lua_gettop(L) - 1, &reason); /* raises when it is no table */
    sw_pack_str(&worker.reply.packer, "findings");
    sw_findings_pack(L, -2, &worker.reply.packer);
    return 0;
}

static int as_json(lua_State *L) {
    sw_cursor cursor = *(sw_cursor *)lua_touserdata(L, 1);
    lua_getglobal(L, "decode");
    lua_getglobal(L, "encode");
    sw_values_push(L, &cursor);
    lua_call(L, 1, 1);
    lua_call(L, 1, 2);
    if (!lua_isnil(L, -1)) {
        abort(); /* what we encode is JSON */
    }
    sw_pack_str(&worker.reply.packer, "json");
    msgpack_pack_nil(&worker.reply.packer);
    return 0;
}

static void run(lua_CFunction body, const uint8_t *data, size_t size) {
    sw_cursor cursor;
    sw_cursor_init(&cursor, data, size);
    sw_frame_begin(&worker.reply, SW_FRAME_REPLY, 1);
    msgpack_pack_map(&worker.reply.packer, 1);
    if (sw_protected(&worker, body, &cursor) == 0) {
        sw_frame frame;
        const char *why;
        if (sw_frame_parse(worker.reply.bytes.data + 4, worker.reply.bytes.size - 4, &frame, &why) != 0) {
            abort();
        }
        sw_frame_release(&frame);
    }
    sw_frame_writer_release(&worker.reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (worker.L == NULL) {
        sw_limits_set(&worker.limits, (size_t)64 << 20, 10000);
        worker.fd = -1;
        worker.L = sw_environment_new(&worker);
        if (worker.L == NULL || sw_protected(&worker, open_json, NULL) != 0) {
            abort();
        }
    }
    run(as_state, data, size);
    run(as_findings, data, size);
    run(as_json, data, size);
    return 0;
}
