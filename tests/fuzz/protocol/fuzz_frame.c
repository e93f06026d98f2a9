/* A stream of bytes as the other end might send it: split into frames, parsed, and packed again. */
#include <stdlib.h>
#include <string.h>

#include "protocol/frame.h"
#include "protocol/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(const char *body, size_t len) {
    char *copy = malloc(len > 0 ? len : 1);
    memcpy(copy, body, len);
    sw_frame frame;
    const char *why;
    if (sw_frame_parse(copy, len, &frame, &why) == 0) {
        msgpack_sbuffer again;
        msgpack_packer packer;
        msgpack_sbuffer_init(&again);
        msgpack_packer_init(&packer, &again, msgpack_sbuffer_write);
        msgpack_pack_object(&packer, frame.payload);
        free(sw_map_str(&frame.payload, "message", 100));
        sw_cursor cursor;
        sw_cursor_init(&cursor, again.data, again.size);
        if (sw_cursor_skip(&cursor, SW_FRAME_MAX_DEPTH) != 0 || !sw_cursor_at_end(&cursor)) {
            abort();
        }
        msgpack_sbuffer_destroy(&again);
        sw_frame_release(&frame);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sw_frame_reader reader;
    sw_frame_reader_init(&reader, 1 << 16);
    size_t piece = size > 0 ? 1 + data[0] : 1;
    for (size_t at = 1; at < size; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        if (sw_frame_reader_feed(&reader, data + at, n) != 0) {
            break;
        }
        const char *body;
        size_t len;
        while (sw_frame_reader_next(&reader, &body, &len) == 1) {
            parse(body, len);
        }
    }
    sw_frame_reader_release(&reader);
    if (size > 1) {
        parse((const char *)data + 1, size - 1);
    }
    return 0;
}
