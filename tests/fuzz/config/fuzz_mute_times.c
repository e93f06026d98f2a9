/* Whatever is written, it is taken or told what is wrong, and what was taken can be asked at any time. */
#include <stdlib.h>

#include "base/zone.h"
#include "config/mute_times.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = xstrndup((const char *)data, size);
    sw_buf mistakes;
    sw_buf_init(&mistakes, (size_t)1 << 20);
    sw_mute_times *times = sw_mute_times_parse(text, SW_ZONE_FOLDER, &mistakes);
    for (int64_t s = -100000; s < INT64_C(8000000000); s += 99999999) {
        sw_mute_times_active(times, s * SW_NS_PER_S);
    }
    sw_mute_times_free(times);
    sw_buf_release(&mistakes);
    free(text);
    return 0;
}
