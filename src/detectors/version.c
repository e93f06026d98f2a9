#include "detectors/internal.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detectors/convert.h"
#include "telemetry/log.h"

#define EVERY_MIN_S 1.0
#define EVERY_MAX_S 86400.0
#define SHOWN_NAME_MAX 128

sw_version *sw_version_new(sw_detector *detector, const char *source, size_t len, const char *hash) {
    sw_version *version = xcalloc(1, sizeof *version);
    version->detector = detector;
    version->source = xmalloc(len + 1);
    memcpy(version->source, source, len);
    version->source[len] = '\0';
    version->len = len;
    memcpy(version->hash, hash, sizeof version->hash);
    return version;
}

sw_version *sw_version_copy(const sw_version *version) {
    sw_version *copy = sw_version_new(version->detector, version->source, version->len, version->hash);
    copy->modules = xcalloc(version->n_modules, sizeof *copy->modules);
    for (size_t i = 0; i < version->n_modules; i++) {
        const sw_module *from = &version->modules[i];
        sw_module *to = &copy->modules[copy->n_modules];
        if (from->hash[0] != '\0') { /* one that was not found is looked for again */
            *to = *from;
            to->name = xstrdup(from->name);
            to->path = xstrdup(from->path);
            to->source = xmalloc(from->len + 1);
            memcpy(to->source, from->source, from->len + 1);
            copy->n_modules++;
        }
    }
    return copy;
}

void sw_version_stop(sw_version *version) {
    if (version->worker != NULL) {
        sw_worker_stop(version->worker);
        version->worker = NULL;
    }
    version->loaded = false;
}

void sw_version_free(sw_version *version) {
    if (version == NULL) {
        return;
    }
    sw_version_stop(version);
    for (size_t i = 0; i < version->n_modules; i++) {
        sw_module_release(&version->modules[i]);
    }
    free(version->modules);
    free(version->source);
    free(version->error);
    free(version->shown_name);
    free(version);
}

/* ---- modules ---- */

static sw_module *find_module(sw_version *version, const char *name) {
    for (size_t i = 0; i < version->n_modules; i++) {
        if (strcmp(version->modules[i].name, name) == 0) {
            return &version->modules[i];
        }
    }
    return NULL;
}

/* What was required once stays as it was for this version, also when its worker is started again. */
static int require(const char *name, char **path, char **source, size_t *len, char **message, void *arg) {
    sw_version *version = arg;
    sw_detector *detector = version->detector;
    sw_module *module = find_module(version, name);
    if (module == NULL || module->hash[0] == '\0') {
        sw_module found;
        int result = sw_module_find(detector->owner->scripts_dir, detector->dir, name, &found, message);
        if (module != NULL) {
            sw_module_release(module);
            *module = found;
        } else if (version->n_modules < SW_MODULES_MAX) {
            version->modules =
                xrealloc_array(version->modules, version->n_modules + 1, sizeof *version->modules);
            module = &version->modules[version->n_modules++];
            *module = found;
        } else {
            sw_module_release(&found);
            free(*message);
            *message = xasprintf("more than %d modules", SW_MODULES_MAX);
            return -1;
        }
        if (result != 0) {
            return -1;
        }
    }
    *path = xstrdup(module->path);
    *source = xmalloc(module->len + 1);
    memcpy(*source, module->source, module->len + 1);
    *len = module->len;
    return 0;
}

/* A module that has vanished may be on its way back: editors write like that. */
static bool module_current(sw_version *version, sw_module *module) {
    const sw_detector *detector = version->detector;
    sw_module now;
    char *message = NULL;
    int result = sw_module_find(detector->owner->scripts_dir, detector->dir, module->name, &now, &message);
    bool same = strcmp(now.hash, module->hash) == 0;
    if (result == 0 || same) {
        module->missing_since_ns = 0;
    } else {
        int64_t mono = sw_mono_ns(detector->owner->clock);
        if (module->missing_since_ns == 0) {
            module->missing_since_ns = mono;
        }
        same = mono - module->missing_since_ns < SW_GONE_AFTER_NS;
    }
    free(message);
    sw_module_release(&now);
    return same;
}

bool sw_version_current(sw_version *version, const char *hash) {
    bool same = strcmp(version->hash, hash) == 0;
    for (size_t i = 0; i < version->n_modules && same; i++) {
        same = module_current(version, &version->modules[i]);
    }
    return same;
}

/* ---- LOAD ---- */

static void pack_raw(msgpack_packer *pk, const void *bytes, size_t len) {
    pk->callback(pk->data, bytes, len);
}

static void pack_config(msgpack_packer *pk, const sw_detector *detector) {
    const sw_detectors_options *options = &detector->owner->options;
    char *text =
        options->config_for != NULL ? options->config_for(detector->name, options->config_arg) : NULL;
    json_t *config = text != NULL ? json_loads(text, 0, NULL) : NULL;
    msgpack_sbuffer bytes;
    msgpack_packer packer;
    msgpack_sbuffer_init(&bytes);
    msgpack_packer_init(&packer, &bytes, msgpack_sbuffer_write);
    if (!json_is_object(config) || sw_pack_json(&packer, config) != 0) {
        if (text != NULL) {
            sw_log(SW_LOG_WARN, "the settings of a detector are no table, or nested too deeply; it gets none",
                   "detector", detector->name, NULL);
        }
        msgpack_sbuffer_clear(&bytes);
        msgpack_pack_map(&packer, 0);
    }
    sw_pack_str(pk, "config");
    pack_raw(pk, bytes.data, bytes.size);
    msgpack_sbuffer_destroy(&bytes);
    json_decref(config);
    free(text);
}

static void pack_load(msgpack_packer *pk, const sw_version *version) {
    const sw_detector *detector = version->detector;
    const sw_detectors_options *options = &detector->owner->options;
    char *path = xasprintf("%s.lua", detector->name);
    msgpack_pack_map(pk, 7);
    sw_pack_key_str(pk, "path", path);
    sw_pack_str(pk, "source");
    sw_pack_text(pk, version->source, version->len);
    pack_config(pk, detector);
    sw_pack_str(pk, "state");
    if (detector->has_state) {
        pack_raw(pk, detector->state, detector->state_len);
    } else {
        msgpack_pack_nil(pk);
    }
    sw_pack_key_int(pk, "state_version", detector->has_state ? detector->state_version : 0);
    sw_pack_str(pk, "limits");
    msgpack_pack_map(pk, 2);
    sw_pack_key_int(pk, "memory_bytes", (int64_t)options->worker_memory_bytes);
    sw_pack_key_int(pk, "cpu_ms", options->worker_cpu_ms);
    sw_pack_str(pk, "agent");
    msgpack_pack_map(pk, 2);
    sw_pack_key_str(pk, "version", SW_VERSION);
    sw_pack_key_num(pk, "interval_s", options->interval_s);
    free(path);
}

void sw_version_lost_worker(sw_version *version, const char *kind) {
    sw_detector *detector = version->detector;
    version->worker = NULL;
    version->loaded = false;
    detector->n_kills++;
    sw_metric_add(detector->owner->m.kills, 1, detector->name, kind);
}

/* The worker has died, or said something, while nothing was asked of it. */
static void lost_while_idle(sw_worker *worker, const char *kind, const char *message, void *arg) {
    (void)worker;
    sw_version *version = arg;
    sw_detector *detector = version->detector;
    sw_version_lost_worker(version, kind);
    if (version == detector->running && detector->previous != NULL) {
        sw_swap_back(detector, kind, message);
    } else if (version == detector->running) {
        sw_detector_failed(detector, kind, message, "");
    }
    sw_swap_try(detector);
    sw_calls_run(detector);
}

int sw_version_load(sw_version *version, sw_call_done done, char **error) {
    sw_detector *detector = version->detector;
    sw_detectors *detectors = detector->owner;
    sw_version_stop(version);
    version->worker = sw_detectors_take_worker(detectors, error);
    if (version->worker == NULL) {
        return -1;
    }
    sw_worker_own(version->worker,
                  &(sw_worker_owner){
                      .name = detector->name, .require = require, .lost = lost_while_idle, .arg = version});
    version->generation = detector->generation;
    uint64_t sequence = sw_worker_next_sequence(&detectors->env);
    sw_frame_writer writer;
    sw_frame_begin(&writer, SW_FRAME_LOAD, sequence);
    pack_load(&writer.packer, version);
    sw_frame_end(&writer, SW_FRAME_MAX_TO_WORKER); /* source and state have caps far below */
    sw_bytes *bytes = sw_bytes_of(&writer);
    sw_worker_call(version->worker, &(sw_worker_request){.bytes = bytes,
                                                         .sequence = sequence,
                                                         .timeout_ms = detectors->options.worker_timeout_ms,
                                                         .trial = true,
                                                         .done = done,
                                                         .arg = version});
    sw_bytes_drop(bytes);
    return 0;
}

/* The set of sources; false when it is not a list of their names. */
static bool read_sources(const msgpack_object *names, unsigned *out) {
    *out = SW_SOURCES_ALL;
    if (names == NULL) {
        return true;
    }
    if (names->type != MSGPACK_OBJECT_ARRAY) {
        return false;
    }
    *out = 0;
    for (uint32_t i = 0; i < names->via.array.size; i++) {
        char *name = sw_object_text(&names->via.array.ptr[i], SHOWN_NAME_MAX);
        int number = name != NULL ? sw_source_named(name) : -1;
        free(name);
        if (number < 0) {
            return false;
        }
        *out |= 1U << number;
    }
    return true;
}

int sw_version_describe(sw_version *version, const msgpack_object *reply, const char **why) {
    double every_s = 0, min_ms = -1, state_version = 0;
    const msgpack_object *wants = sw_map_get(reply, "wants");
    if (sw_map_get(reply, "every_s") != NULL &&
        (!sw_map_num(reply, "every_s", &every_s) || !isfinite(every_s))) {
        *why = "every_s is not a number";
        return -1;
    }
    if (wants != NULL && wants->type != MSGPACK_OBJECT_MAP) {
        *why = "wants is not a table";
        return -1;
    }
    unsigned sources = 0;
    if (!read_sources(sw_map_get(reply, "sources"), &sources)) {
        *why = "sources is not a list of sources";
        return -1;
    }
    sw_map_num(wants, "min_duration_ms", &min_ms);
    sw_map_num(reply, "state_version", &state_version);
    if (!isfinite(state_version) || fabs(state_version) > 9007199254740992.0) {
        *why = "state_version is not a whole number";
        return -1;
    }
    free(version->shown_name);
    version->shown_name = sw_object_text(sw_map_get(reply, "name"), SHOWN_NAME_MAX);
    version->every_s = every_s <= 0 ? 0 : every_s < EVERY_MIN_S ? EVERY_MIN_S : every_s;
    version->every_s = version->every_s > EVERY_MAX_S ? EVERY_MAX_S : version->every_s;
    version->revisions = sw_map_bool(reply, "revisions", false);
    version->wants = (sw_wants){
        .min_duration_ms = isnan(min_ms) || min_ms < 0 ? -1 : min_ms,
        .errors = sw_map_bool(wants, "errors", false),
        .series = sw_map_bool(wants, "series", true),
    };
    version->sources = sources;
    version->state_version = (int64_t)state_version;
    version->loaded = true;
    version->loaded_wall_ns = sw_wall_ns(version->detector->owner->clock);
    return 0;
}
