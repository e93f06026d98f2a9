/* A trace of a search answer: what is read can be cached, counted, and told to scripts. */
#include <stdlib.h>
#include <string.h>

#include "sources/json_value.h"
#include "sources/tempo/span_table.h"
#include "sources/tempo/trace_cache.h"
#include "sources/trace_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char why[SW_JSON_WHY] = "";
    tempo_row row;
    if (!tempo_decode_search((const char *)data, size, &row, why)) {
        if (why[0] == '\0') {
            abort();
        }
        return 0;
    }
    tempo_spans *spans = tempo_spans_new(1000);
    tempo_spans_put(spans, &row, 0, INT64_MAX);
    sw_buckets *buckets = sw_buckets_new(30, 1000);
    sw_buckets_begin(buckets, 0, 3000);
    tempo_spans_count(spans, 0, INT64_MAX, buckets);
    sw_buckets_commit(buckets, true);
    sw_buckets_free(buckets);
    tempo_spans_free(spans);

    const sw_wants wants = {.min_duration_ms = 1000, .errors = true, .series = true};
    tempo_cache *cache = tempo_cache_new(10, 100);
    tempo_cache_begin(cache, &wants, 1);
    tempo_cache_suspect(cache, &row);
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
