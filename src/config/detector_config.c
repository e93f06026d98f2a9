#include <jansson.h>
#include <stdlib.h>

#include "config/config.h"

char *sw_config_for_detector(const sw_config *config, const char *detector) {
    json_t *settings = json_object();
    if (sw_streq(detector, "detect")) {
        json_object_set_new(settings, "latency_threshold_ms", json_real(config->tempo_latency_threshold_ms));
        json_object_set_new(settings, "error_rate_threshold", json_real(config->tempo_error_rate_threshold));
        json_object_set_new(settings, "min_requests", json_integer(config->tempo_error_rate_min_requests));
    }
    json_t *all = json_loads(config->detector_config_json, 0, NULL);
    json_t *own = json_object_get(all, detector);
    if (json_is_object(own)) {
        json_object_update(settings, own);
    }
    char *dumped = json_dumps(settings, JSON_COMPACT);
    char *text = xstrdup(dumped);
    free(dumped);
    json_decref(all);
    json_decref(settings);
    return text;
}
