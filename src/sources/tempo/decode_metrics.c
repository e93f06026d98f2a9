#include "sources/tempo/decode.h"

#include <stdio.h>
#include <string.h>

#define LONGEST_S 9e9

/* A label of a span that does not have the attribute is the word nil. */
static const char *label_text(const json_t *value) {
    const char *text = sw_json_peek(value, "stringValue");
    return strcmp(text, "nil") == 0 ? "" : text;
}

static void read_label(const char *key, const json_t *value, tempo_series *series) {
    const char *text = label_text(value);
    if (strcmp(key, "resource.service.name") == 0) {
        series->service = text[0] != '\0' ? text : TEMPO_UNKNOWN_SERVICE;
    } else if (strcmp(key, "name") == 0) {
        series->name = text;
    } else if (strcmp(key, "status") == 0) {
        series->error = strcmp(text, "error") == 0;
    } else if (strcmp(key, "trace:id") == 0) {
        series->trace_id = text;
    } else if (strcmp(key, "span:id") == 0) {
        series->span_id = text;
    } else if (strcmp(key, "__bucket") == 0) {
        sw_json_number(json_object_get(value, "doubleValue"), &series->bucket_s);
        if (series->bucket_s < 0 || series->bucket_s > LONGEST_S) {
            series->bucket_s = 0; /* spans that end before they start: their duration is not known */
        }
    }
}

static bool read_series(tempo_series *series) {
    const json_t *labels = json_object_get(series->json, "labels");
    if (!json_is_object(series->json) || (labels != NULL && !json_is_array(labels))) {
        return false;
    }
    series->service = TEMPO_UNKNOWN_SERVICE;
    series->name = series->trace_id = series->span_id = "";
    for (size_t i = 0; i < json_array_size(labels); i++) {
        const json_t *label = json_array_get(labels, i);
        read_label(sw_json_peek(label, "key"), json_object_get(label, "value"), series);
    }
    series->samples = json_object_get(series->json, "samples");
    series->has_value = sw_json_number(json_object_get(series->json, "value"), &series->value) &&
                        series->value >= 0 && series->value <= LONGEST_S;
    return series->samples == NULL || json_is_array(series->samples);
}

bool tempo_series_open(const char *json, size_t len, tempo_series *series, char why[SW_JSON_WHY]) {
    *series = (tempo_series){.json = sw_json_parse(json, len, why)};
    if (series->json == NULL) {
        return false;
    }
    if (!read_series(series)) {
        snprintf(why, SW_JSON_WHY, "a series that is none");
        tempo_series_close(series);
        return false;
    }
    return true;
}

void tempo_series_close(tempo_series *series) {
    json_decref(series->json);
    *series = (tempo_series){0};
}

bool tempo_series_sample(const tempo_series *series, size_t i, int64_t *at_ms, double *value) {
    const json_t *sample = json_array_get(series->samples, i);
    *value = 0;
    if (!sw_json_int(json_object_get(sample, "timestampMs"), at_ms)) {
        return false;
    }
    sw_json_number(json_object_get(sample, "value"), value);
    return true;
}
