/* Reading in pieces comes to the same as reading at once: the same elements, and broken when it is. */
#include <stdlib.h>
#include <string.h>

#include "sources/json_stream.h"
#include "sources/json_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool count_valid(const char *json, size_t len, void *arg) {
    char why[SW_JSON_WHY];
    json_t *value = sw_json_parse(json, len, why);
    uint64_t *hash = arg;
    *hash = sw_hash(*hash, json, len);
    json_decref(value);
    return value != NULL;
}

static json_t *read_all(const char *text, size_t len, size_t piece, size_t *elements, uint64_t *hash,
                        bool *excused) {
    static const char *const paths[] = {"traces", "trace.resourceSpans", "series", NULL};
    *hash = SW_HASH_SEED;
    sw_json_stream *stream = sw_json_stream_new(&(sw_json_stream_options){
        .paths = paths, .max_element = 4096, .on_element = count_valid, .arg = hash});
    for (size_t at = 0; at < len; at += piece) {
        if (!sw_json_stream_feed(stream, text + at, len - at < piece ? len - at : piece)) {
            break;
        }
    }
    json_t *rest = sw_json_stream_finish(stream);
    *elements = sw_json_stream_elements(stream);
    const char *why = sw_json_stream_why(stream);
    *excused = sw_json_stream_too_large(stream) || strcmp(why, "too deep") == 0 ||
               strcmp(why, "something else is where a list belongs") == 0;
    if ((rest == NULL) == (sw_json_stream_why(stream)[0] == '\0')) {
        abort();
    }
    sw_json_stream_free(stream);
    return rest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) {
        return 0;
    }
    const char *text = (const char *)data + 1;
    size_t len = size - 1, piece = data[0] % 64 + 1;
    size_t n_pieces = 0, n_whole = 0;
    uint64_t hash_pieces = 0, hash_whole = 0;
    bool excused_pieces = false, excused_whole = false;
    json_t *pieces = read_all(text, len, piece, &n_pieces, &hash_pieces, &excused_pieces);
    json_t *whole = read_all(text, len, len > 0 ? len : 1, &n_whole, &hash_whole, &excused_whole);
    if ((pieces == NULL) != (whole == NULL) || n_pieces != n_whole || hash_pieces != hash_whole ||
        excused_pieces != excused_whole || (pieces != NULL && !json_equal(pieces, whole))) {
        abort();
    }
    char why[SW_JSON_WHY];
    json_t *value = sw_json_parse(text, len, why);
    if (excused_whole ? whole != NULL : json_is_object(value) != (whole != NULL)) {
        abort(); /* broken if and only if it is no JSON object, or for one of these reasons */
    }
    json_decref(value);
    json_decref(pieces);
    json_decref(whole);
    return 0;
}
