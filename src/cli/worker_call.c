#include "cli/worker_call.h"

#include <stdlib.h>
#include <string.h>

#include "cli/paths.h"
#include "cli/script_files.h"
#include "detectors/detectors.h"
#include "detectors/formatter.h"
#include "protocol/frame.h"

#define MIB ((json_int_t)1 << 20)
/* A config file is read before the settings are known, so its limits are not settings. */
#define CONFIG_MEMORY_MB 64
#define CONFIG_CPU_MS 1000
#define CONFIG_TIMEOUT_MS 10000
/* A whole file of tests is one call. */
#define TEST_CPU_MS 10000
#define TEST_TIMEOUT_MS 30000

static json_t *limits(json_int_t memory_mb, json_int_t cpu_ms) {
    return json_pack("{s:I, s:I}", "memory_bytes", memory_mb * MIB, "cpu_ms", cpu_ms);
}

static char *error_text(const json_t *reply, const char *path) {
    const json_t *error = json_object_get(reply, "error");
    const char *message = json_string_value(json_object_get(error, "message"));
    if (message == NULL) {
        return xasprintf("%s: the worker's answer cannot be read", path);
    }
    /* Lua names the file where it knows the line. */
    return strstr(message, sw_file_name(path)) != NULL ? xstrdup(message)
                                                       : xasprintf("%s: %s", path, message);
}

/* One call; takes the payload. The reply, when it says ok; else NULL with *error. */
static json_t *call(const char *worker, int kind, json_t *payload, const char *path, const char *scripts_dir,
                    int64_t timeout_ms, char **error) {
    char *text = json_dumps(payload, JSON_COMPACT);
    char *dir = sw_folder_of(path);
    char *reply_text = NULL;
    json_t *reply = NULL;
    json_decref(payload);
    *error = NULL;
    if (text == NULL) {
        *error = xasprintf("%s: cannot be handed to the worker", path);
    } else if (sw_worker_call_once(worker, kind, text, scripts_dir, dir, timeout_ms, &reply_text, error) !=
               0) {
        char *why = *error;
        *error = why != NULL && strstr(why, sw_file_name(path)) != NULL
                     ? xstrdup(why)
                     : xasprintf("%s: %s", path, why != NULL ? why : "the worker failed");
        free(why);
    } else {
        reply = json_loads(reply_text, JSON_ALLOW_NUL, NULL);
        if (!json_is_true(json_object_get(reply, "ok"))) {
            *error = error_text(reply, path);
            json_decref(reply);
            reply = NULL;
        }
    }
    free(text);
    free(dir);
    free(reply_text);
    return reply;
}

/* Only variables that are text; the last of two wins. */
static json_t *environment_json(const char *const *environment) {
    json_t *all = json_object();
    for (size_t i = 0; environment[i] != NULL; i++) {
        const char *equals = strchr(environment[i], '=');
        json_t *value = equals != NULL ? json_string(equals + 1) : NULL;
        if (value != NULL) {
            char *name = xstrndup(environment[i], (size_t)(equals - environment[i]));
            json_object_set_new(all, name, value);
            free(name);
        }
    }
    return all;
}

char *sw_evaluate_config(const sw_config_file *file, char **error, void *arg) {
    (void)arg;
    char *source = sw_read_script(file->path, error);
    if (source == NULL) {
        return NULL;
    }
    char *program_dir = sw_path_of_program();
    char *worker = sw_path_worker(file->worker_path, program_dir);
    json_t *payload =
        json_pack("{s:s, s:s, s:o, s:o}", "path", file->path, "source", source, "limits",
                  limits(CONFIG_MEMORY_MB, CONFIG_CPU_MS), "env", environment_json(file->environment));
    json_t *reply = call(worker, SW_FRAME_CONFIG, payload, file->path, NULL, CONFIG_TIMEOUT_MS, error);
    char *table =
        reply != NULL ? json_dumps(json_object_get(reply, "config"), JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (reply != NULL && table == NULL) {
        *error = xasprintf("%s: must return a table of settings", file->path);
    }
    json_decref(reply);
    free(worker);
    free(program_dir);
    free(source);
    return table;
}

int sw_check_detector(const sw_setup *setup, const char *path, const char *name, char **error) {
    char *source = sw_read_script(path, error);
    if (source == NULL) {
        return -1;
    }
    const sw_config *config = &setup->config;
    char *settings = sw_config_for_detector(config, name);
    json_t *payload =
        json_pack("{s:s, s:s, s:o, s:n, s:i, s:o, s:{s:s, s:f}}", "path", path, "source", source, "config",
                  json_loads(settings, 0, NULL), "state", "state_version", 1, "limits",
                  limits(config->worker_memory_mb, config->worker_cpu_ms), "agent", "version", SW_VERSION,
                  "interval_s", (double)config->tempo_alert_interval_secs);
    json_t *reply = call(setup->worker, SW_FRAME_LOAD, payload, path, setup->scripts_dir,
                         config->worker_timeout_ms, error);
    bool good = reply != NULL;
    json_decref(reply);
    free(settings);
    free(source);
    return good ? 0 : -1;
}

/* Every field that a notification always has. */
static const char sample_notification[] =
    "{\"anomaly_type\": \"high_latency\", \"timestamp\": 1760000000, \"status\": \"firing\", "
    "\"fingerprint\": \"0000000000000000\", \"service\": \"shop\", \"operation\": \"POST /checkout\", "
    "\"labels\": {}, \"severity\": \"warning\", \"window\": {\"from\": 1759999940, \"to\": 1760000000}, "
    "\"complete\": true, \"estimated\": false, \"traces\": [], \"summary\": \"a made-up notification\", "
    "\"starts_at\": \"2025-10-09T08:53:20.000Z\", \"detector\": \"detect\", \"source\": \"tempo\", "
    "\"repeat\": false, \"flapping\": false, \"why\": {\"detector\": \"detect\", \"window_secs\": 60, "
    "\"complete\": true}}";

static json_t *format_settings(const sw_config *config, const sw_receiver_config *receiver) {
    char *text = sw_config_for_format(config, receiver);
    json_t *settings = json_loads(text, 0, NULL);
    if (receiver->format_secret_file[0] != '\0') {
        json_object_set_new(settings, "secret", json_string("secret"));
    }
    free(text);
    return settings;
}

int sw_check_format(const sw_setup *setup, const sw_receiver_config *receiver, char **error) {
    const sw_config *config = &setup->config;
    *error = NULL;
    if (receiver->format[0] == '\0') {
        return 0;
    }
    char *path = sw_formatter_path(setup->scripts_dir, receiver->format);
    char *source = sw_read_script(path, error);
    json_t *reply = NULL;
    if (source != NULL) {
        json_t *payload = json_pack("{s:s, s:s, s:o, s:s, s:o}", "path", path, "source", source, "limits",
                                    limits(config->worker_memory_mb, config->worker_cpu_ms), "body",
                                    sample_notification, "config", format_settings(config, receiver));
        reply = call(setup->worker, SW_FRAME_FORMAT, payload, path, setup->scripts_dir,
                     config->worker_timeout_ms, error);
    }
    bool good = reply != NULL;
    json_decref(reply);
    free(source);
    free(path);
    return good ? 0 : -1;
}

/* The detector files beside a test file, by name. What cannot be read is left out: the test that needs it
 * says so. */
static json_t *sources_beside(const char *path) {
    char *folder = sw_folder_of(path);
    sw_files files = {0};
    json_t *sources = json_object();
    sw_find_detectors(folder, &files);
    for (size_t i = 0; i < files.n; i++) {
        char *error = NULL;
        char *source = sw_read_script(files.paths[i], &error);
        if (source != NULL) {
            json_object_set_new(sources, sw_file_name(files.paths[i]), json_string(source));
        }
        free(source);
        free(error);
    }
    sw_files_release(&files);
    free(folder);
    return sources;
}

json_t *sw_run_test_file(const sw_setup *setup, const char *path, char **error) {
    char *source = sw_read_script(path, error);
    if (source == NULL) {
        return NULL;
    }
    json_t *payload =
        json_pack("{s:s, s:s, s:o, s:o}", "path", path, "source", source, "detectors", sources_beside(path),
                  "limits", limits(setup->config.worker_memory_mb, TEST_CPU_MS));
    json_t *reply =
        call(setup->worker, SW_FRAME_TEST, payload, path, setup->scripts_dir, TEST_TIMEOUT_MS, error);
    json_t *tests = json_incref(json_object_get(reply, "tests"));
    if (reply != NULL && tests == NULL) {
        *error = xasprintf("%s: has no tests", path);
    }
    json_decref(reply);
    free(source);
    return tests;
}
