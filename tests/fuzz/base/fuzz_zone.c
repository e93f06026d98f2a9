/* A file of a zone that is taken has an offset at any time, and a way back from what its clocks show. */
#include <stdlib.h>

#include "base/zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *why = NULL;
    sw_zone *zone = sw_zone_read(data, size, &why);
    if ((zone == NULL) != (why != NULL)) {
        abort();
    }
    for (int64_t t = -INT64_C(5000000000); zone != NULL && t < INT64_C(9000000000); t += 123456789) {
        int32_t offset = sw_zone_offset_s(zone, t);
        if (offset < -200000 || offset > 200000) {
            abort();
        }
        sw_zone_to_unix_s(zone, t, true);
        sw_zone_to_unix_s(zone, t, false);
    }
    free(why);
    sw_zone_free(zone);
    return 0;
}
