#include "sources/source.h"

const sw_trace *sw_source_listed(const sw_source *source, const char *id) {
    size_t n = 0;
    const sw_trace *const *traces = source->ops->traces(source, &n);
    for (size_t i = 0; i < n; i++) {
        if (sw_streq(traces[i]->id, id)) {
            return traces[i];
        }
    }
    return NULL;
}
