#include <stdlib.h>
#include <zlib.h>

#include "otlp/otlp.h"

#define PIECE 65536

/* Gzip files that follow each other are one (RFC 1952). */
static int inflate_all(z_stream *stream, sw_buf *out, unsigned char *piece) {
    for (;;) {
        stream->next_out = piece;
        stream->avail_out = PIECE;
        int result = inflate(stream, Z_NO_FLUSH);
        if (sw_buf_append(out, piece, PIECE - stream->avail_out) != 0) {
            return -2;
        }
        if (result == Z_STREAM_END) {
            if (stream->avail_in == 0) {
                return 0;
            }
            if (inflateReset(stream) != Z_OK) {
                return -1;
            }
        } else if (result != Z_OK || (stream->avail_in == 0 && stream->avail_out > 0)) {
            return -1;
        }
    }
}

int sw_otlp_inflate(const char *data, size_t len, sw_buf *out) {
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)len};
    if (len > UINT32_MAX || inflateInit2(&stream, 15 + 32) != Z_OK) { /* 32: gzip or zlib by its header */
        return -1;
    }
    unsigned char *piece = xmalloc(PIECE);
    int result = inflate_all(&stream, out, piece);
    free(piece);
    inflateEnd(&stream);
    return result;
}
