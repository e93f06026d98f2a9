/* A batch of a trace by its id: what is read can be cached and told to scripts. */
#include <stdlib.h>
#include <string.h>

#include "sources/json_value.h"
#include "sources/tempo/trace_cache.h"
#include "sources/trace_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char why[SW_JSON_WHY] = "";
    tempo_row row = {0};
    if (!tempo_decode_batch((const char *)data, size, 1000, &row, why) && why[0] == '\0') {
        abort();
    }
    memset(row.trace.id, 'a', SW_TRACE_ID_LEN);
    tempo_finish_batches(&row);
    const sw_wants wants = {.min_duration_ms = 1000, .errors = true, .series = true};
    tempo_cache *cache = tempo_cache_new(10, 100);
    tempo_cache_begin(cache, &wants, 1);
    tempo_cache_merge(cache, &row);
    tempo_cache_end(cache, 0, INT64_MAX / 2);
    size_t n = 0;
    const sw_trace *const *traces = tempo_cache_list(cache, &n);
    for (size_t i = 0; i < n; i++) {
        sw_buf out;
        sw_buf_init(&out, 1 << 24);
        json_t *json = NULL;
        if (sw_trace_append_json(&out, traces[i]) != 0 ||
            (json = sw_json_parse(out.data, out.len, why)) == NULL) {
            abort();
        }
        json_decref(json);
        sw_buf_release(&out);
    }
    tempo_cache_free(cache);
    return 0;
}
