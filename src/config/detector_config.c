#include <jansson.h>
#include <stdlib.h>

#include "config/config.h"

#define MISSED_RESENDS 4 /* after so many it is over for the receiver, as with Prometheus */

/* Frees the settings. */
static char *as_text(json_t *settings) {
    char *dumped = json_dumps(settings, JSON_COMPACT);
    char *text = xstrdup(dumped);
    free(dumped);
    json_decref(settings);
    return text;
}

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
    json_decref(all);
    return as_text(settings);
}

char *sw_config_for_format(const sw_config *config, const sw_receiver_config *receiver) {
    char *name = xasprintf("notify/%s", receiver->format);
    char *shared = sw_config_for_detector(config, name);
    json_t *settings = json_loads(shared, 0, NULL);
    json_t *own = json_loads(receiver->format_config_json, 0, NULL);
    json_object_update(settings, own);
    json_decref(own);
    if (receiver->resend_secs > 0) {
        json_object_set_new(settings, "ends_after_secs",
                            json_integer(MISSED_RESENDS * receiver->resend_secs));
    }
    free(shared);
    free(name);
    return as_text(settings);
}
