#include "alerts/told.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* "name@seconds" of this length; false when it is something else. */
static bool read_entry(const char *text, size_t len, sw_told *out) {
    size_t name = strcspn(text, "@ ");
    if (name == 0 || name > SW_TOLD_NAME_MAX || text[name] != '@') {
        return false;
    }
    size_t digits = strspn(text + name + 1, "0123456789");
    errno = 0;
    out->at_s = strtoll(text + name + 1, NULL, 10);
    memcpy(out->receiver, text, name);
    out->receiver[name] = '\0';
    return digits > 0 && name + 1 + digits == len && errno == 0;
}

const char *sw_told_next(const char *at, sw_told *out) {
    while (at != NULL && *at != '\0') {
        at += strspn(at, " ");
        size_t len = strcspn(at, " ");
        bool good = read_entry(at, len, out);
        at += len;
        if (good) {
            return at;
        }
    }
    return NULL;
}

int64_t sw_told_at(const char *told, const char *receiver) {
    sw_told entry;
    for (const char *at = told; (at = sw_told_next(at, &entry)) != NULL;) {
        if (strcmp(entry.receiver, receiver) == 0) {
            return entry.at_s;
        }
    }
    return -1;
}

void sw_told_append(const char *told, const char *receiver, int64_t at_s, sw_buf *out) {
    sw_told entry;
    for (const char *at = told; (at = sw_told_next(at, &entry)) != NULL;) {
        if (strcmp(entry.receiver, receiver) != 0) {
            sw_buf_printf(out, "%s@%lld ", entry.receiver, (long long)entry.at_s);
        }
    }
    sw_buf_printf(out, "%s@%lld", receiver, (long long)at_s);
}
