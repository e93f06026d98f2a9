/* What detectors remember: opaque MessagePack bytes, kept by name while the detector is not there. */
#include "detectors/internal.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/wire.h"
#include "telemetry/log.h"

#define STATE_MAX_DEPTH 56

/* What comes back from the disk goes to a worker inside a frame: it must be one whole value. */
static bool is_one_value(const void *bytes, size_t len) {
    sw_cursor cursor;
    sw_cursor_init(&cursor, bytes, len);
    return sw_cursor_skip(&cursor, STATE_MAX_DEPTH) == 0 && sw_cursor_at_end(&cursor);
}

static void *copy_bytes(const void *bytes, size_t len) {
    void *copy = xmalloc(len);
    memcpy(copy, bytes, len);
    return copy;
}

static sw_kept_state *find_kept(sw_detectors *detectors, const char *name) {
    for (size_t i = 0; i < detectors->n_kept; i++) {
        if (strcmp(detectors->kept[i].name, name) == 0) {
            return &detectors->kept[i];
        }
    }
    return NULL;
}

void sw_state_keep(sw_detectors *detectors, const char *name, int64_t version, const void *bytes,
                   size_t len) {
    if (len == 0 || len > SW_STATE_MAX_BYTES || !is_one_value(bytes, len)) {
        sw_log(SW_LOG_WARN, "stored state is damaged or too large; the detector begins without", "detector",
               name, "bytes", sw_log_int((int64_t)len), NULL);
        return;
    }
    sw_kept_state *kept = find_kept(detectors, name);
    if (kept == NULL && detectors->n_kept == SW_DETECTORS_MAX) {
        return;
    }
    if (kept == NULL) {
        detectors->kept = xrealloc_array(detectors->kept, detectors->n_kept + 1, sizeof *detectors->kept);
        kept = &detectors->kept[detectors->n_kept++];
        *kept = (sw_kept_state){.name = xstrdup(name)};
    }
    free(kept->bytes);
    kept->bytes = copy_bytes(bytes, len);
    kept->len = len;
    kept->version = version;
}

void sw_state_take(sw_detector *detector) {
    sw_detectors *detectors = detector->owner;
    sw_kept_state *kept = find_kept(detectors, detector->name);
    if (kept == NULL) {
        return;
    }
    sw_state_set(detector, kept->bytes, kept->len, kept->version);
    detector->state_committed = true;
    free(kept->name);
    free(kept->bytes);
    *kept = detectors->kept[--detectors->n_kept];
}

void sw_state_set(sw_detector *detector, const void *bytes, size_t len, int64_t version) {
    free(detector->state);
    detector->state = copy_bytes(bytes, len);
    detector->state_len = len;
    detector->state_version = version;
    detector->has_state = true;
    detector->state_committed = false;
    detector->generation++;
}

void sw_states_free(sw_detectors *detectors) {
    for (size_t i = 0; i < detectors->n_kept; i++) {
        free(detectors->kept[i].name);
        free(detectors->kept[i].bytes);
    }
    free(detectors->kept);
    detectors->kept = NULL;
    detectors->n_kept = 0;
}

void sw_detectors_restore(sw_detectors *detectors, const char *name, int64_t state_version, const void *state,
                          size_t len) {
    sw_state_keep(detectors, name, state_version, state, len);
}

/* A later result may have brought a newer state already: that one stays. */
void sw_detector_commit(sw_detector *detector, const void *state, size_t len, int64_t state_version) {
    if (detector->has_state && detector->state_len == len && detector->state_version == state_version &&
        memcmp(detector->state, state, len) == 0) {
        detector->state_committed = true;
    }
}
