/* A stored silence that is damaged is refused; one that is read can be stored again and used. */
#include <stdlib.h>
#include <string.h>

#include "alerts/silences.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const sw_silence *silence) {
    sw_silences_options options = {.max = 10, .retention_ns = 1000};
    sw_silences *silences = sw_silences_new(&options);
    sw_alert alert = {.fingerprint = "0123456789abcdef", .type = "rule", .state = SW_ALERT_FIRING};
    const char *ids[1];
    sw_silences_restore(silences, silence);
    sw_silences_matching(silences, &alert, silence->starts_at_ns, ids, 1);
    sw_silences_free(silences);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sw_silence silence, again;
    if (sw_silence_from_json((const char *)data, size, &silence) != 0) {
        return 0;
    }
    sw_buf json;
    sw_buf_init(&json, (size_t)1 << 24);
    if (sw_silence_to_json(&silence, &json) != 0 || sw_silence_from_json(json.data, json.len, &again) != 0 ||
        !sw_matchers_equal(&silence.matchers, &again.matchers) || strcmp(silence.id, again.id) != 0) {
        abort();
    }
    use(&again);
    sw_silence_release(&silence);
    sw_silence_release(&again);
    sw_buf_release(&json);
    return 0;
}
