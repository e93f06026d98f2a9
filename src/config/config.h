/*
 * The configuration: one struct, filled from flags, environment, `.env` in the working folder and `--config
 * FILE` (a Lua table), in this order of precedence. config/settings.def lists every setting once: type,
 * field, environment variable, default, limits and documentation; flag and config key follow from the
 * variable's name (SPANWATCH_STORAGE_PATH: --storage-path, storage_path; TEMPO_URL: --tempo-url, tempo_url).
 *
 * Errors: all mistakes are collected, each as one line that says setting, source, value, and what to do; the
 * verbs exit 78. What is only suspicious (an unknown TEMPO_* variable) is a warning.
 *
 * An empty variable is as good as none for numbers and booleans; texts and lists may be empty on purpose.
 */
#ifndef SW_CONFIG_CONFIG_H
#define SW_CONFIG_CONFIG_H

#include "base/buf.h"

typedef struct sw_string_list {
    char **items; /* NULL-terminated */
    size_t n;
} sw_string_list;

/* Strings are never NULL: "" means not set. */
typedef struct sw_config {
#define SW_SETTING_BOOL(field, ...) bool field;
#define SW_SETTING_INT(field, ...) int64_t field;
#define SW_SETTING_NUMBER(field, ...) double field;
#define SW_SETTING_STRING(field, ...) char *field;
#define SW_SETTING_CHOICE(field, ...) char *field;
#define SW_SETTING_URL(field, ...) char *field;
#define SW_SETTING_PATH(field, ...) char *field;
#define SW_SETTING_FILE(field, ...) char *field;
#define SW_SETTING_LIST(field, ...) sw_string_list field;
#define SW_SETTING_HEADERS(field, ...) sw_string_list field;
#include "config/settings.def"
    /* {"detect": {"latency_threshold_ms": 800}, …}: detector_config of the config file; "{}" otherwise. */
    char *detector_config_json;
    char *config_file; /* NULL when none was given */
    char **origins;    /* where each setting came from, in the order of sw_settings[] (settings.h) */
} sw_config;

/* A Lua config file and what it may see. */
typedef struct sw_config_file {
    const char *path;
    const char *worker_path;        /* as flags, environment and .env say; "" when they do not */
    const char *const *environment; /* "NAME=value", NULL-terminated: environment, then .env */
} sw_config_file;

typedef struct sw_config_sources {
    const char *const
        *flags; /* "--name=value" strings as the verb's parser left them, NULL-terminated; or NULL */
    char *const *environment; /* environ; or NULL */
    const char *dotenv_path;  /* ".env"; missing is fine; NULL: none */
    const char *config_path;  /* NULL: SPANWATCH_CONFIG of environment or .env, else none */
    /* Evaluates a Lua config file: JSON of its table (caller frees), or NULL with *error (caller frees). */
    char *(*evaluate)(const sw_config_file *file, char **error, void *arg);
    void *evaluate_arg;
    sw_buf *warnings; /* one per line; or NULL */
} sw_config_sources;

/* 0, or -1 when there were mistakes: one per line in `mistakes` (all of them). The config is filled either
 * way; release it. */
int sw_config_load(sw_config *config, const sw_config_sources *sources, sw_buf *mistakes);
void sw_config_release(sw_config *config);

/* The settings of one detector as a JSON object: detector_config of the config file over those that have an
 * environment variable. "{}" when there are none. Caller frees. */
char *sw_config_for_detector(const sw_config *config, const char *detector);

/* Effective values and where each came from, secrets hidden: "TEMPO_URL=http://…  # environment". */
void sw_config_print(const sw_config *config, sw_buf *out);
/* The table of settings for --help, and `.env.example`. */
void sw_config_help(sw_buf *out);
void sw_config_env_example(sw_buf *out);

#endif
