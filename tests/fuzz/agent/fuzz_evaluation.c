/* A stored evaluation that is damaged is refused; one that is read can be explained, whatever it says. */
#include <stdlib.h>

#include "agent/explain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(const json_t *record, const sw_judged *judged, void *arg) {
    (void)record;
    (void)judged;
    (void)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sw_evaluations *evaluations = sw_evaluations_new(SW_EVALUATIONS_BYTES);
    size_t n = 0;
    if (sw_evaluations_restore(evaluations, 1, (const char *)data, size) == 0) {
        sw_evaluations_each(evaluations, NULL, "0123456789abcdef0123456789abcdef", NULL, ignore, NULL);
        json_decref(sw_explain_forgotten(evaluations, "", &n));
        json_decref(sw_explain_forgotten(evaluations, "8cd447c0376cbd90", &n));
    }
    sw_evaluations_free(evaluations);
    return 0;
}
