/* A series of a metrics answer: what is read becomes buckets or swept spans. */
#include <stdlib.h>

#include "sources/tempo/count_table.h"
#include "sources/tempo/trace_cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const int64_t from = 1795385790, to = from + 120;
    char why[SW_JSON_WHY] = "";
    tempo_series series;
    if (!tempo_series_open((const char *)data, size, &series, why)) {
        if (why[0] == '\0') {
            abort();
        }
        return 0;
    }
    const sw_wants wants = {.min_duration_ms = 1000, .errors = true, .series = true};
    tempo_cache *cache = tempo_cache_new(10, 100);
    tempo_cache_begin(cache, &wants, 1);
    tempo_cache_sweep(cache, &series, to * SW_NS_PER_S);
    tempo_cache_end(cache, 0, INT64_MAX / 2);
    tempo_cache_free(cache);

    tempo_counts *counts = tempo_counts_new(from, to, 30);
    tempo_layout layout = {0};
    if (tempo_counts_add(counts, &series, why)) {
        tempo_counts_learn(counts, to, &layout);
        int64_t until = tempo_counts_until(counts, &layout);
        if (until < from || until > to) {
            abort();
        }
        sw_buckets *buckets = sw_buckets_new(30, 100);
        sw_buckets_begin(buckets, from, until);
        tempo_counts_draft(counts, &layout, buckets);
        sw_buckets_commit(buckets, false);
        sw_buckets_free(buckets);
    }
    tempo_counts_free(counts);
    tempo_series_close(&series);
    return 0;
}
