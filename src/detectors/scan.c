/* Looking at the folder: what is new, changed, in error, or gone. */
#include "detectors/internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/wire.h"
#include "telemetry/log.h"

#define NAME_MAX_BYTES 200
#define WATCHED_MAX 64

static bool ends_with(const char *text, size_t len, const char *end) {
    size_t n = strlen(end);
    return len >= n && memcmp(text + len - n, end, n) == 0;
}

/* Hidden files, tests and what editors leave behind are no detectors. */
static bool is_detector_file(const char *file) {
    size_t len = strlen(file);
    if (file[0] == '.' || file[0] == '#' || !ends_with(file, len, ".lua") ||
        ends_with(file, len, "_test.lua")) {
        return false;
    }
    bool plain = len > 4 && len <= NAME_MAX_BYTES && sw_utf8_valid(file, len);
    for (size_t i = 0; i < len; i++) {
        plain = plain && (unsigned char)file[i] >= 0x20 && file[i] != 0x7f;
    }
    return plain;
}

static void set_error(char **slot, const char *message, const char *event, const char *key,
                      const char *what) {
    if (sw_streq(*slot, message)) {
        return;
    }
    free(*slot);
    *slot = xstrdup(message);
    if (message != NULL) {
        sw_log(SW_LOG_ERROR, event, key, what, "error", message, NULL);
    }
}

static void file_error(sw_detector *detector, const char *message) {
    set_error(&detector->file_error, message, "detector cannot be read", "detector", detector->name);
}

/* ---- one file ---- */

/* A file that is not there may be on its way back: vim and git make files vanish for a moment. */
static void look_missing(sw_detector *detector) {
    sw_detectors *detectors = detector->owner;
    int64_t now = sw_mono_ns(detectors->clock);
    if (detector->missing_since_ns == 0) {
        detector->missing_since_ns = now;
    }
    bool there = detector->running != NULL || detector->candidate != NULL || detector->rejected != NULL;
    if (now - detector->missing_since_ns < SW_GONE_AFTER_NS && there) {
        detectors->look_again_ns = detector->missing_since_ns + SW_GONE_AFTER_NS;
    } else if (detector->seen && !there) {
        file_error(detector, detector->named ? "there is no such file, but the configuration names it"
                                             : "it is a link that leads nowhere");
    } else {
        sw_detectors_remove(detector);
    }
}

static void look_content(sw_detector *detector, const char *source, size_t len) {
    char hash[65];
    sw_sha256_hex(source, len, hash);
    sw_version *running = detector->running, *rejected = detector->rejected;
    if (running != NULL && sw_version_current(running, hash)) {
        if (rejected != NULL) {
            sw_log(SW_LOG_INFO, "detector file is the running version again", "detector", detector->name,
                   NULL);
            sw_version_free(rejected);
            detector->rejected = NULL;
        }
        if (detector->candidate != NULL) {
            sw_swap_drop(detector);
            sw_calls_run(detector);
        }
    } else if (rejected != NULL && sw_version_current(rejected, hash)) {
        if (detector->candidate != NULL) {
            sw_swap_drop(detector);
            sw_calls_run(detector);
        }
    } else if (detector->candidate == NULL || !sw_version_current(detector->candidate, hash)) {
        sw_swap_begin(detector, source, len, hash);
    }
}

static void look_at(sw_detector *detector) {
    char *source = NULL;
    size_t len = 0;
    int error = sw_script_read(detector->path, &source, &len);
    if (error == ENOENT || error == ENOTDIR) {
        look_missing(detector);
        return;
    }
    detector->missing_since_ns = 0;
    if (error != 0) {
        file_error(detector, error == EFBIG    ? "it is larger than 1 MiB"
                             : error == EINVAL ? "it is not a file"
                                               : strerror(error));
        return;
    }
    set_error(&detector->file_error, NULL, "", "", "");
    look_content(detector, source, len);
    free(source);
}

/* ---- the folder ---- */

static void found(sw_detectors *detectors, const char *name, bool named) {
    sw_detector *detector = sw_detectors_find(detectors, name);
    if (detector == NULL && detectors->n_all >= SW_DETECTORS_MAX) {
        return;
    }
    if (detector == NULL) {
        detector = sw_detectors_add(detectors, name, named);
    }
    detector->seen = true;
}

/* False when the folder cannot be listed: then nothing is said to be gone. */
static bool list_folder(sw_detectors *detectors) {
    DIR *folder = opendir(detectors->scripts_dir);
    if (folder == NULL) {
        set_error(&detectors->folder_error, strerror(errno), "the scripts folder cannot be read", "folder",
                  detectors->scripts_dir);
        return false;
    }
    set_error(&detectors->folder_error, NULL, "", "", "");
    const struct dirent *entry = NULL;
    while ((entry = readdir(folder)) != NULL) {
        if (is_detector_file(entry->d_name) && entry->d_type != DT_DIR) {
            char *name = xstrndup(entry->d_name, strlen(entry->d_name) - strlen(".lua"));
            found(detectors, name, false);
            free(name);
        }
    }
    closedir(folder);
    return true;
}

static bool valid_name(const char *name) {
    size_t len = strlen(name);
    return len > 0 && len <= NAME_MAX_BYTES && name[0] != '/' && name[len - 1] != '/' &&
           strstr(name, "..") == NULL && strstr(name, "//") == NULL && sw_utf8_valid(name, len);
}

static void add_named(sw_detectors *detectors) {
    for (size_t i = 0; detectors->names[i] != NULL; i++) {
        const char *name = detectors->names[i];
        found(detectors, name, true);
        sw_detector *detector = sw_detectors_find(detectors, name);
        if (detector != NULL && !valid_name(name)) {
            detector->seen = false;
            file_error(detector, "the name of a detector is a path beneath the scripts folder, without ..");
        }
    }
}

static void watch_folders(sw_detectors *detectors) {
    const char *folders[WATCHED_MAX] = {detectors->scripts_dir};
    char *lib = xasprintf("%s/lib", detectors->scripts_dir);
    size_t n = 1;
    folders[n++] = lib;
    for (size_t i = 0; i < detectors->n_all && n < WATCHED_MAX; i++) {
        bool known = false;
        for (size_t j = 0; j < n; j++) {
            known = known || strcmp(folders[j], detectors->all[i]->dir) == 0;
        }
        if (!known) {
            folders[n++] = detectors->all[i]->dir;
        }
    }
    sw_watches_set(detectors->watches, folders, n);
    free(lib);
}

void sw_scan(sw_detectors *detectors) {
    uv_timer_stop(&detectors->quiet);
    detectors->last_scan_ns = sw_mono_ns(detectors->clock);
    detectors->look_again_ns = 0;
    watch_folders(detectors); /* before reading: what changes from now on is an event */
    for (size_t i = 0; i < detectors->n_all; i++) {
        detectors->all[i]->seen = false;
    }
    bool listed = list_folder(detectors);
    add_named(detectors);
    size_t n = detectors->n_all;
    sw_detector **looked = xcalloc(n, sizeof(sw_detector *)); /* looking may remove some */
    for (size_t i = 0; i < n; i++) {
        looked[i] = detectors->all[i];
    }
    for (size_t i = 0; i < n; i++) {
        if (looked[i]->seen || (listed && valid_name(looked[i]->name))) {
            look_at(looked[i]);
        }
    }
    free(looked);
    watch_folders(detectors);
    sw_scan_decided(detectors);
    sw_detectors_kick(detectors);
}

/* ---- the outcome ---- */

bool sw_scan_undecided(const sw_detectors *detectors) {
    for (size_t i = 0; i < detectors->n_all; i++) {
        if (detectors->all[i]->candidate != NULL) {
            return true;
        }
    }
    return false;
}

unsigned sw_scan_errors(const sw_detectors *detectors) {
    unsigned errors = detectors->folder_error != NULL;
    for (size_t i = 0; i < detectors->n_all; i++) {
        errors += detectors->all[i]->rejected != NULL || detectors->all[i]->file_error != NULL ||
                  detectors->all[i]->start_error != NULL;
    }
    return errors;
}

void sw_scan_decided(sw_detectors *detectors) {
    if (!sw_scan_undecided(detectors)) {
        sw_metric_set(detectors->m.reload_successful, sw_scan_errors(detectors) == 0 ? 1 : 0);
        sw_detectors_kick(detectors);
    }
}

void sw_detectors_scan(sw_detectors *detectors, void (*done)(unsigned errors, void *arg), void *arg) {
    if (done != NULL) {
        detectors->waiters =
            xrealloc_array(detectors->waiters, detectors->n_waiters + 1, sizeof *detectors->waiters);
        detectors->waiters[detectors->n_waiters++] = (sw_scan_waiter){done, arg};
    }
    detectors->scan_due = true;
    sw_detectors_kick(detectors);
}
