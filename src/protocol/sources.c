#include "protocol/sources.h"

#include <string.h>

const char *const sw_source_names[SW_SOURCES] = {"tempo", "otlp"};

int sw_source_named(const char *name) {
    for (int i = 0; i < SW_SOURCES; i++) {
        if (strcmp(sw_source_names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}
