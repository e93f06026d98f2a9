/* Spans of any shape: eight bytes each say id, parent, start, duration and status. The path ends, its pieces
 * do not overlap, and no span has more time than it took. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alerts/critical_path.h"

#define BYTES_PER_SPAN 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Small numbers meet one another; the largest byte is beyond all bounds. */
static int64_t time_of(uint8_t byte) {
    return byte == 255 ? INT64_MAX : byte == 254 ? INT64_MIN : byte;
}

static void set_id(char out[SW_SPAN_ID_LEN + 1], uint8_t byte) {
    if (byte % 16 != 0) {
        snprintf(out, SW_SPAN_ID_LEN + 1, "%02x", byte);
    }
}

static void check(const sw_trace *trace, const sw_critical_path *path) {
    int64_t end = INT64_MAX;
    for (size_t i = 0; i < path->n_pieces; i++) {
        const sw_path_piece *piece = &path->pieces[i];
        if (piece->span >= trace->n_spans || piece->from_ns >= piece->to_ns || piece->to_ns > end) {
            abort();
        }
        end = piece->from_ns;
    }
    for (size_t i = 0; i < trace->n_spans; i++) {
        int64_t duration = trace->spans[i].duration_ns > 0 ? trace->spans[i].duration_ns : 0;
        if (path->self_ns[i] < 0 || path->self_ns[i] > duration || path->on_path_ns[i] < 0 ||
            path->on_path_ns[i] > duration) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t n = size / BYTES_PER_SPAN;
    sw_span *spans = xcalloc(n + 1, sizeof *spans);
    for (size_t i = 0; i < n; i++, data += BYTES_PER_SPAN) {
        set_id(spans[i].id, data[0]);
        set_id(spans[i].parent_id, data[1]);
        spans[i].start_ns = time_of(data[2]);
        spans[i].duration_ns = data[3] == 128 ? -1 : time_of(data[3]);
        spans[i].status = data[4] % 2 == 1 ? SW_STATUS_ERROR : SW_STATUS_UNSET;
    }
    const sw_trace trace = {.spans = spans, .n_spans = n};
    sw_critical_path path;
    sw_critical_path_of(&trace, &path);
    if (n > 0) {
        check(&trace, &path);
    }
    sw_critical_path_release(&path);
    free(spans);
    return 0;
}
